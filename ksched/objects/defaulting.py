"""What the api-server fills in when an object is written, before validation and whatever the cluster's state.

The static defaults of upstream v1.30: pkg/apis/{core,apps,batch,storage,scheduling,discovery}/v1/defaults.go. Defaults
of admission plugins (tolerations, priorities, service accounts) and allocated values (cluster IPs, uids) belong to the
api-server model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from .base import IdentityCache, KubeModel
from .meta import KubeObject
from .namespace import Namespace
from .networking import EndpointSlice, Service, ServicePort
from .node import Node, NodeStatus
from .pod import Container, ContainerPort, Pod, PodSpec, PodTemplateSpec, Probe
from .quantity import Quantity
from .scheduling import PriorityClass
from .storage import CSIDriver, PersistentVolume, PersistentVolumeClaim, StorageClass
from .storage_claims import PersistentVolumeClaimSpec
from .volumes import VOLUME_SOURCES, AzureDiskVolumeSource, EphemeralVolumeSource, RBDVolumeSource, Volume
from .workloads import (
    ClaimRetentionPolicy,
    CronJob,
    DaemonSet,
    Deployment,
    Job,
    ReplicaSet,
    ReplicationController,
    RollingUpdate,
    StatefulSet,
    UpdateStrategy,
)

DEFAULT_NAMESPACE: Final = "default"
DEFAULT_SCHEDULER: Final = "default-scheduler"
NAMESPACE_NAME_LABEL: Final = "kubernetes.io/metadata.name"

_KO = TypeVar("_KO", bound=KubeObject)
_M = TypeVar("_M", bound=KubeModel)
_E = TypeVar("_E")


def default(obj: _KO) -> _KO:
    """``obj`` with everything the api-server would fill in. Idempotent; the same object when nothing is missing."""
    rule = _RULES.get(type(obj))
    if rule is not None:
        obj = rule(obj)
    if type(obj).NAMESPACED and not obj.metadata.namespace:
        obj = obj.replaced(metadata=obj.metadata.replaced(namespace=DEFAULT_NAMESPACE))
    return obj


def _filled(model: _M, **defaults: Any) -> _M:
    """``model`` with ``defaults`` where it has None (or an empty list); the same model when nothing is missing."""
    missing = {name: value for name, value in defaults.items() if getattr(model, name) in (None, (), "")}
    return model.replaced(**missing) if missing else model


def _with(model: _M, **values: Any) -> _M:
    """``model`` with the values that are other objects than its own; the same model when all are its own."""
    changed = {name: value for name, value in values.items() if getattr(model, name) is not value}
    return model.replaced(**changed) if changed else model


def _each(items: tuple[_E, ...], rule: Callable[[_E], _E]) -> tuple[_E, ...]:
    """``items`` after ``rule``; the same tuple when the rule changed none."""
    new = tuple(rule(item) for item in items)
    return new if any(a is not b for a, b in zip(items, new, strict=True)) else items


def _rounded(resources: dict[str, Quantity]) -> dict[str, Quantity]:
    """A resource list rounded up to thousandths; the same dict when it is already."""
    new = {name: quantity.rounded_up_to_milli() for name, quantity in resources.items()}
    return new if any(new[name] is not resources[name] for name in new) else resources


# --- pods -----------------------------------------------------------------------------------------------------------

_C = TypeVar("_C", bound=Container)
_template_specs: IdentityCache[PodSpec, PodSpec] = IdentityCache()
_pod_specs: IdentityCache[PodSpec, PodSpec] = IdentityCache()


def default_pod_spec(spec: PodSpec) -> PodSpec:
    """The spec of a pod with its defaults; cached by identity."""
    known = _pod_specs.get(spec)
    if known is None:
        known = _pod_specs.put(spec, _pod_spec(default_template_spec(spec)))
        _pod_specs.put(known, known)
    return known


def default_template_spec(spec: PodSpec) -> PodSpec:
    """The spec of a pod template with its defaults; cached by identity.

    Requests are not taken from limits, nor host ports from container ports, before a pod is made of the template.
    """
    known = _template_specs.get(spec)
    if known is None:
        known = _template_specs.put(spec, _template_spec(spec))
        _template_specs.put(known, known)
    return known


def _pod_spec(spec: PodSpec) -> PodSpec:
    host_network = bool(spec.host_network)
    spec = _with(
        spec,
        containers=_each(spec.containers, lambda c: _container_of_pod(c, host_network)),
        init_containers=_each(spec.init_containers, lambda c: _container_of_pod(c, host_network)),
    )
    return _filled(spec, enable_service_links=True)


def _container_of_pod(container: Container, host_network: bool) -> Container:
    resources = container.resources
    missing = [name for name in resources.limits if name not in resources.requests]
    if missing:
        requests = resources.requests | {name: resources.limits[name] for name in missing}
        container = container.replaced(resources=resources.replaced(requests=requests))
    if host_network:
        container = _with(container, ports=_each(container.ports, _host_port))
    return container


def _host_port(port: ContainerPort) -> ContainerPort:
    return port if port.host_port or port.container_port is None else port.replaced(host_port=port.container_port)


def _template_spec(spec: PodSpec) -> PodSpec:
    spec = _with(
        spec,
        containers=_each(spec.containers, _container),
        init_containers=_each(spec.init_containers, _container),
        ephemeral_containers=_each(spec.ephemeral_containers, _container),
        overhead=_rounded(spec.overhead),
        volumes=_each(spec.volumes, _volume),
    )
    return _filled(
        spec,
        dns_policy="ClusterFirst",
        restart_policy="Always",
        security_context={},
        termination_grace_period_seconds=30,
        scheduler_name=DEFAULT_SCHEDULER,
        # serviceAccount is the old name of the same field; either gives the other.
        **{"service_account_name": spec.service_account} if spec.service_account else {},
        **{"service_account": spec.service_account_name} if spec.service_account_name else {},
    )


def _container(container: _C) -> _C:
    resources = container.resources
    container = _with(
        container,
        resources=_with(resources, limits=_rounded(resources.limits), requests=_rounded(resources.requests)),
        ports=_each(container.ports, lambda port: _filled(port, protocol="TCP")),
        liveness_probe=container.liveness_probe and _probe(container.liveness_probe),
        readiness_probe=container.readiness_probe and _probe(container.readiness_probe),
        startup_probe=container.startup_probe and _probe(container.startup_probe),
    )
    return _filled(
        container,
        termination_message_path="/dev/termination-log",
        termination_message_policy="File",
        image_pull_policy=image_pull_policy(container.image or ""),
    )


def image_pull_policy(image: str) -> str:
    """Always for the tag ``latest`` (also when there is neither tag nor digest), else IfNotPresent."""
    name, _, digest = image.partition("@")
    tag = name.rpartition("/")[2].partition(":")[2]
    if digest:
        return "Always" if tag == "latest" else "IfNotPresent"
    return "Always" if tag in ("", "latest") else "IfNotPresent"


def _probe(probe: Probe) -> Probe:
    probe = _with(probe, http_get=probe.http_get and _filled(probe.http_get, path="/", scheme="HTTP"))
    # Zero counts as missing: these are no pointers upstream.
    defaults = {"timeout_seconds": 1, "period_seconds": 10, "success_threshold": 1, "failure_threshold": 3}
    missing = {name: value for name, value in defaults.items() if not getattr(probe, name)}
    return probe.replaced(**missing) if missing else probe


def _pod(pod: Pod) -> Pod:
    return _with(pod, spec=default_pod_spec(pod.spec))


def _template(template: PodTemplateSpec) -> PodTemplateSpec:
    return _with(template, spec=default_template_spec(template.spec))


# --- volumes and storage --------------------------------------------------------------------------------------------


def _volume(volume: Volume) -> Volume:
    if all(getattr(volume, source) is None for source in VOLUME_SOURCES):
        return volume.replaced(empty_dir={})
    return _with(
        volume,
        ephemeral=volume.ephemeral and _ephemeral(volume.ephemeral),
        iscsi=volume.iscsi and _filled(volume.iscsi, iscsi_interface="default"),
        rbd=volume.rbd and _rbd(volume.rbd),
        azure_disk=volume.azure_disk and _azure_disk(volume.azure_disk),
    )


def _rbd(source: RBDVolumeSource) -> RBDVolumeSource:
    return _filled(source, pool="rbd", user="admin", keyring="/etc/ceph/keyring")


def _azure_disk(source: AzureDiskVolumeSource) -> AzureDiskVolumeSource:
    return _filled(source, caching_mode="ReadWrite", kind="Shared", fs_type="ext4", read_only=False)


def _ephemeral(source: EphemeralVolumeSource) -> EphemeralVolumeSource:
    template = source.volume_claim_template
    if template is None or template.spec is None:
        return source
    return _with(source, volume_claim_template=_with(template, spec=_claim_spec(template.spec)))


def _claim_spec(spec: PersistentVolumeClaimSpec) -> PersistentVolumeClaimSpec:
    resources = spec.resources
    if resources is not None:
        resources = _with(resources, limits=_rounded(resources.limits), requests=_rounded(resources.requests))
    return _filled(_with(spec, resources=resources), volume_mode="Filesystem")


def _claim(claim: PersistentVolumeClaim) -> PersistentVolumeClaim:
    status = _with(claim.status, capacity=_rounded(claim.status.capacity))
    return _with(claim, spec=_claim_spec(claim.spec), status=_filled(status, phase="Pending"))


def _persistent_volume(volume: PersistentVolume) -> PersistentVolume:
    spec = _with(
        volume.spec,
        capacity=_rounded(volume.spec.capacity),
        iscsi=volume.spec.iscsi and _filled(volume.spec.iscsi, iscsi_interface="default"),
        rbd=volume.spec.rbd and _rbd(volume.spec.rbd),
        azure_disk=volume.spec.azure_disk and _azure_disk(volume.spec.azure_disk),
    )
    spec = _filled(spec, persistent_volume_reclaim_policy="Retain", volume_mode="Filesystem")
    return _with(volume, spec=spec, status=_filled(volume.status, phase="Pending"))


def _storage_class(storage_class: StorageClass) -> StorageClass:
    return _filled(storage_class, reclaim_policy="Delete", volume_binding_mode="Immediate")


def _csi_driver(driver: CSIDriver) -> CSIDriver:
    spec = _filled(
        driver.spec,
        attach_required=True,
        pod_info_on_mount=False,
        storage_capacity=False,
        fs_group_policy="ReadWriteOnceWithFSType",
        volume_lifecycle_modes=("Persistent",),
        requires_republish=False,
        se_linux_mount=False,
    )
    return _with(driver, spec=spec)


# --- nodes, namespaces, services ------------------------------------------------------------------------------------


_node_statuses: IdentityCache[NodeStatus, NodeStatus] = IdentityCache(1024)


def _node(node: Node) -> Node:
    # Nodes of one kind share their status, until somebody reports on them.
    known = _node_statuses.get(node.status)
    return _with(node, status=_node_statuses.put(node.status, _node_status(node.status)) if known is None else known)


def _node_status(status: NodeStatus) -> NodeStatus:
    capacity, allocatable = _rounded(status.capacity), _rounded(status.allocatable)
    if not allocatable and capacity and not _explicitly_empty(status):
        allocatable = capacity
    return _with(status, capacity=capacity, allocatable=allocatable)


def _explicitly_empty(status: NodeStatus) -> bool:
    """``allocatable: {}`` was written: nothing can be allocated, which differs from a missing allocatable."""
    return "allocatable" in status.model_fields_set and status.to_dict().get("allocatable") is not None


def _namespace(namespace: Namespace) -> Namespace:
    meta = namespace.metadata
    if meta.name and meta.labels.get(NAMESPACE_NAME_LABEL) != meta.name:
        namespace = namespace.replaced(metadata=meta.replaced(labels={**meta.labels, NAMESPACE_NAME_LABEL: meta.name}))
    return _with(namespace, status=_filled(namespace.status, phase="Active"))


def _service(service: Service) -> Service:
    spec = _filled(service.spec, session_affinity="None", type="ClusterIP")
    spec = _with(spec, ports=_each(spec.ports, _service_port))
    if spec.session_affinity == "ClientIP":
        spec = _filled(spec, session_affinity_config={"clientIP": {"timeoutSeconds": 10800}})
    if spec.type in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec = _filled(spec, internal_traffic_policy="Cluster")
    if spec.type in ("NodePort", "LoadBalancer"):
        spec = _filled(spec, external_traffic_policy="Cluster")
    if spec.type == "LoadBalancer":
        spec = _filled(spec, allocate_load_balancer_node_ports=True)
    return _with(service, spec=spec)


def _service_port(port: ServicePort) -> ServicePort:
    port = _filled(port, protocol="TCP")
    return port.replaced(target_port=port.port) if port.target_port in (None, 0, "") and port.port else port


def _endpoint_slice(endpoints: EndpointSlice) -> EndpointSlice:
    return _with(endpoints, ports=_each(endpoints.ports, lambda port: _filled(port, name="", protocol="TCP")))


def _priority_class(priority_class: PriorityClass) -> PriorityClass:
    return _filled(priority_class, preemption_policy="PreemptLowerPriority")


# --- workloads ------------------------------------------------------------------------------------------------------


def _deployment(deployment: Deployment) -> Deployment:
    spec = _filled(deployment.spec, replicas=1, revision_history_limit=10, progress_deadline_seconds=600)
    strategy = _filled(spec.strategy or UpdateStrategy(), type="RollingUpdate")
    if strategy.type == "RollingUpdate":
        rolling = _filled(strategy.rolling_update or RollingUpdate(), max_unavailable="25%", max_surge="25%")
        strategy = _with(strategy, rolling_update=rolling)
    return _with(deployment, spec=_with(spec, strategy=strategy, template=_template(spec.template)))


def _replica_set(replica_set: ReplicaSet) -> ReplicaSet:
    spec = _filled(replica_set.spec, replicas=1)
    return _with(replica_set, spec=_with(spec, template=_template(spec.template)))


def _replication_controller(controller: ReplicationController) -> ReplicationController:
    spec = _filled(controller.spec, replicas=1)
    if spec.template is not None:
        labels = spec.template.metadata.labels
        spec = _with(spec, template=_template(spec.template), selector=spec.selector or labels)
        if labels and not controller.metadata.labels:
            controller = controller.replaced(metadata=controller.metadata.replaced(labels=labels))
    return _with(controller, spec=spec)


def _stateful_set(stateful_set: StatefulSet) -> StatefulSet:
    spec = _filled(stateful_set.spec, replicas=1, revision_history_limit=10, pod_management_policy="OrderedReady")
    strategy = _filled(spec.update_strategy or UpdateStrategy(), type="RollingUpdate")
    if strategy.type == "RollingUpdate":
        strategy = _with(strategy, rolling_update=_filled(strategy.rolling_update or RollingUpdate(), partition=0))
    retention = _filled(
        spec.persistent_volume_claim_retention_policy or ClaimRetentionPolicy(),
        when_deleted="Retain",
        when_scaled="Retain",
    )
    spec = _with(
        spec,
        update_strategy=strategy,
        persistent_volume_claim_retention_policy=retention,
        template=_template(spec.template),
        volume_claim_templates=_each(spec.volume_claim_templates, _claim),
    )
    return _with(stateful_set, spec=spec)


def _daemon_set(daemon_set: DaemonSet) -> DaemonSet:
    spec = _filled(daemon_set.spec, revision_history_limit=10)
    strategy = _filled(spec.update_strategy or UpdateStrategy(), type="RollingUpdate")
    if strategy.type == "RollingUpdate":
        rolling = _filled(strategy.rolling_update or RollingUpdate(), max_unavailable=1, max_surge=0)
        strategy = _with(strategy, rolling_update=rolling)
    return _with(daemon_set, spec=_with(spec, update_strategy=strategy, template=_template(spec.template)))


def _job(job: Job) -> Job:
    spec = job.spec
    if spec.completions is None and spec.parallelism is None:
        spec = spec.replaced(completions=1)
    spec = _filled(
        spec,
        parallelism=1,
        # With a limit per index the overall limit is out of the way.
        backoff_limit=6 if spec.backoff_limit_per_index is None else 2**31 - 1,
        completion_mode="NonIndexed",
        suspend=False,
        pod_replacement_policy="TerminatingOrFailed" if spec.pod_failure_policy is None else "Failed",
    )
    labels = spec.template.metadata.labels
    if labels and not job.metadata.labels:
        job = job.replaced(metadata=job.metadata.replaced(labels=labels))
    return _with(job, spec=_with(spec, template=_template(spec.template)))


def _cron_job(cron_job: CronJob) -> CronJob:
    spec = _filled(
        cron_job.spec,
        concurrency_policy="Allow",
        suspend=False,
        successful_jobs_history_limit=3,
        failed_jobs_history_limit=1,
    )
    # The Jobs get the defaults of Jobs when they are made; only the pod template has its own here.
    job = spec.job_template.spec
    job_template = _with(spec.job_template, spec=_with(job, template=_template(job.template)))
    return _with(cron_job, spec=_with(spec, job_template=job_template))


_RULES: Final[dict[type[KubeObject], Callable[[Any], Any]]] = {
    Pod: _pod,
    Node: _node,
    Namespace: _namespace,
    Service: _service,
    EndpointSlice: _endpoint_slice,
    PriorityClass: _priority_class,
    Deployment: _deployment,
    ReplicaSet: _replica_set,
    ReplicationController: _replication_controller,
    StatefulSet: _stateful_set,
    DaemonSet: _daemon_set,
    Job: _job,
    CronJob: _cron_job,
    PersistentVolume: _persistent_volume,
    PersistentVolumeClaim: _claim,
    StorageClass: _storage_class,
    CSIDriver: _csi_driver,
}
