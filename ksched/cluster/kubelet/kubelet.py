"""The kubelet: runs the pods bound to its node and reports what becomes of them.

One per Node. It watches its own pods, admits them, has the runtime start them, patches their status, restarts what
its restart policy says, and ends what is deleted. Heartbeats change nothing anybody here observes and are not
stepped. Rules: pkg/kubelet (kubelet.go, pod_workers.go, status/status_manager.go).
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from ksched.cluster.apiserver.client import Client
from ksched.cluster.apiserver.errors import ApiError
from ksched.cluster.clock import Clock
from ksched.cluster.kubelet.admission import Capacity, requests_of
from ksched.cluster.kubelet.cri import Runtime
from ksched.cluster.kubelet.status import FAILED, PENDING, RUNNING, SUCCEEDED, ContainerReport, rejected, report
from ksched.cluster.priorities import KUBELET
from ksched.objects.node import Node
from ksched.objects.pod import Pod, PodStatus
from ksched.sim.delays import Duration
from ksched.sim.kernel import MINUTE, SECOND, Kernel, Timer

_ENDED = (SUCCEEDED, FAILED)


class KubeletConfig(BaseModel):
    """Constants of the kubelet, upstream's by default.

    ``enabled``: whether nodes have one at all; without it pods stay Pending once they are bound and never end, as in
    upstream's scheduler_perf, where scheduling alone is of interest. ``initial_backoff``: wait before a container is
    restarted, doubled each time. ``max_backoff``: the longest wait. ``backoff_reset``: after a container has run so
    long its wait begins anew.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    enabled: bool = True
    initial_backoff: Duration = 10 * SECOND
    max_backoff: Duration = 300 * SECOND
    backoff_reset: Duration = 10 * MINUTE


class PodWorker:
    """One pod on its node."""

    __slots__ = (
        "backoff",
        "containers",
        "dirty",
        "in_flight",
        "phase",
        "pod",
        "reason",
        "requests",
        "run_since",
        "start_time",
        "stopping",
        "timer",
    )

    def __init__(self, pod: Pod, start_time: str) -> None:
        self.pod = pod
        self.start_time = start_time
        self.phase = PENDING
        self.reason: tuple[str, str] | None = None
        self.containers = ContainerReport()
        self.requests: Any = None  # what it holds of the node's capacity, None once given back
        self.timer: Timer | None = None
        self.run_since = 0
        self.backoff = 0
        self.stopping = False
        self.dirty = False
        self.in_flight = False


class Kubelet:
    """See the module's text."""

    def __init__(
        self,
        kernel: Kernel,
        clock: Clock,
        client: Client,
        node: Node,
        runtime: Runtime,
        config: KubeletConfig,
    ) -> None:
        self.node_name = node.name
        self._kernel = kernel
        self._clock = clock
        self._client = client
        self._runtime = runtime
        self._config = config
        self._capacity = Capacity(node)
        self._workers: dict[str, PodWorker] = {}  # by uid
        self._informer = client.informer(
            Pod,
            field_selector=f"spec.nodeName={node.name}",
            on_add=self._added,
            on_update=self._updated,
            on_delete=self._deleted,
        )

    @property
    def pods(self) -> list[Pod]:
        """The pods this kubelet knows of, in order of arrival."""
        return [worker.pod for worker in self._workers.values()]

    def node_changed(self, node: Node) -> None:
        """The Node object has changed."""
        self._capacity.update(node)

    def stop(self) -> None:
        """The node is gone, and with it everything that ran there."""
        self._informer.stop()
        for worker in self._workers.values():
            if worker.timer is not None:
                worker.timer.cancel()
        self._workers = {}

    # -- what the api-server tells ----------------------------------------------------------------------------

    def _added(self, pod: Pod) -> None:
        if pod.status.phase in _ENDED:
            return  # it ended before this kubelet saw it; there is nothing to run
        now = self._clock.timestamp()
        worker = self._workers[pod.metadata.uid or ""] = PodWorker(pod, now)
        if pod.metadata.deletion_timestamp is not None:
            self._terminate(worker)
            return
        requests = requests_of(pod.spec)
        worker.reason = self._capacity.refusal(requests)
        if worker.reason is not None:
            worker.phase = FAILED
            self._report(worker)
            return
        worker.requests = requests
        self._capacity.take(requests)
        self._report(worker)
        starting = self._runtime.start_pod(pod, lambda: self._started(worker))
        if starting is not None:
            worker.timer = starting

    def _updated(self, old: Pod, new: Pod) -> None:
        worker = self._workers.get(new.metadata.uid or "")
        if worker is None:
            if old.metadata.uid != new.metadata.uid:
                self._added(new)
            return
        worker.pod = new
        if new.metadata.deletion_timestamp is None:
            return
        if worker.phase not in _ENDED:
            shortened = new.metadata.deletion_grace_period_seconds != old.metadata.deletion_grace_period_seconds
            if not worker.stopping or shortened:
                self._terminate(worker)

    def _deleted(self, pod: Pod) -> None:
        worker = self._workers.pop(pod.metadata.uid or "", None)
        if worker is None:
            return
        if worker.timer is not None:  # removed by force: the containers are killed without anybody waiting
            worker.timer.cancel()
        self._give_back(worker)
        self._runtime.forget(pod)

    # -- the life of a pod ------------------------------------------------------------------------------------

    def _started(self, worker: PodWorker) -> None:
        worker.timer = None
        containers = worker.containers
        containers.waiting = None
        containers.exit_code = None
        containers.started_at = self._clock.timestamp()
        worker.phase = RUNNING
        worker.run_since = self._kernel.now
        self._report(worker)
        timer = self._runtime.run(worker.pod, lambda exit_code: self._exited(worker, exit_code))
        worker.timer = timer

    def _exited(self, worker: PodWorker, exit_code: int) -> None:
        worker.timer = None
        containers = worker.containers
        containers.exit_code = exit_code
        containers.finished_at = self._clock.timestamp()
        policy = worker.pod.spec.restart_policy
        if policy == "Never" or (policy == "OnFailure" and exit_code == 0):
            self._finish(worker, SUCCEEDED if exit_code == 0 else FAILED)
        else:
            self._back_off(worker)

    def _back_off(self, worker: PodWorker) -> None:
        """Start again: at once the first time, then after 10 s, 20 s ... 5 min."""
        if self._kernel.now - worker.run_since >= self._config.backoff_reset:
            worker.backoff = 0
        wait = worker.backoff
        worker.backoff = min(max(2 * wait, self._config.initial_backoff), self._config.max_backoff)
        worker.containers.waiting = "CrashLoopBackOff" if wait else "ContainerCreating"
        self._report(worker)
        worker.timer = self._kernel.call_later(wait, self._restart, worker, priority=KUBELET)

    def _restart(self, worker: PodWorker) -> None:
        worker.containers.restarts += 1
        worker.timer = None
        starting = self._runtime.restart_containers(worker.pod, lambda: self._started(worker))
        if starting is not None:
            worker.timer = starting

    def _terminate(self, worker: PodWorker) -> None:
        """The pod is being deleted: stop its containers, within its grace period."""
        if worker.timer is not None:
            worker.timer.cancel()
            worker.timer = None
        worker.stopping = True
        if worker.containers.started_at is None or worker.containers.waiting is not None:
            self._stopped(worker, self._runtime.config.sigterm_exit_code)  # nothing runs
            return
        grace = worker.pod.metadata.deletion_grace_period_seconds or 0
        worker.timer = self._runtime.stop(grace, lambda exit_code: self._stopped(worker, exit_code))

    def _stopped(self, worker: PodWorker, exit_code: int) -> None:
        worker.timer = None
        worker.containers.waiting = None
        worker.containers.exit_code = exit_code
        worker.containers.finished_at = self._clock.timestamp()
        self._finish(worker, SUCCEEDED if exit_code == 0 else FAILED)

    def _finish(self, worker: PodWorker, phase: str) -> None:
        worker.phase = phase
        self._give_back(worker)
        self._report(worker)

    def _give_back(self, worker: PodWorker) -> None:
        if worker.requests is not None:
            self._capacity.give_back(worker.requests)
            worker.requests = None

    # -- the status manager -----------------------------------------------------------------------------------

    def _report(self, worker: PodWorker) -> None:
        """Have the status written. Changes of one instant, or made while a write is under way, go as one."""
        if worker.dirty:
            return
        worker.dirty = True
        if not worker.in_flight:
            self._kernel.call_later(0, self._send, worker, priority=KUBELET)

    def _send(self, worker: PodWorker) -> None:
        if self._workers.get(worker.pod.metadata.uid or "") is not worker:
            return
        worker.dirty = False
        worker.in_flight = True
        pod, status = worker.pod, self._status_maker(worker)
        meta = pod.metadata
        self._client.patch(
            Pod,
            meta.namespace,
            meta.name or "",
            lambda current: current.replaced(status=status(current.status)),
            lambda result, error: self._sent(worker, result, error),
            subresource="status",
            uid=meta.uid,
        )

    def _status_maker(self, worker: PodWorker) -> Any:
        """A function that puts what is true of the worker now into a status."""
        now, phase, start_time, pod = self._clock.timestamp(), worker.phase, worker.start_time, worker.pod
        if worker.reason is not None:
            reason, message = worker.reason
            return lambda current: rejected(current, reason, message, now)
        containers = worker.containers.snapshot()

        def make(current: PodStatus) -> PodStatus:
            return report(current, pod, containers, phase, start_time, now)

        return make

    def _sent(self, worker: PodWorker, pod: Pod | None, error: ApiError | None) -> None:
        worker.in_flight = False
        if error is not None and not (error.is_not_found or error.code == 409):
            raise RuntimeError(f"kubelet {self.node_name}: status of {worker.pod.key} was refused: {error}")
        if error is not None:
            return  # deleted, or another pod by the same name: the watch will tell
        if worker.dirty:
            self._send(worker)
        elif pod is not None and pod.metadata.deletion_timestamp is not None and pod.status.phase in _ENDED:
            self._remove(worker)

    def _remove(self, worker: PodWorker) -> None:
        """Everything has stopped and is on record: the object can go."""
        meta = worker.pod.metadata
        self._client.delete(Pod, meta.namespace, meta.name or "", uid=meta.uid, grace_seconds=0)
