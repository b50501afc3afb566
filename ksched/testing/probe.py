"""Asking one plugin about one pod on one table, outside any profile, in a form that compares by ``==``.

Answers are keyed by node name, so that an answer about permuted nodes or about some of them compares with the whole.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ksched.framework.columns import FilterColumn, ScoreColumn
from ksched.framework.cycle import Cycle, NodeLocalCycle, NodeLocalPod
from ksched.framework.evaluation import Ask, local_wants_score, score_rows, wants_score
from ksched.framework.invoke import guarded, raw_scores
from ksched.framework.listers import Listers
from ksched.framework.pre_filter import PreFilterOutcome, merge
from ksched.framework.registry import PluginClass
from ksched.framework.verdicts import Verdicts
from ksched.objects import KubeObject, Node, Pod
from ksched.tables import NodeTable, NodeView, PodView
from ksched.tables.arrays import AnyArray, IntArray
from ksched.testing.factories import make_table

SEED = 20240501
NOW = 1_700_000_000_000_000_000

Verdict = tuple[str, tuple[str, ...]] | None
"""(code, reasons), None where the node passes."""


@dataclass
class Answer:
    """Everything a plugin said about a pod; a missing extension point is None."""

    pre_filter: PreFilterOutcome | None = None
    filter: dict[str, Verdict] | None = None
    raw: dict[str, int | float] | None = None

    def only(self, names: Sequence[str]) -> Answer:
        """The part about some nodes."""
        kept = Answer(self.pre_filter)
        kept.filter = {name: self.filter[name] for name in names} if self.filter is not None else None
        kept.raw = {name: self.raw[name] for name in names if name in self.raw} if self.raw is not None else None
        return kept


class Probe:
    """One instance of a plugin, and how the framework would call it."""

    def __init__(self, plugin: Any, objects: Listers | None = None) -> None:
        self.plugin = plugin
        self.objects = objects if objects is not None else Listers()
        self.node_local: bool = bool(getattr(plugin, "node_local", False))

    @classmethod
    def of(cls, found: PluginClass, args: dict[str, Any] | None) -> Probe:
        """A fresh instance with validated ``args``."""
        return cls(found.make(args))

    def has(self, *methods: str) -> bool:
        """Whether the plugin has one of ``methods``."""
        return any(callable(getattr(self.plugin, method, None)) for method in methods)

    def ask(self, table: NodeTable, pod: PodView) -> Ask:
        """A new cycle and the pod as the plugin may see it."""
        if self.node_local:
            name = self.plugin.name
            return Ask(NodeLocalCycle(name), NodeLocalPod(pod, name, dict(pod.labels)))
        cycle = Cycle(table, pod, now=NOW, seed=SEED, objects=self.objects)
        cycle.plugin = self.plugin.name
        return Ask(cycle, pod)

    @np.errstate(divide="ignore", invalid="ignore")  # what comes of it is judged by its value
    def answer(self, table: NodeTable, pod: PodView, rows: IntArray | None = None) -> Answer:
        """All of PreFilter, Filter, PreScore and Score over ``rows`` (None: all nodes)."""
        ask = self.ask(table, pod)
        answer = Answer()
        answer.pre_filter = self.pre_filter(ask)
        view = NodeView(table, rows)
        passing = np.ones(len(view), dtype=np.bool_)
        if answer.pre_filter is not None and answer.pre_filter.status is not None:
            return answer
        if self.has("filter") and not (answer.pre_filter and answer.pre_filter.skipped):
            codes, answer.filter = self.filter(ask, view)
            passing = codes == 0
        if self.has("score"):
            # What is not node-local is asked about feasible rows only; everything else about any.
            chosen = view if self.node_local else NodeView(table, view.rows[passing])
            if self._wants_score(table, ask, chosen):
                raw = raw_scores(self.plugin, guarded(self.plugin, "score", *ask, chosen), len(chosen))
                answer.raw = dict(zip(chosen.names.tolist(), _comparable(raw), strict=True))
        return answer

    def _wants_score(self, table: NodeTable, ask: Ask, nodes: NodeView) -> bool:
        if isinstance(ask.cycle, NodeLocalCycle) and isinstance(ask.pod, NodeLocalPod):
            return local_wants_score(self.plugin, ask.cycle, ask.pod, table)
        return wants_score(self.plugin, ask, nodes)

    def pre_filter(self, ask: Ask) -> PreFilterOutcome | None:
        """What PreFilter says, None without one."""
        if not self.has("pre_filter"):
            return None
        return merge([(self.plugin, guarded(self.plugin, "pre_filter", *ask))])

    def filter(self, ask: Ask, view: NodeView) -> tuple[np.ndarray[Any, Any], dict[str, Verdict]]:
        """Verdict ids (0 passes) and verdicts by node name."""
        verdicts = Verdicts()
        encoded = verdicts.encode(self.plugin.name, 0, guarded(self.plugin, "filter", *ask, view), len(view))
        codes = encoded if encoded is not None else np.zeros(len(view), dtype=np.int32)
        return codes, _by_name(view, codes, verdicts)

    @np.errstate(divide="ignore", invalid="ignore")
    def normalized(self, table: NodeTable, pod: PodView, rows: IntArray) -> dict[str, int] | None:
        """Scores of exactly ``rows`` after normalisation; PluginError outside 0..100. None if Score is skipped."""
        ask = self.ask(table, pod)
        self.pre_filter(ask)
        if not self.has("score") or not len(rows) or not wants_score(self.plugin, ask, NodeView(table, rows)):
            return None
        scores = score_rows(table, rows, self.plugin, ask)
        return dict(zip(table.names()[rows].tolist(), scores.tolist(), strict=True))

    @np.errstate(divide="ignore", invalid="ignore")
    def raw(self, table: NodeTable, pod: PodView, rows: IntArray) -> dict[str, int | float]:
        """Raw scores of ``rows``."""
        ask = self.ask(table, pod)
        self.pre_filter(ask)
        wants_score(self.plugin, ask, NodeView(table, rows))
        scores = raw_scores(self.plugin, guarded(self.plugin, "score", *ask, NodeView(table, rows)), len(rows))
        return dict(zip(table.names()[rows].tolist(), scores.tolist(), strict=True))

    def signature(self, table: NodeTable, pod: PodView) -> Hashable:
        """The plugin's narrowed signature, or everything a node-local plugin may see of a pod."""
        if self.has("signature"):
            key: Hashable = guarded(self.plugin, "signature", self.ask(table, pod).pod)
            return key
        return (id(pod.info), pod.priority, pod.namespace, tuple(sorted(pod.labels.items())))


def ask(
    plugin: Any,
    pod: Pod,
    nodes: Iterable[Node],
    placed: Iterable[tuple[Pod, str]] = (),
    objects: Iterable[KubeObject] = (),
) -> Answer:
    """What ``plugin`` (an instance) says about ``pod`` on ``nodes`` with ``placed`` pods on the nodes named.

    ``objects`` are whatever else there is in the cluster: claims, volumes, services ...
    """
    return Probe(plugin, Listers(objects)).answer(make_table(nodes, placed), PodView(pod))


class CachedColumns:
    """A node-local plugin's cached columns for one pod, refreshed as the framework refreshes them."""

    def __init__(self, probe: Probe, table: NodeTable, pod: PodView) -> None:
        self._probe = probe
        self._table = table
        ask = probe.ask(table, pod)
        assert isinstance(ask.cycle, NodeLocalCycle) and isinstance(ask.pod, NodeLocalPod)
        outcome = probe.pre_filter(ask)
        stopped = outcome is not None and (outcome.status is not None or bool(outcome.skipped))
        self._verdicts = Verdicts()
        self._filter = (
            FilterColumn(table, probe.plugin, ask.pod, ask.cycle, self._verdicts, 0)
            if probe.has("filter") and not stopped
            else None
        )
        rejected = outcome is not None and outcome.status is not None
        scores = probe.has("score") and not rejected and wants_score(probe.plugin, ask, NodeView(table))
        self._score = ScoreColumn(table, probe.plugin, ask.pod, ask.cycle) if scores else None

    @np.errstate(divide="ignore", invalid="ignore")
    def answer(self) -> Answer:
        """The refreshed columns in the form of :meth:`Probe.answer`, without PreFilter."""
        view = NodeView(self._table)
        answer = Answer()
        if self._filter is not None:
            self._filter.refresh()
            answer.filter = _by_name(view, self._filter.codes, self._verdicts)
        if self._score is not None:
            self._score.refresh()
            answer.raw = dict(zip(view.names.tolist(), _comparable(self._score.raw), strict=True))
        return answer


def _by_name(view: NodeView, codes: np.ndarray[Any, Any], verdicts: Verdicts) -> dict[str, Verdict]:
    return {
        name: (verdicts[code].code.value, tuple(sorted(verdicts[code].reasons))) if code else None
        for name, code in zip(view.names.tolist(), codes.tolist(), strict=True)
    }


def _comparable(raw: AnyArray) -> list[int | float]:
    """Scores as plain numbers; NaN, which equals nothing, as one and the same object, so that answers compare."""
    return [math.nan if score != score else score for score in raw.tolist()]
