"""Would the pod fit if pods came or went? All filters of a profile, asked about a table that is changed in a fork.

Upstream asks node by node with copies of the node and of the cycle state (RunFilterPluginsWithNominatedPods in
framework/runtime/framework.go). Here node-local filters judge any number of rows in one call; the others get their
PreFilter run again, or are told by AddPod and RemovePod, for one row at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ksched.framework.columns import FilterColumn
from ksched.framework.cycle import Cycle
from ksched.framework.evaluation import Ask
from ksched.framework.invoke import guarded
from ksched.framework.nominator import Nominator
from ksched.framework.status import Code, Status
from ksched.framework.verdicts import PASSES, Verdict, Verdicts
from ksched.tables import COUNTED, NodeTable, NodeView, PlacedPod, PodView
from ksched.tables.arrays import Int32Array, IntArray


class WhatIf:
    """The filters that have a say about one pod; ``filters`` are (order, plugin), without those that skip the pod.

    ``columns`` are cached verdicts of node-local filters, if there are any: those that do not depend on what pods hold
    need not be asked again. Whoever changes the table does so in a quiet fork and reverts it.
    """

    def __init__(
        self,
        table: NodeTable,
        filters: Sequence[tuple[int, Any]],
        verdicts: Verdicts,
        ask: Callable[[Any], Ask],
        cycle: Cycle,
        pod: PodView,
        nominator: Nominator,
        columns: Sequence[FilterColumn] = (),
    ) -> None:
        self.table = table
        self.filters = list(filters)
        self.verdicts = verdicts
        self.ask = ask
        self.cycle = cycle
        self.pod = pod
        self.nominator = nominator
        self.reads = 0
        """Bit set of what filters asked anew read of the table."""
        self._columns = columns

    @cached_property
    def steps(self) -> list[tuple[int, Any, Int32Array | None]]:
        """(order, plugin, its verdicts int32[n] where pods that come and go cannot change them)."""
        settled: dict[str, Int32Array] = {}
        for column in self._columns:
            column.refresh()
            if not column.reads_usage:
                settled[column.plugin.name] = column.codes
        return [(order, plugin, settled.get(plugin.name)) for order, plugin in self.filters]

    @cached_property
    def is_local(self) -> bool:
        """Whether all filters are node-local: then a row's verdict depends on that row alone."""
        return all(getattr(plugin, "node_local", False) for _, plugin in self.filters)

    def prepare(self) -> None:
        """Bring the cached verdicts up to date; to be called before a fork is opened."""
        assert self.steps is not None

    def verdict_ids(self, rows: IntArray) -> Int32Array:
        """Verdict of the first filter that rejects each row, int32; nominated pods are honoured. Local filters only."""
        ids = self._filter(rows)
        if not self.nominator.concerns(self.pod):
            return ids
        with_nominated = self.with_nominated(rows)
        return np.where(with_nominated == PASSES, ids, with_nominated)

    def with_nominated(self, rows: IntArray) -> Int32Array:
        """Verdicts while the nominated pods the pod must yield to run there; 0 where there are none."""
        ids = np.zeros(len(rows), dtype=np.int32)
        rivals = {
            place: pods
            for place in np.flatnonzero(self.nominator.any_on(rows)).tolist()
            if (pods := self.rivals(int(rows[place])))
        }
        if rivals:
            self.prepare()
            places = np.array(list(rivals), dtype=np.intp)
            ids[places] = self._with_pods(rows[places], list(rivals.values()))
        return ids

    def _with_pods(self, rows: IntArray, pods: list[list[PodView]]) -> Int32Array:
        """Verdicts while ``pods[i]`` run on ``rows[i]``."""
        if not self.is_local:
            return np.array([NodeTrial(self, row).with_nominated() for row in rows.tolist()], dtype=np.int32)
        if not any(pod.host_ports or pod.gpu for added in pods for pod in added):
            held = self.table.held_by_all(pods)
            self.table.shift(rows, held)
            ids = self._filter(rows)
            self.table.shift(rows, -held)
            if not self.reads & COUNTED:
                return ids
        with self.table.fork(quiet=True):
            for row, added in zip(rows.tolist(), pods, strict=True):
                for pod in added:
                    self.table.add_pod(pod, self.name(row))
            return self._filter(rows)

    def _filter(self, rows: IntArray) -> Int32Array:
        first = np.zeros(len(rows), dtype=np.int32)
        for order, plugin, settled in self.steps:
            verdicts: Int32Array | None
            if settled is not None:
                verdicts = settled[rows]
            else:
                nodes = NodeView(self.table, rows)
                result = guarded(plugin, "filter", *self.ask(plugin), nodes)
                self.reads |= nodes.reads
                verdicts = self.verdicts.encode(plugin.name, order, result, len(rows))
            if verdicts is not None:
                first = np.where(first == PASSES, verdicts, first)
        return first

    def rivals(self, row: int) -> list[PodView]:
        """Pods nominated to a row that the pod has to yield to."""
        rivals = self.nominator.rivals(self.pod, self.name(row))
        return [pod for pod in rivals if self.table.node_of(pod.uid) is None]

    def name(self, row: int) -> str:
        """The name of a row's node."""
        return self.table.nodes[row].metadata.name or ""


class NodeTrial:
    """One row while pods are added to it and removed from it: keeps what each filter's PreFilter computed true.

    A filter with AddPod and RemovePod is told of each change; any other that is not node-local has its PreFilter run
    again before it is asked.
    """

    def __init__(self, what_if: WhatIf, row: int) -> None:
        what_if.prepare()
        self._what_if = what_if
        self._row = np.array([row], dtype=np.intp)
        self._name = what_if.name(row)
        self._cycle = what_if.cycle.branch()
        self._stale = False

    def add(self, placed: PlacedPod) -> None:
        """Put a pod on the node."""
        self._what_if.table.add_pod(placed.pod, self._name, placed.devices)
        self._tell("add_pod", placed.pod)

    def remove(self, uid: str) -> PlacedPod:
        """Take a pod off the node."""
        placed = self._what_if.table.remove_pod(uid)
        self._tell("remove_pod", placed.pod)
        return placed

    def verdict_id(self) -> int:
        """Verdict of the first filter that rejects the node, with nominated pods or without; 0 if it passes both."""
        return self.with_nominated() or self._verdict_id()

    def with_nominated(self) -> int:
        """Verdict while the nominated pods the pod must yield to run there, 0 if there are none."""
        rivals = self._what_if.rivals(int(self._row[0]))
        if not rivals:
            return PASSES
        kept = self._cycle, self._stale
        with self._what_if.table.fork(quiet=True):
            self._cycle = self._cycle.branch()
            for pod in rivals:
                self._what_if.table.add_pod(pod, self._name)
                self._tell("add_pod", pod)
            found = self._verdict_id()
        self._cycle, self._stale = kept
        return found

    def _tell(self, method: str, other: PodView) -> None:
        self._stale = True
        for _, plugin in self._what_if.filters:
            if _is_told(plugin):
                self._cycle.plugin = plugin.name
                guarded(plugin, method, self._cycle, self._what_if.pod, other, self._name)

    def _verdict_id(self) -> int:
        for order, plugin, settled in self._what_if.steps:
            found = self._ask(order, plugin) if settled is None else int(settled[self._row[0]])
            if found:
                return found
        return PASSES

    def _ask(self, order: int, plugin: Any) -> int:
        what_if = self._what_if
        nodes = NodeView(what_if.table, self._row)
        if getattr(plugin, "node_local", False):
            result = guarded(plugin, "filter", *what_if.ask(plugin), nodes)
        else:
            cycle, pod = self._cycle, what_if.pod
            cycle.plugin = plugin.name
            if self._stale and hasattr(plugin, "pre_filter") and not _is_told(plugin):
                answer = guarded(plugin, "pre_filter", cycle, pod)
                if isinstance(answer, Status) and answer.code is Code.SKIP:
                    return PASSES
                if isinstance(answer, Status) and answer.rejected:
                    return what_if.verdicts.id(Verdict(plugin.name, answer.code, answer.reasons, order))
            result = guarded(plugin, "filter", cycle, pod, nodes)
        codes = what_if.verdicts.encode(plugin.name, order, result, 1)
        return PASSES if codes is None else int(codes[0])


def _is_told(plugin: Any) -> bool:
    return hasattr(plugin, "add_pod") and hasattr(plugin, "remove_pod")
