"""What a plugin sees of the nodes: read-only arrays over some rows of the table.

Every accessor returns an array with one entry per row of the view. The view also notes which groups of columns were
read: that, not a declaration by the author, tells the framework after which changes a cached result must be
recomputed. It is exact for node-local plugins: a plugin's control flow depends on what it read, so as long as none of
that changed it would read the same again and return the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from ksched.objects import CPU, MEMORY, Node, Taint
from ksched.tables.arrays import AnyArray, BoolArray, Int32Array, Int64Array, IntArray, StrArray, readonly
from ksched.tables.devices import LARGEST, TOTAL, WHOLE, WHOLLY_FREE, DeviceColumns, DeviceState
from ksched.tables.domains import Domains
from ksched.tables.images import NO_IMAGE, ImageState
from ksched.tables.label_columns import map_distinct
from ksched.tables.namespaces import Namespaces
from ksched.tables.node_table import COUNTED, ELSEWHERE, IMAGES, NODE, USAGE, NodeTable
from ksched.tables.pod_counts import CountColumn, PodSelector, TermColumn, TermKind
from ksched.tables.pod_view import HostPort, PodView
from ksched.tables.volumes import VolumeColumns

_NONZERO_RESOURCES = (CPU, MEMORY)
_NONZERO_ROW = {CPU: 0, MEMORY: 1}
_INTP = np.dtype(np.intp)
"""As a dtype, since numpy takes as long to make one of a type as to make a small array."""


class NodeView:
    """Columns over ``rows`` of a table (all rows for None). ``len(view)`` is n in every accessor's docstring."""

    __slots__ = ("_rows", "_table", "everything", "n", "reads", "select")

    def __init__(self, table: NodeTable, rows: IntArray | list[int] | None = None) -> None:
        self._table = table
        self._rows = rows
        self.everything = rows is None
        """Whether these are all nodes of the cluster, in the order of the table."""
        self.n: int
        """``len(view)``."""
        self.select: IntArray | slice
        """Picks this view's rows out of an array over all nodes of the cluster."""
        if rows is None:
            self.n, self.select = table.n, slice(0, table.n)
        elif len(rows) == 1:
            # One changed row is the commonest question of all, and slices are cheaper than index arrays.
            row = int(rows[0])
            self.n, self.select = 1, slice(row, row + 1)
        else:
            self.n, self.select = len(rows), np.array(rows, dtype=_INTP) if isinstance(rows, list) else rows
        self.reads = 0
        """Bit set of the column groups read through this view so far."""

    def __len__(self) -> int:
        return self.n

    @property
    def rows(self) -> IntArray:
        """Row numbers in the table, intp[n]; for keeping per-node state of one's own."""
        if isinstance(self._rows, np.ndarray):
            return self._rows
        return np.arange(self.n, dtype=np.intp) if self._rows is None else np.array(self._rows, dtype=np.intp)

    @property
    def numbers(self) -> Sequence[int]:
        """:attr:`rows` as plain numbers: faster to go through where they are few."""
        rows = self._rows
        if isinstance(rows, np.ndarray):
            numbers: list[int] = rows.tolist()
            return numbers
        return range(self.n) if rows is None else rows

    @property
    def names(self) -> StrArray:
        """Node names, U[n]."""
        self.reads |= NODE
        return self._table.names()[self.select]

    @property
    def name_ranks(self) -> IntArray:
        """The place of each node when all nodes of the cluster are sorted by name, intp[n]; faster than names."""
        self.reads |= ELSEWHERE
        return self._table.name_ranks()[self.select]

    @property
    def objects(self) -> list[Node]:
        """The Node objects, for whatever has no column; slower than any column."""
        self.reads |= NODE
        nodes = self._table.nodes
        return list(nodes) if self._rows is None else [nodes[row] for row in self.numbers]

    # -- labels and taints ----------------------------------------------------------------------------------

    def label(self, key: str) -> StrArray:
        """Value of label ``key``, U[n]; "" where the node has none."""
        self.reads |= NODE
        return self._table.labels[key].text(self.select)

    def per_label(self, key: str, fn: Callable[[str | None], object], dtype: npt.DTypeLike) -> AnyArray:
        """``fn(value)`` per node, called once per distinct value of label ``key`` (None: absent); dtype[n]."""
        self.reads |= NODE
        return self._table.labels[key].map(self.select, fn, dtype)

    def per_taints(self, fn: Callable[[tuple[Taint, ...]], object], dtype: npt.DTypeLike) -> AnyArray:
        """``fn(taints)`` per node, called once per distinct tuple of taints; dtype[n]."""
        self.reads |= NODE
        taints = self._table.taints
        return map_distinct(taints.ids[self.select], taints.lists, fn, dtype)

    @property
    def unschedulable(self) -> BoolArray:
        """spec.unschedulable (cordoned), bool[n]."""
        self.reads |= NODE
        return readonly(self._table.unschedulable[self.select])

    def per_labels(
        self, keys: Sequence[str], fn: Callable[[tuple[str | None, ...]], object], dtype: npt.DTypeLike
    ) -> AnyArray:
        """``fn(values of keys)`` per node, called once per distinct combination of values (None: absent); dtype[n]."""
        self.reads |= NODE
        ids = np.zeros(self.n, dtype=np.int64)
        columns = [self._table.labels[key] for key in keys]
        for column in columns:
            # Numbered anew at each step: the product of many keys' sizes would not fit an integer.
            combined = ids * len(column.values) + column.ids[self.select]
            ids = np.unique(combined, return_inverse=True)[1]
        _, first = np.unique(ids, return_index=True)
        rows = self.rows[first].tolist()
        of_rows = [tuple(column.values.values[column.ids[row]] for column in columns) for row in rows]
        return map_distinct(ids.astype(np.int32), of_rows, fn, dtype)

    @property
    def structure(self) -> int:
        """Counts how often nodes came or went: what is kept by row of the table holds while it stays the same."""
        self.reads |= ELSEWHERE
        return self._table.structure

    def row_of(self, name: str) -> int | None:
        """The row in the table of the node ``name``, None if there is no such node."""
        self.reads |= ELSEWHERE
        return self._table.index.get(name)

    # -- resources ------------------------------------------------------------------------------------------

    def allocatable(self, resource: str) -> Int64Array:
        """status.allocatable, int64[n]: cpu in millicores, memory and storage in bytes, else units; 0 where absent."""
        self.reads |= NODE
        row = self._table.resources.get(resource)
        return self._zeros() if row is None else self._table.allocatable[row][self.select]

    def declares(self, resource: str) -> BoolArray:
        """Where status.allocatable names ``resource`` at all, be it with 0, bool[n]."""
        self.reads |= NODE
        row = self._table.resources.get(resource)
        if row is None:
            return np.zeros(self.n, dtype=np.bool_)
        declared = self._table.allocatable[row, self.select] > 0
        for position in np.flatnonzero(~declared).tolist():
            declared[position] = resource in self._table.nodes[int(self.rows[position])].status.allocatable
        return declared

    def requested(self, resource: str) -> Int64Array:
        """Sum of the requests of the pods on the node, int64[n]; "pods" is their number."""
        self.reads |= USAGE
        row = self._table.resources.get(resource)
        return self._zeros() if row is None else self._table.requested[row][self.select]

    def free(self, resource: str) -> Int64Array:
        """allocatable - requested, int64[n]: without the incoming pod; negative on an overcommitted node."""
        self.reads |= NODE | USAGE
        table, select = self._table, self.select
        row = table.resources.get(resource)
        if row is None:
            return self._zeros()
        free: Int64Array = table.allocatable[row][select] - table.requested[row][select]
        return free

    def nonzero_requested(self, resource: str) -> Int64Array:
        """Requested cpu or memory where containers that request none count 100m / 200 MiB, int64[n]."""
        self.reads |= USAGE
        requested: Int64Array = self._table.nonzero[_NONZERO_ROW[resource]][self.select]
        return requested

    def allocatable_of(self, resources: tuple[str, ...]) -> Int64Array:
        """:meth:`allocatable` of each of ``resources``, int64[k, n]."""
        self.reads |= NODE
        rows = self._table.resource_rows(resources)
        if rows is None:
            return np.array([self.allocatable(resource) for resource in resources])
        return self._selected(self._table.allocatable)[rows]

    def requested_of(self, resources: tuple[str, ...]) -> Int64Array:
        """:meth:`requested` of each of ``resources``, int64[k, n]."""
        self.reads |= USAGE
        rows = self._table.resource_rows(resources)
        if rows is None:
            return np.array([self.requested(resource) for resource in resources])
        return self._selected(self._table.requested)[rows]

    def free_of(self, resources: tuple[str, ...]) -> Int64Array:
        """:meth:`free` of each of ``resources``, int64[k, n]."""
        self.reads |= NODE | USAGE
        table, select = self._table, self.select
        together = table.neighbours(resources)
        if together is not None:
            allocatable, requested = together
            if isinstance(select, slice):
                return allocatable[:, select] - requested[:, select]
            return allocatable.take(select, 1) - requested.take(select, 1)
        rows = table.resource_rows(resources)
        if rows is None:
            return np.array([self.free(resource) for resource in resources])
        free: Int64Array = (self._selected(table.allocatable) - self._selected(table.requested))[rows]
        return free

    def nonzero_requested_of(self, resources: tuple[str, ...]) -> Int64Array:
        """:meth:`nonzero_requested` of cpu and memory, :meth:`requested` of others, int64[k, n]."""
        self.reads |= USAGE
        if resources == _NONZERO_RESOURCES:
            return self._selected(self._table.nonzero)
        each = [self.nonzero_requested(r) if r in _NONZERO_ROW else self.requested(r) for r in resources]
        return np.array(each, dtype=np.int64).reshape(len(each), self.n)

    def _selected(self, amounts: Int64Array) -> Int64Array:
        """The part of int64[k, capacity] that belongs to this view's rows."""
        if isinstance(self.select, slice):
            return amounts[:, self.select]
        return amounts.take(self.select, 1)  # much faster than an index in the second place

    def _zeros(self) -> Int64Array:
        return np.zeros(self.n, dtype=np.int64)

    # -- pods by selector and domain ------------------------------------------------------------------------

    def pods_matching(self, selector: PodSelector) -> Int32Array:
        """Number of pods on the node that ``selector`` matches, int32[n]."""
        self.reads |= USAGE | COUNTED
        return readonly(self._table.pods_matching(selector).counts[self.select])

    def pods_per_domain(self, selector: PodSelector, domains: Domains) -> Int64Array:
        """Number of pods that ``selector`` matches per domain of the whole cluster, int64[domains.size]."""
        self.reads |= ELSEWHERE
        return readonly(self._table.per_domain(self._table.pods_matching(selector), domains))

    @property
    def any_terms(self) -> bool:
        """Whether any placed pod has an affinity term."""
        self.reads |= ELSEWHERE
        return self._table.counts.any_terms

    def existing_terms(self, kind: TermKind, pod: PodView) -> list[TermColumn]:
        """Affinity terms of placed pods anywhere that mean ``pod``; hand one to :meth:`terms_per_domain`."""
        self.reads |= ELSEWHERE
        return self._table.counts.terms(kind, pod)

    def terms_per_domain(self, column: CountColumn, domains: Domains) -> Int64Array:
        """Number of placed pods with a term per domain of the whole cluster, int64[domains.size]."""
        self.reads |= ELSEWHERE
        return readonly(self._table.per_domain(column, domains))

    def domains(self, key: str) -> Domains:
        """The topology domains label ``key`` makes of the whole cluster: the same object until some Node changes."""
        self.reads |= ELSEWHERE
        return self._table.domains(key)

    def of_rows(self, per_node: AnyArray) -> AnyArray:
        """The part of an array over all nodes of the cluster that belongs to this view's rows."""
        return per_node if self._rows is None else per_node[self.select]

    @property
    def namespaces(self) -> Namespaces:
        """The namespaces and their labels."""
        self.reads |= ELSEWHERE
        return self._table.namespaces

    # -- ports, images, devices -----------------------------------------------------------------------------

    def port_conflicts(self, ports: Iterable[HostPort]) -> BoolArray:
        """Where one of ``ports`` is already taken, bool[n]."""
        self.reads |= USAGE
        return self._table.ports.conflicts(ports, None if self._rows is None else self.rows, self.n)

    @property
    def volumes(self) -> VolumeColumns:
        """The claims and disks used on all nodes of the cluster, by row of the table."""
        self.reads |= ELSEWHERE
        return self._table.volumes

    def image(self, name: str) -> ImageState:
        """Size (bytes) of an image and on how many nodes of the cluster it is; (0, 0) for an unknown one."""
        self.reads |= IMAGES
        return self._table.images.states.get(name, NO_IMAGE)

    def per_image_set(self, fn: Callable[[frozenset[str]], object], dtype: npt.DTypeLike) -> AnyArray:
        """``fn(image names)`` per node, called once per distinct set of images; dtype[n]."""
        self.reads |= IMAGES
        images = self._table.images
        return map_distinct(images.ids[self.select], images.sets.values, fn, dtype)

    @property
    def total_nodes(self) -> int:
        """Number of nodes in the whole cluster."""
        self.reads |= IMAGES
        return self._table.n

    @property
    def devices(self) -> DeviceView:
        """The GPU devices of the nodes."""
        return DeviceView(self)


class DeviceView:
    """GPU devices of the nodes of a view."""

    __slots__ = ("_view",)

    def __init__(self, view: NodeView) -> None:
        self._view = view

    @property
    def _columns(self) -> DeviceColumns:
        return self._view._table.devices

    @property
    def free(self) -> Int64Array:
        """Free milli of each device, int64[n, slots]; -1 in slots without a device."""
        self._view.reads |= USAGE | NODE
        return self._view._selected(self._columns.free).T

    @property
    def milli_free(self) -> Int64Array:
        """Free milli summed over the node's devices, int64[n]."""
        return self._room(TOTAL)

    @property
    def largest_free(self) -> Int64Array:
        """Free milli of the node's freest device, int64[n]; 0 without devices."""
        return self._room(LARGEST)

    @property
    def wholly_free(self) -> Int64Array:
        """Number of devices nobody holds any of, int64[n]."""
        return self._room(WHOLLY_FREE)

    def _room(self, what: int) -> Int64Array:
        view = self._view
        view.reads |= USAGE | NODE
        room: Int64Array = view._table.devices.room[what][view.select]
        return room

    @property
    def states(self) -> list[DeviceState]:
        """Model and free milli of each node's devices; nodes whose devices are alike have the same object."""
        self._view.reads |= USAGE | NODE
        return self._columns.states(self._view.numbers)

    @property
    def holders(self) -> Int32Array:
        """Pods on the node by how many whole devices each holds, int32[n, 1 + slots]; column 0: those that share one.

        Pods without GPUs are in no column.
        """
        self._view.reads |= USAGE | NODE
        return self._columns.holders[:, self._view.select].T

    @property
    def count(self) -> Int64Array:
        """Number of devices, int64[n]."""
        self._view.reads |= NODE
        return readonly(self._columns.count[self._view.select])

    @property
    def capacity(self) -> Int64Array:
        """Milli of all devices of the node, int64[n]."""
        return self.count * WHOLE

    @property
    def memory(self) -> Int64Array:
        """Memory of one device in bytes, int64[n]; 0 where unknown."""
        self._view.reads |= NODE
        return readonly(self._columns.memory[self._view.select])

    @property
    def model(self) -> StrArray:
        """Device model, U[n]; "" where there is none."""
        self._view.reads |= NODE
        return np.array(self._columns.models.values)[self._columns.model_ids[self._view.select]]
