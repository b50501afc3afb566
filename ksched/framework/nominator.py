"""Nominated pods: pending pods for which preemption made room on a node they have not reached yet.

Others of lower priority must leave that room alone, so filters run twice on such nodes: once with the nominated pods
counted as running there and once without (upstream: pkg/scheduler/internal/queue nominator, framework/runtime
RunFilterPluginsWithNominatedPods).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np

from ksched.tables import NodeTable, PodView
from ksched.tables.arrays import BoolArray, IntArray
from ksched.tables.changes import ChangeLog


class Nominator:
    """Which pods are nominated to which node, in the order they were.

    ``alive(pod)`` says whether a pod is still pending: one that was deleted or bound meanwhile is not nominated.
    ``log`` has the rows of ``table`` whose nominations changed.
    """

    def __init__(self, table: NodeTable, alive: Callable[[PodView], bool] = lambda pod: True) -> None:
        self.log = ChangeLog()
        self._table = table
        self._alive = alive
        self._pods: dict[str, dict[str, PodView]] = {}
        self._node_of: dict[str, str] = {}
        self._priorities: Counter[int] = Counter()
        self._highest: int | None = None
        self._has_any: BoolArray = np.zeros(0, dtype=np.bool_)
        self._structure = -1

    def add(self, pod: PodView, node_name: str | None = None) -> None:
        """Nominate ``pod`` to ``node_name`` ("" for none any more), or to the node its status names (None)."""
        if pod.uid in self._node_of:
            self.remove(pod.uid)
        chosen = (pod.pod.status.nominated_node_name or "") if node_name is None else node_name
        if not chosen or not self._alive(pod):
            return
        self._node_of[pod.uid] = chosen
        self._pods.setdefault(chosen, {})[pod.uid] = pod
        self._count(pod.priority, 1)
        self._touch(chosen)

    def update(self, old: PodView, new: PodView) -> None:
        """A pending pod changed.

        While neither version's status names a node, a nomination made in memory stands: the update was on its way
        before the nomination reached the api-server.
        """
        named = old.pod.status.nominated_node_name or new.pod.status.nominated_node_name
        self.add(new, None if named else self._node_of.get(old.uid))

    def remove(self, uid: str) -> None:
        """The pod is nominated no more; unknown pods are ignored."""
        node_name = self._node_of.pop(uid, None)
        if node_name is None:
            return
        on_node = self._pods[node_name]
        self._count(on_node.pop(uid).priority, -1)
        if not on_node:
            del self._pods[node_name]
        self._touch(node_name)

    def node_of(self, uid: str) -> str | None:
        """The node a pod is nominated to."""
        return self._node_of.get(uid)

    def pods_on(self, node_name: str) -> list[PodView]:
        """Pods nominated to a node, longest nominated first."""
        return list(self._pods.get(node_name, {}).values())

    def rivals(self, pod: PodView, node_name: str) -> list[PodView]:
        """Other pods nominated to a node that ``pod`` has to yield to: those of at least its priority."""
        on_node = self._pods.get(node_name)
        if not on_node:
            return []
        return [other for other in on_node.values() if other.priority >= pod.priority and other.uid != pod.uid]

    def concerns(self, pod: PodView) -> bool:
        """Whether there is any nominated pod ``pod`` might have to yield to."""
        return self._highest is not None and self._highest >= pod.priority

    def nodes(self) -> list[str]:
        """Names of the nodes with nominated pods, longest nominated first."""
        return list(self._pods)

    def any_on(self, rows: IntArray) -> BoolArray:
        """Which of ``rows`` have nominated pods, bool[k]."""
        if self._structure != self._table.structure:
            self._structure = self._table.structure
            self._has_any = np.zeros(self._table.n, dtype=np.bool_)
            for name in self._pods:
                if name in self._table.index:
                    self._has_any[self._table.index[name]] = True
        return self._has_any[rows]

    def _count(self, priority: int, sign: int) -> None:
        self._priorities[priority] += sign
        if not self._priorities[priority]:
            del self._priorities[priority]
        self._highest = max(self._priorities, default=None)

    def _touch(self, node_name: str) -> None:
        row = self._table.index.get(node_name)
        if row is not None:
            self.log.touch(row)
            if self._structure == self._table.structure:
                self._has_any[row] = node_name in self._pods
