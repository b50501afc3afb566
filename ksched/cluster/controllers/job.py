"""The Job controller: runs pods until enough of them have succeeded (pkg/controller/job/job_controller.go, v1.30).

Pods carry a finalizer until the controller has counted them, so that none is lost or counted twice: first its uid is
written to ``status.uncountedTerminatedPods``, then the finalizer goes, then the counter goes up.

Left out, of what v1.30 has: pod failure policy, back-off per index, managedBy. Pods of an Indexed job get the index as
annotation and label, but neither the environment variable nor a hostname of their own, so that they share one spec.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ksched.cluster.apiserver.errors import ApiError
from ksched.cluster.apiserver.strategies import FAILED, SUCCEEDED
from ksched.cluster.controllers.adoption import claim
from ksched.cluster.controllers.context import Context
from ksched.cluster.controllers.expectations import Expectations
from ksched.cluster.controllers.indexes import completion_index, format_indexes, parse_indexes
from ksched.cluster.controllers.pods import (
    controller_reference,
    deletion_order,
    is_active,
    is_finished,
    pod_from_template,
    ready_since,
)
from ksched.cluster.controllers.steps import Call, Steps, call
from ksched.cluster.controllers.workqueue import WorkQueue
from ksched.cluster.wellknown import COMPLETION_INDEX
from ksched.objects.meta import Condition
from ksched.objects.pod import Pod
from ksched.objects.selectors import LabelSelectorMatcher
from ksched.objects.workloads import Job, JobStatus, UncountedTerminatedPods
from ksched.sim.kernel import SECOND

TRACKING_FINALIZER = "batch.kubernetes.io/job-tracking"
MAX_PODS_PER_SYNC = 500
MAX_UNCOUNTED = 500
COMPLETE = "Complete"
JOB_FAILED = "Failed"
SUSPENDED = "Suspended"


def finished_condition(job: Job) -> Condition | None:
    """The condition that says the job has ended, if it has."""
    for condition in job.status.conditions:
        if condition.type in (COMPLETE, JOB_FAILED) and condition.status == "True":
            return condition
    return None


class _Sync:
    """What one sync works with."""

    __slots__ = ("active", "finished", "job", "ready", "status", "succeeded", "succeeded_indexes", "terminating")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.status: JobStatus = job.status
        self.active = 0
        self.ready = 0
        self.terminating = 0
        self.succeeded = 0
        self.succeeded_indexes: set[int] = set()
        self.finished: Condition | None = None


class JobController:
    """Keys are ``namespace/name`` of Jobs."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._config = context.config
        self._jobs = context.informer(Job)
        self._pods = context.dependents(Pod)
        self._expectations = Expectations(context.kernel, context.config.expectations_timeout)
        self._finalizers_going: dict[str, set[str]] = {}  # by job: uids whose finalizer removal is not seen yet
        self._failures: dict[str, tuple[int, int]] = {}  # by job: failures since the last success, time of the last
        self.queue = WorkQueue(context.kernel, self.sync, context.config)
        self._jobs.add_handler(self._job_added, self._job_updated, self._job_deleted)
        context.informer(Pod).add_handler(self._pod_added, self._pod_updated, self._pod_deleted)

    # -- events -----------------------------------------------------------------------------------------------

    def _job_added(self, job: Job) -> None:
        self.queue.add(job.key)

    def _job_updated(self, old: Job, new: Job) -> None:
        # The controller's own status updates come back too; those that only say so can wait for company.
        if old.metadata.generation == new.metadata.generation:
            self._enqueue_batched(new.key)
        else:
            self.queue.add(new.key)

    def _job_deleted(self, job: Job) -> None:
        self.queue.add(job.key)
        for pod in self._pods.of(job.metadata.uid or ""):
            if TRACKING_FINALIZER in pod.metadata.finalizers:
                self._release_orphan(pod)

    def _enqueue_batched(self, key: str) -> None:
        self.queue.add_after(key, self._config.job_sync_batch)

    def _owner_of(self, pod: Pod) -> Job | None:
        reference = pod.metadata.controller
        if reference is None or reference.kind != Job.KIND:
            return None
        job = self._jobs.get(pod.namespace, reference.name or "")
        return job if job is not None and job.metadata.uid == reference.uid else None

    def _pod_added(self, pod: Pod) -> None:
        if pod.metadata.deletion_timestamp is not None:
            self._pod_deleted(pod)
            return
        job = self._owner_of(pod)
        if job is not None:
            self._expectations.creation_observed(job.key)
            self._enqueue_batched(job.key)

    def _pod_updated(self, old: Pod, new: Pod) -> None:
        job = self._owner_of(new)
        if new.metadata.deletion_timestamp is not None and old.metadata.deletion_timestamp is None:
            self._pod_deleted(new)
        if job is None:
            if TRACKING_FINALIZER in new.metadata.finalizers and new.metadata.controller is None:
                self._release_orphan(new)
            return
        if TRACKING_FINALIZER in old.metadata.finalizers and TRACKING_FINALIZER not in new.metadata.finalizers:
            self._finalizer_gone(job.key, new)
        self._enqueue_batched(job.key)

    def _pod_deleted(self, pod: Pod) -> None:
        job = self._owner_of(pod)
        if job is None:
            return
        self._expectations.deletion_observed(job.key, pod.metadata.uid or "")
        if TRACKING_FINALIZER not in pod.metadata.finalizers:
            self._finalizer_gone(job.key, pod)
        self._enqueue_batched(job.key)

    def _finalizer_gone(self, key: str, pod: Pod) -> None:
        self._finalizers_going.get(key, set()).discard(pod.metadata.uid or "")

    def _release_orphan(self, pod: Pod) -> None:
        """Its job is no more; nobody will count it."""
        _remove_finalizer(self._client, pod)(lambda result, error: None)

    # -- sync -------------------------------------------------------------------------------------------------

    def sync(self, key: str) -> Steps:
        """Bring one Job's pods and status to where its spec wants them."""
        namespace, _, name = key.partition("/")
        job = self._jobs.get(namespace, name)
        if job is None or finished_condition(job) is not None:
            self._failures.pop(key, None)
            if job is None:
                self._expectations.forget(key)
                self._finalizers_going.pop(key, None)
            return
        may_act = self._expectations.satisfied(key)
        selector = LabelSelectorMatcher(job.spec.selector)
        owned, orphans = self._pods.of(job.metadata.uid or ""), self._pods.orphans(namespace)
        pods = yield from claim(self._client, job, selector, owned, orphans)
        sync = _Sync(job)
        active_pods = [pod for pod in pods if is_active(pod)]
        self._count(sync, key, pods, active_pods)
        sync.finished = self._failure(sync, key, pods)
        failed: ApiError | None
        if sync.finished is not None:
            failed = yield from self._delete_all_active(sync, active_pods, may_act)
        else:
            failed = yield from self._advance(sync, key, pods, active_pods, may_act)
        yield from self._track(sync, key, pods)
        if failed is not None:
            raise failed

    def _count(self, sync: _Sync, key: str, pods: list[Pod], active: list[Pod]) -> None:
        """Counters as they will be once the pods that have just ended are counted."""
        job, status = sync.job, sync.job.status
        uncounted = status.uncounted_terminated_pods or UncountedTerminatedPods()
        going = self._finalizers_going.get(key, set())
        new_succeeded, new_failed = [], []
        for pod in pods:
            uid = pod.metadata.uid
            if TRACKING_FINALIZER not in pod.metadata.finalizers or uid in going:
                continue
            if pod.status.phase == SUCCEEDED and uid not in uncounted.succeeded:
                new_succeeded.append(pod)
            elif _failed(pod) and uid not in uncounted.failed:
                new_failed.append(pod)
        sync.active, sync.ready = len(active), sum(ready_since(pod) is not None for pod in active)
        sync.terminating = sum(not is_finished(p) and p.metadata.deletion_timestamp is not None for p in pods)
        sync.succeeded = (status.succeeded or 0) + len(new_succeeded) + len(uncounted.succeeded)
        if _indexed(job):
            sync.succeeded_indexes = parse_indexes(status.completed_indexes, job.spec.completions or 0)
            sync.succeeded_indexes |= _valid_indexes(job, (p for p in pods if p.status.phase == SUCCEEDED))
            sync.succeeded = len(sync.succeeded_indexes)
        if status.start_time is None and not job.spec.suspend:
            sync.status = sync.status.replaced(start_time=self._clock.timestamp())
        self._note_failures(key, new_succeeded, new_failed)

    def _note_failures(self, key: str, succeeded: list[Pod], failed: list[Pod]) -> None:
        """Count failures in a row, for the back-off; a success ends the row (backoff_utils.go)."""
        last_success = max((_finish_time(pod, self._clock) for pod in succeeded), default=-1)
        count, last = (0, 0) if succeeded else self._failures.get(key, (0, 0))
        known = last if count else -1
        times = [_finish_time(pod, self._clock) for pod in failed]
        later = [time for time in times if time > last_success]
        # A sync that could not write its status sees the same failures again; those are not new.
        fresh = [time for time in later if time > known] if count else later
        if fresh:
            self._failures[key] = (count + len(fresh), max(fresh))
        elif succeeded:
            self._failures.pop(key, None)

    def _failure(self, sync: _Sync, key: str, pods: list[Pod]) -> Condition | None:
        job = sync.job
        spec, uncounted = job.spec, job.status.uncounted_terminated_pods or UncountedTerminatedPods()
        going = self._finalizers_going.get(key, set())
        uncounted_now = sum(
            _failed(pod)
            and pod.metadata.uid not in uncounted.failed
            and pod.metadata.uid not in going
            and TRACKING_FINALIZER in pod.metadata.finalizers
            for pod in pods
        )
        failed = (job.status.failed or 0) + len(uncounted.failed) + uncounted_now
        limit = 6 if spec.backoff_limit is None else spec.backoff_limit
        if failed > limit or _restarts_exceed(job, pods, limit):
            return self._condition(JOB_FAILED, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        if spec.active_deadline_seconds is not None and not spec.suspend:
            start = self._clock.parse(sync.status.start_time or self._clock.timestamp())
            left = start + spec.active_deadline_seconds * SECOND - self._clock.kernel.now
            if left <= 0:
                text = "Job was active longer than specified deadline"
                return self._condition(JOB_FAILED, "DeadlineExceeded", text)
            self.queue.add_after(key, left)
        return None

    def _delete_all_active(self, sync: _Sync, active: list[Pod], may_act: bool) -> Any:
        answers = yield [call(self._client.delete, Pod, pod.namespace, pod.name) for pod in active]
        failure = None
        for pod, (_, error) in zip(active, answers, strict=True):
            if error is not None and not error.is_not_found:
                failure = error
                continue
            sync.active -= 1
            sync.terminating += 1
            sync.ready -= ready_since(pod) is not None
        if sync.active or not may_act:
            sync.finished = None  # pods are left, or there may be some not seen yet
        return failure

    def _advance(self, sync: _Sync, key: str, pods: list[Pod], active: list[Pod], may_act: bool) -> Any:
        job = sync.job
        failure = None
        acted = may_act and job.metadata.deletion_timestamp is None
        if acted:
            failure = yield from self._manage(sync, key, pods, active)
        if job.spec.completions is None:
            complete = sync.succeeded > 0 and sync.active == 0
        else:
            complete = sync.succeeded >= job.spec.completions and sync.active == 0
        if complete:
            sync.finished = self._condition(COMPLETE, None, None)
        elif acted:
            self._note_suspension(sync)
        return failure

    def _note_suspension(self, sync: _Sync) -> None:
        wanted = bool(sync.job.spec.suspend)
        known = next((c for c in sync.status.conditions if c.type == SUSPENDED), None)
        if (known is not None and known.status == "True") == wanted:
            return
        word = "suspended" if wanted else "resumed"
        condition = self._condition(SUSPENDED, f"Job{word.capitalize()}", f"Job {word}")
        condition = condition.replaced(status="True" if wanted else "False")
        others = tuple(c for c in sync.status.conditions if c.type != SUSPENDED)
        sync.status = sync.status.replaced(conditions=(*others, condition))
        if not wanted:
            sync.status = sync.status.replaced(start_time=self._clock.timestamp())

    # -- pods -------------------------------------------------------------------------------------------------

    def _manage(self, sync: _Sync, key: str, pods: list[Pod], active: list[Pod]) -> Any:
        job = sync.job
        if job.spec.suspend:
            return (yield from self._delete(sync, key, deletion_order(active, self._clock)))
        parallelism = 1 if job.spec.parallelism is None else job.spec.parallelism
        if job.spec.completions is None:
            wanted = len(active) if sync.succeeded else parallelism
        else:
            wanted = max(min(job.spec.completions - sync.succeeded, parallelism), 0)
        surplus = self._surplus(job, active, max(len(active) - wanted, 0))[:MAX_PODS_PER_SYNC]
        if surplus:
            return (yield from self._delete(sync, key, surplus))
        replaceable = sync.terminating if job.spec.pod_replacement_policy == "Failed" else 0
        missing = min(wanted - replaceable - len(active), MAX_PODS_PER_SYNC)
        if missing <= 0:
            return None
        wait = self._backoff_left(key)
        if wait > 0:
            self.queue.add_after(key, wait)
            return None
        return (yield from self._create(sync, key, self._new_pods(sync, missing, active)))

    def _surplus(self, job: Job, active: list[Pod], at_least: int) -> list[Pod]:
        """Pods to remove: those without an index of their own, then as many more as there are too many."""
        doomed: list[Pod] = []
        left = active
        if _indexed(job):
            left, seen = [], set()
            for pod in active:
                index = completion_index(pod)
                if index is None or index >= (job.spec.completions or 0) or index in seen:
                    doomed.append(pod)
                else:
                    seen.add(index)
                    left.append(pod)
        return doomed + deletion_order(left, self._clock)[: max(at_least - len(doomed), 0)]

    def _backoff_left(self, key: str) -> int:
        count, last = self._failures.get(key, (0, 0))
        if count == 0:
            return 0
        backoff = min(self._config.job_backoff << min(count - 1, 30), self._config.job_max_backoff)
        return last + backoff - self._clock.kernel.now

    def _new_pods(self, sync: _Sync, count: int, active: list[Pod]) -> list[Pod]:
        job = sync.job
        template = job.spec.template
        reference = controller_reference(job)
        finalizers = (*template.metadata.finalizers, TRACKING_FINALIZER)
        if not _indexed(job):
            return [pod_from_template(template, job, reference, finalizers=finalizers)] * count
        taken = _valid_indexes(job, active) | sync.succeeded_indexes
        free = (index for index in range(job.spec.completions or 0) if index not in taken)
        made = []
        for index, _ in zip(free, range(count), strict=False):
            mark = {COMPLETION_INDEX: str(index)}
            made.append(
                pod_from_template(
                    template,
                    job,
                    reference,
                    finalizers=finalizers,
                    generate_name=f"{job.name}-{index}-",
                    labels=template.metadata.labels | mark,
                    annotations=template.metadata.annotations | mark,
                )
            )
        return made

    def _create(self, sync: _Sync, key: str, pods: list[Pod]) -> Any:
        """Create in batches of 1, 2, 4 ..., and stop at the first that fails."""
        self._expectations.expect_creations(key, len(pods))
        start, batch = 0, 1
        while start < len(pods):
            part = pods[start : start + batch]
            answers = yield [call(self._client.create, pod) for pod in part]
            start += len(part)
            errors = [error for _, error in answers if error is not None]
            sync.active += len(part) - len(errors)
            if errors:
                self._expectations.creation_observed(key, len(errors) + len(pods) - start)
                return errors[0]
            batch *= 2
        return None

    def _delete(self, sync: _Sync, key: str, pods: list[Pod]) -> Any:
        """Delete pods that are not wanted, which do not count as failed."""
        self._expectations.expect_deletions(key, [pod.metadata.uid or "" for pod in pods])
        yield [_remove_finalizer(self._client, pod) for pod in pods]
        answers = yield [call(self._client.delete, Pod, pod.namespace, pod.name) for pod in pods]
        failure = None
        for pod, (_, error) in zip(pods, answers, strict=True):
            if error is not None:
                self._expectations.deletion_observed(key, pod.metadata.uid or "")
                if not error.is_not_found:
                    failure = error
                    continue
            sync.active -= 1
            sync.terminating += 1
            sync.ready -= ready_since(pod) is not None
        return failure

    # -- counting ---------------------------------------------------------------------------------------------

    def _track(self, sync: _Sync, key: str, pods: list[Pod]) -> Any:
        """Count the pods that have ended: note them, take their finalizers off, count them (see the module)."""
        job, old = sync.job, sync.job.status
        going = self._finalizers_going.get(key, set())
        held = {p.metadata.uid for p in pods if TRACKING_FINALIZER in p.metadata.finalizers} - going
        status = _counted(sync.status, held)
        status, to_release, complete = self._noted(sync, status, [p for p in pods if p.metadata.uid in held])
        status = status.replaced(active=sync.active, ready=sync.ready, terminating=sync.terminating)
        if _differs(status, old):
            job, status = yield from self._write(job, status)
        if to_release:
            self._finalizers_going.setdefault(key, set()).update(p.metadata.uid or "" for p in to_release)
            answers = yield [_remove_finalizer(self._client, pod) for pod in to_release]
            failure = None
            for pod, (_, error) in zip(to_release, answers, strict=True):
                if error is not None:
                    self._finalizer_gone(key, pod)
                if error is None or error.is_not_found:
                    held.discard(pod.metadata.uid)
                else:
                    failure = error
            status = _counted(status, held)
            if failure is not None:
                yield from self._write(job, status)
                raise failure
        if complete and sync.finished is not None:
            status = self._finish(sync.finished, status)
        if _differs(status, job.status):
            yield from self._write(job, status)

    def _noted(self, sync: _Sync, status: JobStatus, pods: list[Pod]) -> tuple[JobStatus, list[Pod], bool]:
        """(status with the ended pods noted, pods whose finalizer can go, False when there were too many at once)."""
        job, indexed = sync.job, _indexed(sync.job)
        uncounted = status.uncounted_terminated_pods or UncountedTerminatedPods()
        succeeded, failed = list(uncounted.succeeded), list(uncounted.failed)
        over = sync.finished is not None or job.metadata.deletion_timestamp is not None
        lost = sync.finished is not None and sync.finished.type == JOB_FAILED
        release, complete = [], True
        for pod in pods:
            uid = pod.metadata.uid or ""
            if not (over or pod.status.phase == SUCCEEDED or _failed(pod)):
                continue
            release.append(pod)
            if pod.status.phase == SUCCEEDED and uid not in failed:
                if not indexed and uid not in succeeded:
                    succeeded.append(uid)
            elif (_failed(pod) or lost) and uid not in failed:
                failed.append(uid)
            if len(succeeded) + len(failed) >= MAX_UNCOUNTED:
                complete = False
                break
        status = status.replaced(
            uncounted_terminated_pods=UncountedTerminatedPods.model_construct(
                succeeded=tuple(succeeded), failed=tuple(failed)
            )
        )
        if indexed:
            text = format_indexes(sync.succeeded_indexes)
            status = status.replaced(succeeded=len(sync.succeeded_indexes), completed_indexes=text)
        return status, release, complete

    def _finish(self, condition: Condition, status: JobStatus) -> JobStatus:
        uncounted = status.uncounted_terminated_pods
        if uncounted is not None and (uncounted.succeeded or uncounted.failed):
            return status  # still some to count
        status = status.replaced(conditions=(*status.conditions, condition))
        if condition.type == COMPLETE:
            status = status.replaced(completion_time=condition.last_transition_time)
        return status

    def _write(self, job: Job, status: JobStatus) -> Any:
        written, error = yield call(self._client.update_status, job.replaced(status=status))
        if error is not None:
            raise error
        return written, written.status

    def _condition(self, kind: str, reason: str | None, message: str | None) -> Condition:
        now = self._clock.timestamp()
        fields = {"type": kind, "status": "True", "last_probe_time": now, "last_transition_time": now}
        if reason is not None:
            fields |= {"reason": reason, "message": message or ""}
        return Condition(**fields)


def _indexed(job: Job) -> bool:
    return job.spec.completion_mode == "Indexed"


def _failed(pod: Pod) -> bool:
    """A pod that is being deleted counts as failed: it may never get to say so itself."""
    return pod.status.phase == FAILED or (pod.metadata.deletion_timestamp is not None and pod.status.phase != SUCCEEDED)


def _valid_indexes(job: Job, pods: Iterable[Pod]) -> set[int]:
    indexes = (completion_index(pod) for pod in pods)
    return {index for index in indexes if index is not None and index < (job.spec.completions or 0)}


def _restarts_exceed(job: Job, pods: list[Pod], limit: int) -> bool:
    if job.spec.template.spec.restart_policy != "OnFailure":
        return False
    restarts = sum(
        status.restart_count or 0 for pod in pods if not is_finished(pod) for status in pod.status.container_statuses
    )
    return restarts > 0 if limit == 0 else restarts >= limit


def _finish_time(pod: Pod, clock: Any) -> int:
    """When the last container ended; when the pod was given up, if none tells (backoff_utils.go)."""
    times = [
        status.state.terminated.finished_at
        for status in pod.status.container_statuses
        if status.state is not None and status.state.terminated is not None
    ]
    known = [clock.parse(time) for time in times if time]
    if known:
        return int(max(known))
    return int(clock.parse(pod.metadata.deletion_timestamp or clock.timestamp()))


def _counted(status: JobStatus, held: set[str | None]) -> JobStatus:
    """Move the noted pods that no longer have their finalizer into the counters."""
    uncounted = status.uncounted_terminated_pods
    if uncounted is None:
        return status
    succeeded = tuple(uid for uid in uncounted.succeeded if uid in held)
    failed = tuple(uid for uid in uncounted.failed if uid in held)
    if succeeded == uncounted.succeeded and failed == uncounted.failed:
        return status
    changes: dict[str, Any] = {
        "uncounted_terminated_pods": uncounted.replaced(succeeded=succeeded, failed=failed),
    }
    for field, before, after in (("succeeded", uncounted.succeeded, succeeded), ("failed", uncounted.failed, failed)):
        if len(before) != len(after):
            changes[field] = (getattr(status, field) or 0) + len(before) - len(after)
    return status.replaced(**changes)


_COUNTERS = ("active", "ready", "terminating", "succeeded", "failed", "completed_indexes")


def _differs(new: JobStatus, old: JobStatus) -> bool:
    """Whether writing ``new`` says anything that ``old`` did not; an absent counter is not a zero one."""
    if any(getattr(new, field) != getattr(old, field) for field in _COUNTERS):
        return True
    before = old.uncounted_terminated_pods or UncountedTerminatedPods()
    after = new.uncounted_terminated_pods or UncountedTerminatedPods()
    return new.conditions != old.conditions or after.succeeded != before.succeeded or after.failed != before.failed


def _remove_finalizer(client: Any, pod: Pod) -> Call:
    def change(current: Pod) -> Pod:
        finalizers = tuple(f for f in current.metadata.finalizers if f != TRACKING_FINALIZER)
        if finalizers == current.metadata.finalizers:
            return current
        return current.replaced(metadata=current.metadata.replaced(finalizers=finalizers))

    return call(client.patch, Pod, pod.namespace, pod.name, change, uid=pod.metadata.uid)
