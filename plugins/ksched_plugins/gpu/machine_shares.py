"""Amounts as shares of a machine's own capacity, which makes cpu, memory and GPU comparable."""

from __future__ import annotations

import numpy as np

from ksched.objects import CPU, MEMORY
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import FloatArray, Int64Array


def free_shares(nodes: NodeView) -> FloatArray:
    """What is free of cpu, memory and GPU (milli over all devices), float64[3, n]; 0 of what a machine has none of."""
    return _shares(nodes, np.array([nodes.free(CPU), nodes.free(MEMORY), nodes.devices.milli_free]))


def demand_shares(pod: PodView, nodes: NodeView) -> FloatArray:
    """What ``pod`` asks for, as :func:`free_shares`."""
    gpu = pod.gpu.total_milli if pod.gpu else 0
    wanted = np.array([[pod.request(CPU)], [pod.request(MEMORY)], [gpu]])
    return _shares(nodes, wanted)


def _shares(nodes: NodeView, amounts: Int64Array) -> FloatArray:
    capacity = np.array([nodes.allocatable(CPU), nodes.allocatable(MEMORY), nodes.devices.capacity])
    # Nobody has a share of nothing; a pod that wants it is rejected by a filter.
    return np.where(capacity > 0, amounts / np.maximum(capacity, 1), 0.0)
