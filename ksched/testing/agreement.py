"""Comparing an answer with the reference's, part by part, so that a disagreement is laid at one plugin's door."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

Answer = Mapping[str, Any]

WHOLE = ("gated", "feasible", "rejectedBy", "scoreSkipped", "weights", "total", "best")
"""Parts of an answer that depend on all plugins together."""


class Compared(NamedTuple):
    """One part of one answer: what was expected and what came. ``values`` is how many single values it holds."""

    part: str
    plugin: str
    expected: Any
    got: Any

    @property
    def agrees(self) -> bool:
        """Both are equal."""
        return bool(self.expected == self.got)

    @property
    def values(self) -> int:
        """Number of single verdicts or scores compared."""
        return len(self.expected) if isinstance(self.expected, Mapping) else 1


def compare_plugins(expected: Answer, got: Answer, *, without: Collection[str] = ()) -> Iterator[Compared]:
    """Compare plugin by plugin, leaving out the plugins ``without``.

    The scores in ``got`` must be over the nodes that are feasible in ``expected``: which nodes are feasible is a
    matter of all plugins together. A part one side has and the other lacks is compared with None.
    """
    yield from _compare_pre_filter(expected.get("preFilter"), got.get("preFilter"), without)
    for part in ("filter", "scoreRaw", "scoreNormalized"):
        if part not in expected:
            continue
        theirs, ours = dict(expected[part] or {}), dict(got.get(part) or {})
        for plugin in sorted((theirs.keys() | ours.keys()) - set(without)):
            left, right = theirs.get(plugin), ours.get(plugin)
            yield Compared(part, plugin, _canonical(left), _canonical(right))


def _compare_pre_filter(theirs: Any, ours: Any, without: Collection[str]) -> Iterator[Compared]:
    if theirs is None or theirs.get("plugin") in without:
        return
    ours = ours or {}
    status = ("code", "plugin", "reason")
    yield Compared("preFilter", "", [theirs.get(k) for k in status], [ours.get(k) for k in status])
    yield Compared("nodeNames", "", theirs.get("nodeNames"), ours.get("nodeNames"))
    for plugin in sorted((set(theirs.get("skipped") or ()) | set(ours.get("skipped") or ())) - set(without)):
        yield Compared(
            "skipped", plugin, plugin in (theirs.get("skipped") or ()), plugin in (ours.get("skipped") or ())
        )


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


def _canonical(by_node: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if by_node is None:
        return None
    return {
        node: {**value, "reasons": sorted(value["reasons"])} if isinstance(value, Mapping) else value
        for node, value in by_node.items()
    }
