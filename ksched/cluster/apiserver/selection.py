"""Which objects a list or watch is about: namespace, label selector and field selector together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

from ksched.cluster.apiserver.errors import bad_request
from ksched.objects.meta import LabelSelector
from ksched.objects.selectors import LabelSelectorMatcher

FieldGetter = Callable[[Any], str | None]
"""None stands for ""."""
Predicate = Callable[[Any], bool]

field_node_name: FieldGetter = attrgetter("spec.node_name")
"""``spec.nodeName``, None for a pod not bound."""


# pkg/apis/<group>/v1/conversion.go registers per kind which fields may be selected by.
_COMMON: dict[str, FieldGetter] = {
    "metadata.name": attrgetter("metadata.name"),
    "metadata.namespace": attrgetter("metadata.namespace"),
}
_BY_KIND: dict[str, dict[str, FieldGetter]] = {
    "Pod": {
        "spec.nodeName": field_node_name,
        "spec.schedulerName": attrgetter("spec.scheduler_name"),
        "spec.restartPolicy": attrgetter("spec.restart_policy"),
        "status.phase": attrgetter("status.phase"),
    },
    "Node": {"spec.unschedulable": lambda node: "true" if node.spec and node.spec.unschedulable else "false"},
    "Job": {"status.successful": lambda job: str((job.status and job.status.succeeded) or 0)},
}


class FieldSelector:
    """A comma-separated list of ``field=value``, ``field==value`` and ``field!=value``; all must hold."""

    def __init__(self, kind: str, text: str) -> None:
        self._equal: list[tuple[str, FieldGetter, str]] = []
        self._not_equal: dict[str, tuple[FieldGetter, set[str]]] = {}
        known = _COMMON | _BY_KIND.get(kind, {})
        for part in filter(None, (piece.strip() for piece in text.split(","))):
            field, operator, value = part.partition("!=")
            if not operator:
                field, operator, value = part.partition("==" if "==" in part else "=")
            if not operator:
                raise bad_request(f"invalid field selector: '{text}'; can't understand '{part}'")
            if field not in known:
                raise bad_request(f'field label not supported for {kind}: "{field}"; supported: {", ".join(known)}')
            if operator == "!=":
                self._not_equal.setdefault(field, (known[field], set()))[1].add(value)
            else:
                self._equal.append((field, known[field], value))

    def tests(self) -> list[Predicate]:
        """The requirements as functions; all must be true of an object."""
        return [
            *(_equals(getter, value) for _, getter, value in self._equal),
            *(_differs(getter, values) for getter, values in self._not_equal.values()),
        ]

    def exact(self, field: str) -> str | None:
        """The value ``field`` is required to equal, if there is such a requirement."""
        for name, _, value in self._equal:
            if name == field:
                return value
        return None

    @property
    def is_one_equality(self) -> bool:
        """True when one field must equal one value and that is all."""
        return len(self._equal) == 1 and not self._not_equal


class Selection:
    """Everything a list or watch asks for. Raises ApiError 400 for selectors that make no sense."""

    __slots__ = ("everything", "fields", "is_one_field", "matches", "namespace")

    def __init__(
        self,
        kind: str,
        namespace: str | None = None,
        label_selector: LabelSelector | Mapping[str, str] | None = None,
        field_selector: str | None = None,
    ) -> None:
        self.namespace = namespace
        self.fields = FieldSelector(kind, field_selector) if field_selector else None
        tests = self.fields.tests() if self.fields is not None else []
        if namespace is not None:
            tests.append(lambda obj: obj.metadata.namespace == namespace)
        if label_selector is not None:
            labels = LabelSelectorMatcher(label_selector)
            tests.append(lambda obj: labels.matches(obj.metadata.labels))
        self.everything = not tests
        self.is_one_field = self.fields is not None and self.fields.is_one_equality and len(tests) == 1
        # Every change is put to every watch, so a single test is asked without a detour.
        self.matches: Predicate = tests[0] if len(tests) == 1 else _all_of(tests)
        """True of the objects asked for."""


def _equals(getter: FieldGetter, value: str) -> Predicate:
    if not value:
        return lambda obj: not getter(obj)
    return lambda obj: getter(obj) == value


def _differs(getter: FieldGetter, values: set[str]) -> Predicate:
    unwanted = values | {None} if "" in values else values
    return lambda obj: getter(obj) not in unwanted


def _all_of(tests: Sequence[Predicate]) -> Predicate:
    def matches(obj: Any) -> bool:
        for test in tests:  # noqa: SIM110 - a generator costs more than the tests
            if not test(obj):
                return False
        return True

    return matches
