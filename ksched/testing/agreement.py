"""Comparing an answer with the reference's, part by part, so that a disagreement is laid at one plugin's door.

:func:`compare` covers everything two answers hold: a part that only one side has is a difference, so nothing can agree
by being left out. Some writings of one answer are not a difference (tests/conformance/data/FORMAT.md): the order
of reasons; a filter plugin that is not listed because it passes everywhere; an empty ``scoreSkipped`` left away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import zip_longest
from typing import Any, NamedTuple

Answer = Mapping[str, Any]

WHOLE = ("gated", "feasible", "rejectedBy", "scoreSkipped", "weights", "total", "best")
"""Parts of an answer that depend on all plugins together."""
PER_PLUGIN = ("filter", "scoreRaw", "scoreNormalized")
"""Parts that are a mapping plugin -> node -> value."""

PREEMPTION_PLUGIN = "DefaultPreemption"
_BLAMED = {"gated": "SchedulingGates", "preemption": PREEMPTION_PLUGIN}


class Compared(NamedTuple):
    """One part of one answer: what was expected and what came. ``values`` is how many single values it holds."""

    part: str
    plugin: str
    expected: Any
    got: Any

    @property
    def agrees(self) -> bool:
        """Both are equal."""
        return _same(self.expected, self.got)

    @property
    def values(self) -> int:
        """Number of single verdicts, scores or steps compared: all that one side or the other has."""
        return sum(1 for _ in self.pairs())

    @property
    def agreeing(self) -> int:
        """How many of them are equal."""
        return sum(_same(left, right) for _, left, right in self.pairs())

    def first_difference(self) -> tuple[str, Any, Any]:
        """Where (a node, a step number, "" for the whole) the two first differ, and both values there."""
        for where, left, right in self.pairs():
            if not _same(left, right):
                return where, left, right
        return "", self.expected, self.got

    def pairs(self) -> Iterator[tuple[str, Any, Any]]:
        """(where, expected, got) of every single value."""
        left, right = self.expected, self.got
        if isinstance(left, Mapping) and (right is None or right is _MISSING or isinstance(right, Mapping)) and left:
            right = right if isinstance(right, Mapping) else {}
            for key in sorted(left.keys() | right.keys()):
                yield str(key), left.get(key, _MISSING), right.get(key, _MISSING)
        elif self.part == "steps" and isinstance(left, list):
            for number, pair in enumerate(
                zip_longest(left, right if isinstance(right, list) else [], fillvalue=_MISSING)
            ):
                yield str(number), *pair
        else:
            yield "", left, right


class _Missing:
    """Stands for a value that is not there, which is not the same as null."""

    def __repr__(self) -> str:
        return "(missing)"


_MISSING = _Missing()


def compare(expected: Answer, got: Answer) -> Iterator[Compared]:
    """Compare everything in either answer, unknown parts included; a part one side lacks differs from anything."""
    try:
        yield from _compare_parts(expected, got)
    except (AttributeError, KeyError, TypeError):
        # One side is not of the form; then it is the same only if it is the same to the letter.
        yield Compared("form", "", expected, got)


def _compare_parts(expected: Answer, got: Answer) -> Iterator[Compared]:
    named = {"preFilter", "preemption", *PER_PLUGIN}
    yield from _compare_pre_filter(expected.get("preFilter"), got.get("preFilter"), ())
    for part in PER_PLUGIN:
        yield from _compare_by_plugin(part, expected.get(part), got.get(part), ())
    yield from _compare_preemption(expected, got)
    for part in sorted((expected.keys() | got.keys()) - named):
        left, right = expected.get(part, _MISSING), got.get(part, _MISSING)
        if part == "scoreSkipped":
            left, right = expected.get(part) or [], got.get(part) or []
        yield Compared(part, _BLAMED.get(part, ""), left, right)


def compare_plugins(expected: Answer, got: Answer, *, without: Collection[str] = ()) -> Iterator[Compared]:
    """Compare plugin by plugin, leaving out the plugins ``without``.

    The scores in ``got`` must be over the nodes that are feasible in ``expected``: which nodes are feasible is a
    matter of all plugins together. A part one side has and the other lacks is compared with None.
    """
    if expected.get("preFilter") is not None and expected["preFilter"].get("plugin") not in without:
        yield from _compare_pre_filter(expected["preFilter"], got.get("preFilter"), without)
    for part in PER_PLUGIN:
        if part in expected:
            yield from _compare_by_plugin(part, expected[part], got.get(part), without)


def compare_whole(expected: Answer, got: Answer) -> Iterator[Compared]:
    """Compare what all plugins together decide."""
    for part in WHOLE:
        if part in expected or part in got:
            yield Compared(part, "", expected.get(part), got.get(part))


def depends_on(case: Mapping[str, Any], expected: Answer, plugins: Collection[str]) -> bool:
    """Whether one of ``plugins`` had any influence on the expected decision, as far as the answer shows."""
    pre_filter = expected.get("preFilter") or {}
    rejecting = {plugin for plugin, verdicts in (expected.get("filter") or {}).items() if any(verdicts.values())}
    scoring = set(expected.get("scoreRaw") or ())
    named = {pre_filter.get("plugin")} | rejecting | scoring
    return "gated" in expected or bool(named & set(plugins))


def _compare_pre_filter(theirs: Any, ours: Any, without: Collection[str]) -> Iterator[Compared]:
    if theirs is None and ours is None:
        return
    theirs, ours = theirs or {}, ours or {}
    status = ("code", "plugin", "reason")
    blamed = theirs.get("plugin") or ours.get("plugin") or ""
    yield Compared("preFilter", blamed, [theirs.get(k) for k in status], [ours.get(k) for k in status])
    yield Compared("nodeNames", "", theirs.get("nodeNames", _MISSING), ours.get("nodeNames", _MISSING))
    left, right = theirs.get("skipped") or (), ours.get("skipped") or ()
    for plugin in sorted({*left, *right} - set(without)):
        yield Compared("skipped", plugin, plugin in left, plugin in right)
    for key in sorted((theirs.keys() | ours.keys()) - {*status, "nodeNames", "skipped"}):
        yield Compared(f"preFilter.{key}", "", theirs.get(key), ours.get(key))


def _compare_by_plugin(part: str, theirs: Any, ours: Any, without: Collection[str]) -> Iterator[Compared]:
    left, right = theirs or {}, ours or {}
    for plugin in sorted((left.keys() | right.keys()) - set(without)):
        expected, got = left.get(plugin), right.get(plugin)
        if part == "filter" and theirs is not None and expected is None and got is not None and not any(got.values()):
            expected = got  # not listed: passes everywhere
        yield Compared(part, plugin, _canonical(expected), _canonical(got))


def _compare_preemption(expected: Answer, got: Answer) -> Iterator[Compared]:
    """Every finding of the preemption analysis by itself; null on one side only is one difference."""
    theirs, ours = expected.get("preemption", _MISSING), got.get("preemption", _MISSING)
    if not (isinstance(theirs, Mapping) and isinstance(ours, Mapping)):
        if not (theirs is _MISSING and ours is _MISSING):
            yield Compared("preemption", PREEMPTION_PLUGIN, theirs, ours)
        return
    for key in sorted(theirs.keys() | ours.keys()):
        left, right = theirs.get(key, _MISSING), ours.get(key, _MISSING)
        if left is _MISSING or right is _MISSING:
            pass
        elif key == "nodeStatus":
            left, right = _canonical(left), _canonical(right)
        elif key == "candidates":
            left, right = _by_node(left, right)
        yield Compared(f"preemption.{key}", PREEMPTION_PLUGIN, left, right)


def _by_node(theirs: Any, ours: Any) -> tuple[Any, Any]:
    """Candidates as node -> candidate where both name the same nodes in the same order, else as they are."""
    if not (theirs and ours) or [c["node"] for c in theirs] != [c["node"] for c in ours]:
        return theirs, ours
    return {c["node"]: c for c in theirs}, {c["node"]: c for c in ours}


def _canonical(by_node: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if by_node is None:
        return None
    return {
        node: {**value, "reasons": sorted(value["reasons"])} if isinstance(value, Mapping) else value
        for node, value in by_node.items()
    }


def _same(left: Any, right: Any) -> bool:
    return type(left) is type(right) and bool(left == right)
