"""What the api-server refuses: one rule set per kind, after defaulting.

From upstream v1.30's pkg/apis/*/validation, as far as the modelled cluster can be confused by the input. Messages have
the api-server's form (``spec.containers[0].name: Required value``); the wording after it is our own. Amounts are also
bounded to what int64 score arithmetic bears (:data:`ksched.objects.validation.quantities.MAX_AMOUNT`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ksched.errors import InputError
from ksched.objects.base import IdentityCache
from ksched.objects.gpu import GPU_INDEX_ANNOTATION, device_indices
from ksched.objects.meta import KubeObject
from ksched.objects.namespace import Namespace
from ksched.objects.networking import EndpointSlice, Service
from ksched.objects.node import Node
from ksched.objects.pod import Binding, Pod, PodSpec
from ksched.objects.policy import PodDisruptionBudget
from ksched.objects.scheduling import PriorityClass
from ksched.objects.storage import CSINode, PersistentVolume, PersistentVolumeClaim, StorageClass
from ksched.objects.workloads import (
    CronJob,
    DaemonSet,
    Deployment,
    Job,
    ReplicaSet,
    ReplicationController,
    StatefulSet,
)

from . import nodes, others, pods, workloads
from .field_errors import FieldErrors
from .metadata import check_metadata

__all__ = ["FieldErrors", "validate"]

_valid_specs: IdentityCache[PodSpec, bool] = IdentityCache()


def validate(obj: KubeObject) -> None:
    """InputError listing every violated rule with its dotted path; nothing when the object is valid.

    Meant for defaulted objects; what defaulting fills in is not required here.
    """
    errors = FieldErrors()
    check_metadata(errors, obj)
    rule = _RULES.get(type(obj))
    if rule is not None:
        rule(errors, obj)
    if errors:
        raise errors.as_input_error(f'{type(obj).KIND} "{obj.name or obj.metadata.generate_name or ""}"')


def _check_pod(errors: FieldErrors, pod: Pod) -> None:
    if GPU_INDEX_ANNOTATION in pod.metadata.annotations:
        try:
            device_indices(pod)
        except InputError as error:
            errors.forbidden(f"metadata.annotations[{GPU_INDEX_ANNOTATION}]", error.message)
    # Specs are shared between the pods of a template; only valid ones are remembered.
    if _valid_specs.get(pod.spec) is None:
        before = len(errors)
        pods.check_pod_spec(errors, "spec", pod.spec)
        if len(errors) == before:
            _valid_specs.put(pod.spec, True)


_RULES: Final[dict[type[KubeObject], Callable[[FieldErrors, Any], None]]] = {
    Pod: _check_pod,
    Node: nodes.check_node,
    Namespace: others.check_namespace,
    Service: others.check_service,
    EndpointSlice: others.check_endpoint_slice,
    PriorityClass: others.check_priority_class,
    PodDisruptionBudget: others.check_disruption_budget,
    PersistentVolume: others.check_persistent_volume,
    PersistentVolumeClaim: others.check_claim,
    StorageClass: others.check_storage_class,
    CSINode: others.check_csi_node,
    Binding: others.check_binding,
    Deployment: workloads.check_deployment,
    ReplicaSet: workloads.check_replica_set,
    ReplicationController: workloads.check_replication_controller,
    StatefulSet: workloads.check_stateful_set,
    DaemonSet: workloads.check_daemon_set,
    Job: workloads.check_job,
    CronJob: workloads.check_cron_job,
}
