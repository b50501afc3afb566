"""Runs of a plan over an executor: what is finished is kept, what fails is recorded, what is lost is tried again."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ksched.errors import KschedError
from ksched.experiments.executors import POLL_S, Executor, Task
from ksched.experiments.run_spec import Outcome, RunSpec, Simulate
from ksched.experiments.store import ResultStore
from ksched.experiments.waiting import WaitingRuns
from ksched.experiments.worker import record_failure

LOSSES_ALLOWED = 1
"""How often the process that computes a run may die before the run counts as failed."""


class Interrupted(KschedError):
    """Ctrl-C during a sweep; the message says what is finished and how to go on."""


class Watcher(Protocol):
    """Who is told how a sweep goes on (see ksched.experiments.progress)."""

    def running(self, run_id: str, done: int, total: int) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...
    def waiting(self, reason: str) -> None: ...
    def tick(self) -> None: ...


class Silent:
    """A watcher that shows nothing."""

    def running(self, run_id: str, done: int, total: int) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...
    def waiting(self, reason: str) -> None: ...
    def tick(self) -> None: ...


@dataclass
class SweepResult:
    """What became of the runs of one invocation, by run id; ``failed`` holds one message a run."""

    done: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, outcome: Outcome) -> None:
        """File one outcome."""
        if outcome.status == "failed":
            self.failed[outcome.run_id] = outcome.message
        else:
            (self.done if outcome.status == "done" else self.kept).append(outcome.run_id)


def run_all(
    specs: Sequence[RunSpec],
    store: ResultStore,
    simulate: Simulate,
    executor: Executor,
    watcher: Watcher | None = None,
) -> SweepResult:
    """Do every run that is not finished; finished ones are kept, failed ones tried again.

    ``simulate`` must be importable by name from another process. The results are the same bytes whatever the executor
    is. Raises InputError when results cannot be written, Interrupted on Ctrl-C.
    """
    sweep = _Sweep(specs, store, simulate, executor, watcher or Silent())
    try:
        with executor:
            sweep.run()
    except KeyboardInterrupt:
        finished = len(sweep.result.done) + len(sweep.result.kept)
        raise Interrupted(
            f"interrupted: {finished} of {len(specs)} runs are finished in {store.root}\n"
            "  the same command goes on from there"
        ) from None
    return sweep.result


class _Sweep:
    """The runs of one invocation: those that wait, those an executor has, those another process has."""

    def __init__(
        self, specs: Sequence[RunSpec], store: ResultStore, simulate: Simulate, executor: Executor, watcher: Watcher
    ) -> None:
        self.result = SweepResult()
        self._store = store
        self._simulate = simulate
        self._executor = executor
        self._watcher = watcher
        self._specs = specs
        self._waiting = WaitingRuns()
        self._running: dict[str, RunSpec] = {}
        self._elsewhere: list[RunSpec] = []
        self._losses: Counter[str] = Counter()

    def run(self) -> None:
        for spec in self._specs:
            if self._store.state(spec.run_id) == "done":
                self._store.relabel(spec.run_id, spec.axes)
                self._note(Outcome(spec.run_id, "kept"))
            else:
                self._waiting.add(spec)
        while self._waiting or self._running or self._elsewhere:
            if not self._waiting and not self._running:
                self._wait_for_others()
            self._hand_out()
            for outcome in self._executor.completed(self._watcher.running):
                self._ended(outcome)
            self._watcher.tick()

    def _hand_out(self) -> None:
        if not self._waiting:
            return
        # Whoever can go on with his group does, before the others choose another.
        for group in sorted(self._executor.room(), key=self._waiting.has, reverse=True)[: len(self._waiting)]:
            spec = self._waiting.take(group)
            self._running[spec.run_id] = spec
            self._executor.submit(Task(spec, self._store, self._simulate))

    def _wait_for_others(self) -> None:
        # When the other process commits its runs they are kept, when it dies they are ours.
        self._watcher.waiting(f"waiting for {len(self._elsewhere)} runs of another process")
        time.sleep(POLL_S)
        for spec in self._elsewhere:
            self._waiting.add(spec)
        self._elsewhere.clear()

    def _ended(self, outcome: Outcome) -> None:
        spec = self._running.pop(outcome.run_id)
        if outcome.status == "busy":
            self._elsewhere.append(spec)
        elif outcome.status == "lost":
            self._losses[spec.run_id] += 1
            if self._losses[spec.run_id] <= LOSSES_ALLOWED:
                self._waiting.add(spec)
            else:
                self._note(self._given_up(spec))
        else:
            self._note(outcome)

    def _given_up(self, spec: RunSpec) -> Outcome:
        message = "the worker process died twice during this run (out of memory, or killed)"
        record_failure(spec, self._store, message, message + "\n")
        return Outcome(spec.run_id, "failed", message)

    def _note(self, outcome: Outcome) -> None:
        self.result.add(outcome)
        self._watcher.finished(outcome)
