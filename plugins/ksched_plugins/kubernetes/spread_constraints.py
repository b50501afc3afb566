"""Topology spread constraints compiled for one kind of pod (upstream: podtopologyspread/common.go)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ksched.objects import LabelSelectorMatcher, TopologySpreadConstraint
from ksched.tables import PodSelector, PodView

HARD = "DoNotSchedule"
SOFT = "ScheduleAnyway"
HONOR = "Honor"
IGNORE = "Ignore"
HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"

SYSTEM_DEFAULTS = (
    TopologySpreadConstraint(topology_key=HOSTNAME, when_unsatisfiable=SOFT, max_skew=3),
    TopologySpreadConstraint(topology_key=ZONE, when_unsatisfiable=SOFT, max_skew=5),
)
"""What kube-scheduler applies to pods of services and controllers that say nothing themselves."""


@dataclass(frozen=True, slots=True, eq=False)
class Constraint:
    """One constraint as it applies to a pod.

    ``counted`` is None where nothing is ever counted: an empty selector selects no pod, although it selects the
    incoming pod itself (``self_match`` 1). ``honor_affinity`` and ``honor_taints`` leave nodes out that the pod cannot
    run on.
    """

    key: str
    max_skew: int
    min_domains: int
    counted: PodSelector | None
    self_match: int
    honor_affinity: bool
    honor_taints: bool


@dataclass(frozen=True, slots=True, eq=False)
class Constraints:
    """A pod's constraints of one kind, in their order. ``all_keys``: nodes that lack one of the keys take no part."""

    each: tuple[Constraint, ...]
    all_keys: bool = True


def compile_constraints(
    constraints: Iterable[TopologySpreadConstraint],
    action: str,
    pod: PodView,
    selector: LabelSelectorMatcher | None = None,
) -> tuple[Constraint, ...]:
    """The constraints with ``whenUnsatisfiable: action``; ``selector`` replaces theirs (defaults have none)."""
    return tuple(_compiled(constraints, action, pod, selector))


def _compiled(
    constraints: Iterable[TopologySpreadConstraint], action: str, pod: PodView, selector: LabelSelectorMatcher | None
) -> Iterator[Constraint]:
    for constraint in constraints:
        if constraint.when_unsatisfiable != action:
            continue
        matcher = selector or selector_of(constraint, pod.labels)
        counted = None
        if not matcher.empty:
            counted = PodSelector((matcher,), frozenset((pod.namespace,)), terminating=False)
        yield Constraint(
            key=constraint.topology_key or "",
            max_skew=constraint.max_skew or 0,
            min_domains=1 if constraint.min_domains is None else constraint.min_domains,
            counted=counted,
            self_match=int(matcher.matches(pod.labels)),
            honor_affinity=(constraint.node_affinity_policy or HONOR) == HONOR,
            honor_taints=(constraint.node_taints_policy or IGNORE) == HONOR,
        )


def selector_of(constraint: TopologySpreadConstraint, labels: Mapping[str, str]) -> LabelSelectorMatcher:
    """The constraint's selector, with the pod's own values of ``matchLabelKeys``; keys the pod lacks say nothing."""
    matcher = LabelSelectorMatcher(constraint.label_selector)
    return matcher.with_labels({key: labels[key] for key in constraint.match_label_keys if key in labels})


def keys_read(constraints: Iterable[TopologySpreadConstraint]) -> tuple[str, ...]:
    """Pod labels that what is compiled depends on."""
    keys: dict[str, None] = {}
    for constraint in constraints:
        keys.update(dict.fromkeys(LabelSelectorMatcher(constraint.label_selector).keys))
        keys.update(dict.fromkeys(constraint.match_label_keys))
    return tuple(keys)
