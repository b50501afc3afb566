"""Rules for metadata, labels and label selectors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ksched.objects.meta import KubeObject, LabelSelector, OwnerReference
from ksched.objects.namespace import Namespace
from ksched.objects.networking import Service
from ksched.objects.selectors import DOES_NOT_EXIST, EXISTS, IN, LABEL_OPERATORS, NOT_IN
from ksched.objects.workloads import CronJob

from . import names
from .field_errors import FieldErrors

# Total size of annotations upstream allows.
_MAX_ANNOTATIONS: Final = 256 * 1024
# A CronJob's Jobs append 11 characters to its name.
_MAX_CRON_JOB_NAME: Final = 52

_NAME_RULES: Final[dict[type[KubeObject], Callable[[str], str | None]]] = {
    Namespace: names.dns_label,
    Service: names.dns_label_1035,
}


def check_metadata(errors: FieldErrors, obj: KubeObject) -> None:
    """Name, namespace, labels, annotations, owners and times."""
    meta = obj.metadata
    _check_name(errors, obj)
    if meta.namespace:
        if not obj.NAMESPACED:
            errors.forbidden("metadata.namespace", f"a {obj.KIND} belongs to no namespace")
        elif (problem := names.dns_label(meta.namespace)) is not None:
            errors.invalid("metadata.namespace", meta.namespace, problem)
    check_labels(errors, "metadata.labels", meta.labels)
    if meta.annotations:
        _check_annotations(errors, meta.annotations)
    if meta.owner_references:
        _check_owners(errors, meta.owner_references)
    for index, finalizer in enumerate(meta.finalizers):
        if (problem := names.qualified_name(finalizer)) is not None:
            errors.invalid(f"metadata.finalizers[{index}]", finalizer, problem)
    for field, time in (
        ("creationTimestamp", meta.creation_timestamp),
        ("deletionTimestamp", meta.deletion_timestamp),
    ):
        if time is not None and (problem := names.rfc3339(time)) is not None:
            errors.invalid(f"metadata.{field}", time, problem)
    errors.at_least("metadata.generation", meta.generation, 0)
    errors.at_least("metadata.deletionGracePeriodSeconds", meta.deletion_grace_period_seconds, 0)


def _check_name(errors: FieldErrors, obj: KubeObject) -> None:
    meta = obj.metadata
    rule = _NAME_RULES.get(type(obj), names.dns_subdomain)
    if not meta.name:
        if not meta.generate_name:
            errors.required("metadata.name", "name or generateName is required")
        # Random letters follow a generateName, so its end is not the end of the name.
        elif (problem := rule(meta.generate_name.rstrip("-.") + "x")) is not None:
            errors.invalid("metadata.generateName", meta.generate_name, problem)
        return
    if (problem := rule(meta.name)) is not None:
        errors.invalid("metadata.name", meta.name, problem)
    elif isinstance(obj, CronJob) and len(meta.name) > _MAX_CRON_JOB_NAME:
        errors.invalid("metadata.name", meta.name, f"must be no more than {_MAX_CRON_JOB_NAME} characters")


def check_labels(errors: FieldErrors, path: str, labels: Mapping[str, str]) -> None:
    """Keys and values of a label map."""
    for key, value in labels.items():
        if (problem := names.qualified_name(key)) is not None:
            errors.invalid(path, key, problem)
        if (problem := names.label_value(value)) is not None:
            errors.invalid(f"{path}[{key}]", value, problem)


def _check_annotations(errors: FieldErrors, annotations: Mapping[str, str]) -> None:
    size = 0
    for key, value in annotations.items():
        size += len(key) + len(value)
        if (problem := names.qualified_name(key.lower())) is not None:
            errors.invalid("metadata.annotations", key, problem)
    if size > _MAX_ANNOTATIONS:
        errors.invalid("metadata.annotations", f"{size} characters", f"must have at most {_MAX_ANNOTATIONS} bytes")


def _check_owners(errors: FieldErrors, owners: tuple[OwnerReference, ...]) -> None:
    controllers = 0
    for index, owner in enumerate(owners):
        path = f"metadata.ownerReferences[{index}]"
        for field, value in (
            ("apiVersion", owner.api_version),
            ("kind", owner.kind),
            ("name", owner.name),
            ("uid", owner.uid),
        ):
            if not value:
                errors.required(f"{path}.{field}")
        controllers += bool(owner.controller)
    if controllers > 1:
        errors.invalid("metadata.ownerReferences", f"{controllers} controllers", "only one owner may be the controller")


def check_label_selector(errors: FieldErrors, path: str, selector: LabelSelector) -> None:
    """Keys, operators and values of a label selector."""
    check_labels(errors, f"{path}.matchLabels", selector.match_labels)
    for index, requirement in enumerate(selector.match_expressions):
        at = f"{path}.matchExpressions[{index}]"
        check_requirement(errors, at, requirement.key, requirement.operator, requirement.values)
        if requirement.operator not in LABEL_OPERATORS:
            errors.unsupported(f"{at}.operator", requirement.operator or "", LABEL_OPERATORS)


def check_requirement(
    errors: FieldErrors, path: str, key: str | None, operator: str | None, values: tuple[str, ...]
) -> None:
    """What label and node selector requirements have in common."""
    if operator in (IN, NOT_IN) and not values:
        errors.required(f"{path}.values", f"must be given when operator is {operator}")
    if operator in (EXISTS, DOES_NOT_EXIST) and values:
        errors.forbidden(f"{path}.values", f"must not be given when operator is {operator}")
    if not key:
        errors.required(f"{path}.key")
    elif (problem := names.qualified_name(key)) is not None:
        errors.invalid(f"{path}.key", key, problem)
    for position, value in enumerate(values):
        if (problem := names.label_value(value)) is not None:
            errors.invalid(f"{path}.values[{position}]", value, problem)
