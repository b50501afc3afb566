"""What happens to an object between the client and the store: defaulting, mutating admission, validation.

Every pod of a template carries the very same spec object, so all three run once per spec and the result is shared by
every pod made of it; per pod only the name and the labels remain to be checked.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ksched.cluster.apiserver.errors import ApiError, invalid
from ksched.cluster.apiserver.strategies import initial_status
from ksched.errors import InputError
from ksched.objects.base import IdentityCache, replacing
from ksched.objects.defaulting import default
from ksched.objects.meta import KubeObject, ObjectMeta
from ksched.objects.pod import Pod, PodSpec, PodStatus, Toleration
from ksched.objects.scheduling import PriorityClass
from ksched.objects.validation import validate

NOT_READY_TAINT = "node.kubernetes.io/not-ready"
UNREACHABLE_TAINT = "node.kubernetes.io/unreachable"

# Built into every cluster (pkg/apis/scheduling/v1/helpers.go).
SYSTEM_PRIORITY_CLASSES = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}

# A process may simulate hundreds of clusters with pods of the same specs. Whatever is remembered of a spec elsewhere is
# found by its identity, and would be computed and kept for every cluster anew.
_COMPLETED: IdentityCache[PodSpec, dict[Any, PodSpec]] = IdentityCache()

_as_admitted = replacing(Pod, "metadata", "spec", "status")


class _Admitted(NamedTuple):
    """What pods of one spec become: the spec completed, and the status of a new pod that has it."""

    spec: PodSpec
    status: PodStatus


class Admission:
    """Prepares new objects. ``priority_classes`` must answer with those that exist now, in order of name."""

    def __init__(self, priority_classes: Any, default_toleration_seconds: int | None) -> None:
        self._priority_classes = priority_classes
        self._toleration_seconds = default_toleration_seconds
        self._specs: IdentityCache[PodSpec, _Admitted] = IdentityCache()

    def forget(self) -> None:
        """The priority classes have changed: what was derived from them no longer holds."""
        self._specs = IdentityCache()

    def admit(self, obj: KubeObject, metadata: ObjectMeta) -> Any:
        """A copy of the object with this metadata, defaulted, completed and checked. Raises ApiError 422 or 403."""
        if isinstance(obj, Pod):
            known = self._specs.entries.get(id(obj.spec))
            spec, status = self._admit_spec(obj.replaced(metadata=metadata)) if known is None else known[1]
            return _as_admitted(obj, {"metadata": metadata, "spec": spec, "status": status})
        defaulted = default(obj.replaced(metadata=metadata))
        check(defaulted)
        return defaulted

    def _admit_spec(self, pod: Pod) -> _Admitted:
        defaulted = default(pod)
        spec = self._completed(defaulted.spec, pod.name)
        check(defaulted.replaced(spec=spec))
        admitted = _Admitted(spec, initial_status(spec))
        self._specs.put(pod.spec, admitted)
        self._specs.put(spec, admitted)
        return admitted

    def _completed(self, spec: PodSpec, pod_name: str) -> PodSpec:
        """The spec with what admission adds: the same object for equal additions, in one cluster or the next."""
        changes = self._priority(spec, pod_name)
        variants = _COMPLETED.get(spec)
        if variants is None:
            variants = _COMPLETED.put(spec, {})
        key = (*changes.items(), self._toleration_seconds)
        found = variants.get(key)
        if found is None:
            found = variants[key] = self._with_tolerations(spec.replaced(**changes))
        return found

    def _priority(self, spec: PodSpec, pod_name: str) -> dict[str, Any]:
        """plugin/pkg/admission/priority: the class decides the number; a number of the user's own must agree.

        The fields to set.
        """
        class_name, policy = spec.priority_class_name or "", None
        if not class_name:
            chosen = self._global_default()
            class_name = chosen.name if chosen is not None else ""
            value = (chosen.value or 0) if chosen is not None else 0
            policy = chosen.preemption_policy if chosen is not None else None
            if chosen is None and spec.priority is not None and spec.priority_class_name is None:
                # Traces give priorities as bare numbers; upstream would refuse any number but the class's.
                value = spec.priority
        elif class_name in SYSTEM_PRIORITY_CLASSES:
            value = SYSTEM_PRIORITY_CLASSES[class_name]
        else:
            found = next((c for c in self._priority_classes() if c.name == class_name), None)
            if found is None:
                message = f'pods "{pod_name}" is forbidden: no PriorityClass with name {class_name} was found'
                raise ApiError(403, "Forbidden", message)
            value, policy = found.value or 0, found.preemption_policy
            if spec.priority is not None and spec.priority != value:
                message = f'pods "{pod_name}" is forbidden: the integer value of priority ({spec.priority}) must not be'
                raise ApiError(
                    403,
                    "Forbidden",
                    f"{message} provided in pod spec; priority admission controller computed {value}",
                )
        changes: dict[str, Any] = {"priority": value}
        if class_name != (spec.priority_class_name or ""):
            changes["priority_class_name"] = class_name
        if spec.preemption_policy is None:
            changes["preemption_policy"] = policy or "PreemptLowerPriority"
        return changes

    def _global_default(self) -> PriorityClass | None:
        best: PriorityClass | None = None
        for candidate in self._priority_classes():
            if candidate.global_default and (best is None or (candidate.value or 0) < (best.value or 0)):
                best = candidate
        return best

    def _with_tolerations(self, spec: PodSpec) -> PodSpec:
        """plugin/pkg/admission/defaulttolerationseconds: a pod outlives its node's silence by some minutes."""
        if self._toleration_seconds is None:
            return spec
        added = tuple(
            Toleration(key=key, operator="Exists", effect="NoExecute", toleration_seconds=self._toleration_seconds)
            for key in (NOT_READY_TAINT, UNREACHABLE_TAINT)
            if not any(_covers(toleration, key) for toleration in spec.tolerations)
        )
        return spec.replaced(tolerations=spec.tolerations + added) if added else spec


def _covers(toleration: Toleration, taint_key: str) -> bool:
    return toleration.key in (taint_key, None, "") and toleration.effect in ("NoExecute", None, "")


def check(obj: KubeObject) -> None:
    """Validate as the api-server does. Raises ApiError 422."""
    try:
        validate(obj)
    except InputError as error:
        raise invalid(obj.KIND, obj.name, str(error)) from None
