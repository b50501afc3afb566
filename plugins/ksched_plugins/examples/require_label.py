"""RequireLabel: only nodes with a given label, for instance SSD nodes."""

from __future__ import annotations

import numpy as np

from ksched.framework import Cycle
from ksched.tables import NodeView, PodView
from ksched.tables.arrays import BoolArray
from ksched_plugins.plugin_args import PluginArgs


class RequireLabelArgs(PluginArgs):
    """Nodes need label ``key``, and with a ``value`` exactly that one."""

    key: str = "disktype"
    value: str | None = "ssd"


class RequireLabel:
    """Rejects nodes without the label, whatever the pod is."""

    name = "RequireLabel"
    node_local = True
    Args = RequireLabelArgs

    def __init__(self, args: RequireLabelArgs) -> None:
        self._key, self._value = args.key, args.value

    def signature(self, pod: PodView) -> None:
        """All pods are alike to this plugin, so its verdict is computed once per node."""

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> dict[str, BoolArray]:
        """One test per distinct value of the label; None stands for "has no such label"."""
        wanted = self._value
        if wanted is None:
            reason = f"node has no label {self._key}"
            return {reason: nodes.per_label(self._key, lambda value: value is None, np.bool_)}
        reason = f"node has no label {self._key}={wanted}"
        return {reason: nodes.per_label(self._key, lambda value: value != wanted, np.bool_)}
