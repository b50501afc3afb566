"""Random small clusters, pods and changes to them, awkward on purpose.

Every generator draws from a :class:`Chooser`, so the same code serves :func:`ksched.testing.check_plugin` (seeded, no
further dependency) and hypothesis (:mod:`ksched.testing.strategies`), which can then shrink what it found.

The clusters hold what policies forget: nodes without a label or without memory, cordoned and overcommitted ones, two
pods of one name in different namespaces, devices that are half taken, pods without any request.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

import numpy as np

from ksched.objects import Node, Pod
from ksched.objects.gpu import GPU_INDEX_ANNOTATION, format_indices
from ksched.tables import NodeTable, PodView
from ksched.testing.factories import make_node, make_pod, node_affinity, term
from ksched.testing.pod_rules import pod_affinity, spread_constraints

T = TypeVar("T")

IMAGES = {"app:1": 40 << 20, "web:2": 300 << 20, "train:latest": 2500 << 20, "tiny:1": 1 << 20}
"""Image sizes in bytes. One size per name: a scheduler believes whoever tells it first."""
TAINTS = ("dedicated=gpu:NoSchedule", "dedicated=web:NoExecute", "slow:PreferNoSchedule", "spot=yes:PreferNoSchedule")
TOLERATIONS = ("dedicated=gpu:NoSchedule", "dedicated", "slow:PreferNoSchedule", "spot=yes", "*")
LABELS = {
    "topology.kubernetes.io/zone": ("a", "b", "c"),
    "disktype": ("ssd", "hdd"),
    "generation": ("3", "007", "1.5"),
    "pool": ("", "x"),
}


TERMS: tuple[dict[str, Any], ...] = (
    term("disktype In ssd"),
    term("disktype NotIn ssd", "topology.kubernetes.io/zone Exists"),
    term("generation Gt 2"),
    term("pool DoesNotExist"),
    term(fields=["metadata.name In n1"]),
    {},
)


NAMESPACE_LABELS: dict[str, dict[str, str]] = {"default": {}, "team": {"kind": "team"}}


class Chooser(Protocol):
    """Where random choices come from."""

    def integer(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``, both included."""

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``."""


class Seeded:
    """Choices from a numpy Generator: the same seed gives the same clusters, in every process."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.Generator(np.random.PCG64(seed))

    def integer(self, low: int, high: int) -> int:
        """Uniform."""
        return int(self._rng.integers(low, high + 1))

    def pick(self, options: Sequence[T]) -> T:
        """Uniform."""
        return options[self.integer(0, len(options) - 1)]


def subset(choose: Chooser, options: Sequence[T], most: int) -> list[T]:
    """At most ``most`` different ones of ``options``, in their order."""
    wanted = choose.integer(0, most)
    chosen = {choose.integer(0, len(options) - 1) for _ in range(wanted)}
    return [option for position, option in enumerate(options) if position in chosen]


def node(choose: Chooser, name: str, *, odd: bool = True) -> Node:
    """A node of random size. ``odd`` allows missing resources and cordons, without it all nodes are usable."""
    labels = {key: choose.pick(LABELS[key]) for key in subset(choose, tuple(LABELS), 3)}
    resources: dict[str, str | int | float] = {}
    if choose.integer(0, 3) == 0:
        resources["example.com/fpga"] = choose.integer(0, 4)
    return make_node(
        name,
        cpu=choose.pick((1, 4, "3500m", 16, None) if odd else (1, 4, "3500m", 16)),
        memory=choose.pick(("512Mi", "4Gi", "16G", "64Gi", None) if odd else ("512Mi", "4Gi", "16G", "64Gi")),
        pods=choose.pick((2, 110, None) if odd else (20, 110)),
        gpus=choose.pick((0, 0, 1, 4)),
        labels=labels,
        taints=subset(choose, TAINTS, 2),
        unschedulable=odd and choose.integer(0, 5) == 0,
        images={image: IMAGES[image] for image in subset(choose, tuple(IMAGES), 2)},
        resources={"ephemeral-storage": "20Gi", **resources},
    )


def pod(choose: Chooser, name: str) -> Pod:
    """A pod that may ask for anything the shipped plugins look at."""
    gpu = choose.pick((None, None, 200, 500, 1000, 2000))
    requests: dict[str, str | int | float] = {}
    if choose.integer(0, 4) == 0:
        requests["example.com/fpga"] = 1
    rules = None
    if choose.integer(0, 2) == 0:
        rules = node_affinity(
            *(choose.pick(TERMS) for _ in range(choose.integer(0, 2))),
            preferred=[(choose.integer(1, 100), choose.pick(TERMS)) for _ in range(choose.integer(1, 2))],
        )
    rules = {**(rules or {}), **pod_affinity(choose)}
    constraints = spread_constraints(choose)
    spread: dict[str, Any] = {"topologySpreadConstraints": constraints} if constraints else {}
    return make_pod(
        name,
        namespace=choose.pick(("default", "team")),
        cpu=choose.pick((None, "0", "100m", "250m", 1, 3)),
        memory=choose.pick((None, "0", "64Mi", "1Gi", "3Gi")),
        gpu_milli=gpu,
        requests=requests,
        labels={key: choose.pick(("x", "y")) for key in subset(choose, ("app", "tier"), 2)},
        tolerations=subset(choose, TOLERATIONS, 2),
        node_selector=choose.pick(({}, {}, {}, {"disktype": "ssd"}, {"pool": ""})),
        affinity=rules or None,
        host_ports=subset(choose, (80, 443), 1),
        images=(choose.pick(tuple(IMAGES)), *subset(choose, tuple(IMAGES), 1)),
        priority=choose.pick((None, 0, 100)),
        **spread,
    )


@dataclass
class World:
    """The state a table is built from: nodes and the pods on them, in the order they came."""

    nodes: dict[str, Node] = field(default_factory=dict)
    pods: dict[str, tuple[Pod, str]] = field(default_factory=dict)
    _names: int = 0

    def table(self, order: Sequence[str] | None = None) -> NodeTable:
        """A fresh table of this state; ``order`` of the node names, by default the order they came."""
        table = NodeTable()
        for namespace, labels in NAMESPACE_LABELS.items():
            table.namespaces.put(namespace, labels)
        for name in order if order is not None else self.nodes:
            table.add_node(self.nodes[name])
        for held, node_name in self.pods.values():
            table.add_pod(PodView(held), node_name)
        return table

    def change(self, choose: Chooser, *tables: NodeTable, odd: bool = True) -> str:
        """One random event, applied to this state and to every one of ``tables``; returns what it was."""
        kind = choose.pick(_EVENTS)
        if kind == "add node" or not self.nodes:
            kind = "add node"
            self._names += 1
            self._set_node(node(choose, f"n{self._names}", odd=odd), tables)
        elif kind == "update node":
            self._set_node(node(choose, choose.pick(list(self.nodes)), odd=odd), tables)
        elif kind == "remove node":
            name = choose.pick(list(self.nodes))
            del self.nodes[name]
            for table in tables:
                table.remove_node(name)
        elif kind == "add pod" or not self.pods:
            kind = "add pod"
            self._add_pod(choose, tables)
        else:
            uid = choose.pick(list(self.pods))
            del self.pods[uid]
            for table in tables:
                table.remove_pod(uid)
        return kind

    def _set_node(self, changed: Node, tables: Sequence[NodeTable]) -> None:
        self.nodes[changed.name] = changed
        for table in tables:
            table.add_node(changed)

    def _add_pod(self, choose: Chooser, tables: Sequence[NodeTable]) -> None:
        self._names += 1
        name = choose.pick(list(self.nodes))
        held = _with_devices(choose, pod(choose, f"p{self._names}"))
        self.pods[PodView(held).uid] = (held, name)
        for table in tables:
            table.add_pod(PodView(held), name)

    def usable(self) -> World:
        """The same without pods that overcommit their node: what a scheduler with the default filters leaves behind."""
        kept = World(dict(self.nodes), {}, self._names)
        table = kept.table()
        for uid, (held, name) in self.pods.items():
            view = PodView(held)
            table.add_pod(view, name)
            row = table.index.get(name)
            if row is None or (table.requested[:, row] > table.allocatable[:, row]).any():
                table.remove_pod(uid)
            else:
                kept.pods[uid] = (held, name)
        return kept


_EVENTS = ("add node", "update node", "remove node", "add pod", "add pod", "add pod", "remove pod")


def _with_devices(choose: Chooser, held: Pod) -> Pod:
    """Name the devices a GPU pod holds, as a binding would: left open, the table's choice depends on history."""
    gpu = PodView(held).gpu
    if gpu is None:
        return held
    first = choose.integer(0, 3)
    devices = format_indices(tuple(range(first, first + gpu.count)))
    meta = held.metadata
    return held.replaced(metadata=meta.replaced(annotations={**meta.annotations, GPU_INDEX_ANNOTATION: devices}))


def world(choose: Chooser, *, most_nodes: int = 6, most_pods: int = 12, odd: bool = True) -> World:
    """A cluster of up to ``most_nodes`` nodes and ``most_pods`` pods (one node at least)."""
    made = World()
    for _ in range(choose.integer(1, most_nodes)):
        made._names += 1
        made._set_node(node(choose, f"n{made._names}", odd=odd), ())
    for _ in range(choose.integer(0, most_pods)):
        made._add_pod(choose, ())
    return made
