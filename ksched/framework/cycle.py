"""Cycle: what a plugin may know and keep while one pod is being placed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol, overload

import numpy as np

from ksched.errors import PluginError
from ksched.framework import chance
from ksched.framework.listers import Listers
from ksched.objects import KubeObject
from ksched.tables import NodeTable, NodeView, PodView


class Api(Protocol):
    """What a plugin may ask of the api-server; given by whoever runs the framework."""

    def update(self, obj: KubeObject, then: Callable[[KubeObject | None, str | None], object]) -> None:
        """Replace an object, all but its status; answers ``then(as stored, None)`` or ``then(None, why not)`` later."""
        ...


class Cycle:
    """One scheduling cycle of one pod.

    ``state`` is the cycle state: plugins keep there what PreFilter and PreScore computed (use the plugin's name in the
    key). ``now`` is simulated time in ns. ``devices`` is set by Reserve to the GPU devices taken on the chosen node.
    """

    __slots__ = (
        "_pod",
        "_seed",
        "_table",
        "api",
        "attempt",
        "devices",
        "failure",
        "incarnation",
        "now",
        "objects",
        "plugin",
        "pre_bound",
        "state",
        "waits",
    )

    node_local = False

    def __init__(
        self,
        table: NodeTable,
        pod: PodView,
        now: int,
        seed: int,
        attempt: int = 1,
        incarnation: int = 0,
        objects: Listers | None = None,
    ) -> None:
        self._table = table
        self._pod = pod
        self._seed = seed
        self.now = now
        self.attempt = attempt
        self.incarnation = incarnation
        self.objects = objects if objects is not None else Listers()
        """Services, claims and whatever else is neither node nor pod."""
        self.api: Api | None = None
        """Writes to the api-server, where there is one: for PreBind."""
        self.pre_bound = 0
        """How many PreBind plugins are done."""
        self.plugin = ""
        self.state: dict[Any, Any] = {}
        self.devices: tuple[int, ...] | None = None
        self.waits: dict[str, float] = {}
        """Permit plugins that hold the pod, and for how many seconds each."""
        self.failure: Any = None
        """What the framework keeps of a failed attempt for PostFilter."""

    def branch(self) -> Cycle:
        """A copy for a what-if: state that has a ``clone()`` is cloned, other state is shared and must not change."""
        copy = Cycle(self._table, self._pod, self.now, self._seed, self.attempt, self.incarnation, self.objects)
        copy.state = {k: value.clone() if hasattr(value, "clone") else value for k, value in self.state.items()}
        return copy

    @property
    def cluster(self) -> NodeView:
        """All nodes of the cluster, whatever rows the plugin was asked about."""
        return NodeView(self._table)

    def node(self, name: str) -> NodeView:
        """The one row of node ``name``."""
        return NodeView(self._table, self._table.row(name))

    def free_devices(self, node_name: str) -> list[int]:
        """Free milli of each GPU device of a node: what ``node(name).devices.free`` says, for Reserve."""
        return self._table.devices.free_on(self._table.index[node_name])

    @property
    def _stream(self) -> int:
        pod = self._pod
        start = chance.stream_of(self._seed, self.plugin)
        return chance.extended(start, pod.workload, pod.index, self.incarnation, self.attempt)

    @overload
    def random(self, counter: int = 0) -> int: ...
    @overload
    def random(self, counter: chance.Counters) -> chance.Draws: ...
    def random(self, counter: int | chance.Counters = 0) -> int | chance.Draws:
        """64-bit draws keyed by (seed, plugin, workload, index, incarnation, attempt) and ``counter``."""
        return chance.draw(self._stream, counter)

    @property
    def rng(self) -> np.random.Generator:
        """A numpy Generator from the same key; slower to build than ``random`` is to call."""
        return np.random.Generator(np.random.PCG64(self._stream))


class NodeLocalCycle(Cycle):
    """The cycle a node-local plugin gets: its results are kept and reused, so nothing of the moment may enter them."""

    __slots__ = ()

    node_local = True

    def __init__(self, plugin: str) -> None:
        self.plugin = plugin
        self.state = {}
        self.devices = None


class LabelsRead:
    """The pod label keys that node-local plugins have read: those, and no others, belong to a signature.

    ``keys`` is sorted; ``everything`` once a plugin went through all labels. ``version`` counts additions: what was
    cached before one may be shared by pods that now have different signatures.
    """

    __slots__ = ("everything", "keys", "version")

    def __init__(self) -> None:
        self.keys: tuple[str, ...] = ()
        self.everything = False
        self.version = 0

    def note(self, key: str) -> None:
        """``key`` was asked for, whether or not the pod has it."""
        if key not in self.keys:
            self.keys = tuple(sorted((*self.keys, key)))
            self.version += 1

    def note_everything(self) -> None:
        """All labels were looked at."""
        if not self.everything:
            self.everything = True
            self.version += 1


class NotedLabels(Mapping[str, str]):
    """A pod's labels, noting which are read."""

    __slots__ = ("_labels", "_read")

    def __init__(self, labels: Mapping[str, str], read: LabelsRead) -> None:
        self._labels = labels
        self._read = read

    def __getitem__(self, key: str) -> str:
        self._read.note(key)
        return self._labels[key]

    def __iter__(self) -> Iterator[str]:
        self._read.note_everything()
        return iter(self._labels)

    def __len__(self) -> int:
        self._read.note_everything()
        return len(self._labels)


class NodeLocalPod(PodView):
    """A pod without what distinguishes it from others of its signature.

    In a :class:`~ksched.framework.Framework` the ``labels`` note which keys are read, which makes them part of it.
    """

    __slots__ = ("_labels", "plugin")

    def __init__(self, pod: PodView, plugin: str, labels: Mapping[str, str]) -> None:
        self.info = pod.info
        self.gpu = pod.gpu
        self.plugin = plugin
        self._labels = labels
        self.namespace = pod.namespace

    @property
    def labels(self) -> Mapping[str, str]:
        """The pod's labels; those that are read belong to the signature."""
        return self._labels

    def __repr__(self) -> str:
        return f"NodeLocalPod(of {self.plugin})"


def _refuse(cls: type, what: str, names: tuple[str, ...], why: str) -> None:
    """Make reading ``names`` on ``cls`` an error that tells the plugin's author what is wrong."""

    def refusing(name: str) -> property:
        def get(self: Any) -> Any:
            raise PluginError(
                f"plugin {self.plugin} is node_local but reads {what}.{name}",
                hint=f"{why}; drop node_local = True to be asked every time",
            )

        return property(get)

    for name in names:
        setattr(cls, name, refusing(name))


_refuse(
    NodeLocalCycle,
    "cycle",
    ("now", "cluster", "node", "free_devices", "objects", "random", "rng", "attempt", "incarnation"),
    "its results are kept and reused, so they may depend only on the node's row and the pod's signature",
)
_refuse(
    NodeLocalPod,
    "pod",
    (
        *("name", "uid", "key", "pod", "annotations", "workload", "index", "owner", "device_indices"),
        *("label_key", "terminating"),
    ),
    "its results are shared by all pods with the same signature",
)
