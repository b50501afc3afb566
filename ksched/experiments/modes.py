"""The replay modes: who submits the pods of a trace to a cluster, when, and when a run is over.

``timestamp``: everything is submitted when the trace says. ``inflate``: each pod, or batch of pods, is submitted when
the one before was decided; a pod that does not fit is deleted and not tried again. ``snapshot``: all pods at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from ksched.cluster.cluster import Cluster
from ksched.cluster.priorities import END, OBSERVE, SUBMIT
from ksched.errors import InputError
from ksched.experiments.recorder import Recorder
from ksched.experiments.run_spec import Progress
from ksched.framework import Decision
from ksched.objects import KubeObject, Pod
from ksched.sim.kernel import SECOND, Timer
from ksched.traces.replay import Arrival, Replay

GAP = SECOND
"""From a decision to the next arrival in mode inflate, per pod of a batch: long enough for what follows from the
decision (binding, the deletion of a pod given up), and for history to be compacted on the way."""
SAMPLES = 400
"""About how many samples a run takes, however long it is."""
QUIET = 60 * SECOND
"""When nothing is left that could end, waiting pods get this long, six times the longest back-off, to be placed."""


class Driver:
    """Feeds arrivals to a cluster and decides when the run is over."""

    def __init__(
        self, cluster: Cluster, recorder: Recorder, replay: Replay, options: dict[str, Any], progress: Progress
    ) -> None:
        self.cluster = cluster
        self.kernel = cluster.kernel
        self.recorder = recorder
        self.replay = replay
        self.options = options
        self.progress = progress
        self.client = cluster.api.client("trace")
        self.end_ns = 0
        self._arrivals: Iterator[Arrival] = iter(replay)
        self._submitted = 0
        self._over = False
        cluster.scheduler.on_decision.append(recorder.decided)

    def set_up(self, objects: Iterable[KubeObject]) -> None:
        """Create what is there before the first pod."""
        for obj in objects:
            self.client.create(obj, _must_succeed)
        # Whatever follows from that at this instant happens before the first arrival.
        self.kernel.run(until=self.kernel.now)

    def begin(self) -> None:
        """Make the first arrivals due; from here on the run is a matter of :meth:`step`."""
        raise NotImplementedError

    def step(self) -> bool:
        """Let the next thing happen; False once the run is over."""
        return not self._over and self.kernel.step() and not self._over

    def run(self) -> None:
        """All steps there are."""
        if not self._over:
            self.kernel.drain()

    def finish(self) -> None:
        """Close the books, once the run is over."""
        self.end_ns = self.kernel.now
        self.recorder.finish()
        self.progress(self._submitted, len(self.replay))

    def notes(self) -> tuple[str, ...]:
        """Remarks for run.json."""
        return ()

    def _submit(self, arrival: Arrival) -> None:
        if arrival.run_ns.count(None) < len(arrival.run_ns):  # pods nobody filed run until they are deleted
            self.cluster.processes.add(arrival.workload, arrival.run_ns)
        for obj in arrival.objects:
            self.client.create(obj, _must_succeed)
        self._submitted += 1
        if self._submitted % 64 == 0:
            self.progress(self._submitted, len(self.replay))

    def _stop(self) -> None:
        self._over = True
        self.kernel.stop()


class Timestamp(Driver):
    """Submits by the clock; over at the horizon, or when nothing runs or waits with any prospect of an end."""

    def begin(self) -> None:
        """See :class:`Driver`."""
        self._next: Arrival | None = None
        self._deletions = 0
        self._quiet_timer: Timer | None = None
        horizon = self.options.get("horizon")
        if horizon is not None:
            self.kernel.call_at(max(horizon, self.kernel.now), self._stop, priority=OBSERVE + 1)
        self._step_ns = max(1, _span(self.replay, horizon) // SAMPLES)
        self._samples = 0
        self.recorder.pods.on_moved = self._look_for_end
        self._wait_for_next()
        self._sample()

    def _wait_for_next(self) -> None:
        self._next = next(self._arrivals, None)
        if self._next is None:
            self._look_for_end()
        else:
            self.kernel.call_at(max(self._next.time_ns, self.kernel.now), self._arrive, priority=SUBMIT)

    def _arrive(self) -> None:
        arrival = self._next
        assert arrival is not None
        if arrival.delete_ns is not None:
            self._deletions += 1
            self.kernel.call_at(max(arrival.delete_ns, self.kernel.now), self._delete, arrival, priority=END)
        elif arrival.run_ns and arrival.run_ns[0] is None:
            self.recorder.pods.endless.add(arrival.workload)
        self._submit(arrival)
        self._wait_for_next()

    def _delete(self, arrival: Arrival) -> None:
        self._deletions -= 1
        for obj in arrival.objects:
            self.client.delete(type(obj), obj.metadata.namespace, obj.name)
        self._look_for_end()

    def _sample(self) -> None:
        self.recorder.sample()
        self._samples += 1
        if self._samples % SAMPLES == 0:
            self._step_ns *= 2  # far beyond the trace's own span: waiting work drags on
        self.kernel.call_later(self._step_ns, self._sample, priority=OBSERVE)

    def _look_for_end(self) -> None:
        """Called whenever a pod got a node or left: is there anything left to wait for?"""
        if self._quiet_timer is not None:
            self._quiet_timer.cancel()
            self._quiet_timer = None
        pods = self.recorder.pods
        if self._next is not None or self._deletions or pods.busy:
            return
        waiting = pods.pending or len(pods) < self.replay.pods
        self._quiet_timer = self.kernel.call_later(QUIET if waiting else 0, self._stop, priority=OBSERVE + 1)


class Inflate(Driver):
    """Submits pods when those before were decided, as many at a time as option ``batch`` says; failed ones are deleted.

    Pods of a batch wait in the queue for each other, and are decided and measured one by one.
    """

    def begin(self) -> None:
        """See :class:`Driver`."""
        self._every = max(1, len(self.replay) // SAMPLES)
        self._undecided = 0
        self.recorder.arrives_when_tried = True
        self.cluster.scheduler.on_decision.append(self._decided)
        self._next()

    def _next(self) -> None:
        """Measure what has come of the last batch, if there was one, and submit the next."""
        self.recorder.probe()
        since_sample = self._submitted % self._every
        if since_sample == 0:
            self.recorder.sample()
        # Batches end where samples are due: those are of a cluster in which nothing is under way.
        batch = list(islice(self._arrivals, min(self.options["batch"], self._every - since_sample)))
        if not batch:
            self._stop()
            return
        self._undecided = len(batch)
        self._gap = GAP * len(batch)
        for arrival in batch:
            self._submit(arrival)

    def _decided(self, decision: Decision) -> None:
        if decision.attempt > 1:
            return  # tried again before its deletion reached the scheduler
        if decision.node is None:
            self.recorder.failed += 1
            self.client.delete(Pod, decision.pod.namespace, decision.pod.name, grace_seconds=0)
        self._undecided -= 1
        if not self._undecided:
            self.kernel.call_later(self._gap, self._next, priority=SUBMIT)
        elif decision.node is not None and self.kernel.comes_next(SUBMIT):
            self.recorder.probe()
        else:
            self.kernel.call_later(0, self.recorder.probe, priority=SUBMIT)

    def notes(self) -> tuple[str, ...]:
        return (
            "mode inflate: pods arrive one after the other in an order drawn by the seed, none ever leaves, "
            "and one that does not fit is given up; times mean nothing",
        )


class Snapshot(Driver):
    """Submits everything at time 0; over when every pod was tried once."""

    def begin(self) -> None:
        """See :class:`Driver`."""
        self._every = max(1, len(self.replay) // SAMPLES)
        self._untried = self.replay.pods
        self.recorder.arrives_when_tried = True
        self.cluster.scheduler.on_decision.append(self._decided)
        self.recorder.sample()
        for arrival in self._arrivals:
            self._submit(arrival)
        if not self._untried:
            self._stop()

    def _decided(self, decision: Decision) -> None:
        if decision.attempt == 1:
            self._untried -= 1
            if self._untried % self._every == 0:
                self.kernel.call_later(0, self._settle, priority=SUBMIT)
            if not self._untried:
                self.kernel.call_later(0, self._stop, priority=OBSERVE)

    def _settle(self) -> None:
        """Take a sample once the pods that were decided are bound."""
        self.cluster.scheduler.begin_bindings()
        self.kernel.call_later(0, self.recorder.sample, priority=SUBMIT)

    def notes(self) -> tuple[str, ...]:
        return ("mode snapshot: all pods arrive at once and none ends; times mean nothing",)


MODES: dict[str, type[Driver]] = {"timestamp": Timestamp, "inflate": Inflate, "snapshot": Snapshot}


def _span(replay: Replay, horizon: int | None) -> int:
    """When the last pod would end if none had to wait, ns; at most the horizon."""
    last = 0
    for arrival in replay:
        longest = max((run for run in arrival.run_ns if run is not None), default=0)
        last = max(last, arrival.delete_ns or arrival.time_ns + longest)
    return last if horizon is None else min(last, horizon)


def _must_succeed(result: object, error: Exception | None) -> None:
    if error is not None:
        raise InputError(f"the api-server refused an object of the trace: {error}", hint="see `ksched trace check`")
