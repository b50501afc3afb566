"""Below the kubelet: the container runtime as a model of how long its calls take.

The calls are those of the Container Runtime Interface (cri-api pkg/apis/runtime/v1). All take no time by default;
containerd with runc on a small virtual machine took, in ms p50/p90: RunPodSandbox 77/121, CreateContainer 25/41,
StartContainer 55/69.
"""

from __future__ import annotations

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from ksched.cluster.kubelet.processes import Process, Processes
from ksched.cluster.priorities import END, KUBELET
from ksched.objects.pod import Pod
from ksched.sim.delays import Constant, Delay, Sampler
from ksched.sim.kernel import SECOND, Kernel, Timer
from ksched.sim.streams import Streams

SIGKILL_EXIT = 137


class RuntimeConfig(BaseModel):
    """Latencies of the runtime's calls.

    ``run_pod_sandbox``: once per pod. ``pull_image``, ``create_container`` and ``start_container``: once per container,
    one after the other. ``stop_container``: how long a process takes to end after SIGTERM; when that exceeds the grace
    period it is killed. ``sigterm_exit_code``: what it then exits with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    run_pod_sandbox: Delay = Constant()
    pull_image: Delay = Constant()
    create_container: Delay = Constant()
    start_container: Delay = Constant()
    stop_container: Delay = Constant()
    sigterm_exit_code: int = 143


class Runtime:
    """The runtime of one node."""

    def __init__(
        self, kernel: Kernel, streams: Streams, config: RuntimeConfig, processes: Processes, node: str
    ) -> None:
        self.config = config
        self._kernel = kernel
        self._processes = processes

        def sampler(delay: object, call: str) -> Sampler:
            return Sampler(delay, streams, f"runtime/{node}/{call}")  # type: ignore[arg-type]

        self._sandbox = sampler(config.run_pod_sandbox, "run_pod_sandbox")
        self._pull = sampler(config.pull_image, "pull_image")
        self._create = sampler(config.create_container, "create_container")
        self._start = sampler(config.start_container, "start_container")
        self._stop = sampler(config.stop_container, "stop_container")
        self._starts_at_once = all(s.is_zero for s in (self._sandbox, self._pull, self._create, self._start))

    def start_pod(self, pod: Pod, started: Callable[[], object]) -> Timer | None:
        """Make the sandbox and start every container; ``started()`` is called when the last one runs.

        Returns the timer that stands for the work under way; None when it is done already.
        """
        if self._starts_at_once:
            started()
            return None
        delay = self._sandbox()
        for _ in range(len(pod.spec.init_containers) + len(pod.spec.containers)):
            delay += self._pull() + self._create() + self._start()
        return self._after(delay, started)

    def restart_containers(self, pod: Pod, started: Callable[[], object]) -> Timer | None:
        """Start the containers again in the sandbox that is there."""
        delay = 0
        for _ in pod.spec.containers:
            delay += self._create() + self._start()
        return self._after(delay, started)

    def run(self, pod: Pod, ended: Callable[[int], object]) -> Timer | None:
        """Let the pod's process run; ``ended(exit_code)`` is called if it ends by itself."""
        process: Process = self._processes.start(pod)
        if process.run_ns is None:
            return None
        return self._kernel.call_later(process.run_ns, ended, process.exit_code, priority=END)

    def stop(self, grace_seconds: int, stopped: Callable[[int], object]) -> Timer | None:
        """Send SIGTERM, and SIGKILL after the grace period; ``stopped(exit_code)`` is called when it is over."""
        grace = grace_seconds * SECOND
        delay = self._stop()
        exit_code = self.config.sigterm_exit_code
        if delay > grace:
            delay, exit_code = grace, SIGKILL_EXIT
        if delay == 0:
            stopped(exit_code)
            return None
        return self._kernel.call_later(delay, stopped, exit_code, priority=END)

    def forget(self, pod: Pod) -> None:
        """The pod is gone from the node."""
        self._processes.forget(pod)

    def _after(self, delay: int, done: Callable[[], object]) -> Timer | None:
        if delay == 0:
            done()
            return None
        return self._kernel.call_later(delay, done, priority=KUBELET)
