"""Pods and everything inside a pod (k8s.io/api/core/v1, v1.30)."""

from typing import Any

from pydantic import Field

from .base import Bool, Int, IntOrStr, KubeModel, Many, ResourceList, Str, StrMap, Struct
from .meta import Condition, KubeObject, LabelSelector, LocalObjectReference, ObjectMeta, ObjectReference
from .selectors import NodeSelector, PreferredSchedulingTerm
from .volumes import Volume


class ResourceClaimReference(KubeModel):
    """Names an entry of ``spec.resourceClaims`` a container uses."""

    name: Str | None = None


class ResourceRequirements(KubeModel):
    """What a container asks for (``requests``) and may use at most (``limits``)."""

    limits: ResourceList = Field(default_factory=dict)
    requests: ResourceList = Field(default_factory=dict)
    claims: Many[ResourceClaimReference] = ()


class ContainerPort(KubeModel):
    """A port of a container; ``host_port`` also takes that port of the node."""

    name: Str | None = None
    container_port: Int | None = None
    host_port: Int | None = None
    host_ip: Str | None = Field(default=None, alias="hostIP")
    protocol: Str | None = None


class EnvVar(KubeModel):
    """An environment variable."""

    name: Str | None = None
    value: Str | None = None
    value_from: Any = None


class VolumeMount(KubeModel):
    """Where a volume appears in a container."""

    name: Str | None = None
    read_only: Bool | None = None
    recursive_read_only: Str | None = None
    mount_path: Str | None = None
    sub_path: Str | None = None
    mount_propagation: Str | None = None
    sub_path_expr: Str | None = None


class VolumeDevice(KubeModel):
    """Where a raw block volume appears in a container."""

    name: Str | None = None
    device_path: Str | None = None


class HTTPGetAction(KubeModel):
    """A probe by HTTP GET."""

    path: Str | None = None
    port: IntOrStr | None = None
    host: Str | None = None
    scheme: Str | None = None
    http_headers: Any = None


class TCPSocketAction(KubeModel):
    """A probe by opening a connection."""

    port: IntOrStr | None = None
    host: Str | None = None


class GRPCAction(KubeModel):
    """A probe by gRPC's health protocol."""

    port: Int | None = None
    service: Str | None = None


class ExecAction(KubeModel):
    """A probe or hook by command."""

    command: Many[Str] = ()


class Probe(KubeModel):
    """How and how often a container's health is asked for."""

    exec: ExecAction | None = None
    http_get: HTTPGetAction | None = None
    tcp_socket: TCPSocketAction | None = None
    grpc: GRPCAction | None = None
    initial_delay_seconds: Int | None = None
    timeout_seconds: Int | None = None
    period_seconds: Int | None = None
    success_threshold: Int | None = None
    failure_threshold: Int | None = None
    termination_grace_period_seconds: Int | None = None


class Container(KubeModel):
    """One container; in ``init_containers`` a ``restart_policy`` of Always makes it a sidecar."""

    name: Str | None = None
    image: Str | None = None
    command: Many[Str] = ()
    args: Many[Str] = ()
    working_dir: Str | None = None
    ports: Many[ContainerPort] = ()
    env_from: Any = None
    env: Many[EnvVar] = ()
    resources: Struct[ResourceRequirements] = Field(default_factory=ResourceRequirements)
    resize_policy: Any = None
    restart_policy: Str | None = None
    volume_mounts: Many[VolumeMount] = ()
    volume_devices: Many[VolumeDevice] = ()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    startup_probe: Probe | None = None
    lifecycle: Any = None
    termination_message_path: Str | None = None
    termination_message_policy: Str | None = None
    image_pull_policy: Str | None = None
    security_context: Any = None
    stdin: Bool | None = None
    stdin_once: Bool | None = None
    tty: Bool | None = None


class EphemeralContainer(Container):
    """A debugging container added to a running pod; it has no resources."""

    target_container_name: Str | None = None


class Toleration(KubeModel):
    """Lets a pod onto nodes with matching taints; see :func:`ksched.objects.tolerations.tolerates`."""

    key: Str | None = None
    operator: Str | None = None
    value: Str | None = None
    effect: Str | None = None
    toleration_seconds: Int | None = None


class NodeAffinity(KubeModel):
    """Which nodes a pod requires or prefers."""

    required_during_scheduling_ignored_during_execution: NodeSelector | None = None
    preferred_during_scheduling_ignored_during_execution: Many[PreferredSchedulingTerm] = ()


class PodAffinityTerm(KubeModel):
    """Pods (by labels and namespaces) near which, by ``topology_key``, this pod belongs (or does not)."""

    label_selector: LabelSelector | None = None
    namespaces: Many[Str] = ()
    topology_key: Str | None = None
    namespace_selector: LabelSelector | None = None
    match_label_keys: Many[Str] = ()
    mismatch_label_keys: Many[Str] = ()


class WeightedPodAffinityTerm(KubeModel):
    """A pod affinity term with a weight of 1 to 100."""

    weight: Int | None = None
    pod_affinity_term: PodAffinityTerm | None = None


class PodAffinity(KubeModel):
    """Near which pods this one must or should run."""

    required_during_scheduling_ignored_during_execution: Many[PodAffinityTerm] = ()
    preferred_during_scheduling_ignored_during_execution: Many[WeightedPodAffinityTerm] = ()


class PodAntiAffinity(KubeModel):
    """Away from which pods this one must or should run."""

    required_during_scheduling_ignored_during_execution: Many[PodAffinityTerm] = ()
    preferred_during_scheduling_ignored_during_execution: Many[WeightedPodAffinityTerm] = ()


class Affinity(KubeModel):
    """All affinity of a pod."""

    node_affinity: NodeAffinity | None = None
    pod_affinity: PodAffinity | None = None
    pod_anti_affinity: PodAntiAffinity | None = None


class TopologySpreadConstraint(KubeModel):
    """How evenly matching pods are spread over the domains of ``topology_key``."""

    max_skew: Int | None = None
    topology_key: Str | None = None
    when_unsatisfiable: Str | None = None
    label_selector: LabelSelector | None = None
    min_domains: Int | None = None
    node_affinity_policy: Str | None = None
    node_taints_policy: Str | None = None
    match_label_keys: Many[Str] = ()


class PodSchedulingGate(KubeModel):
    """While a pod has gates it is not scheduled."""

    name: Str | None = None


class HostAlias(KubeModel):
    """An entry of the pod's hosts file."""

    ip: Str | None = None
    hostnames: Many[Str] = ()


class PodReadinessGate(KubeModel):
    """A condition that must be true before the pod is ready."""

    condition_type: Str | None = None


class PodOS(KubeModel):
    """Operating system of the containers."""

    name: Str | None = None


class PodSpec(KubeModel):
    """What is to run, and where it may."""

    volumes: Many[Volume] = ()
    init_containers: Many[Container] = ()
    containers: Many[Container] = ()
    ephemeral_containers: Many[EphemeralContainer] = ()
    restart_policy: Str | None = None
    termination_grace_period_seconds: Int | None = None
    active_deadline_seconds: Int | None = None
    dns_policy: Str | None = None
    node_selector: StrMap = Field(default_factory=dict)
    service_account_name: Str | None = None
    service_account: Str | None = None
    automount_service_account_token: Bool | None = None
    node_name: Str | None = None
    host_network: Bool | None = None
    host_pid: Bool | None = Field(default=None, alias="hostPID")
    host_ipc: Bool | None = Field(default=None, alias="hostIPC")
    share_process_namespace: Bool | None = None
    security_context: Any = None
    image_pull_secrets: Many[LocalObjectReference] = ()
    hostname: Str | None = None
    subdomain: Str | None = None
    affinity: Affinity | None = None
    scheduler_name: Str | None = None
    tolerations: Many[Toleration] = ()
    host_aliases: Many[HostAlias] = ()
    priority_class_name: Str | None = None
    priority: Int | None = None
    dns_config: Any = None
    readiness_gates: Many[PodReadinessGate] = ()
    runtime_class_name: Str | None = None
    enable_service_links: Bool | None = None
    preemption_policy: Str | None = None
    overhead: ResourceList = Field(default_factory=dict)
    topology_spread_constraints: Many[TopologySpreadConstraint] = ()
    set_hostname_as_fqdn: Bool | None = Field(default=None, alias="setHostnameAsFQDN")
    os: PodOS | None = None
    host_users: Bool | None = None
    scheduling_gates: Many[PodSchedulingGate] = ()
    resource_claims: Any = None


class ContainerStateWaiting(KubeModel):
    """Why a container is not running yet."""

    reason: Str | None = None
    message: Str | None = None


class ContainerStateRunning(KubeModel):
    """Since when a container runs."""

    started_at: Str | None = None


class ContainerStateTerminated(KubeModel):
    """How a container ended."""

    exit_code: Int | None = None
    signal: Int | None = None
    reason: Str | None = None
    message: Str | None = None
    started_at: Str | None = None
    finished_at: Str | None = None
    container_id: Str | None = Field(default=None, alias="containerID")


class ContainerState(KubeModel):
    """One of three; none set means waiting."""

    waiting: ContainerStateWaiting | None = None
    running: ContainerStateRunning | None = None
    terminated: ContainerStateTerminated | None = None


class ContainerStatus(KubeModel):
    """What the kubelet reports of one container."""

    name: Str | None = None
    state: ContainerState | None = None
    last_state: ContainerState | None = None
    ready: Bool | None = None
    restart_count: Int | None = None
    image: Str | None = None
    image_id: Str | None = Field(default=None, alias="imageID")
    container_id: Str | None = Field(default=None, alias="containerID")
    started: Bool | None = None
    allocated_resources: ResourceList = Field(default_factory=dict)
    resources: ResourceRequirements | None = None
    volume_mounts: Any = None


class PodStatus(KubeModel):
    """What the cluster reports of a pod."""

    phase: Str | None = None
    conditions: Many[Condition] = ()
    message: Str | None = None
    reason: Str | None = None
    nominated_node_name: Str | None = None
    host_ip: Str | None = Field(default=None, alias="hostIP")
    host_ips: Any = Field(default=None, alias="hostIPs")
    pod_ip: Str | None = Field(default=None, alias="podIP")
    pod_ips: Any = Field(default=None, alias="podIPs")
    start_time: Str | None = None
    init_container_statuses: Many[ContainerStatus] = ()
    container_statuses: Many[ContainerStatus] = ()
    ephemeral_container_statuses: Many[ContainerStatus] = ()
    qos_class: Str | None = None
    resize: Str | None = None
    resource_claim_statuses: Any = None


class Pod(KubeObject):
    """The smallest thing that is scheduled."""

    KIND = "Pod"
    API_VERSION = "v1"
    PLURAL = "pods"

    spec: Struct[PodSpec] = Field(default_factory=PodSpec)
    status: Struct[PodStatus] = Field(default_factory=PodStatus)


class PodTemplateSpec(KubeModel):
    """What a controller makes pods of."""

    metadata: Struct[ObjectMeta] = Field(default_factory=ObjectMeta)
    spec: Struct[PodSpec] = Field(default_factory=PodSpec)


class Binding(KubeObject):
    """Puts the pod of this name onto the node ``target`` names; its annotations are merged into the pod."""

    KIND = "Binding"
    API_VERSION = "v1"
    PLURAL = "bindings"

    target: Struct[ObjectReference] = Field(default_factory=ObjectReference)
