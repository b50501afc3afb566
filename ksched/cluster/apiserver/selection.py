"""Which objects a list or watch is about: namespace, label selector and field selector together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ksched.cluster.apiserver.errors import bad_request
from ksched.objects.meta import KubeObject, LabelSelector
from ksched.objects.selectors import LabelSelectorMatcher

FieldGetter = Callable[[Any], str]


def field_node_name(pod: Any) -> str:
    """``spec.nodeName``, "" for a pod not bound."""
    return (pod.spec.node_name or "") if pod.spec is not None else ""


# pkg/apis/<group>/v1/conversion.go registers per kind which fields may be selected by.
_COMMON: dict[str, FieldGetter] = {
    "metadata.name": lambda obj: obj.metadata.name or "",
    "metadata.namespace": lambda obj: obj.metadata.namespace or "",
}
_BY_KIND: dict[str, dict[str, FieldGetter]] = {
    "Pod": {
        "spec.nodeName": field_node_name,
        "spec.schedulerName": lambda pod: pod.spec.scheduler_name or "",
        "spec.restartPolicy": lambda pod: pod.spec.restart_policy or "",
        "status.phase": lambda pod: (pod.status.phase or "") if pod.status is not None else "",
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

    def matches(self, obj: KubeObject) -> bool:
        """True when every requirement holds for ``obj``."""
        for _, getter, value in self._equal:
            if getter(obj) != value:
                return False
        for getter, unwanted in self._not_equal.values():  # noqa: SIM110 - a generator costs more than the comparison
            if getter(obj) in unwanted:
                return False
        return True

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

    __slots__ = ("everything", "fields", "is_one_field", "labels", "namespace")

    def __init__(
        self,
        kind: str,
        namespace: str | None = None,
        label_selector: LabelSelector | Mapping[str, str] | None = None,
        field_selector: str | None = None,
    ) -> None:
        self.namespace = namespace
        self.labels = LabelSelectorMatcher(label_selector) if label_selector is not None else None
        self.fields = FieldSelector(kind, field_selector) if field_selector else None
        self.everything = namespace is None and self.labels is None and self.fields is None
        one = self.fields is not None and self.fields.is_one_equality
        self.is_one_field = one and namespace is None and self.labels is None

    def matches(self, obj: KubeObject) -> bool:
        """True when ``obj`` is one of those asked for."""
        if self.everything:
            return True
        if self.namespace is not None and obj.metadata.namespace != self.namespace:
            return False
        if self.fields is not None and not self.fields.matches(obj):
            return False
        return self.labels is None or self.labels.matches(obj.metadata.labels)
