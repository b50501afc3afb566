"""The plugin contract and the pipeline that runs it; knows no policy and no cluster."""

from ksched.framework.cache import SchedulerCache
from ksched.framework.cycle import Api, Cycle
from ksched.framework.decisions import Candidate, Decision, Outcome
from ksched.framework.events import Action, ClusterEvent, EventToRegister
from ksched.framework.framework import Framework
from ksched.framework.normalizers import DefaultNormalizer, MinMaxNormalizer, Normalizer
from ksched.framework.profile import (
    Profile,
    SchedulerConfiguration,
    default_configuration,
    load_configuration,
)
from ksched.framework.protocols import Handle, PostFilterResult, PreFilterResult, Reject, Rejections
from ksched.framework.queue import QueuedPod, QueueOptions, SchedulingQueue
from ksched.framework.selection import TieBreak
from ksched.framework.status import Code, Status
from ksched.framework.verdicts import Rejection

__all__ = [
    "Action",
    "Api",
    "Candidate",
    "ClusterEvent",
    "Code",
    "Cycle",
    "Decision",
    "DefaultNormalizer",
    "EventToRegister",
    "Framework",
    "Handle",
    "MinMaxNormalizer",
    "Normalizer",
    "Outcome",
    "PostFilterResult",
    "PreFilterResult",
    "Profile",
    "QueueOptions",
    "QueuedPod",
    "Reject",
    "Rejection",
    "Rejections",
    "SchedulerCache",
    "SchedulerConfiguration",
    "SchedulingQueue",
    "Status",
    "TieBreak",
    "default_configuration",
    "load_configuration",
]
