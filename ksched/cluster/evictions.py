"""Carrying out a preemption: victims are marked and deleted through the api-server, gracefully.

Upstream: prepareCandidate in pkg/scheduler/framework/preemption/preemption.go, v1.30. The scheduling cycle waits for
the answers, so latencies of the api-server are time the scheduler spends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ksched.cluster.apiserver.client import Client
from ksched.cluster.apiserver.errors import ApiError
from ksched.framework.nominator import Nominator
from ksched.objects import Condition, Pod
from ksched.tables import PodView

DISRUPTION_TARGET = "DisruptionTarget"


@dataclass(slots=True)
class _Round:
    """The victims of one preemption: how many answers are outstanding and what went wrong."""

    outstanding: int
    done: Callable[[list[ApiError]], None]
    errors: list[ApiError] = field(default_factory=list)

    def answered(self, error: ApiError | None) -> None:
        if error is not None and not error.is_not_found:
            self.errors.append(error)
        self.outstanding -= 1
        if not self.outstanding:
            self.done(self.errors)


class Evictions:
    """Evicts victims for preemptors.

    ``reject_waiting(uid)`` refuses a pod that Permit holds and says whether it did: such a victim was never bound, so
    there is nothing to delete.
    """

    def __init__(self, client: Client, nominator: Nominator, reject_waiting: Callable[[str], bool]) -> None:
        self._client = client
        self._nominator = nominator
        self._reject_waiting = reject_waiting

    def start(
        self,
        preemptor: PodView,
        node_name: str,
        victims: Sequence[PodView],
        done: Callable[[list[ApiError]], None],
    ) -> None:
        """Evict ``victims`` and call ``done(errors)`` when all is answered; a victim already gone is no error.

        Pods of lower priority nominated to the node lose their nomination: the room is taken.
        """
        deleting = [victim for victim in victims if not self._reject_waiting(victim.uid)]
        running = _Round(len(deleting), lambda errors: self._finish(preemptor, node_name, errors, done))
        for victim in deleting:
            self._evict(preemptor, victim, running)
        if not deleting:
            self._finish(preemptor, node_name, [], done)

    def _evict(self, preemptor: PodView, victim: PodView, running: _Round) -> None:
        condition = Condition.model_construct(
            type=DISRUPTION_TARGET,
            status="True",
            reason="PreemptionByScheduler",
            message=f"{preemptor.scheduler_name}: preempting to accommodate a higher priority pod",
        )

        def mark(pod: Pod) -> Pod:
            return pod.replaced(status=pod.status.replaced(conditions=with_condition(pod.status.conditions, condition)))

        def marked(result: object, error: ApiError | None) -> None:
            if error is not None:
                running.answered(error)
                return
            self._client.delete(
                Pod, victim.namespace, victim.name, lambda _, failed: running.answered(failed), uid=victim.uid
            )

        self._client.patch(Pod, victim.namespace, victim.name, mark, marked, subresource="status", uid=victim.uid)

    def _finish(
        self, preemptor: PodView, node_name: str, errors: list[ApiError], done: Callable[[list[ApiError]], None]
    ) -> None:
        if not errors:
            for pod in self._nominator.pods_on(node_name):
                if pod.priority < preemptor.priority:
                    self.withdraw(pod)
        done(errors)

    def withdraw(self, pod: PodView) -> None:
        """Take a pod's nomination back; the watch tells the scheduler."""
        if pod.pod.status.nominated_node_name:
            self._client.patch(Pod, pod.namespace, pod.name, _not_nominated, subresource="status", uid=pod.uid)


def _not_nominated(pod: Pod) -> Pod:
    return pod.replaced(status=pod.status.replaced(nominated_node_name=None))


def with_condition(conditions: tuple[Condition, ...], new: Condition) -> tuple[Condition, ...]:
    """``conditions`` with ``new`` in place of the one of its type."""
    return (*(condition for condition in conditions if condition.type != new.type), new)


def disruption_target(pod: Pod) -> Condition | None:
    """Why the pod is about to be disrupted, if it is."""
    return next((c for c in pod.status.conditions if c.type == DISRUPTION_TARGET), None)
