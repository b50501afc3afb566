"""PodDisruptionBudgets (k8s.io/api/policy/v1, v1.30)."""

from pydantic import Field

from .base import Int, IntOrStr, KubeModel, Many, Str, StrMap, Struct
from .meta import Condition, KubeObject, LabelSelector


class PodDisruptionBudgetSpec(KubeModel):
    """How many of the selected pods must stay, or may go (numbers or percentages)."""

    min_available: IntOrStr | None = None
    selector: LabelSelector | None = None
    max_unavailable: IntOrStr | None = None
    unhealthy_pod_eviction_policy: Str | None = None


class PodDisruptionBudgetStatus(KubeModel):
    """How many pods may be disrupted now; ``disrupted_pods`` (name to time) are already counted."""

    observed_generation: Int | None = None
    disrupted_pods: StrMap = Field(default_factory=dict)
    disruptions_allowed: Int | None = None
    current_healthy: Int | None = None
    desired_healthy: Int | None = None
    expected_pods: Int | None = None
    conditions: Many[Condition] = ()


class PodDisruptionBudget(KubeObject):
    """Limits voluntary disruptions of the pods it selects."""

    KIND = "PodDisruptionBudget"
    API_VERSION = "policy/v1"
    PLURAL = "poddisruptionbudgets"

    spec: Struct[PodDisruptionBudgetSpec] = Field(default_factory=PodDisruptionBudgetSpec)
    status: Struct[PodDisruptionBudgetStatus] = Field(default_factory=PodDisruptionBudgetStatus)
