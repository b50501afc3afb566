"""Specs of persistent volume claims: used by claims, by ephemeral volumes and by StatefulSet templates."""

from typing import Any

from pydantic import Field

from .base import KubeModel, Many, ResourceList, Str
from .meta import LabelSelector


class VolumeResourceRequirements(KubeModel):
    """Requested (and limited) size of a claim, under the resource ``storage``."""

    limits: ResourceList = Field(default_factory=dict)
    requests: ResourceList = Field(default_factory=dict)


class PersistentVolumeClaimSpec(KubeModel):
    """What storage is wanted. ``storage_class_name`` "" differs from None: it asks for a volume without class."""

    access_modes: Many[Str] = ()
    selector: LabelSelector | None = None
    resources: VolumeResourceRequirements | None = None
    volume_name: Str | None = None
    storage_class_name: Str | None = None
    volume_mode: Str | None = None
    data_source: Any = None
    data_source_ref: Any = None
    volume_attributes_class_name: Str | None = None
