"""What pods share by signature: an entry per signature, made of columns that signatures may share in turn.

A signature is everything of a pod that node-local plugins see; a plugin may narrow it for its own columns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import Any

from ksched.errors import PluginError
from ksched.framework.columns import Column, FilterColumn, ScoreColumn, relevant_labels
from ksched.framework.cycle import LabelsRead, NodeLocalCycle, NodeLocalPod, NotedLabels
from ksched.framework.evaluation import SignatureEntry, local_wants_score
from ksched.framework.invoke import always_skips, guarded
from ksched.framework.score_part import ScorePart
from ksched.framework.status import Code, Status
from ksched.framework.verdicts import Verdicts
from ksched.tables import NodeTable, PodView

_CACHE_BYTES = 256 << 20
_BYTES_PER_ROW = 48
"""About what one signature's arrays take per node."""
_MIN_ENTRIES = 64


class SignatureCache:
    """Entries by signature, the longest unused given up first.

    ``pre_filters`` and ``filters`` are plugins in their order, ``scores`` (plugin, weight); ``base`` is where totals
    start.
    """

    def __init__(
        self,
        table: NodeTable,
        pre_filters: Sequence[Any],
        filters: Sequence[Any],
        scores: Sequence[tuple[Any, int]],
        verdicts: Verdicts,
        base: int,
    ) -> None:
        self.labels_read = LabelsRead()
        self.entries: OrderedDict[Hashable, SignatureEntry] = OrderedDict()
        self.columns: OrderedDict[Hashable, Column] = OrderedDict()
        self._table = table
        self._verdicts = verdicts
        self._base = base
        judging = (*pre_filters, *filters, *(plugin for plugin, _ in scores))
        self._local = {plugin.name: plugin for plugin in judging if is_local(plugin)}
        self._pre_filters = [plugin for plugin in pre_filters if is_local(plugin)]
        self._filters = [(order, plugin) for order, plugin in enumerate(filters) if is_local(plugin)]
        self._scores = [(plugin, weight) for plugin, weight in scores if is_local(plugin)]
        self._moment_pre_filters = [plugin for plugin in pre_filters if not is_local(plugin)]
        self._moment_scores = [(plugin, weight) for plugin, weight in scores if not is_local(plugin)]

    def entry(self, pod: PodView) -> SignatureEntry:
        """The entry of the pod's signature, not brought up to date."""
        labels = relevant_labels(pod.labels, self.labels_read) if self.labels_read.version else ()
        key = (pod.info, pod.namespace, labels)
        entry = self.entries.get(key)
        if entry is None:
            entry = self.entries[key] = self._new_entry(pod, key)
            self._trim()
        self.entries.move_to_end(key)
        return entry

    def forget(self) -> None:
        """Start anew."""
        self.entries.clear()
        self.columns.clear()

    def _trim(self) -> None:
        limit = max(_MIN_ENTRIES, _CACHE_BYTES // (_BYTES_PER_ROW * max(self._table.n, 1)))
        while len(self.entries) > limit:
            self.entries.popitem(last=False)
        while len(self.columns) > 4 * limit:
            self.columns.popitem(last=False)

    def _new_entry(self, pod: PodView, key: Hashable) -> SignatureEntry:
        labels = NotedLabels(pod.labels, self.labels_read)
        local = {name: (NodeLocalCycle(name), NodeLocalPod(pod, name, labels)) for name in self._local}
        answers = {plugin.name: guarded(plugin, "pre_filter", *local[plugin.name]) for plugin in self._pre_filters}
        answers |= {p.name: Status.skip() for p in self._moment_pre_filters if always_skips(p, "preFilter", pod)}
        skipped = {n for n, answer in answers.items() if isinstance(answer, Status) and answer.code is Code.SKIP}
        filters = [
            self._filter_column(key, plugin, order, *local[plugin.name])
            for order, plugin in self._filters
            if plugin.name not in skipped
        ]
        parts = [
            ScorePart(plugin, weight, self._score_column(key, plugin, *local[plugin.name]), local[plugin.name])
            for plugin, weight in self._scores
            if local_wants_score(plugin, *local[plugin.name], self._table)
        ]
        entry = SignatureEntry(self._table, local, filters, parts, answers, self._base)
        entry.moment_pre_filters = [plugin for plugin in self._moment_pre_filters if plugin.name not in answers]
        entry.moment_scores = [
            (plugin, weight) for plugin, weight in self._moment_scores if not always_skips(plugin, "preScore", pod)
        ]
        return entry

    def _filter_column(
        self, key: Hashable, plugin: Any, order: int, cycle: NodeLocalCycle, pod: NodeLocalPod
    ) -> FilterColumn:
        own = ("filter", plugin.name, _narrowed(plugin, pod, key))
        column = self.columns.get(own)
        if column is None:
            column = self.columns[own] = FilterColumn(self._table, plugin, pod, cycle, self._verdicts, order)
        self.columns.move_to_end(own)
        assert isinstance(column, FilterColumn)
        return column

    def _score_column(self, key: Hashable, plugin: Any, cycle: NodeLocalCycle, pod: NodeLocalPod) -> ScoreColumn:
        own = ("score", plugin.name, _narrowed(plugin, pod, key))
        column = self.columns.get(own)
        if column is None:
            column = self.columns[own] = ScoreColumn(self._table, plugin, pod, cycle)
            return column
        self.columns.move_to_end(own)
        assert isinstance(column, ScoreColumn)
        column.shared = True
        return column


def is_local(plugin: Any) -> bool:
    """Whether what a plugin says of a node follows from the node's row and the pod's signature."""
    return bool(getattr(plugin, "node_local", False))


def _narrowed(plugin: Any, pod: NodeLocalPod, key: Hashable) -> Hashable:
    """What pods must share to share this plugin's columns: its own signature, else the pod's."""
    if not hasattr(plugin, "signature"):
        return key
    narrowed: Hashable = guarded(plugin, "signature", pod)
    try:
        hash(narrowed)
    except TypeError as error:
        raise PluginError(
            f"plugin {plugin.name}: signature returned a {type(narrowed).__name__} that cannot be hashed: {error}",
            hint="return a tuple, a string or a number",
        ) from error
    return narrowed
