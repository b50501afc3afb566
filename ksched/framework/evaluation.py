"""Filter and score for one pod: cached row by row for node-local plugins, asked anew for all others.

:class:`SignatureEntry` keeps what pods of one signature share between decisions. After a decision one row of the table
changed, so bringing an entry up to date costs a few operations on that row; only the final choice looks at all rows.
:func:`filter_rows` and :func:`score_feasible` are the same without any memory, for a handful of rows (a DaemonSet's
pod, a preemption dry run) and as the oracle the cached path is tested against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ksched.errors import PluginError
from ksched.framework.columns import FilterColumn, Watermark
from ksched.framework.cycle import Cycle, NodeLocalCycle, NodeLocalPod
from ksched.framework.invoke import culprit, guarded, out_of_bounds, out_of_range, raw_scores
from ksched.framework.pre_filter import PreFilterOutcome
from ksched.framework.score_part import ScorePart
from ksched.framework.selection import INFEASIBLE
from ksched.framework.status import Code, Status
from ksched.framework.verdicts import PASSES, Verdicts
from ksched.tables import ALL_GROUPS, NodeTable, NodeView, PodView
from ksched.tables.arrays import AnyArray, BoolArray, Int32Array, Int64Array, IntArray

NO_OPINION = 1
"""Total of every feasible node where a profile has no Score plugin at all (upstream: prioritizeNodes)."""


class Scored(NamedTuple):
    """One plugin's normalised ``scores``, aligned with the rows evaluated, or of these ``rows`` among ``size``.

    ``name``, ``weight`` and ``normalized`` are what a :class:`ScorePart` has too.
    """

    name: str
    weight: int
    scores: AnyArray
    rows: IntArray | None = None
    size: int = 0

    @property
    def normalized(self) -> AnyArray:
        """The scores, aligned with the rows evaluated; 0 where nobody was asked."""
        if self.rows is None:
            return self.scores
        spread = np.zeros(self.size, dtype=np.int64)
        spread[self.rows] = self.scores
        return spread


def counts_of(verdicts: Int32Array) -> dict[int, int]:
    """How many rows have each verdict."""
    if not np.count_nonzero(verdicts):
        return {PASSES: len(verdicts)}
    return {verdict: count for verdict, count in enumerate(np.bincount(verdicts).tolist()) if count}


@dataclass(slots=True)
class Evaluated:
    """The outcome of filtering and scoring over ``rows`` of the table (None: all).

    ``first`` int32: verdict of the first filter that rejects a row, 0 for feasible ones. All arrays are aligned with
    ``rows``, but ``totals`` with ``ranked`` where there is such; none must be written to.
    """

    rows: IntArray | None
    first: Int32Array
    feasible: BoolArray
    count: int
    totals: Int64Array
    """Weighted sums, ``INFEASIBLE`` where the pod cannot go."""
    parts: list[Scored | ScorePart]
    rejected: dict[int, int]
    """Number of rows per verdict."""
    ranked: IntArray | None = None
    """The feasible rows of the table, ascending, where ``totals`` is of them alone."""


class Ask(NamedTuple):
    """How to ask one plugin about one pod: its cycle and the pod as it may see it."""

    cycle: Cycle
    pod: PodView


class SignatureEntry:
    """Cached columns, feasibility and totals for all pods of one signature."""

    def __init__(
        self,
        table: NodeTable,
        local: dict[str, tuple[NodeLocalCycle, NodeLocalPod]],
        filters: list[FilterColumn],
        parts: list[ScorePart],
        local_answers: dict[str, Any],
        base: int = 0,
    ) -> None:
        self.table = table
        self._base = base
        self.local = local
        self.filters = filters
        self.parts = parts
        self.local_answers = local_answers
        """What PreFilters answered whose answer follows from the signature."""
        self.moment_pre_filters: list[Any] = []
        """The PreFilter plugins that must be asked every time."""
        self.moment_filters: dict[frozenset[str], list[tuple[int, Any]]] = {}
        """(order, plugin) of the Filter plugins that must, by the names of those that PreFilter lets skip."""
        self.moment_scores: list[tuple[Any, int]] = []
        """(plugin, weight) of the Score plugins that must be asked every time."""
        self.outcome: PreFilterOutcome | None = None
        """The merged outcome of those PreFilters."""
        self._outcomes: dict[tuple[str, ...], PreFilterOutcome] = {}
        self.first: Int32Array = np.array([], dtype=np.int32)
        self.feasible: BoolArray = np.array([], dtype=np.bool_)
        self._rows: IntArray | None = None
        """The numbers of the feasible rows, once somebody asked."""
        self.count = 0
        self.rejected: Counter[int] = Counter()
        self._totals: Int64Array = np.array([], dtype=np.int64)
        self.ranked: tuple[IntArray, Int64Array] | None = None
        """The feasible rows and their totals where that is all there is: often everything changes again before anybody
        wants more than the best of them."""
        self.nominated: Any = None
        """The pass with nominated pods, once there was one (a NominatedPass)."""
        self.memory: Any = None
        """What PostFilter remembers of single rows (a RowMemory)."""
        self._watermark = Watermark(table)
        self._unscored: NodeView | None = None
        """Rows that changed, and the column groups in which, since totals were computed; None: any row."""
        self._unscored_groups = ALL_GROUPS
        self._passing: list[int] | IntArray = []
        """Those of the unscored rows that are feasible."""

    def outcome_without(self, skipping: tuple[str, ...]) -> PreFilterOutcome:
        """The outcome where these plugins skip too."""
        if not skipping:
            assert self.outcome is not None
            return self.outcome
        found = self._outcomes.get(skipping)
        if found is None:
            assert self.outcome is not None
            skipped = self.outcome.skipped | set(skipping)
            found = self._outcomes[skipping] = PreFilterOutcome(skipped, None, self.outcome.node_names)
        return found

    # -- filter ---------------------------------------------------------------------------------------------

    def filter(self) -> None:
        """Bring ``first``, ``feasible``, ``count`` and ``rejected`` up to date."""
        watermark = self._watermark
        rows, moved = watermark.touched(), watermark.moved
        if not moved:
            return
        nodes = watermark.nodes = NodeView(self.table, rows)
        # Pods that fit nowhere are not scored: what they leave is not worth adding up.
        self._unscored = None if rows is None or self._unscored_groups else nodes
        self._unscored_groups |= moved
        for column in self.filters:
            if column.groups & moved:
                column.refresh(watermark)
        if rows is None or len(self.first) != self.table.n:
            self._filter_all()
        elif isinstance(rows, list):  # few
            self._filter_few(rows)
        else:
            self._filter_rows(rows)

    def _filter_all(self) -> None:
        self.first = self._first_verdicts(slice(None), self.table.n)
        self.feasible = self.first == PASSES
        self._rows = None
        self.rejected = Counter(counts_of(self.first))
        self.count = self.rejected[PASSES]

    def _filter_rows(self, rows: IntArray) -> None:
        first, before = self._first_verdicts(rows, len(rows)), self.first.take(rows)
        passes = first == PASSES
        self._passing = rows[passes]
        moved = (first != before).nonzero()[0]
        if not len(moved):
            return
        self.first[rows] = first
        self.feasible[rows] = passes
        self._rows = None
        rejected = self.rejected
        for verdict, count in counts_of(before.take(moved)).items():
            rejected[verdict] -= count
        for verdict, count in counts_of(first.take(moved)).items():
            rejected[verdict] += count
        self.count = rejected[PASSES]

    def _first_verdicts(self, rows: IntArray | slice, size: int) -> Int32Array:
        rejecting = [column.codes[rows] for column in self.filters if column.rejects]
        if not rejecting:
            return np.zeros(size, dtype=np.int32)
        first, *others = rejecting
        for codes in others:
            first = np.where(first == PASSES, codes, first)
        return first if others else first.copy()

    def _filter_few(self, rows: list[int]) -> None:
        verdicts = [column.codes.item for column in self.filters if column.rejects]
        verdict_before = self.first.item
        rejected = self.rejected
        passing: list[int] = []
        for row in rows:
            for verdict_of in verdicts:
                verdict = verdict_of(row)
                if verdict:
                    break
            else:
                verdict = PASSES
                passing.append(row)
            before = verdict_before(row)
            if verdict != before:
                self.first[row] = verdict
                self.feasible[row] = verdict == PASSES
                self._rows = None
                rejected[before] -= 1
                rejected[verdict] += 1
        self.count, self._passing = rejected[PASSES], passing

    def latest_filter(self, verdicts: Verdicts) -> int:
        """The order of the last filter that rejects some row, -1 where none does."""
        return max((verdicts[i].order for i, count in self.rejected.items() if count and i != PASSES), default=-1)

    # -- score ----------------------------------------------------------------------------------------------

    @property
    def totals(self) -> Int64Array:
        """Weighted sums int64[n], ``INFEASIBLE`` where the pod cannot go; must not be written to."""
        if self.ranked is not None:
            rows, totals = self.ranked
            self.ranked = None
            self._totals = np.full(self.table.n, INFEASIBLE, dtype=np.int64)
            self._totals[rows] = totals
        return self._totals

    def ranking(self, feasible: BoolArray) -> tuple[IntArray, Int64Array]:
        """The rows of ``feasible``, for which :meth:`score` was just called, and their totals."""
        if feasible is not self.feasible:
            rows = feasible.nonzero()[0]
        elif self.ranked is not None:
            return self.ranked
        else:
            rows = self._feasible_rows()
        return rows, self.totals.take(rows)

    def score(self, feasible: BoolArray) -> None:
        """Bring ``totals`` up to date for ``feasible``, the entry's own or part of it, with at least one row.

        Rows outside the entry's own ``feasible`` are INFEASIBLE; of those outside ``feasible`` nothing is promised.
        """
        moved, self._unscored_groups = self._unscored_groups, 0
        changed = self._unscored if moved else NodeView(self.table, [])
        passing = NodeView(self.table, self._passing) if moved and changed is not None else changed
        whole = feasible is self.feasible
        chosen = self._feasible_rows() if whole else feasible.nonzero()[0]
        everything = changed is None or not self.parts
        for part in self.parts:
            # For the entry's own feasible rows: of others in a mere part nobody would know the next time.
            part.column.refresh_where(self.feasible, self._watermark, moved, passing)
            if part.up_to_date(self.table, passing, feasible, chosen, whole=whole):
                everything = True
        if everything or changed is None or passing is None:
            rows = chosen if whole else self._feasible_rows()
            self.ranked = rows, self._sum(rows)
        elif changed.n:
            totals = self.totals
            totals[changed.select] = INFEASIBLE
            if passing.n == 1:
                row = int(self._passing[0])
                totals[row] = self._base + sum([part.weight * part.kept.item(row) for part in self.parts])
            elif passing.n:
                totals[passing.select] = self._sum(passing.rows)

    def _feasible_rows(self) -> IntArray:
        if self._rows is None:
            self._rows = self.feasible.nonzero()[0]
        return self._rows

    def _sum(self, rows: IntArray) -> Int64Array:
        constant, total = self._base, None
        for part in self.parts:
            if part.uniform:
                constant += part.weight * part.kept.item(0)
            else:
                points = part.points(rows)
                if part.weight != 1:
                    points = points * part.weight
                total = points if total is None else total + points
        if total is None:
            return np.full(len(rows), constant, dtype=np.int64)
        return total + constant if constant else total


def score_feasible(
    table: NodeTable,
    rows: IntArray,
    first: Int32Array,
    scores: list[tuple[Any, int]],
    ask: Callable[[Any], Ask],
    base: int,
) -> Evaluated:
    """Score those of ``rows`` that pass (``first`` is 0) with ``scores`` (plugin, weight), from scratch.

    ``base`` is what every feasible row starts with: ``NO_OPINION`` or 0.
    """
    feasible = first == PASSES
    count = int(feasible.sum())
    totals = np.full(len(rows), INFEASIBLE, dtype=np.int64)
    parts: list[Scored | ScorePart] = []
    if count:
        chosen = rows[feasible]
        totals[feasible] = base
        for plugin, weight in scores:
            normalized = score_rows(table, chosen, plugin, ask(plugin))
            totals[feasible] += normalized * weight
            spread = np.zeros(len(rows), dtype=np.int64)
            spread[feasible] = normalized
            parts.append(Scored(plugin.name, weight, spread))
    return Evaluated(rows, first, feasible, count, totals, parts, counts_of(first))


def filter_rows(
    table: NodeTable,
    rows: IntArray,
    filters: list[tuple[int, Any]],
    verdicts: Verdicts,
    ask: Callable[[Any], Ask],
) -> Int32Array:
    """Verdict of the first of ``filters`` (order, plugin) that rejects each of ``rows``, int32; 0 where none does."""
    first = np.zeros(len(rows), dtype=np.int32)
    for order, plugin in filters:
        cycle, pod = ask(plugin)
        result = guarded(plugin, "filter", cycle, pod, NodeView(table, rows))
        codes = verdicts.encode(plugin.name, order, result, len(rows))
        if codes is not None:
            first = np.where(first == PASSES, codes, first)
    return first


def raw_rows(table: NodeTable, rows: IntArray, plugin: Any, ask: Ask) -> AnyArray:
    """Raw scores of exactly the feasible ``rows``."""
    return raw_scores(plugin, guarded(plugin, "score", *ask, NodeView(table, rows)), len(rows))


def normalized_rows(table: NodeTable, rows: IntArray, plugin: Any, ask: Ask, raw: AnyArray) -> Int64Array:
    """Normalised scores int64 of exactly the feasible ``rows``."""
    return _normalized(NodeView(table, rows), plugin, ask, raw)


def score_rows(table: NodeTable, rows: IntArray, plugin: Any, ask: Ask) -> Int64Array:
    """Score and normalise exactly the feasible ``rows``."""
    return score_view(NodeView(table, rows), plugin, ask)


def score_view(nodes: NodeView, plugin: Any, ask: Ask) -> Int64Array:
    """Score and normalise ``nodes``, which are exactly the feasible ones."""
    raw = raw_scores(plugin, guarded(plugin, "score", *ask, nodes), len(nodes))
    return _normalized(nodes, plugin, ask, raw)


def _normalized(nodes: NodeView, plugin: Any, ask: Ask, raw: AnyArray) -> Int64Array:
    normalizer = getattr(plugin, "normalizer", None)
    values = raw
    if normalizer is not None:
        values = normalizer.apply(raw, normalizer.inputs(raw))
    elif hasattr(plugin, "normalize_score"):
        values = raw_scores(plugin, guarded(plugin, "normalize_score", *ask, raw), len(nodes), "normalize_score")
    bad = out_of_bounds(values)
    if bad is not None:
        row = culprit(bad, raw)
        raise out_of_range(plugin, values[row], str(nodes.names[row]))
    return values.astype(np.int64, copy=False)


def wants_score(plugin: Any, ask: Ask, nodes: NodeView) -> bool:
    """Run PreScore if the plugin has one; False if it skips scoring this pod."""
    if not hasattr(plugin, "pre_score"):
        return True
    answer = guarded(plugin, "pre_score", *ask, nodes)
    if isinstance(answer, Status) and answer.code is Code.SKIP:
        return False
    if isinstance(answer, Status) and answer.code is not Code.SUCCESS:
        raise PluginError(f"plugin {plugin.name}: pre_score failed: {', '.join(answer.reasons)}")
    return True


def local_wants_score(plugin: Any, cycle: NodeLocalCycle, pod: NodeLocalPod, table: NodeTable) -> bool:
    """PreScore of a node-local plugin, which must judge by the pod alone since the answer is kept."""
    nodes = NodeView(table)
    wanted = wants_score(plugin, Ask(cycle, pod), nodes)
    if nodes.reads:
        raise PluginError(
            f"plugin {plugin.name} is node_local but its pre_score reads the nodes",
            hint="what it computes is kept for the signature; move it to score, or drop node_local = True",
        )
    return wanted
