"""PreFilter: what each plugin says about the pod before any node is looked at, merged as upstream merges it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ksched.errors import PluginError
from ksched.framework.protocols import PreFilterResult
from ksched.framework.status import Code, Status

Answer = Status | PreFilterResult | None


@dataclass(frozen=True, slots=True)
class PreFilterOutcome:
    """``status`` rejects the pod everywhere; ``node_names`` narrows the search; ``skipped`` filters are not run."""

    skipped: frozenset[str]
    status: Status | None = None
    node_names: frozenset[str] | None = None


def merge(answers: Iterable[tuple[Any, Answer]]) -> PreFilterOutcome:
    """Merge (plugin, answer) pairs in profile order (upstream: frameworkImpl.RunPreFilterPlugins, v1.30).

    "Unschedulable" is remembered while the others are still asked; "UnschedulableAndUnresolvable" ends it. ``answers``
    may be lazy: a plugin behind the end is never asked.
    """
    skipped: set[str] = set()
    rejected: Status | None = None
    names: frozenset[str] | None = None
    narrowing: list[str] = []
    for plugin, answer in answers:
        if isinstance(answer, Status):
            if answer.code is Code.SKIP:
                skipped.add(plugin.name)
            elif answer.code is Code.UNSCHEDULABLE:
                rejected = answer.by(plugin.name)
            elif answer.code is not Code.SUCCESS:
                return PreFilterOutcome(frozenset(skipped), answer.by(plugin.name))
        elif isinstance(answer, PreFilterResult):
            if answer.node_names is None:
                continue
            narrowing.append(plugin.name)
            names = answer.node_names if names is None else names & answer.node_names
            if not names:
                return PreFilterOutcome(frozenset(skipped), _nowhere(narrowing), names)
        elif answer is not None:
            raise PluginError(
                f"plugin {plugin.name}: pre_filter returned {type(answer).__name__}",
                hint="return None, a Status or a PreFilterResult; keep what you computed in cycle.state",
            )
    return PreFilterOutcome(frozenset(skipped), rejected, names)


def _nowhere(narrowing: list[str]) -> Status:
    if len(narrowing) == 1:
        reason = f"node(s) didn't satisfy plugin {narrowing[0]}"
    else:
        reason = f"node(s) didn't satisfy plugin(s) [{' '.join(narrowing)}] simultaneously"
    return Status(Code.UNSCHEDULABLE_AND_UNRESOLVABLE, (reason,))
