"""The ReplicaSet controller: as many pods as the spec says (pkg/controller/replicaset/replica_set.go)."""

from __future__ import annotations

from typing import Any

from ksched.cluster.apiserver.errors import ApiError
from ksched.cluster.controllers.adoption import claim
from ksched.cluster.controllers.context import Context
from ksched.cluster.controllers.expectations import Expectations
from ksched.cluster.controllers.pods import (
    available_in,
    controller_reference,
    deletion_order,
    is_active,
    pod_from_template,
    ready_since,
)
from ksched.cluster.controllers.steps import Steps, call
from ksched.cluster.controllers.workqueue import WorkQueue
from ksched.objects.meta import Condition
from ksched.objects.pod import Pod
from ksched.objects.selectors import LabelSelectorMatcher
from ksched.objects.workloads import ReplicaSet

SLOW_START_BATCH = 1
REPLICA_FAILURE = "ReplicaFailure"


class ReplicaSetController:
    """Keys are ``namespace/name`` of ReplicaSets."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._burst = context.config.burst_replicas
        self._sets = context.informer(ReplicaSet)
        self._pods = context.dependents(Pod)
        self._expectations = Expectations(context.kernel, context.config.expectations_timeout)
        self.queue = WorkQueue(context.kernel, self.sync, context.config)
        self._sets.add_handler(self._enqueue, lambda old, new: self._enqueue(new), self._set_deleted)
        context.informer(Pod).add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    # -- events -----------------------------------------------------------------------------------------------

    def _enqueue(self, replica_set: ReplicaSet) -> None:
        self.queue.add(replica_set.key)

    def _set_deleted(self, replica_set: ReplicaSet) -> None:
        self._expectations.forget(replica_set.key)
        self.queue.add(replica_set.key)

    def _owner_of(self, pod: Pod) -> ReplicaSet | None:
        reference = pod.metadata.controller
        if reference is None or reference.kind != ReplicaSet.KIND:
            return None
        owner = self._sets.get(pod.namespace, reference.name or "")
        return owner if owner is not None and owner.metadata.uid == reference.uid else None

    def _pod_added(self, pod: Pod) -> None:
        if pod.metadata.deletion_timestamp is not None:
            self._pod_deleted(pod)
            return
        owner = self._owner_of(pod)
        if owner is not None:
            self._expectations.creation_observed(owner.key)
            self._enqueue(owner)
        elif pod.metadata.controller is None:
            self._wake_adopters(pod)

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        if new.metadata.deletion_timestamp is not None:
            self._pod_deleted(new)
            return
        if old.metadata.owner_references is not new.metadata.owner_references:
            former = self._owner_of(old)
            if former is not None:
                self._enqueue(former)
        owner = self._owner_of(new)
        if owner is not None:
            self._enqueue(owner)
        elif new.metadata.controller is None and (
            old.metadata.labels is not new.metadata.labels or old.metadata.controller is not None
        ):
            self._wake_adopters(new)

    def _pod_deleted(self, pod: Pod) -> None:
        owner = self._owner_of(pod)
        if owner is not None:
            self._expectations.deletion_observed(owner.key, pod.metadata.uid or "")
            self._enqueue(owner)

    def _wake_adopters(self, pod: Pod) -> None:
        if not pod.metadata.labels:
            return
        for replica_set in self._sets.store.values():
            if replica_set.namespace == pod.namespace and _selector(replica_set).matches(pod.metadata.labels):
                self._enqueue(replica_set)

    # -- sync -------------------------------------------------------------------------------------------------

    def sync(self, key: str) -> Steps:
        """Bring one ReplicaSet's pods and status to where its spec wants them."""
        namespace, _, name = key.partition("/")
        replica_set = self._sets.get(namespace, name)
        if replica_set is None:
            self._expectations.forget(key)
            return
        may_act = self._expectations.satisfied(key)
        owned = [pod for pod in self._pods.of(replica_set.metadata.uid or "") if is_active(pod)]
        orphans = [pod for pod in self._pods.orphans(namespace) if is_active(pod)]
        pods = yield from claim(self._client, replica_set, _selector(replica_set), owned, orphans)
        failure: ApiError | None = None
        if may_act and replica_set.metadata.deletion_timestamp is None:
            failure = yield from self._manage(replica_set, pods)
        yield from self._update_status(replica_set, pods, failure)
        if failure is not None:
            raise failure

    def _manage(self, replica_set: ReplicaSet, pods: list[Pod]) -> Any:
        difference = len(pods) - (replica_set.spec.replicas or 0)
        if difference < 0:
            return (yield from self._create(replica_set, min(-difference, self._burst)))
        if difference > 0:
            return (yield from self._delete(replica_set, pods, min(difference, self._burst)))
        return None

    def _create(self, replica_set: ReplicaSet, count: int) -> Any:
        """Create in batches of 1, 2, 4 ... and stop at the first that fails: a quota would refuse the rest too."""
        key = replica_set.key
        self._expectations.expect_creations(key, count)
        pod = pod_from_template(replica_set.spec.template, replica_set, controller_reference(replica_set))
        remaining, batch = count, SLOW_START_BATCH
        while remaining:
            size = min(batch, remaining)
            answers = yield [call(self._client.create, pod) for _ in range(size)]
            remaining -= size
            errors = [error for _, error in answers if error is not None]
            if errors:
                self._expectations.creation_observed(key, len(errors) + remaining)
                return errors[0]
            batch = 2 * size
        return None

    def _delete(self, replica_set: ReplicaSet, pods: list[Pod], count: int) -> Any:
        key = replica_set.key
        doomed = deletion_order(pods, self._clock)[:count]
        self._expectations.expect_deletions(key, [pod.metadata.uid or "" for pod in doomed])
        answers = yield [call(self._client.delete, Pod, pod.namespace, pod.name) for pod in doomed]
        failure = None
        for pod, (_, error) in zip(doomed, answers, strict=True):
            if error is not None:
                self._expectations.deletion_observed(key, pod.metadata.uid or "")
                if not error.is_not_found:
                    failure = failure or error
        return failure

    def _update_status(self, replica_set: ReplicaSet, pods: list[Pod], failure: ApiError | None) -> Any:
        status = self._status(replica_set, pods, failure)
        # Two controllers' views of the same set may race; the newer revision wins and this one tries again.
        if status is None:
            return
        wanted = replica_set.replaced(status=status)
        _, error = yield call(self._client.update_status, wanted)
        if error is not None and not error.is_not_found:
            raise error

    def _status(self, replica_set: ReplicaSet, pods: list[Pod], failure: ApiError | None) -> Any:
        old = replica_set.status
        labels = LabelSelectorMatcher(replica_set.spec.template.metadata.labels)
        min_ready = replica_set.spec.min_ready_seconds or 0
        waits = [available_in(pod, min_ready, self._clock) for pod in pods]
        pending = [wait for wait in waits if wait]
        if pending:
            self.queue.add_after(replica_set.key, min(pending))
        counts = {
            "replicas": len(pods),
            "fully_labeled_replicas": sum(labels.matches(pod.metadata.labels) for pod in pods),
            "ready_replicas": sum(ready_since(pod) is not None for pod in pods),
            "available_replicas": sum(wait == 0 for wait in waits),
            "observed_generation": replica_set.metadata.generation,
        }
        conditions = self._conditions(old.conditions, failure, len(pods) < (replica_set.spec.replicas or 0))
        same = all((getattr(old, field) or 0) == (value or 0) for field, value in counts.items())
        if same and old.replicas is not None and conditions == old.conditions:
            return None
        changes: dict[str, Any] = dict(counts)
        if conditions != old.conditions:
            changes["conditions"] = conditions
        return old.replaced(**changes)

    def _conditions(self, old: tuple[Condition, ...], failure: ApiError | None, too_few: bool) -> tuple[Condition, ...]:
        failed = next((c for c in old if c.type == REPLICA_FAILURE), None)
        if failure is None:
            return tuple(c for c in old if c is not failed) if failed is not None else old
        if failed is not None:
            return old
        reason = "FailedCreate" if too_few else "FailedDelete"
        return (
            *old,
            Condition(
                type=REPLICA_FAILURE,
                status="True",
                reason=reason,
                message=failure.message,
                last_transition_time=self._clock.timestamp(),
            ),
        )


def _selector(replica_set: ReplicaSet) -> LabelSelectorMatcher:
    return LabelSelectorMatcher(replica_set.spec.selector)
