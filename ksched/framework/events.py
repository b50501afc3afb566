"""Cluster events that may make a waiting pod schedulable.

Upstream: framework.ClusterEvent, pkg/scheduler/internal/queue/events.go.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Flag, auto
from typing import Any


class Action(Flag):
    """What happened to a resource."""

    ADD = auto()
    DELETE = auto()
    UPDATE_NODE_ALLOCATABLE = auto()
    UPDATE_NODE_LABEL = auto()
    UPDATE_NODE_TAINT = auto()
    UPDATE_NODE_CONDITION = auto()
    UPDATE_OTHER = auto()
    UPDATE = UPDATE_NODE_ALLOCATABLE | UPDATE_NODE_LABEL | UPDATE_NODE_TAINT | UPDATE_NODE_CONDITION | UPDATE_OTHER
    ALL = ADD | DELETE | UPDATE


POD = "Pod"
"""An assigned pod (bound to a node)."""
NODE = "Node"
PERSISTENT_VOLUME = "PersistentVolume"
PERSISTENT_VOLUME_CLAIM = "PersistentVolumeClaim"
STORAGE_CLASS = "StorageClass"
CSI_NODE = "CSINode"
CSI_DRIVER = "CSIDriver"
CSI_STORAGE_CAPACITY = "CSIStorageCapacity"
WILDCARD = "*"
"""Any resource."""


@dataclass(frozen=True, slots=True)
class ClusterEvent:
    """Something that happened in the cluster. ``label`` is how upstream's metrics call it, e.g. "NodeAdd"."""

    resource: str
    action: Action
    label: str = ""

    def matches(self, other: ClusterEvent) -> bool:
        """Whether a registration for ``self`` covers the event ``other``."""
        same = WILDCARD in (self.resource, other.resource) or self.resource == other.resource
        return same and bool(self.action & other.action)


QueueingHint = Callable[[Any, Any, Any], bool]
"""``hint(pod, old_object, new_object)``: may this event make the rejected ``pod`` (a PodView) schedulable?"""


@dataclass(frozen=True, slots=True)
class EventToRegister:
    """A plugin's interest in an event, with an optional hint that looks closer."""

    event: ClusterEvent
    hint: QueueingHint | None = None


ASSIGNED_POD_ADD = ClusterEvent(POD, Action.ADD, "AssignedPodAdd")
ASSIGNED_POD_UPDATE = ClusterEvent(POD, Action.UPDATE, "AssignedPodUpdate")
ASSIGNED_POD_DELETE = ClusterEvent(POD, Action.DELETE, "AssignedPodDelete")
NODE_ADD = ClusterEvent(NODE, Action.ADD, "NodeAdd")
UNSCHEDULABLE_TIMEOUT = ClusterEvent(WILDCARD, Action.ALL, "UnschedulableTimeout")
FORCE_ACTIVATE = ClusterEvent(WILDCARD, Action.ALL, "ForceActivate")
