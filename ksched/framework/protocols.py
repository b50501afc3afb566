"""The plugin contract: every extension point, when it is called and what it may return.

A policy is a class with a ``name`` and a method per extension point it takes part in. No base class is needed: the
framework looks at which methods exist. These protocols are the specification; the points, their names and order are
kube-scheduler's (upstream: pkg/scheduler/framework/interface.go), the arrays are ours.

The constructor takes the validated ``Args`` if the class has a pydantic model of that name, and nothing otherwise; it
should only store them. One instance is made per run and profile, so state in ``self`` lives and dies with a run; it
must bear ``copy.deepcopy``, because explanations and what-ifs of a run ask a copy.

Arrays have one entry per row of the ``nodes`` they were given. ``node_local = True`` promises that a row's result
depends on that row and on the pod's signature alone; such a plugin's results are cached, and its pod and cycle refuse
what would break the promise. It may keep a :class:`~ksched.tables.Memo`, whose results follow from their keys alone.
Without it a plugin is asked again every time: slower, never wrong.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from ksched.framework.cycle import Cycle
from ksched.framework.events import EventToRegister
from ksched.framework.status import Status
from ksched.tables import ExpectedPod, NodeView, PodView
from ksched.tables.arrays import BoolArray

if TYPE_CHECKING:
    from ksched.framework.preemption import Rejected

Scores: TypeAlias = npt.NDArray[np.int64] | npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Reject:
    """Rows rejected for one reason. ``resolvable=False``: evicting pods from the node would not help."""

    mask: BoolArray
    reason: str
    resolvable: bool = True


class Rejections(NamedTuple):
    """Rows rejected for several reasons: ``masks`` bool[k, n], a line for each of the k ``reasons``.

    The same as a mapping of them, for who has the masks in one array anyway.
    """

    reasons: tuple[str, ...]
    masks: BoolArray


@dataclass(frozen=True, slots=True)
class PreFilterResult:
    """PreFilter narrowing the search to some nodes (they need not exist); None means all."""

    node_names: frozenset[str] | None = None


FilterResult: TypeAlias = BoolArray | Mapping[str, BoolArray] | Sequence[Reject] | Rejections | None
"""None: all rows pass. A bool array: the rows to KEEP. A mapping reason -> rejected rows. A list of :class:`Reject`.
:class:`Rejections`: reasons and their masks in one array."""


class Plugin(Protocol):
    """What every plugin has."""

    name: str


@runtime_checkable
class PreEnqueuePlugin(Protocol):
    """Called before a pod enters the active queue; a rejected pod waits outside until an event moves it."""

    def pre_enqueue(self, pod: PodView) -> Status | None: ...


@runtime_checkable
class QueueSortPlugin(Protocol):
    """Orders the active queue: the pod with the smallest key is next. Exactly one per configuration."""

    def queue_sort_key(self, pod: PodView, queued_at: int) -> Any: ...


@runtime_checkable
class EventsPlugin(Protocol):
    """Which cluster events may make a pod schedulable that this plugin rejected."""

    def events_to_register(self) -> Sequence[EventToRegister]: ...


@runtime_checkable
class PreFilterPlugin(Protocol):
    """Called once per pod and cycle (once per signature for a node-local plugin) before any Filter.

    Returns None, ``Status.skip()`` (this plugin's Filter is not run for the pod), a rejecting status (the pod cannot be
    placed anywhere) or a :class:`PreFilterResult`. What it computes goes to ``cycle.state``.
    """

    def pre_filter(self, cycle: Cycle, pod: PodView) -> Status | PreFilterResult | None: ...


@runtime_checkable
class PreFilterExtensions(Protocol):
    """Keeps what PreFilter computed true while preemption and nominated pods add and remove pods in a what-if.

    Called after the table changed, on a copy of the cycle: state objects these methods change need a ``clone()``.
    A plugin without them has its PreFilter run again instead.
    """

    def add_pod(self, cycle: Cycle, pod: PodView, other: PodView, node_name: str) -> Status | None: ...

    def remove_pod(self, cycle: Cycle, pod: PodView, other: PodView, node_name: str) -> Status | None: ...


@runtime_checkable
class FilterPlugin(Protocol):
    """Which of ``nodes`` (the rows PreFilter left) cannot run the pod, and why; judged by ``nodes``, not by memory."""

    def filter(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> FilterResult: ...


@runtime_checkable
class RemedyPlugin(Protocol):
    """What would have to change for the pod to pass this plugin's Filter on ``node``, one row that it rejects.

    Asked for explanations only, after ``filter`` in the same cycle. A list of sentences with the numbers and names
    somebody needs to act: what is missing, which key, which value. Empty: nothing better than the filter's reason.
    """

    def remedy(self, cycle: Cycle, pod: PodView, node: NodeView) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class PostFilterResult:
    """What PostFilter could do for a pod that fits nowhere.

    Without a ``status`` it succeeded: once ``victims`` are gone the pod should fit on ``nominated_node``. Otherwise
    ``nominated_node`` "" withdraws an earlier nomination and None leaves it as it is.
    """

    status: Status | None = None
    nominated_node: str | None = None
    victims: tuple[PodView, ...] = ()


@runtime_checkable
class PostFilterPlugin(Protocol):
    """Called when no node fits. ``rejected`` tells per node why, and can try what would fit if pods were gone.

    Must not change anything: whoever runs the framework evicts the victims and nominates the pod.
    """

    def post_filter(self, cycle: Cycle, pod: PodView, rejected: Rejected) -> PostFilterResult | Status: ...


@runtime_checkable
class PreScorePlugin(Protocol):
    """Called once before Score; ``Status.skip()`` leaves this plugin out of the sum (0 for all nodes)."""

    def pre_score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Status | None: ...


@runtime_checkable
class ScorePlugin(Protocol):
    """int64 or float64 per row. A node-local plugin is given any rows, every other exactly the feasible ones.

    After normalisation the score of every feasible node must be finite and within 0..100.
    """

    def score(self, cycle: Cycle, pod: PodView, nodes: NodeView) -> Scores: ...


@runtime_checkable
class NormalizeScorePlugin(Protocol):
    """Turns raw scores of the feasible nodes into 0..100.

    A plugin may instead declare ``normalizer`` (a :class:`~ksched.framework.normalizers.Normalizer`): then totals stay
    cached while the normaliser's inputs do.
    """

    def normalize_score(self, cycle: Cycle, pod: PodView, scores: Scores) -> Scores: ...


@runtime_checkable
class ReservePlugin(Protocol):
    """Called when a node is chosen, before it is bound. ``cycle.devices`` may be set to the GPU devices taken.

    ``unreserve`` must undo ``reserve``, be idempotent and never fail; it is called in reverse order when anything
    after Reserve fails.
    """

    def reserve(self, cycle: Cycle, pod: PodView, node_name: str) -> Status | None: ...

    def unreserve(self, cycle: Cycle, pod: PodView, node_name: str) -> None: ...


@runtime_checkable
class PermitPlugin(Protocol):
    """Approve (None), deny (a rejecting status) or hold (``Status.wait(timeout_s)``) a reserved pod."""

    def permit(self, cycle: Cycle, pod: PodView, node_name: str) -> Status | None: ...


@runtime_checkable
class PreBindPlugin(Protocol):
    """Work that must be done before the binding, e.g. provisioning a volume; ``cycle.api`` writes to the api-server.

    ``Status.wait(s)``: not done yet, ask again in ``s`` seconds of simulated time.
    """

    def pre_bind(self, cycle: Cycle, pod: PodView, node_name: str) -> Status | None: ...


class Handle(Protocol):
    """What a Bind plugin may do to the cluster; given by whoever runs the framework."""

    def bind(self, pod: PodView, node_name: str) -> None: ...


@runtime_checkable
class BindPlugin(Protocol):
    """Binds the pod through ``handle`` or returns ``Status.skip()`` to leave it to the next Bind plugin."""

    def bind(self, cycle: Cycle, pod: PodView, node_name: str, handle: Handle) -> Status | None: ...


@runtime_checkable
class PostBindPlugin(Protocol):
    """Informed after a successful binding."""

    def post_bind(self, cycle: Cycle, pod: PodView, node_name: str) -> None: ...


@runtime_checkable
class SkippingPlugin(Protocol):
    """Says, for a plugin that is not node-local, that it has nothing to say about pods with this signature, ever.

    ``point`` is "preFilter" or "preScore", which would answer ``Status.skip()`` each time; then they are not asked.
    Or it is "preEnqueue", "reserve" or "preBind", which would answer None: whether they do must follow from the spec.
    """

    def skips(self, point: str, pod: PodView) -> bool: ...


@runtime_checkable
class ExpectingPlugin(Protocol):
    """Is told, once and before the first pod, which shapes of pods are usual in the workload; () if nobody knows.

    Counts and requests only: what a pod will do or how long it runs is never told.
    """

    def expect(self, pods: Sequence[ExpectedPod]) -> None: ...


@runtime_checkable
class SignaturePlugin(Protocol):
    """Narrows which pods share this node-local plugin's cached results: equal keys, equal results."""

    def signature(self, pod: PodView) -> Hashable: ...


POINTS: dict[str, str] = {
    "preEnqueue": "pre_enqueue",
    "queueSort": "queue_sort_key",
    "preFilter": "pre_filter",
    "filter": "filter",
    "postFilter": "post_filter",
    "preScore": "pre_score",
    "score": "score",
    "reserve": "reserve",
    "permit": "permit",
    "preBind": "pre_bind",
    "bind": "bind",
    "postBind": "post_bind",
}
"""Extension points as KubeSchedulerConfiguration names them, in the order they run, and the method of each."""


def implements(plugin: object, point: str) -> bool:
    """Whether a plugin (class or instance) takes part in an extension point."""
    return callable(getattr(plugin, POINTS[point], None))
