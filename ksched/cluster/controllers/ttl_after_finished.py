"""Deletes Jobs some time after they have ended (pkg/controller/ttlafterfinished)."""

from __future__ import annotations

from ksched.cluster.controllers.context import Context
from ksched.cluster.controllers.job import finished_condition
from ksched.cluster.controllers.steps import Steps, call
from ksched.cluster.controllers.workqueue import WorkQueue
from ksched.objects.workloads import Job
from ksched.sim.kernel import SECOND


class TTLAfterFinishedController:
    """Keys are ``namespace/name`` of Jobs with ``ttlSecondsAfterFinished``."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._clock = context.clock
        self._jobs = context.informer(Job)
        self.queue = WorkQueue(context.kernel, self.sync, context.config)
        self._jobs.add_handler(self._enqueue, lambda old, new: self._enqueue(new))

    def _enqueue(self, job: Job) -> None:
        if self._expires(job) is not None and job.metadata.deletion_timestamp is None:
            self.queue.add(job.key)

    def _expires(self, job: Job) -> int | None:
        """When the job's time is up (ns); None while it has not ended or has no TTL."""
        condition = finished_condition(job)
        ttl = job.spec.ttl_seconds_after_finished
        if condition is None or ttl is None or condition.last_transition_time is None:
            return None
        return self._clock.parse(condition.last_transition_time) + ttl * SECOND

    def sync(self, key: str) -> Steps:
        """Delete the job if its time is up, else look again when it is."""
        namespace, _, name = key.partition("/")
        job = self._jobs.get(namespace, name)
        if job is None or not self._too_old(job):
            return
        # The informer may be behind: ask again before doing what cannot be undone.
        fresh, error = yield call(self._client.get, Job, namespace, name)
        if error is not None:
            if error.is_not_found:
                return
            raise error
        if not self._too_old(fresh):
            return
        _, error = yield call(
            self._client.delete, Job, namespace, name, uid=fresh.metadata.uid, propagation="Foreground"
        )
        if error is not None and not error.is_not_found:
            raise error

    def _too_old(self, job: Job) -> bool:
        expires = self._expires(job)
        if expires is None or job.metadata.deletion_timestamp is not None:
            return False
        left = expires - self._clock.kernel.now
        if left > 0:
            self.queue.add_after(job.key, left)
            return False
        return True
