"""Controllers of pods: apps/v1, batch/v1 and core/v1's ReplicationController (v1.30)."""

from typing import Any

from pydantic import Field

from .base import Bool, Int, IntOrStr, KubeModel, Many, Str, StrMap, Struct
from .meta import Condition, KubeObject, LabelSelector, ObjectMeta, ObjectReference
from .pod import PodTemplateSpec
from .storage import PersistentVolumeClaim


class RollingUpdate(KubeModel):
    """How many pods may be missing or surplus while a template changes (numbers or percentages)."""

    max_unavailable: IntOrStr | None = None
    max_surge: IntOrStr | None = None
    partition: Int | None = None


class UpdateStrategy(KubeModel):
    """How pods of an old template are replaced: RollingUpdate, Recreate (Deployment) or OnDelete (the others)."""

    type: Str | None = None
    rolling_update: RollingUpdate | None = None


class DeploymentSpec(KubeModel):
    """What a Deployment keeps running."""

    replicas: Int | None = None
    selector: LabelSelector | None = None
    template: Struct[PodTemplateSpec] = Field(default_factory=PodTemplateSpec)
    strategy: UpdateStrategy | None = None
    min_ready_seconds: Int | None = None
    revision_history_limit: Int | None = None
    paused: Bool | None = None
    progress_deadline_seconds: Int | None = None


class DeploymentStatus(KubeModel):
    """What a Deployment has reached."""

    observed_generation: Int | None = None
    replicas: Int | None = None
    updated_replicas: Int | None = None
    ready_replicas: Int | None = None
    available_replicas: Int | None = None
    unavailable_replicas: Int | None = None
    conditions: Many[Condition] = ()
    collision_count: Int | None = None


class Deployment(KubeObject):
    """Keeps a number of equal pods running through ReplicaSets, one per template."""

    KIND = "Deployment"
    API_VERSION = "apps/v1"
    PLURAL = "deployments"

    spec: Struct[DeploymentSpec] = Field(default_factory=DeploymentSpec)
    status: Struct[DeploymentStatus] = Field(default_factory=DeploymentStatus)


class ReplicaSetSpec(KubeModel):
    """What a ReplicaSet keeps running."""

    replicas: Int | None = None
    min_ready_seconds: Int | None = None
    selector: LabelSelector | None = None
    template: Struct[PodTemplateSpec] = Field(default_factory=PodTemplateSpec)


class ReplicaSetStatus(KubeModel):
    """What a ReplicaSet (or ReplicationController) has reached."""

    replicas: Int | None = None
    fully_labeled_replicas: Int | None = None
    ready_replicas: Int | None = None
    available_replicas: Int | None = None
    observed_generation: Int | None = None
    conditions: Many[Condition] = ()


class ReplicaSet(KubeObject):
    """Keeps a number of pods of one template running."""

    KIND = "ReplicaSet"
    API_VERSION = "apps/v1"
    PLURAL = "replicasets"

    spec: Struct[ReplicaSetSpec] = Field(default_factory=ReplicaSetSpec)
    status: Struct[ReplicaSetStatus] = Field(default_factory=ReplicaSetStatus)


class ReplicationControllerSpec(KubeModel):
    """What a ReplicationController keeps running; its selector is a plain map."""

    replicas: Int | None = None
    min_ready_seconds: Int | None = None
    selector: StrMap = Field(default_factory=dict)
    template: PodTemplateSpec | None = None


class ReplicationController(KubeObject):
    """The forerunner of ReplicaSet; default spreading still looks at it."""

    KIND = "ReplicationController"
    API_VERSION = "v1"
    PLURAL = "replicationcontrollers"

    spec: Struct[ReplicationControllerSpec] = Field(default_factory=ReplicationControllerSpec)
    status: Struct[ReplicaSetStatus] = Field(default_factory=ReplicaSetStatus)


class StatefulSetOrdinals(KubeModel):
    """The ordinal of the first pod."""

    start: Int | None = None


class ClaimRetentionPolicy(KubeModel):
    """What becomes of claims when the set is deleted or shrinks: Retain or Delete."""

    when_deleted: Str | None = None
    when_scaled: Str | None = None


class StatefulSetSpec(KubeModel):
    """What a StatefulSet keeps running."""

    replicas: Int | None = None
    selector: LabelSelector | None = None
    template: Struct[PodTemplateSpec] = Field(default_factory=PodTemplateSpec)
    volume_claim_templates: Many[PersistentVolumeClaim] = ()
    service_name: Str | None = None
    pod_management_policy: Str | None = None
    update_strategy: UpdateStrategy | None = None
    revision_history_limit: Int | None = None
    min_ready_seconds: Int | None = None
    persistent_volume_claim_retention_policy: ClaimRetentionPolicy | None = None
    ordinals: StatefulSetOrdinals | None = None


class StatefulSetStatus(KubeModel):
    """What a StatefulSet has reached."""

    observed_generation: Int | None = None
    replicas: Int | None = None
    ready_replicas: Int | None = None
    current_replicas: Int | None = None
    updated_replicas: Int | None = None
    current_revision: Str | None = None
    update_revision: Str | None = None
    collision_count: Int | None = None
    conditions: Many[Condition] = ()
    available_replicas: Int | None = None


class StatefulSet(KubeObject):
    """Pods with lasting names and claims."""

    KIND = "StatefulSet"
    API_VERSION = "apps/v1"
    PLURAL = "statefulsets"

    spec: Struct[StatefulSetSpec] = Field(default_factory=StatefulSetSpec)
    status: Struct[StatefulSetStatus] = Field(default_factory=StatefulSetStatus)


class DaemonSetSpec(KubeModel):
    """What a DaemonSet runs on every eligible node."""

    selector: LabelSelector | None = None
    template: Struct[PodTemplateSpec] = Field(default_factory=PodTemplateSpec)
    update_strategy: UpdateStrategy | None = None
    min_ready_seconds: Int | None = None
    revision_history_limit: Int | None = None


class DaemonSetStatus(KubeModel):
    """What a DaemonSet has reached."""

    current_number_scheduled: Int | None = None
    number_misscheduled: Int | None = None
    desired_number_scheduled: Int | None = None
    number_ready: Int | None = None
    observed_generation: Int | None = None
    updated_number_scheduled: Int | None = None
    number_available: Int | None = None
    number_unavailable: Int | None = None
    collision_count: Int | None = None
    conditions: Many[Condition] = ()


class DaemonSet(KubeObject):
    """One pod on every eligible node."""

    KIND = "DaemonSet"
    API_VERSION = "apps/v1"
    PLURAL = "daemonsets"

    spec: Struct[DaemonSetSpec] = Field(default_factory=DaemonSetSpec)
    status: Struct[DaemonSetStatus] = Field(default_factory=DaemonSetStatus)


class JobSpec(KubeModel):
    """How many pods must run to completion, and how many at once."""

    parallelism: Int | None = None
    completions: Int | None = None
    active_deadline_seconds: Int | None = None
    pod_failure_policy: Any = None
    success_policy: Any = None
    backoff_limit: Int | None = None
    backoff_limit_per_index: Int | None = None
    max_failed_indexes: Int | None = None
    selector: LabelSelector | None = None
    manual_selector: Bool | None = None
    template: Struct[PodTemplateSpec] = Field(default_factory=PodTemplateSpec)
    ttl_seconds_after_finished: Int | None = None
    completion_mode: Str | None = None
    suspend: Bool | None = None
    pod_replacement_policy: Str | None = None
    managed_by: Str | None = None


class UncountedTerminatedPods(KubeModel):
    """Uids of finished pods not yet in the counters."""

    succeeded: Many[Str] = ()
    failed: Many[Str] = ()


class JobStatus(KubeModel):
    """What a Job has reached."""

    conditions: Many[Condition] = ()
    start_time: Str | None = None
    completion_time: Str | None = None
    active: Int | None = None
    succeeded: Int | None = None
    failed: Int | None = None
    terminating: Int | None = None
    completed_indexes: Str | None = None
    failed_indexes: Str | None = None
    uncounted_terminated_pods: UncountedTerminatedPods | None = None
    ready: Int | None = None


class Job(KubeObject):
    """Runs pods until a number of them succeeded."""

    KIND = "Job"
    API_VERSION = "batch/v1"
    PLURAL = "jobs"

    spec: Struct[JobSpec] = Field(default_factory=JobSpec)
    status: Struct[JobStatus] = Field(default_factory=JobStatus)


class JobTemplateSpec(KubeModel):
    """What a CronJob makes Jobs of."""

    metadata: Struct[ObjectMeta] = Field(default_factory=ObjectMeta)
    spec: Struct[JobSpec] = Field(default_factory=JobSpec)


class CronJobSpec(KubeModel):
    """When and which Jobs are made."""

    schedule: Str | None = None
    time_zone: Str | None = None
    starting_deadline_seconds: Int | None = None
    concurrency_policy: Str | None = None
    suspend: Bool | None = None
    job_template: Struct[JobTemplateSpec] = Field(default_factory=JobTemplateSpec)
    successful_jobs_history_limit: Int | None = None
    failed_jobs_history_limit: Int | None = None


class CronJobStatus(KubeModel):
    """Which Jobs run now and when the last was made."""

    active: Many[ObjectReference] = ()
    last_schedule_time: Str | None = None
    last_successful_time: Str | None = None


class CronJob(KubeObject):
    """Makes Jobs by a timetable."""

    KIND = "CronJob"
    API_VERSION = "batch/v1"
    PLURAL = "cronjobs"

    spec: Struct[CronJobSpec] = Field(default_factory=CronJobSpec)
    status: Struct[CronJobStatus] = Field(default_factory=CronJobStatus)
