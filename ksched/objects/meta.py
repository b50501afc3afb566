"""Metadata shared by all kinds (k8s.io/apimachinery pkg/apis/meta/v1, parts of k8s.io/api/core/v1)."""

from typing import Any, ClassVar

from pydantic import Field

from .base import Bool, Int, KubeModel, Many, Str, StrMap, Struct


class OwnerReference(KubeModel):
    """Which object owns this one; the one with ``controller`` true manages it."""

    api_version: Str | None = None
    kind: Str | None = None
    name: Str | None = None
    uid: Str | None = None
    controller: Bool | None = None
    block_owner_deletion: Bool | None = None


class ObjectMeta(KubeModel):
    """``metadata`` of every object. Times are RFC 3339 text as in the manifest."""

    name: Str | None = None
    generate_name: Str | None = None
    namespace: Str | None = None
    uid: Str | None = None
    resource_version: Str | None = None
    generation: Int | None = None
    creation_timestamp: Str | None = None
    deletion_timestamp: Str | None = None
    deletion_grace_period_seconds: Int | None = None
    labels: StrMap = Field(default_factory=dict)
    annotations: StrMap = Field(default_factory=dict)
    owner_references: Many[OwnerReference] = ()
    finalizers: Many[Str] = ()
    self_link: Str | None = None
    managed_fields: Any = None

    @property
    def controller(self) -> OwnerReference | None:
        """The owner reference of the managing controller, if any."""
        for reference in self.owner_references:
            if reference.controller:
                return reference
        return None


class KubeObject(KubeModel):
    """A top-level object: it has a kind, an apiVersion and metadata.

    Class variables: ``KIND``, ``API_VERSION`` (``group/version``), ``PLURAL`` (its name in api paths),
    ``NAMESPACED``.
    """

    KIND: ClassVar[str] = ""
    API_VERSION: ClassVar[str] = ""
    PLURAL: ClassVar[str] = ""
    NAMESPACED: ClassVar[bool] = True

    api_version: Str = ""
    kind: Str = ""
    metadata: Struct[ObjectMeta] = Field(default_factory=ObjectMeta)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        cls.model_fields["api_version"].default = cls.API_VERSION
        cls.model_fields["kind"].default = cls.KIND

    @property
    def name(self) -> str:
        """``metadata.name``, "" when there is none."""
        return self.metadata.name or ""

    @property
    def namespace(self) -> str:
        """``metadata.namespace``; "" when there is none (cluster-scoped, or not defaulted yet)."""
        return self.metadata.namespace or ""

    @property
    def key(self) -> str:
        """``namespace/name``, or the name alone for cluster-scoped kinds."""
        meta = self.metadata
        name = meta.name or ""
        return f"{meta.namespace or 'default'}/{name}" if self.NAMESPACED else name

    def to_dict(self) -> dict[str, Any]:
        """As :meth:`KubeModel.to_dict`, and always with apiVersion and kind first."""
        return {"apiVersion": self.API_VERSION, "kind": self.KIND, **super().to_dict()}


class LabelSelectorRequirement(KubeModel):
    """One of ``matchExpressions``: operator In, NotIn, Exists or DoesNotExist."""

    key: Str | None = None
    operator: Str | None = None
    values: Many[Str] = ()


class LabelSelector(KubeModel):
    """All of ``match_labels`` and ``match_expressions`` must hold. Empty matches everything."""

    match_labels: StrMap = Field(default_factory=dict)
    match_expressions: Many[LabelSelectorRequirement] = ()


class Condition(KubeModel):
    """A condition of any kind's status (the union of the fields the kinds use)."""

    type: Str | None = None
    status: Str | None = None
    observed_generation: Int | None = None
    last_probe_time: Str | None = None
    last_heartbeat_time: Str | None = None
    last_update_time: Str | None = None
    last_transition_time: Str | None = None
    reason: Str | None = None
    message: Str | None = None


class ObjectReference(KubeModel):
    """A reference to another object."""

    api_version: Str | None = None
    kind: Str | None = None
    namespace: Str | None = None
    name: Str | None = None
    uid: Str | None = None
    resource_version: Str | None = None
    field_path: Str | None = None


class LocalObjectReference(KubeModel):
    """A reference by name within one namespace."""

    name: Str | None = None
