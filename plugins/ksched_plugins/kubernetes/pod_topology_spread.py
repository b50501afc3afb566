"""PodTopologySpread: matching pods spread evenly over topology domains, as a rule or as a preference.

Upstream: pkg/scheduler/framework/plugins/podtopologyspread/{plugin,common,filtering,scoring}.go. What upstream counts
by looking at every pod comes from the table's count columns, summed per topology domain.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from pydantic import field_validator, model_validator

from ksched.framework import Action, ClusterEvent, Cycle, EventToRegister, Reject, Status
from ksched.framework.events import NODE, POD
from ksched.objects import TopologySpreadConstraint, find_untolerated
from ksched.tables import Domains, NodeView, PodView
from ksched.tables.arrays import AnyArray, BoolArray, FloatArray, Int64Array, IntArray
from ksched_plugins.kubernetes.node_selection import labels_match, selector_matches
from ksched_plugins.kubernetes.owner_selector import owner_selector, versions
from ksched_plugins.kubernetes.spread_constraints import (
    HARD,
    HOSTNAME,
    SOFT,
    SYSTEM_DEFAULTS,
    Constraint,
    Constraints,
    compile_constraints,
    keys_read,
)
from ksched_plugins.kubernetes.spread_hints import after_node_change, after_pod_change
from ksched_plugins.plugin_args import PluginArgs

REASON_SKEW = "node(s) didn't match pod topology spread constraints"
REASON_LABEL = f"{REASON_SKEW} (missing required label)"

MAX_SCORE = 100
_CACHE_SIZE = 1 << 12
_HARD_EFFECTS = ("NoSchedule", "NoExecute")


class PodTopologySpreadArgs(PluginArgs):
    """``defaultConstraints`` apply to pods without any, with the selector of their services and owner.

    ``defaultingType`` System: the built-in soft ones; List: exactly ``defaultConstraints``.
    """

    default_constraints: tuple[TopologySpreadConstraint, ...] = ()
    defaulting_type: Literal["System", "List"] = "System"

    @field_validator("default_constraints")
    @classmethod
    def _valid(cls, constraints: tuple[TopologySpreadConstraint, ...]) -> tuple[TopologySpreadConstraint, ...]:
        seen: set[tuple[str | None, str | None]] = set()
        for constraint in constraints:
            if constraint.model_extra:
                raise ValueError(f"unknown key {sorted(constraint.model_extra)[0]}")
            if (constraint.max_skew or 0) <= 0:
                raise ValueError("maxSkew must be greater than zero")
            if not constraint.topology_key:
                raise ValueError("topologyKey can not be empty")
            if constraint.when_unsatisfiable not in (HARD, SOFT):
                raise ValueError(f"whenUnsatisfiable must be {HARD} or {SOFT}")
            if constraint.label_selector is not None:
                raise ValueError("constraint must not define a selector, as they deduced for each pod")
            pair = (constraint.topology_key, constraint.when_unsatisfiable)
            if pair in seen:
                raise ValueError(f"{pair[0]} is there twice with whenUnsatisfiable {pair[1]}")
            seen.add(pair)
        return constraints

    @model_validator(mode="after")
    def _system_has_its_own(self) -> PodTopologySpreadArgs:
        if self.defaulting_type == "System" and self.default_constraints:
            raise ValueError('defaultConstraints must be empty when defaultingType is "System"')
        return self


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one constraint makes of the nodes: follows from the Node objects and the pod's spec alone.

    ``domains``: all nodes. ``eligible``: nodes that take part are in a domain, others in none. ``inhabited``: ids of
    domains with a node that takes part.
    """

    domains: Domains
    eligible: Domains
    inhabited: IntArray | slice
    count: int
    every: bool
    """Whether all nodes have the key."""


@dataclass(slots=True, eq=False)
class Layout:
    """The parts of a pod's constraints, and which nodes have all keys (None: every node)."""

    token: Domains
    parts: tuple[Part, ...]
    labelled: BoolArray | None


@dataclass(slots=True, eq=False)
class HardState:
    """What Filter needs: the constraints and, per constraint and domain, what AddPod and RemovePod changed."""

    constraints: Constraints
    changes: list[dict[int, int]] = field(default_factory=list)

    def clone(self) -> HardState:
        """A copy for one what-if."""
        return HardState(self.constraints, [dict(change) for change in self.changes])


@dataclass(slots=True, eq=False)
class SoftState:
    """What Score and its normalisation need. ``scored`` bool[n] over the feasible nodes; None: all."""

    constraints: Constraints
    layout: Layout
    weights: list[float]
    scored: BoolArray | None


class PodTopologySpread:
    """Filters by DoNotSchedule constraints, scores by ScheduleAnyway constraints."""

    name = "PodTopologySpread"
    Args = PodTopologySpreadArgs

    def __init__(self, args: PodTopologySpreadArgs) -> None:
        self._system = args.defaulting_type == "System"
        self._defaults = SYSTEM_DEFAULTS if self._system else args.default_constraints
        self._default_actions = {constraint.when_unsatisfiable for constraint in self._defaults}
        self._compiled: OrderedDict[Hashable, Constraints | None] = OrderedDict()
        self._keys: OrderedDict[Hashable, tuple[str, ...]] = OrderedDict()
        self._layouts: OrderedDict[Constraints, Layout] = OrderedDict()

    def skips(self, point: str, pod: PodView) -> bool:
        """Pods that have no constraint of the kind the point is about, and get none by default."""
        own = pod.spec.topology_spread_constraints
        actions = {constraint.when_unsatisfiable for constraint in own} if own else self._default_actions
        return (HARD if point == "preFilter" else SOFT) not in actions

    def events_to_register(self) -> Sequence[EventToRegister]:
        """Pods that come, go or change their labels, and nodes that come, go or change theirs."""
        node_actions = Action.ADD | Action.DELETE | Action.UPDATE_NODE_LABEL
        return (
            EventToRegister(ClusterEvent(POD, Action.ALL), after_pod_change),
            EventToRegister(ClusterEvent(NODE, node_actions), after_node_change),
        )

    # -- filter ---------------------------------------------------------------------------------------------

    def pre_filter(self, cycle: Cycle, pod: PodView) -> Status | None:
        """Skips pods without a hard constraint."""
        constraints = self._constraints(cycle, pod, HARD)
        if constraints is None:
            return Status.skip()
        cycle.state["PreFilter", self.name] = HardState(constraints, [{} for _ in constraints.each])
        return None

    def add_pod(self, cycle: Cycle, pod: PodView, other: PodView, node_name: str) -> None:
        """See :meth:`remove_pod`."""
        self._changed(cycle, pod, other, node_name, 1)

    def remove_pod(self, cycle: Cycle, pod: PodView, other: PodView, node_name: str) -> None:
        """The counts follow the table, but terminating pods need a correction.

        kube-scheduler does not count them, yet takes them off the count when preemption removes them in a what-if.
        """
        self._changed(cycle, pod, other, node_name, -1)

    def _changed(self, cycle: Cycle, pod: PodView, other: PodView, node_name: str, amount: int) -> None:
        if not other.terminating or other.namespace != pod.namespace:
            return
        state: HardState = cycle.state["PreFilter", self.name]
        row = int(cycle.node(node_name).rows[0])
        parts = self._layout(state.constraints, pod, cycle).parts
        for constraint, part, change in zip(state.constraints.each, parts, state.changes, strict=True):
            domain = int(part.eligible.ids[row])
            if domain and constraint.counted and constraint.counted.matches(other.namespace, other.labels, False):
                change[domain] = change.get(domain, 0) + amount

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> list[Reject]:
        """The first constraint a node fails is reported: a missing label (unresolvable) or too much skew."""
        state: HardState = cycle.state["PreFilter", self.name]
        layout = self._layout(state.constraints, pod, cycle)
        missing: BoolArray | None = None
        skewed: BoolArray | None = None
        for constraint, part, change in zip(state.constraints.each, layout.parts, state.changes, strict=True):
            ids = nodes.of_rows(part.domains.ids)
            if not part.every:
                here = ids == 0
                missing = _also(missing, here if skewed is None else here & ~skewed)
            too_many = _too_many(constraint, part, change, nodes)
            if too_many is not None:
                here = too_many[ids]
                skewed = _also(skewed, here if missing is None else here & ~missing)
        rejects = []
        if missing is not None:
            rejects.append(Reject(missing, REASON_LABEL, resolvable=False))
        if skewed is not None:
            rejects.append(Reject(skewed, REASON_SKEW))
        return rejects

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> list[str]:
        """Every constraint the node fails: the label it lacks, or how many pods too many its domain has."""
        state: HardState = cycle.state["PreFilter", self.name]
        layout, row, said = self._layout(state.constraints, pod, cycle), int(node.rows[0]), []
        for constraint, part, change in zip(state.constraints.each, layout.parts, state.changes, strict=True):
            domain = int(part.domains.ids[row])
            too_many = _too_many(constraint, part, change, node)
            if not domain and not part.every:
                said.append(f"the node needs label {constraint.key}, by whose values the pod is spread")
            elif too_many is not None and too_many[domain]:
                said.append(_skew(constraint, part, domain, node))
        return said

    # -- score ----------------------------------------------------------------------------------------------

    def pre_score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Status | None:
        """Weighs each constraint by the number of its domains among the feasible nodes."""
        constraints = self._constraints(cycle, pod, SOFT)
        if constraints is None:
            return Status.skip()
        layout = self._layout(constraints, pod, cycle)
        scored = None
        if constraints.all_keys and layout.labelled is not None:
            scored = nodes.of_rows(layout.labelled)
        weights = [
            math.log(_domains_among(constraint, part, nodes, scored) + 2)
            for constraint, part in zip(constraints.each, layout.parts, strict=True)
        ]
        cycle.state["PreScore", self.name] = SoftState(constraints, layout, weights, scored)
        return None

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Int64Array:
        """int64[n]: weighted number of matching pods in the node's domains, rounded; 0 for nodes that lack a key."""
        state: SoftState = cycle.state["PreScore", self.name]
        total: FloatArray | None = None
        for constraint, part, weight in zip(state.constraints.each, state.layout.parts, state.weights, strict=True):
            points = _points(constraint, part, weight, nodes)
            total = points if total is None else total + points
        assert total is not None
        # Half away from zero: no score is negative, and none is just below one half.
        rounded = np.floor(total + 0.5).astype(np.int64)
        return rounded if state.scored is None else np.where(state.scored, rounded, 0)

    def normalize_score(self, cycle: Cycle, pod: PodView, scores: AnyArray) -> AnyArray:
        """Fewest matching pods best: ``100 * (max + min - s) / max`` in integers; 0 for nodes that lack a key."""
        scored = cycle.state["PreScore", self.name].scored
        counted = scores if scored is None else scores[scored]
        if not len(counted):
            return np.zeros(len(scores), dtype=np.int64)
        low, high = int(counted.min()), int(counted.max())
        if high == 0:
            points = np.full(len(scores), MAX_SCORE, dtype=np.int64)
        else:
            points = MAX_SCORE * (high + low - scores) // high
        return points if scored is None else np.where(scored, points, 0)

    # -- constraints ----------------------------------------------------------------------------------------

    def _constraints(self, cycle: Cycle, pod: PodView, action: str) -> Constraints | None:
        """The pod's constraints of one kind, None if it has none; equal ones of different pods are one object."""
        own = pod.spec.topology_spread_constraints
        key: Hashable
        if own:
            labels = pod.labels
            key = (pod.info, pod.namespace, action, *(labels.get(k) for k in self._keys_read(pod)))
        elif action in self._default_actions:
            changes = versions(cycle.objects)
            if not any(changes):
                return None  # there is nothing to deduce a selector from
            owner = pod.pod.metadata.controller
            who = (owner.api_version, owner.kind, owner.name) if owner else None
            key = (pod.info, pod.namespace, action, pod.label_key, who, changes, id(cycle.objects))
        else:
            return None
        if key in self._compiled:
            return self._compiled[key]
        if own:
            made = Constraints(compile_constraints(own, action, pod))
        else:
            selector = owner_selector(pod, cycle.objects)
            each = compile_constraints(self._defaults, action, pod, selector) if selector else ()
            made = Constraints(each, all_keys=not self._system)
        kept = made if made.each else None
        _keep(self._compiled, key, kept)
        return kept

    def _keys_read(self, pod: PodView) -> tuple[str, ...]:
        keys = self._keys.get(pod.info)
        if keys is None:
            keys = keys_read(pod.spec.topology_spread_constraints)
            _keep(self._keys, pod.info, keys)
        return keys

    # -- nodes ----------------------------------------------------------------------------------------------

    def _layout(self, constraints: Constraints, pod: PodView, cycle: Cycle) -> Layout:
        """Kept until some Node changes."""
        cluster = cycle.cluster
        token = cluster.domains(constraints.each[0].key)
        found = self._layouts.get(constraints)
        if found is None or found.token is not token:
            found = _lay_out(constraints, pod, cluster, token)
            _keep(self._layouts, constraints, found)
        return found


def _lay_out(constraints: Constraints, pod: PodView, cluster: NodeView, token: Domains) -> Layout:
    everywhere = np.ones(len(cluster), dtype=np.bool_)
    labelled = everywhere.copy()
    for constraint in constraints.each:
        labelled &= cluster.domains(constraint.key).labelled
    fits = tolerated = everywhere
    if any(constraint.honor_affinity for constraint in constraints.each):
        fits = _affinity_matches(pod, cluster)
    if any(constraint.honor_taints for constraint in constraints.each):
        tolerated = cluster.per_taints(lambda t: find_untolerated(t, pod.tolerations, _HARD_EFFECTS) is None, np.bool_)
    parts = []
    for constraint in constraints.each:
        taking_part = labelled if constraints.all_keys else everywhere
        if constraint.honor_affinity:
            taking_part = taking_part & fits
        if constraint.honor_taints:
            taking_part = taking_part & tolerated
        parts.append(_part(cluster.domains(constraint.key), taking_part))
    return Layout(token, tuple(parts), None if labelled.all() else labelled)


def _part(domains: Domains, taking_part: BoolArray) -> Part:
    eligible = domains.only(taking_part)
    if domains.empty is not None:
        # Upstream cannot tell a node without the label from one whose label is "": both count for the domain "".
        ids = np.where(taking_part & (domains.ids == 0), domains.empty, eligible.ids)
        eligible = Domains(ids, domains.size, domains.empty)
    inhabited = np.flatnonzero(eligible.members())
    inhabited = inhabited[inhabited != 0]
    dense = slice(1, None) if len(inhabited) == eligible.size - 1 else inhabited
    return Part(domains, eligible, dense, len(inhabited), bool(domains.labelled.all()))


def _affinity_matches(pod: PodView, nodes: NodeView) -> BoolArray:
    """bool[n]: nodeSelector and required node affinity."""
    matching = labels_match(pod.spec.node_selector, nodes)
    affinity = pod.spec.affinity
    rules = affinity.node_affinity if affinity else None
    required = rules.required_during_scheduling_ignored_during_execution if rules else None
    return matching & selector_matches(required, nodes) if required is not None else matching


def _too_many(constraint: Constraint, part: Part, change: dict[int, int], nodes: NodeView) -> BoolArray | None:
    """bool[size] of the domains where one more pod would be too many; None where no domain is."""
    if not part.count:
        return None
    pods = _pods(constraint, part, nodes)
    if change:
        pods = pods.copy()
        for domain, amount in change.items():
            pods[domain] += amount
    fewest = pods[part.inhabited].min() if part.count >= constraint.min_domains else 0
    too_many = pods > constraint.max_skew + fewest - constraint.self_match
    # A domain nothing takes part in counts as empty, it is not left out.
    too_many[0] = False
    return too_many if too_many.any() else None


def _skew(constraint: Constraint, part: Part, domain: int, node: NodeView) -> str:
    pods = _pods(constraint, part, node)
    fewest = int(pods[part.inhabited].min()) if part.count >= constraint.min_domains else 0
    most, value = constraint.max_skew + fewest - constraint.self_match, node.label(constraint.key)[0]
    return (
        f"{constraint.key}={value} has {pods[domain]} matching pods and may have at most {max(most, 0)} before one "
        f"more comes (maxSkew {constraint.max_skew}, fewest in a domain {fewest}): pods there must leave, or others "
        "come elsewhere"
    )


def _pods(constraint: Constraint, part: Part, nodes: NodeView) -> Int64Array:
    """Matching pods per domain on the nodes that take part."""
    if constraint.counted is None:
        return np.zeros(part.eligible.size, dtype=np.int64)
    return nodes.pods_per_domain(constraint.counted, part.eligible)


def _also(so_far: BoolArray | None, more: BoolArray) -> BoolArray:
    return more if so_far is None else so_far | more


def _domains_among(constraint: Constraint, part: Part, nodes: NodeView, scored: BoolArray | None) -> int:
    """Number of domains the feasible nodes that are scored are in; hosts are counted, not compared."""
    if constraint.key == HOSTNAME:
        return len(nodes) if scored is None else int(scored.sum())
    ids = nodes.of_rows(part.domains.ids)
    if scored is not None:
        ids = ids[scored]
    seen = np.bincount(ids, minlength=part.domains.size) > 0
    if part.domains.empty is not None:
        seen[0] |= seen[part.domains.empty]
        seen[part.domains.empty] = False
    return int(np.count_nonzero(seen))


def _points(constraint: Constraint, part: Part, weight: float, nodes: NodeView) -> FloatArray:
    """float64[n]: ``matching pods x weight + maxSkew - 1``; 0 for nodes that lack the key."""
    ids = nodes.of_rows(part.domains.ids)
    if constraint.key == HOSTNAME:
        points: FloatArray = np.zeros(len(nodes), dtype=np.float64)
        if constraint.counted is not None:
            np.multiply(nodes.pods_matching(constraint.counted), weight, out=points)
        points += constraint.max_skew - 1
        return points if part.every else np.where(ids != 0, points, 0.0)
    per_domain: FloatArray = np.multiply(_pods(constraint, part, nodes), weight, dtype=np.float64)
    per_domain += constraint.max_skew - 1
    per_domain[0] = 0.0
    return per_domain[ids]


def _keep(cache: OrderedDict[Any, Any], key: Hashable, value: object) -> None:
    cache[key] = value
    if len(cache) > _CACHE_SIZE:
        cache.popitem(last=False)
