"""What a scheduler knows of a pod, compiled once per distinct spec.

Thousands of pods share a handful of specs, so everything that derives from the spec alone is computed once and
kept in a :class:`SpecInfo`; a :class:`PodView` adds the pod's own metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from ksched.objects import GpuRequest, Pod, PodSpec, Toleration, gpu_request, pod_nonzero_requests, pod_requests
from ksched.objects.base import IdentityCache
from ksched.objects.gpu import device_indices
from ksched.objects.volumes import Volume
from ksched.tables.volumes import VolumeUse, relevant_volumes, volume_uses

WORKLOAD_ANNOTATION = "ksched.dev/workload"
"""Names the trace workload a pod belongs to: the key by which runs of different policies stay paired."""
COMPLETION_INDEX = "batch.kubernetes.io/job-completion-index"

_SPEC_CACHE_SIZE = 1 << 16
_ANY_IP = "0.0.0.0"


class HostPort(NamedTuple):
    """A port a pod wants on its node."""

    ip: str
    protocol: str
    port: int


@dataclass(frozen=True, slots=True, eq=False)
class SpecInfo:
    """Everything schedulers read that follows from a PodSpec alone. Compared and hashed by identity.

    ``requests`` is the effective request (cpu in millicores, memory and storage in bytes, the rest in units),
    ``nonzero_requests`` the cpu and memory with upstream's scoring defaults for an incoming pod, ``held_nonzero`` the
    same for a pod on a node (without sidecars, as upstream).
    """

    spec: PodSpec
    priority: int
    requests: Mapping[str, int]
    nonzero_requests: Mapping[str, int]
    held_nonzero: Mapping[str, int]
    tolerations: tuple[Toleration, ...]
    host_ports: tuple[HostPort, ...]
    images: tuple[str, ...]
    gpu: GpuRequest | None
    pod_affinity: bool
    """Whether it says anything about which pods it belongs near or away from."""
    scheduler_name: str
    volumes: tuple[Volume, ...]
    """Claims and disks; not what needs nothing but the node (emptyDir, configMap, ...)."""


@dataclass(frozen=True, slots=True)
class ExpectedPod:
    """A shape of pods that is usual in a workload, and how many pods had it."""

    info: SpecInfo
    count: int


class PodView:
    """A pod as plugins see it.

    Attributes: ``name``, ``namespace``, ``uid``, ``labels``, ``annotations``, ``spec``, ``priority``, ``requests``,
    ``nonzero_requests``, ``tolerations``, ``host_ports``, ``images``, ``gpu``, ``scheduler_name``, ``owner``,
    ``workload`` (pairing id), ``index`` (completion index) and the whole ``pod``.
    """

    __slots__ = ("_label_key", "gpu", "info", "key", "name", "namespace", "pod", "uid", "workload")

    def __init__(self, pod: Pod) -> None:
        self.pod = pod
        spec, meta = pod.spec, pod.metadata
        compiled = _specs.entries.get(id(spec))
        self.info = info = compiled[1] if compiled is not None else compile_spec(spec)
        self.gpu: GpuRequest | None = info.gpu
        """GPU devices wanted, None for a pod without GPUs."""
        # What a pod is called never changes, and is asked for all the way from the queue to the binding.
        name = meta.name
        self.name: str = name or ""
        self.namespace: str = meta.namespace or "default"
        self.key = key = f"{self.namespace}/{name}"
        self.uid: str = meta.uid or key
        """The key itself where no api-server gave one."""
        self.workload: str = pairing_id(meta.annotations, key)
        """The pairing id: the trace workload, or the pod's own key where it belongs to none."""
        self._label_key: tuple[tuple[str, str], ...] | None = None

    @property
    def index(self) -> int:
        """The completion index, 0 where absent."""
        return completion_index(self.pod.metadata.annotations)

    @property
    def labels(self) -> Mapping[str, str]:
        """The pod's labels."""
        return self.pod.metadata.labels

    @property
    def label_key(self) -> tuple[tuple[str, str], ...]:
        """The labels as a sorted tuple: equal for pods that no label selector can tell apart."""
        if self._label_key is None:
            self._label_key = tuple(sorted(self.pod.metadata.labels.items()))
        return self._label_key

    @property
    def terminating(self) -> bool:
        """Whether the pod is being deleted."""
        return self.pod.metadata.deletion_timestamp is not None

    @property
    def annotations(self) -> Mapping[str, str]:
        """The pod's annotations."""
        return self.pod.metadata.annotations

    @property
    def spec(self) -> PodSpec:
        """The pod's spec; immutable and shared with other pods."""
        return self.info.spec

    @property
    def priority(self) -> int:
        """spec.priority, 0 where absent."""
        return self.info.priority

    @property
    def requests(self) -> Mapping[str, int]:
        """Effective request per resource: cpu in millicores, memory and storage in bytes, the rest in units."""
        return self.info.requests

    @property
    def nonzero_requests(self) -> Mapping[str, int]:
        """cpu (millicores) and memory (bytes) with 100m and 200 MiB for containers that request none."""
        return self.info.nonzero_requests

    @property
    def tolerations(self) -> tuple[Toleration, ...]:
        """spec.tolerations."""
        return self.info.tolerations

    @property
    def host_ports(self) -> tuple[HostPort, ...]:
        """Host ports of the (non-init) containers."""
        return self.info.host_ports

    @property
    def images(self) -> tuple[str, ...]:
        """Images of init containers and containers, normalised (":latest" where no tag is given)."""
        return self.info.images

    @property
    def scheduler_name(self) -> str:
        """spec.schedulerName."""
        return self.info.scheduler_name

    @property
    def owner(self) -> str | None:
        """uid of the controlling owner, None for a bare pod."""
        for reference in self.pod.metadata.owner_references:
            if reference.controller:
                return reference.uid
        return None

    @property
    def volume_uses(self) -> tuple[VolumeUse, ...]:
        """The claims and disks the pod uses, in the order of its volumes."""
        return volume_uses(self.info.volumes, self.namespace, self.name)

    @property
    def device_indices(self) -> tuple[int, ...]:
        """GPU devices a bound pod holds on its node."""
        return device_indices(self.pod)

    def request(self, resource: str) -> int:
        """Effective request of one resource, 0 where absent."""
        return self.info.requests.get(resource, 0)

    def __repr__(self) -> str:
        return f"PodView({self.key})"


_specs: IdentityCache[PodSpec, SpecInfo] = IdentityCache(_SPEC_CACHE_SIZE)


def compile_spec(spec: PodSpec) -> SpecInfo:
    """The compiled form of ``spec``, the same object for the same spec."""
    compiled = _specs.entries.get(id(spec))
    return compiled[1] if compiled is not None else _specs.put(spec, _compile(spec))


def pairing_id(annotations: Mapping[str, str], key: str) -> str:
    """The trace workload that the pod with these annotations belongs to, or its own ``key`` where it names none."""
    return annotations.get(WORKLOAD_ANNOTATION) or key


def completion_index(annotations: Mapping[str, str]) -> int:
    """Which of its Job's pods the pod with these annotations is, 0 where absent."""
    index = annotations.get(COMPLETION_INDEX)
    return int(index) if index and index.isdecimal() else 0


def _compile(spec: PodSpec) -> SpecInfo:
    return SpecInfo(
        spec=spec,
        priority=spec.priority or 0,
        requests=pod_requests(spec),
        nonzero_requests=pod_nonzero_requests(spec),
        held_nonzero=pod_nonzero_requests(spec, sidecars=False),
        tolerations=spec.tolerations,
        host_ports=_host_ports(spec),
        images=tuple(normalized_image(c.image) for c in (*spec.init_containers, *spec.containers) if c.image),
        gpu=gpu_request(spec),
        pod_affinity=_pod_affinity(spec),
        scheduler_name=spec.scheduler_name or "default-scheduler",
        volumes=relevant_volumes(spec.volumes) if spec.volumes else (),
    )


def _pod_affinity(spec: PodSpec) -> bool:
    affinity = spec.affinity
    return affinity is not None and (affinity.pod_affinity is not None or affinity.pod_anti_affinity is not None)


def _host_ports(spec: PodSpec) -> tuple[HostPort, ...]:
    return tuple(
        HostPort(port.host_ip or _ANY_IP, port.protocol or "TCP", port.host_port)
        for container in spec.containers
        for port in container.ports
        if port.host_port
    )


def normalized_image(name: str) -> str:
    """``name`` with ":latest" where no tag follows the last "/" (upstream: imagelocality.normalizedImageName)."""
    return name if name.rfind(":") > name.rfind("/") else f"{name}:latest"
