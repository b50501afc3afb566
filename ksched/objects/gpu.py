"""GPUs in manifests: what a pod asks for, what a node has, which devices a bound pod holds.

Two conventions are understood. ``alibabacloud.com/gpu-milli`` (Alibaba's GPU sharing, as in the openb trace) counts
thousandths of one device: below 1000 a pod shares one device, a multiple of 1000 takes whole devices.
``nvidia.com/gpu`` and ``amd.com/gpu`` (device plugins) count whole devices. A pod that asks for whole devices shares
none of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from ksched.errors import InputError

from .node import Node
from .pod import Pod, PodSpec
from .resources import amount, pod_requests

GPU_MILLI: Final = "alibabacloud.com/gpu-milli"
WHOLE_GPU_RESOURCES: Final = ("nvidia.com/gpu", "amd.com/gpu")
GPU_RESOURCES: Final = (GPU_MILLI, *WHOLE_GPU_RESOURCES)
MODEL_LABEL: Final = "alibabacloud.com/gpu-card-model"
MODEL_LABELS: Final = (MODEL_LABEL, "nvidia.com/gpu.product", "amd.com/gpu.product-name")
GPU_INDEX_ANNOTATION: Final = "alibabacloud.com/gpu-index"
MILLI_PER_GPU: Final = 1000


@dataclass(frozen=True, slots=True)
class GpuRequest:
    """``count`` devices with ``milli`` thousandths of each; count is 1 when milli is below 1000."""

    count: int
    milli: int

    @property
    def total_milli(self) -> int:
        """Thousandths over all devices."""
        return self.count * self.milli


@dataclass(frozen=True, slots=True)
class NodeDevices:
    """``count`` equal devices of ``model`` ("" unknown) with ``memory_b`` bytes each (0 unknown)."""

    count: int
    model: str
    memory_b: int


def allowed_models(spec: PodSpec) -> tuple[str, ...]:
    """The device models that required node affinity lets the pod run on, in its order; () when any will do."""
    affinity = spec.affinity.node_affinity if spec.affinity else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    models: list[str] = []
    for term in required.node_selector_terms if required else ():
        named = [r for r in term.match_expressions if r.key in MODEL_LABELS and r.operator == "In"]
        if not named:
            return ()  # terms are alternatives
        models += named[0].values
    return tuple(models)


_INDEX: Final = re.compile(r"[0-9]{1,4}", re.ASCII)
_MEBIBYTES: Final = re.compile(r"[0-9]{1,12}", re.ASCII)
_BYTES: Final = re.compile(r"([0-9]{1,15})(Ki|Mi|Gi|Ti|KiB|MiB|GiB|TiB)?", re.ASCII)


def gpu_request(spec: PodSpec) -> GpuRequest | None:
    """What the pod asks for, None when no GPU. InputError for amounts that no set of devices can give.

    The amount is the effective request (:func:`ksched.objects.resources.pod_requests`).
    """
    requests = pod_requests(spec)
    asked = [name for name in GPU_RESOURCES if requests.get(name, 0) > 0]
    if not asked:
        return None
    if len(asked) > 1:
        raise InputError(f"a pod asks for GPUs in one way only, not by {' and '.join(asked)} at once")
    value = requests[asked[0]]
    if asked[0] != GPU_MILLI:
        return GpuRequest(value, MILLI_PER_GPU)
    if value < MILLI_PER_GPU:
        return GpuRequest(1, value)
    if value % MILLI_PER_GPU:
        raise InputError(
            f"{GPU_MILLI}: {value} is neither below 1000 (a share of one device) nor a multiple of 1000 (whole devices)"
        )
    return GpuRequest(value // MILLI_PER_GPU, MILLI_PER_GPU)


def node_devices(node: Node) -> NodeDevices:
    """The node's devices from allocatable and labels; count 0 when it has none.

    A node advertises GPUs one way: gpu-milli (1000 per device) wins over whole-device resources.
    """
    allocatable = node.status.allocatable or node.status.capacity
    labels = node.metadata.labels
    count = 0
    if GPU_MILLI in allocatable:
        count = amount(GPU_MILLI, allocatable[GPU_MILLI]) // MILLI_PER_GPU
    else:
        for name in WHOLE_GPU_RESOURCES:
            if name in allocatable:
                count = amount(name, allocatable[name])
                break
    if count <= 0:
        return NodeDevices(0, "", 0)
    model = next((labels[key] for key in MODEL_LABELS if key in labels), "")
    memory = _memory(labels.get("nvidia.com/gpu.memory", ""), labels.get("alibabacloud.com/gpu-card-memory", ""))
    return NodeDevices(count, model, memory)


@lru_cache(maxsize=1024)
def _memory(mebibytes: str, size: str) -> int:
    """Bytes per device: NVIDIA's feature discovery labels it in MiB, Alibaba's in suffixed or plain bytes."""
    if _MEBIBYTES.fullmatch(mebibytes):
        return int(mebibytes) * 1024 * 1024
    shape = _BYTES.fullmatch(size)
    if shape is None:
        return 0
    factor: int = 1024 ** " KMGT".index((shape[2] or " ")[0])
    return int(shape[1]) * factor


def device_indices(pod: Pod) -> tuple[int, ...]:
    """Which devices of its node a bound pod holds, ascending; () when the annotation is absent.

    The annotation lists indices joined by ``-``, as Alibaba's GPU-sharing scheduler writes it: ``"2"``, ``"0-3"``
    (devices 0 and 3, not a range), ``"0-1-2-3"``.
    """
    text = pod.metadata.annotations.get(GPU_INDEX_ANNOTATION, "")
    return parse_indices(text, where=f"{pod.key}: annotation {GPU_INDEX_ANNOTATION}") if text else ()


def parse_indices(text: str, *, where: str | None = None) -> tuple[int, ...]:
    """Device indices from ``"0-3"`` (0 and 3); InputError for anything else and for an index named twice."""
    parts = text.split("-")
    if not all(_INDEX.fullmatch(part) for part in parts):
        raise InputError(
            f"{text!r} is not a list of device indices", where=where, hint='join indices by "-": "0" or "0-2-3"'
        )
    indices = sorted(int(part) for part in parts)
    if len(set(indices)) != len(indices):
        raise InputError(f"{text!r} names a device twice", where=where)
    return tuple(indices)


def format_indices(indices: Iterable[int]) -> str:
    """The annotation text for these devices: ``(3, 0)`` is ``"0-3"``."""
    return _in_order(tuple(indices))


@lru_cache(maxsize=1024)  # of a few devices there are few choices
def _in_order(indices: tuple[int, ...]) -> str:
    return "-".join(map(str, sorted(indices)))
