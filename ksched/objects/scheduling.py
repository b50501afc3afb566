"""PriorityClass (k8s.io/api/scheduling/v1) and Lease (k8s.io/api/coordination/v1)."""

from pydantic import Field

from .base import Bool, Int, KubeModel, Str, Struct
from .meta import KubeObject


class PriorityClass(KubeObject):
    """Names a priority."""

    KIND = "PriorityClass"
    API_VERSION = "scheduling.k8s.io/v1"
    PLURAL = "priorityclasses"
    NAMESPACED = False

    value: Int | None = None
    global_default: Bool | None = None
    description: Str | None = None
    preemption_policy: Str | None = None


class LeaseSpec(KubeModel):
    """Who holds a lease and until when."""

    holder_identity: Str | None = None
    lease_duration_seconds: Int | None = None
    acquire_time: Str | None = None
    renew_time: Str | None = None
    lease_transitions: Int | None = None


class Lease(KubeObject):
    """A heartbeat (of nodes) or a lock (of leaders)."""

    KIND = "Lease"
    API_VERSION = "coordination.k8s.io/v1"
    PLURAL = "leases"

    spec: Struct[LeaseSpec] = Field(default_factory=LeaseSpec)
