"""Namespaces (k8s.io/api/core/v1)."""

from pydantic import Field

from .base import KubeModel, Many, Str, Struct
from .meta import Condition, KubeObject


class NamespaceSpec(KubeModel):
    """Finalizers that hold up deletion."""

    finalizers: Many[Str] = ()


class NamespaceStatus(KubeModel):
    """Active or Terminating."""

    phase: Str | None = None
    conditions: Many[Condition] = ()


class Namespace(KubeObject):
    """Groups names; its labels are what ``namespaceSelector`` reads."""

    KIND = "Namespace"
    API_VERSION = "v1"
    PLURAL = "namespaces"
    NAMESPACED = False

    spec: Struct[NamespaceSpec] = Field(default_factory=NamespaceSpec)
    status: Struct[NamespaceStatus] = Field(default_factory=NamespaceStatus)
