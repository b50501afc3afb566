"""Columnar tables of the cluster's state: what policies read and the scheduler's cache writes."""

from ksched.tables.affinity_terms import AffinityTerm, PodTerms, terms_of
from ksched.tables.changes import ChangeLog
from ksched.tables.devices import NO_DEVICE, WHOLE, DeviceState
from ksched.tables.domains import Domains
from ksched.tables.fork import Fork
from ksched.tables.images import ImageState
from ksched.tables.interning import Interner
from ksched.tables.memo import Memo
from ksched.tables.namespaces import Namespaces
from ksched.tables.node_table import ALL_GROUPS, COUNTED, ELSEWHERE, GROUPS, IMAGES, NODE, USAGE, NodeTable, PlacedPod
from ksched.tables.node_view import DeviceView, NodeView
from ksched.tables.pod_counts import PodSelector, TermColumn, TermKind
from ksched.tables.pod_view import (
    COMPLETION_INDEX,
    WORKLOAD_ANNOTATION,
    ExpectedPod,
    HostPort,
    PodView,
    SpecInfo,
    compile_spec,
    normalized_image,
)

__all__ = [
    "ALL_GROUPS",
    "COMPLETION_INDEX",
    "COUNTED",
    "ELSEWHERE",
    "GROUPS",
    "IMAGES",
    "NODE",
    "NO_DEVICE",
    "USAGE",
    "WHOLE",
    "WORKLOAD_ANNOTATION",
    "AffinityTerm",
    "ChangeLog",
    "DeviceState",
    "DeviceView",
    "Domains",
    "ExpectedPod",
    "Fork",
    "HostPort",
    "ImageState",
    "Interner",
    "Memo",
    "Namespaces",
    "NodeTable",
    "NodeView",
    "PlacedPod",
    "PodSelector",
    "PodTerms",
    "PodView",
    "SpecInfo",
    "TermColumn",
    "TermKind",
    "compile_spec",
    "normalized_image",
    "terms_of",
]
