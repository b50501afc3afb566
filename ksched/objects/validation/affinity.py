"""Rules for where a pod may or should run: affinity, tolerations, topology spread."""

from __future__ import annotations

from ksched.objects.pod import (
    Affinity,
    NodeAffinity,
    PodAffinity,
    PodAffinityTerm,
    PodAntiAffinity,
    Toleration,
    TopologySpreadConstraint,
)
from ksched.objects.selectors import (
    GT,
    IN,
    LT,
    METADATA_NAME,
    NODE_OPERATORS,
    NOT_IN,
    NodeSelector,
    NodeSelectorTerm,
    label_integer,
)
from ksched.objects.tolerations import NO_EXECUTE, TAINT_EFFECTS

from . import names
from .field_errors import FieldErrors
from .metadata import check_label_selector, check_requirement

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"


def check_affinity(errors: FieldErrors, path: str, affinity: Affinity) -> None:
    """All of ``spec.affinity``."""
    if affinity.node_affinity is not None:
        _check_node_affinity(errors, f"{path}.nodeAffinity", affinity.node_affinity)
    if affinity.pod_affinity is not None:
        _check_pod_affinity(errors, f"{path}.podAffinity", affinity.pod_affinity)
    if affinity.pod_anti_affinity is not None:
        _check_pod_affinity(errors, f"{path}.podAntiAffinity", affinity.pod_anti_affinity)


def _check_node_affinity(errors: FieldErrors, path: str, affinity: NodeAffinity) -> None:
    required = affinity.required_during_scheduling_ignored_during_execution
    if required is not None:
        check_node_selector(errors, f"{path}.{_REQUIRED}", required)
    for index, term in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        at = f"{path}.{_PREFERRED}[{index}]"
        _check_weight(errors, at, term.weight)
        if term.preference is None:
            errors.required(f"{at}.preference")
        else:
            check_node_selector_term(errors, f"{at}.preference", term.preference)


def check_node_selector(errors: FieldErrors, path: str, selector: NodeSelector) -> None:
    """A node selector: at least one term."""
    if not selector.node_selector_terms:
        errors.required(f"{path}.nodeSelectorTerms", "must have at least one term")
    for index, term in enumerate(selector.node_selector_terms):
        check_node_selector_term(errors, f"{path}.nodeSelectorTerms[{index}]", term)


def check_node_selector_term(errors: FieldErrors, path: str, term: NodeSelectorTerm) -> None:
    """Requirements on labels and on the field ``metadata.name``."""
    for index, requirement in enumerate(term.match_expressions):
        at = f"{path}.matchExpressions[{index}]"
        check_requirement(errors, at, requirement.key, requirement.operator, requirement.values)
        if requirement.operator not in NODE_OPERATORS:
            errors.unsupported(f"{at}.operator", requirement.operator or "", NODE_OPERATORS)
        elif requirement.operator in (GT, LT):
            if len(requirement.values) != 1:
                errors.required(f"{at}.values", f"must be one value when operator is {requirement.operator}")
            elif label_integer(requirement.values[0]) is None:
                errors.invalid(f"{at}.values[0]", requirement.values[0], "must be an integer to compare with")
    for index, field in enumerate(term.match_fields):
        at = f"{path}.matchFields[{index}]"
        if field.operator not in (IN, NOT_IN):
            errors.unsupported(f"{at}.operator", field.operator or "", (IN, NOT_IN))
        elif len(field.values) != 1:
            errors.required(f"{at}.values", "must be one value")
        if field.key != METADATA_NAME:
            errors.unsupported(f"{at}.key", field.key or "", (METADATA_NAME,))


def _check_pod_affinity(errors: FieldErrors, path: str, affinity: PodAffinity | PodAntiAffinity) -> None:
    for index, term in enumerate(affinity.required_during_scheduling_ignored_during_execution):
        _check_pod_affinity_term(errors, f"{path}.{_REQUIRED}[{index}]", term)
    for index, weighted in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        at = f"{path}.{_PREFERRED}[{index}]"
        _check_weight(errors, at, weighted.weight)
        if weighted.pod_affinity_term is None:
            errors.required(f"{at}.podAffinityTerm")
        else:
            _check_pod_affinity_term(errors, f"{at}.podAffinityTerm", weighted.pod_affinity_term)


def _check_pod_affinity_term(errors: FieldErrors, path: str, term: PodAffinityTerm) -> None:
    if term.label_selector is not None:
        check_label_selector(errors, f"{path}.labelSelector", term.label_selector)
    if term.namespace_selector is not None:
        check_label_selector(errors, f"{path}.namespaceSelector", term.namespace_selector)
    for index, namespace in enumerate(term.namespaces):
        if (problem := names.dns_label(namespace)) is not None:
            errors.invalid(f"{path}.namespaces[{index}]", namespace, problem)
    _check_topology_key(errors, path, term.topology_key)


def _check_weight(errors: FieldErrors, path: str, weight: int | None) -> None:
    if weight is None or not 1 <= weight <= 100:
        errors.invalid(f"{path}.weight", weight or 0, "must be in the range 1-100")


def _check_topology_key(errors: FieldErrors, path: str, key: str | None) -> None:
    if not key:
        errors.required(f"{path}.topologyKey")
    elif (problem := names.qualified_name(key)) is not None:
        errors.invalid(f"{path}.topologyKey", key, problem)


def check_tolerations(errors: FieldErrors, path: str, tolerations: tuple[Toleration, ...]) -> None:
    """Keys, operators and effects of tolerations."""
    for index, toleration in enumerate(tolerations):
        at = f"{path}[{index}]"
        operator = toleration.operator or "Equal"
        if toleration.key and (problem := names.qualified_name(toleration.key)) is not None:
            errors.invalid(f"{at}.key", toleration.key, problem)
        if not toleration.key and operator != "Exists":
            errors.invalid(f"{at}.operator", operator, "must be Exists when key is empty, which means all keys")
        if operator == "Exists":
            if toleration.value:
                errors.invalid(f"{at}.operator", operator, "value must be empty when operator is Exists")
        elif operator == "Equal":
            if toleration.value and (problem := names.label_value(toleration.value)) is not None:
                errors.invalid(f"{at}.value", toleration.value, problem)
        else:
            errors.unsupported(f"{at}.operator", operator, ("Equal", "Exists"))
        if toleration.toleration_seconds is not None and toleration.effect != NO_EXECUTE:
            errors.invalid(f"{at}.effect", toleration.effect or "", "must be NoExecute when tolerationSeconds is set")
        if toleration.effect:
            errors.one_of(f"{at}.effect", toleration.effect, TAINT_EFFECTS)


def check_spread_constraints(errors: FieldErrors, path: str, constraints: tuple[TopologySpreadConstraint, ...]) -> None:
    """Topology spread constraints, unique by key and action."""
    seen: set[tuple[str | None, str | None]] = set()
    for index, constraint in enumerate(constraints):
        at = f"{path}[{index}]"
        if constraint.max_skew is None or constraint.max_skew <= 0:
            errors.invalid(f"{at}.maxSkew", constraint.max_skew or 0, "must be greater than zero")
        _check_topology_key(errors, at, constraint.topology_key)
        action = constraint.when_unsatisfiable
        if action not in ("DoNotSchedule", "ScheduleAnyway"):
            errors.unsupported(f"{at}.whenUnsatisfiable", action or "", ("DoNotSchedule", "ScheduleAnyway"))
        if constraint.min_domains is not None:
            if constraint.min_domains <= 0:
                errors.invalid(f"{at}.minDomains", constraint.min_domains, "must be greater than zero")
            if action != "DoNotSchedule":
                errors.invalid(
                    f"{at}.minDomains", constraint.min_domains, "needs whenUnsatisfiable to be DoNotSchedule"
                )
        errors.one_of(f"{at}.nodeAffinityPolicy", constraint.node_affinity_policy, ("Ignore", "Honor"))
        errors.one_of(f"{at}.nodeTaintsPolicy", constraint.node_taints_policy, ("Ignore", "Honor"))
        _check_match_label_keys(errors, at, constraint)
        if (constraint.topology_key, action) in seen:
            errors.duplicate(at, f"{{{constraint.topology_key}, {action}}}")
        seen.add((constraint.topology_key, action))


def _check_match_label_keys(errors: FieldErrors, path: str, constraint: TopologySpreadConstraint) -> None:
    selector = constraint.label_selector
    if selector is not None:
        check_label_selector(errors, f"{path}.labelSelector", selector)
    if constraint.match_label_keys and selector is None:
        errors.forbidden(f"{path}.matchLabelKeys", "must not be given without labelSelector")
        return
    taken = set() if selector is None else {*selector.match_labels, *(r.key for r in selector.match_expressions)}
    for index, key in enumerate(constraint.match_label_keys):
        at = f"{path}.matchLabelKeys[{index}]"
        if (problem := names.qualified_name(key)) is not None:
            errors.invalid(at, key, problem)
        elif key in taken:
            errors.invalid(at, key, "exists in both matchLabelKeys and labelSelector")
