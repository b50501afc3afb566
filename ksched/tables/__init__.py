"""Columnar tables of the cluster's state: what policies read and the scheduler's cache writes."""

from ksched.tables.changes import ChangeLog
from ksched.tables.devices import NO_DEVICE, WHOLE
from ksched.tables.fork import Fork
from ksched.tables.images import ImageState
from ksched.tables.interning import Interner
from ksched.tables.node_table import ALL_GROUPS, GROUPS, IMAGES, NODE, USAGE, NodeTable, PlacedPod
from ksched.tables.node_view import DeviceView, NodeView
from ksched.tables.pod_view import (
    COMPLETION_INDEX,
    WORKLOAD_ANNOTATION,
    HostPort,
    PodView,
    SpecInfo,
    compile_spec,
    normalized_image,
)

__all__ = [
    "ALL_GROUPS",
    "COMPLETION_INDEX",
    "GROUPS",
    "IMAGES",
    "NODE",
    "NO_DEVICE",
    "USAGE",
    "WHOLE",
    "WORKLOAD_ANNOTATION",
    "ChangeLog",
    "DeviceView",
    "Fork",
    "HostPort",
    "ImageState",
    "Interner",
    "NodeTable",
    "NodeView",
    "PlacedPod",
    "PodView",
    "SpecInfo",
    "compile_spec",
    "normalized_image",
]
