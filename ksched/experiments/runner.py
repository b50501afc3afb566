"""Runs of a plan over local processes: progress, Ctrl-C, crashed workers, and runs that somebody else is doing."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing.queues import SimpleQueue
from typing import Protocol

from ksched.errors import InputError, KschedError
from ksched.experiments.run_spec import Outcome, RunSpec, Simulate
from ksched.experiments.store import ResultStore
from ksched.experiments.worker import start_worker, work, work_in_pool

_POLL_S = 0.2
_CRASHES_ALLOWED = 2


class Interrupted(KschedError):
    """Ctrl-C during a sweep; the message says what is finished and how to go on."""


class Watcher(Protocol):
    """Who is told how a sweep goes on (see ksched.experiments.progress)."""

    def running(self, run_id: str, done: int, total: int) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...
    def waiting(self, count: int) -> None: ...
    def tick(self) -> None: ...


class Silent:
    """A watcher that shows nothing."""

    def running(self, run_id: str, done: int, total: int) -> None: ...
    def finished(self, outcome: Outcome) -> None: ...
    def waiting(self, count: int) -> None: ...
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


def default_jobs() -> int:
    """One worker for every CPU this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run_all(
    specs: Sequence[RunSpec], store: ResultStore, simulate: Simulate, *, jobs: int, watcher: Watcher | None = None
) -> SweepResult:
    """Do every run that is not finished; finished ones are kept, failed ones tried again.

    ``jobs=1`` works in this process. ``simulate`` must be importable by name from a fresh process when jobs > 1.
    The results are the same bytes whatever ``jobs`` is.
    """
    watcher = watcher or Silent()
    result = SweepResult()
    todo = []
    for spec in specs:
        if store.state(spec.run_id) == "done":
            store.relabel(spec.run_id, spec.axes)
            _note(Outcome(spec.run_id, "kept"), result, watcher)
        else:
            todo.append(spec)
    try:
        while todo:
            busy = _one_pass(todo, store, simulate, min(jobs, len(todo)), result, watcher)
            if busy:
                # Another process has them; when it commits they are kept, when it dies they are ours.
                watcher.waiting(len(busy))
                time.sleep(_POLL_S)
            todo = busy
    except KeyboardInterrupt:
        finished = len(result.done) + len(result.kept)
        raise Interrupted(
            f"interrupted: {finished} of {len(specs)} runs are finished in {store.root}\n"
            "  the same command goes on from there"
        ) from None
    return result


def _one_pass(
    todo: Sequence[RunSpec], store: ResultStore, simulate: Simulate, jobs: int, result: SweepResult, watcher: Watcher
) -> list[RunSpec]:
    """Try every run once; returns those that another process is doing."""
    if jobs > 1:
        outcomes = _in_pool(todo, store, simulate, jobs, watcher)
    else:
        outcomes = _here(todo, store, simulate, watcher)
    by_id = {spec.run_id: spec for spec in todo}
    busy = []
    for outcome in outcomes:
        if outcome.status == "busy":
            busy.append(by_id[outcome.run_id])
        else:
            _note(outcome, result, watcher)
    return busy


def _note(outcome: Outcome, result: SweepResult, watcher: Watcher) -> None:
    result.add(outcome)
    watcher.finished(outcome)


def _here(todo: Iterable[RunSpec], store: ResultStore, simulate: Simulate, watcher: Watcher) -> Iterator[Outcome]:
    for spec in todo:

        def progress(done: int, total: int, run_id: str = spec.run_id) -> None:
            watcher.running(run_id, done, total)

        yield work(spec, store, simulate, progress)


def _in_pool(
    todo: Sequence[RunSpec], store: ResultStore, simulate: Simulate, jobs: int, watcher: Watcher
) -> Iterator[Outcome]:
    """Outcomes as they come. A pool that lost a process is built anew; a run that is lost twice counts as failed."""
    open_runs = {spec.run_id: spec for spec in todo}
    crashes: Counter[str] = Counter()
    while open_runs:
        alone = any(crashes.values())  # after a crash one run a pool, to learn which run it is
        batch = list(open_runs.values())[: 1 if alone else None]
        try:
            with _pool(1 if alone else jobs) as (pool, queue):
                for outcome in _drain(pool, queue, batch, store, simulate, watcher):
                    del open_runs[outcome.run_id]
                    yield outcome
            if alone:
                crashes.clear()
        except BrokenProcessPool:
            suspect = batch[0].run_id
            crashes[suspect] += 1
            if crashes[suspect] >= _CRASHES_ALLOWED:
                spec = open_runs.pop(suspect)
                crashes.clear()
                yield _lost(spec, store)


def _lost(spec: RunSpec, store: ResultStore) -> Outcome:
    message = "the worker process died twice during this run (out of memory, or killed)"
    facts = {"run_id": spec.run_id, "axes": spec.axes, "seed": spec.seed, "status": "failed", "error": message}
    store.commit_failure(spec.run_id, facts, message + "\n")
    return Outcome(spec.run_id, "failed", message)


def _drain(
    pool: ProcessPoolExecutor,
    queue: SimpleQueue[tuple[str, int, int]],
    batch: Sequence[RunSpec],
    store: ResultStore,
    simulate: Simulate,
    watcher: Watcher,
) -> Iterator[Outcome]:
    pending: set[Future[Outcome]] = {pool.submit(work_in_pool, spec, store, simulate) for spec in batch}
    while pending:
        finished, pending = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
        while not queue.empty():
            watcher.running(*queue.get())
        watcher.tick()
        # Results first: a broken pool fails all futures at once, and what was finished before must not be lost.
        for future in sorted(finished, key=lambda f: f.exception() is not None):
            yield future.result()


@contextmanager
def _pool(jobs: int) -> Iterator[tuple[ProcessPoolExecutor, SimpleQueue[tuple[str, int, int]]]]:
    """A pool of fresh processes that is gone, processes included, when the block is left in whatever way."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise InputError(
            "an experiment was started while a worker process was importing your script",
            hint="put the call below 'if __name__ == \"__main__\":', or pass jobs=1",
        )
    context = multiprocessing.get_context("spawn")
    queue: SimpleQueue[tuple[str, int, int]] = context.SimpleQueue()
    before = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, mp_context=context, initializer=start_worker, initargs=(queue,))
    try:
        yield pool, queue
    except BaseException:
        for child in set(multiprocessing.active_children()) - before:
            child.kill()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        queue.close()
