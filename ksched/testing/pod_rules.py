"""Random rules between pods: affinity to other pods and spreading over domains, for :mod:`ksched.testing.clusters`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

TOPOLOGY_KEYS = ("kubernetes.io/hostname", "topology.kubernetes.io/zone", "pool")
SELECTORS: tuple[dict[str, Any] | None, ...] = (
    {"matchLabels": {"app": "x"}},
    {"matchLabels": {"app": "y", "tier": "x"}},
    {"matchExpressions": [{"key": "tier", "operator": "Exists"}]},
    {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]},
    {},
    None,
)
NAMESPACES: tuple[dict[str, Any], ...] = (
    {},
    {},
    {"namespaces": ["team"]},
    {"namespaceSelector": {}},
    {"namespaceSelector": {"matchLabels": {"kind": "team"}}, "namespaces": ["default"]},
)


class Chooser(Protocol):
    """See :class:`ksched.testing.clusters.Chooser`."""

    def integer(self, low: int, high: int) -> int: ...
    def pick(self, options: Sequence[T]) -> T: ...


def pod_affinity(choose: Chooser, *, rare: bool = True) -> dict[str, Any]:
    """``podAffinity`` and ``podAntiAffinity`` of an affinity; where ``rare``, most often neither."""
    rules: dict[str, Any] = {}
    for side in ("podAffinity", "podAntiAffinity"):
        if choose.integer(0, 4 if rare else 1) > 0:
            continue
        required = [_term(choose) for _ in range(choose.integer(0, 2))]
        preferred = [
            {"weight": choose.integer(1, 100), "podAffinityTerm": _term(choose)} for _ in range(choose.integer(0, 2))
        ]
        rules[side] = {
            "requiredDuringSchedulingIgnoredDuringExecution": required,
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
        }
    return rules


def spread_constraints(choose: Chooser, *, rare: bool = True) -> list[dict[str, Any]]:
    """``topologySpreadConstraints``, where ``rare`` most often none.

    Never two of one key and kind, which the api-server refuses.
    """
    if rare and choose.integer(0, 3) > 0:
        return []
    made: dict[tuple[str, str], dict[str, Any]] = {}
    for _ in range(choose.integer(1, 3)):
        key = choose.pick(TOPOLOGY_KEYS)
        action = choose.pick(("DoNotSchedule", "ScheduleAnyway"))
        constraint = {
            "maxSkew": choose.integer(1, 3),
            "topologyKey": key,
            "whenUnsatisfiable": action,
            "labelSelector": choose.pick(SELECTORS[:-1]),
            "matchLabelKeys": choose.pick(((), ("tier",), ("absent",))),
        }
        if action == "DoNotSchedule":
            constraint["minDomains"] = choose.integer(1, 4)
        if choose.integer(0, 1):
            constraint["nodeAffinityPolicy"] = choose.pick(("Honor", "Ignore"))
            constraint["nodeTaintsPolicy"] = choose.pick(("Honor", "Ignore"))
        made[key, action] = constraint
    return list(made.values())


def _term(choose: Chooser) -> dict[str, Any]:
    term = {"topologyKey": choose.pick(TOPOLOGY_KEYS), **choose.pick(NAMESPACES)}
    selector = choose.pick(SELECTORS)
    return term if selector is None else {**term, "labelSelector": selector}
