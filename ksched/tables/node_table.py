"""NodeTable: the scheduler's picture of the cluster as a struct of arrays.

One row per node, in the order nodes were added; one column per resource, label key and so on. Pods are added to and
removed from rows in O(resources of the pod). Readers look through :class:`~ksched.tables.node_view.NodeView` and
learn from the change logs which rows to look at again.

Pods of a node that is not (or no longer) in the table are remembered and counted as soon as it is added, as
kube-scheduler's cache does when a pod is seen before its node.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from ksched.objects import CPU, EPHEMERAL_STORAGE, MEMORY, PODS, Node, Pod, allocatable_amounts, node_devices
from ksched.tables.arrays import BoolArray, Int64Array, IntArray, StrArray, grown, readonly
from ksched.tables.changes import ChangeLog
from ksched.tables.devices import DeviceColumns
from ksched.tables.domains import Domains, domains_of
from ksched.tables.fork import Fork
from ksched.tables.images import ImageColumns
from ksched.tables.interning import Interner
from ksched.tables.label_columns import LabelColumns
from ksched.tables.memo import Memo
from ksched.tables.namespaces import Namespaces
from ksched.tables.pod_counts import CountColumn, PodCounts, PodSelector, SelectorColumn
from ksched.tables.pod_view import PodView, SpecInfo
from ksched.tables.ports import PortColumns
from ksched.tables.taints import TaintColumn
from ksched.tables.volumes import VolumeColumns

NODE = 1
"""Column group: what the Node object says (labels, taints, allocatable, ...)."""
USAGE = 2
"""Column group: what the pods on the node hold (requested, ports, devices, ...)."""
IMAGES = 4
"""Column group: images, which depend on other nodes too (how many nodes have an image)."""
ELSEWHERE = 8
"""Not a column group: what other nodes are or hold. A node-local plugin must not read it."""
COUNTED = 16
"""Not a column group: that pods counted by selector entered, which :meth:`NodeTable.shift` leaves as they are."""
GROUPS = (NODE, USAGE, IMAGES)
ALL_GROUPS = NODE | USAGE | IMAGES

_FIXED_RESOURCES = (PODS, CPU, MEMORY, EPHEMERAL_STORAGE)
"""What nearly every pod needs comes first and together: neighbours are read without a copy."""
_NONZERO = 2
"""Rows of ``held`` before those of the resources."""
_POD_SLOTS = _NONZERO + _FIXED_RESOURCES.index(PODS)


class PlacedPod(NamedTuple):
    """A pod on a node, with the GPU devices it holds there."""

    pod: PodView
    devices: tuple[int, ...]


class NodeTable:
    """Columns over nodes. ``n`` rows; resources as int64 (cpu millicores, memory and storage bytes, else units).

    ``allocatable`` and ``requested`` int64[resources, capacity] are resource-major; ``nonzero`` int64[2, capacity] is
    the cpu and memory requested with upstream's scoring defaults. What pods hold is one array, ``held``: ``nonzero``
    and ``requested`` one above the other.
    """

    def __init__(self) -> None:
        capacity = 16
        self.n = 0
        self.structure = 0
        """Bumped when rows are added or removed: every cache over rows is void then."""
        self.logs: dict[int, ChangeLog] = {group: ChangeLog() for group in GROUPS}
        self._usage = self.logs[USAGE]
        self.renewed = ChangeLog()
        """Rows where a pod's status changed (:meth:`renew_pod`): no column depends on it, preemption does."""
        self.priorities: defaultdict[int, int] = defaultdict(int)
        """Number of pods on nodes of the table by priority; 0 for priorities there were."""
        self.index: dict[str, int] = {}
        self.nodes: list[Node] = []
        self.resources: Interner[str] = Interner(_FIXED_RESOURCES)
        self._resource_rows: dict[tuple[str, ...], IntArray | slice] = {}
        self._neighbours: dict[tuple[str, ...], tuple[Int64Array, Int64Array] | None] = {}
        self.labels = LabelColumns(capacity)
        self.images = ImageColumns(capacity)
        self.ports = PortColumns()
        self.volumes = VolumeColumns()
        self.devices = DeviceColumns(capacity)
        self.taints = TaintColumn(capacity)
        self.namespaces = Namespaces()
        self.counts = PodCounts(capacity, self.index, self.namespaces)
        self.unschedulable: BoolArray = np.zeros(capacity, dtype=np.bool_)
        self._capacity = capacity
        self._every_row: IntArray = readonly(np.arange(capacity))
        self._names: tuple[int, StrArray] = (-1, np.array([], dtype=np.str_))
        self._name_ranks: tuple[int, IntArray] = (-1, np.array([], dtype=np.intp))
        self._domains: tuple[int, dict[str, Domains]] = (-1, {})
        self._pods: dict[str, dict[str, PlacedPod]] = {}
        self._node_of: dict[str, str] = {}
        self._fork: Fork | None = None
        self._set_allocatable(np.zeros((len(_FIXED_RESOURCES), capacity), dtype=np.int64))
        self._set_held(np.zeros((_NONZERO + len(_FIXED_RESOURCES), capacity), dtype=np.int64))
        self._held_by: Memo[SpecInfo, Int64Array] = Memo()

    # -- arrays behind views --------------------------------------------------------------------------------

    def _set_allocatable(self, array: Int64Array) -> None:
        self._allocatable, self.allocatable = array, readonly(array)
        self._neighbours.clear()

    def _set_held(self, array: Int64Array) -> None:
        self._held, self.held = array, readonly(array)
        self.nonzero, self.requested = self.held[:_NONZERO], self.held[_NONZERO:]
        self._neighbours.clear()

    def resource_row(self, resource: str) -> int:
        """Index of ``resource`` in the resource-major arrays; a row of zeros is made for one never seen."""
        found = self.resources.get(resource)
        if found is not None:
            return found
        row = self.resources.id(resource)
        empty = np.zeros((1, self._capacity), dtype=np.int64)
        self._set_allocatable(np.concatenate([self._allocatable, empty]))
        self._set_held(np.concatenate([self._held, empty]))
        return row

    def resource_rows(self, resources: tuple[str, ...]) -> IntArray | slice | None:
        """Indices of ``resources`` in the resource-major arrays, None if one was never seen.

        Neighbours are a slice, which copies nothing.
        """
        found = self._resource_rows.get(resources)
        if found is None:
            rows = [row for row in map(self.resources.get, resources) if row is not None]
            if len(rows) < len(resources):
                return None
            neighbours = bool(rows) and rows == list(range(rows[0], rows[0] + len(rows)))
            found = slice(rows[0], rows[-1] + 1) if neighbours else np.array(rows, dtype=np.intp)
            self._resource_rows[resources] = found
        return found

    def neighbours(self, resources: tuple[str, ...]) -> tuple[Int64Array, Int64Array] | None:
        """``allocatable`` and ``requested`` of ``resources``, int64[k, capacity] each; None unless they stand together.

        Views, which follow every change, and the same ones until there are more resources or nodes.
        """
        if resources not in self._neighbours:
            rows = self.resource_rows(resources)
            together = isinstance(rows, slice)
            self._neighbours[resources] = (self.allocatable[rows], self.requested[rows]) if together else None
        return self._neighbours[resources]

    def row(self, node_name: str) -> IntArray:
        """The row of a node as an array, intp[1]; KeyError where there is no such node."""
        row = self.index[node_name]
        return self._every_row[row : row + 1]

    def names(self) -> StrArray:
        """Node names, U[n], in row order."""
        if self._names[0] != self.structure:
            names = np.array([node.metadata.name for node in self.nodes], dtype=np.str_)
            self._names = (self.structure, readonly(names))
        return self._names[1]

    def name_ranks(self) -> IntArray:
        """The place of each row when nodes are sorted by name, intp[n]."""
        if self._name_ranks[0] != self.structure:
            ranks = np.empty(self.n, dtype=np.intp)
            ranks[np.argsort(self.names(), kind="stable")] = np.arange(self.n)
            self._name_ranks = (self.structure, readonly(ranks))
        return self._name_ranks[1]

    # -- nodes ----------------------------------------------------------------------------------------------

    def add_node(self, node: Node) -> int:
        """Append a row for ``node`` and return its index; a known name is an update."""
        name = _name(node)
        if name in self.index:
            return self.update_node(node)
        self.counts.nodes_changed()
        if self.n == self._capacity:
            self._grow(2 * self._capacity)
        row = self.n
        self.n += 1
        self.index[name] = row
        self.nodes.append(node)
        self._write_row(row, node)
        self.images.add(row, node)
        for uid, placed in self._pods.get(name, {}).items():
            self._hold(row, name, self._with_devices(row, uid, placed), 1)
        self._structure_changed()
        return row

    def update_node(self, node: Node) -> int:
        """Replace what the Node object says about its row; the pods on it stay. Returns the row."""
        row = self.index[_name(node)]
        before = self.nodes[row]
        self.nodes[row] = node
        meta, meta_before = node.metadata, before.metadata
        same = node.spec == before.spec and node.status == before.status
        if same and meta.labels == meta_before.labels and meta.annotations == meta_before.annotations:
            return row
        if meta.labels != meta_before.labels:
            self.counts.nodes_changed()
        images_changed = node.status.images != before.status.images
        if images_changed:
            self.images.remove(row)
            self.images.add(row, node)
            self.logs[IMAGES].touch_all()
        devices_before = self.devices.count[row]
        self._write_row(row, node)
        if self.devices.count[row] != devices_before:
            self._reassign_devices(row, node)
        self.logs[NODE].touch(row)
        return row

    def remove_node(self, name: str) -> None:
        """Drop a row; rows behind it move up by one. Pods on it are kept aside until they are removed."""
        self.counts.nodes_changed()
        row = self.index[name]
        for placed in self._pods.get(name, {}).values():
            self._hold(row, name, placed, -1)
        del self.index[name]
        if not self._pods.get(name):
            self._pods.pop(name, None)
        self.images.remove(row)
        del self.nodes[row]
        count = self.n
        for array in (self._allocatable, self._held):
            array[:, row : count - 1] = array[:, row + 1 : count]
            array[:, count - 1] = 0
        self.unschedulable[row : count - 1] = self.unschedulable[row + 1 : count]
        self.taints.delete_row(row, count)
        self.labels.delete_row(row, count)
        self.images.delete_row(row, count)
        self.devices.delete_row(row, count)
        self.counts.delete_row(row, count)
        self.ports.delete_row(row)
        self.volumes.delete_row(row)
        self.n -= 1
        for position in range(row, self.n):
            self.index[_name(self.nodes[position])] = position
        self._structure_changed()

    def _write_row(self, row: int, node: Node) -> None:
        amounts = allocatable_amounts(node.status)
        rows = [(self.resource_row(resource), value) for resource, value in amounts.items()]
        self._allocatable[:, row] = 0
        for resource_row, value in rows:
            self._allocatable[resource_row, row] = value
        self.labels.set_row(row, node.metadata.labels)
        self.taints.set_row(row, node.spec.taints)
        self.unschedulable[row] = bool(node.spec.unschedulable)
        self.devices.set_row(row, node_devices(node))

    def _reassign_devices(self, row: int, node: Node) -> None:
        self.devices.reset(row)
        for uid, placed in self._pods.get(_name(node), {}).items():
            self.devices.hold(row, placed.pod.gpu, self._with_devices(row, uid, placed).devices, 1)

    def _with_devices(self, row: int, uid: str, placed: PlacedPod) -> PlacedPod:
        """A pod for which there were no devices when it was added (its node was unknown) takes some now."""
        if placed.devices or placed.pod.gpu is None:
            return placed
        chosen = PlacedPod(placed.pod, self.devices.fullest_with_room(row, placed.pod.gpu))
        self._pods[self._node_of[uid]][uid] = chosen
        return chosen

    def _structure_changed(self) -> None:
        self.structure += 1
        for log in (*self.logs.values(), self.renewed, self.volumes.log):
            log.touch_all()

    def _grow(self, capacity: int) -> None:
        self._set_allocatable(grown(self._allocatable, capacity))
        self._set_held(grown(self._held, capacity))
        self.taints.grow(capacity)
        self.unschedulable = grown(self.unschedulable, capacity)
        self.labels.grow(capacity)
        self.images.grow(capacity)
        self.devices.grow(capacity)
        self.counts.grow(capacity)
        self._capacity = capacity
        self._every_row = readonly(np.arange(capacity))

    # -- pods -----------------------------------------------------------------------------------------------

    def add_pod(self, pod: PodView, node_name: str, devices: tuple[int, ...] | None = None) -> None:
        """Count ``pod`` on ``node_name``.

        ``devices`` are the GPU devices it holds; by default those its annotation names, and where it names none,
        the fullest that still have room (so that a pod bound by somebody else is counted somewhere sensible).
        """
        uid = pod.uid
        if uid in self._node_of:
            raise ValueError(f"pod {pod.key} ({uid}) is already on node {self._node_of[uid]}")
        row = self.index.get(node_name)
        if devices is None:
            devices = self._devices_of(pod, row)
        placed = PlacedPod(pod, devices)
        fork = self._fork
        if fork is not None:
            fork.before(node_name)
        self._node_of[uid] = node_name
        on_node = self._pods.get(node_name)
        if on_node is None:
            on_node = self._pods[node_name] = {}
        on_node[uid] = placed
        if row is not None:
            self._hold(row, node_name, placed, 1)
            if fork is None or not fork.quiet:
                self._usage.touch(row)

    def _devices_of(self, pod: PodView, row: int | None) -> tuple[int, ...]:
        if pod.gpu is None:
            return ()
        named = pod.device_indices
        if named or row is None:
            return named
        return self.devices.fullest_with_room(row, pod.gpu)

    def remove_pod(self, uid: str) -> PlacedPod:
        """Stop counting a pod; KeyError if it is on no node."""
        node_name = self._node_of.pop(uid)
        fork = self._fork
        if fork is not None:
            fork.before(node_name)
        on_node = self._pods[node_name]
        placed = on_node.pop(uid)
        row = self.index.get(node_name)
        if row is not None:
            self._hold(row, node_name, placed, -1)
            if fork is None or not fork.quiet:
                self._usage.touch(row)
        elif not on_node:
            del self._pods[node_name]
        return placed

    def renew_pod(self, uid: str, pod: Pod, node_name: str | None = None) -> bool:
        """The pod says of itself something new (its status, its node) that changes nothing it holds or is counted by.

        Its view is of ``pod`` from now on. What was compiled from the spec stays, so that a pod costs no compilation
        for every node it may be bound to. False, and nothing happens, if it is not on ``node_name`` (None: on any).
        """
        counted_on = self._node_of.get(uid)
        if counted_on is None or (node_name is not None and counted_on != node_name):
            return False
        self._pods[counted_on][uid].pod.pod = pod
        row = self.index.get(counted_on)
        if row is not None:
            self.renewed.touch(row)
        return True

    def restore_pods(self, node_name: str, pods: dict[str, PlacedPod], *, quiet: bool = False) -> None:
        """Make ``pods`` (uid -> placed pod, in order) the pods of a node again; only differences cost anything."""
        row = self.index.get(node_name)
        now = self._pods.get(node_name, {})
        for uid, placed in now.items():
            if pods.get(uid) is not placed:
                if self._node_of.get(uid) == node_name:  # else it is back on another node already
                    del self._node_of[uid]
                if row is not None:
                    self._hold(row, node_name, placed, -1)
        for uid, placed in pods.items():
            if now.get(uid) is not placed:
                self._node_of[uid] = node_name
                if row is not None:
                    self._hold(row, node_name, placed, 1)
        self._pods[node_name] = pods
        if row is not None:
            if not quiet:
                self._usage.touch(row)
        elif not pods:
            del self._pods[node_name]

    def _hold(self, row: int, node_name: str, placed: PlacedPod, sign: int) -> None:
        pod, devices = placed
        info = pod.info
        held = self._held_by.get(info)
        if held is None:
            held = self.held_by(pod)
        column = self._held[: len(held), row]
        if sign > 0:
            column += held
        else:
            column -= held
        self.priorities[info.priority] += sign
        if info.host_ports:
            self.ports.hold(row, info.host_ports, sign)
        if info.volumes:
            self.volumes.hold(row, pod.volume_uses, sign)
        if info.gpu is not None:
            self.devices.hold(row, info.gpu, devices, sign)
        if info.pod_affinity or self.counts.counting:
            self.counts.hold(row, node_name, pod, sign)

    def node_of(self, uid: str) -> str | None:
        """Name of the node a pod is counted on, None if on none."""
        return self._node_of.get(uid)

    def pods_on(self, node_name: str) -> Iterable[PlacedPod]:
        """Pods of a node in the order they came."""
        return self._pods.get(node_name, {}).values()

    def pods(self) -> Iterator[tuple[str, PlacedPod]]:
        """(node name, placed pod) of every pod on a node of the table, in row order."""
        for node in self.nodes:
            for placed in self.pods_on(_name(node)):
                yield _name(node), placed

    def pod_counts(self) -> Counter[str]:
        """Number of pods by node name, nodes of the table only."""
        return Counter({name: len(self._pods.get(name, ())) for name in self.index})

    # -- pods by selector and domain --------------------------------------------------------------------------

    def domains(self, key: str) -> Domains:
        """The topology domains that label ``key`` makes: the same object until some Node changes."""
        position = self.logs[NODE].position
        if self._domains[0] != position:
            self._domains = (position, {})
        found = self._domains[1].get(key)
        if found is None:
            found = self._domains[1][key] = domains_of(self.labels[key], self.n)
        return found

    def pods_matching(self, selector: PodSelector) -> SelectorColumn:
        """The column that counts the pods ``selector`` matches, made on first use and kept current from then on."""
        return self.counts.column(selector, ((name, placed.pod) for name, placed in self.pods()))

    def per_domain(self, column: CountColumn, domains: Domains) -> Int64Array:
        """int64[domains.size]: a column's counts summed by domain."""
        return self.counts.per_domain(column, domains)

    # -- what-if --------------------------------------------------------------------------------------------

    def shift(self, rows: IntArray, held: Int64Array) -> None:
        """Add ``held`` int64[k, h], in the order of the first h rows of the table's, to what distinct ``rows`` hold.

        For dry runs over many rows, which put everything back: only these columns change, and nobody is told.
        """
        self._held[: held.shape[1], rows] += held.T

    def held_by(self, pod: PodView) -> Int64Array:
        """What a pod adds to the first rows of ``held`` where it runs, int64[h]; must not be written to."""
        info = pod.info
        held = self._held_by.get(info)
        if held is None:
            rows = {_NONZERO + self.resource_row(resource): value for resource, value in info.requests.items()}
            held = self._held_by[info] = np.zeros(max([_POD_SLOTS, *rows]) + 1, dtype=np.int64)
            held[:_NONZERO] = info.held_nonzero[CPU], info.held_nonzero[MEMORY]
            held[list(rows)] = list(rows.values())
            held[_POD_SLOTS] += 1
        return held

    def held_by_all(self, groups: Iterable[Iterable[PodView]]) -> Int64Array:
        """What the pods of each group hold together, in the form :meth:`shift` takes."""
        each = [[self.held_by(pod) for pod in pods] for pods in groups]
        together = np.zeros((len(each), len(self._held)), dtype=np.int64)
        for total, held_by_group in zip(together, each, strict=True):
            for held in held_by_group:
                total[: len(held)] += held
        return together

    def fork(self, *, quiet: bool = False) -> Fork:
        """Start a what-if: what pods do from now on can be undone with ``revert()`` or kept with ``commit()``.

        Forks nest; nodes must not change while one is open. ``quiet`` leaves the change logs alone (:class:`Fork`).
        """
        self._fork = Fork(self, self._fork, quiet)
        return self._fork


def _name(node: Node) -> str:
    return node.metadata.name or ""
