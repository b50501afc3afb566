"""Where runs are computed: in this process, or in processes of this machine (a Dask cluster: see dask_cluster)."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from types import TracebackType
from typing import Any, Protocol, Self

from ksched.errors import InputError
from ksched.experiments.run_spec import Outcome, Progress, RunSpec, Simulate
from ksched.experiments.store import ResultStore
from ksched.experiments.worker import work
from ksched.experiments.worker_memory import start_small

POLL_S = 0.2
_REPORT_EVERY_S = 0.2
_START_FAILURES_ALLOWED = 2

PROCESSES = "processes"
DASK = "dask://"

OnProgress = Callable[[str, int, int], None]
"""Told (run id, arrivals handled, arrivals in all)."""


@dataclass(frozen=True)
class Task:
    """One run to be done somewhere, and where its result goes. Small and picklable."""

    spec: RunSpec
    store: ResultStore
    simulate: Simulate

    def __call__(self, progress: Progress) -> Outcome:
        """Do it, here and now."""
        return work(self.spec, self.store, self.simulate, progress)


class Executor(Protocol):
    """Does tasks. Leaving its context stops whatever still runs, which can be computed again."""

    def room(self) -> list[str]:
        """For every task it takes now, the group of the run that was done there before ("" for none).

        Few on purpose: what waits, waits in the runner.
        """

    def submit(self, task: Task) -> None:
        """Take a task."""

    def completed(self, on_progress: OnProgress) -> list[Outcome]:
        """What ended since the last call; waits a moment if nothing did.

        A task whose process died is an outcome "lost". Raises what a task raised: results that cannot be written.
        """

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def default_jobs() -> int:
    """One worker for every CPU this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def make_executor(name: str, jobs: int) -> Executor:
    """The executor a user asks for: "processes", of which there are ``jobs`` (1: this one), or "dask://HOST:PORT"."""
    if name == PROCESSES:
        return Processes(jobs) if jobs > 1 else ThisProcess()
    if name.startswith(DASK) and name != DASK:
        from ksched.experiments.dask_cluster import DaskCluster

        return DaskCluster(name.removeprefix(DASK))
    raise InputError(f"there is no executor {name!r}", where="--executor", hint=f"use {PROCESSES} or {DASK}HOST:PORT")


class ThisProcess:
    """Does one task at a time, here."""

    def __init__(self) -> None:
        self._waiting: Task | None = None
        self._group = ""

    def room(self) -> list[str]:
        """One place, when idle."""
        return [] if self._waiting else [self._group]

    def submit(self, task: Task) -> None:
        """Keep it until somebody asks for what is completed."""
        self._waiting = task

    def completed(self, on_progress: OnProgress) -> list[Outcome]:
        """Do the waiting task."""
        if self._waiting is None:
            return []
        task, self._waiting = self._waiting, None
        self._group = task.spec.group
        return [task(partial(on_progress, task.spec.run_id))]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


class Processes:
    """One fresh process per job, each given one run at a time.

    A pool of concurrent.futures breaks as a whole when one of its processes dies and cannot say which task killed it;
    here the death of a process costs its own run only.
    """

    def __init__(self, jobs: int) -> None:
        if getattr(multiprocessing.current_process(), "_inheriting", False):
            raise InputError(
                "an experiment was started while a worker process was importing your script",
                hint="put the call below 'if __name__ == \"__main__\":', or pass jobs=1",
            )
        self._idle: list[_Process] = []
        self._busy: dict[Connection, _Process] = {}
        self._jobs = jobs
        self._start_failures = 0

    def room(self) -> list[str]:
        """The idle processes, and those that were not needed so far."""
        unborn = self._jobs - len(self._busy) - len(self._idle)
        return [process.group for process in self._idle] + [""] * unborn

    def submit(self, task: Task) -> None:
        """Give the task to the idle process that did one of its group, to any idle one, or to a new one."""
        self._idle.sort(key=lambda process: process.group == task.spec.group)
        process = self._idle.pop() if self._idle else _Process()
        process.start(task)
        self._busy[process.connection] = process

    def completed(self, on_progress: OnProgress) -> list[Outcome]:
        """Read what the processes say."""
        outcomes = []
        for connection in wait(list(self._busy), timeout=POLL_S):
            assert isinstance(connection, Connection)
            process = self._busy[connection]
            try:
                message = connection.recv()
            except (EOFError, OSError):
                outcomes.append(self._lost(process))
                continue
            if isinstance(message, tuple):
                self._start_failures = 0
                process.ready = True
                on_progress(*message)
            elif isinstance(message, Exception):
                raise message
            else:
                self._idle.append(self._busy.pop(connection))
                outcomes.append(message)
        return outcomes

    def _lost(self, process: _Process) -> Outcome:
        del self._busy[process.connection]
        process.kill()
        if not process.ready:
            self._start_failures += 1
            if self._start_failures > _START_FAILURES_ALLOWED:
                raise InputError(
                    "worker processes die while they start",
                    hint="in a script, put the call below 'if __name__ == \"__main__\":', or pass jobs=1",
                )
        return Outcome(process.run_id, "lost")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self._idle, *self._busy.values()):
            process.kill()


class _Process:
    """A worker process and the line to it."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()  # so that its death is the end of the line
        self.ready = False
        self.run_id = ""
        self.group = ""

    def start(self, task: Task) -> None:
        self.run_id, self.group = task.spec.run_id, task.spec.group
        with contextlib.suppress(OSError):  # it died idle; the read that follows says so
            self.connection.send(task)

    def kill(self) -> None:
        self._process.kill()
        self._process.join()
        self.connection.close()


def _serve(connection: Connection) -> None:
    """Life of a worker process: tasks in; progress, outcomes and errors out, until the line ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    threading.Thread(target=_die_with_parent, daemon=True).start()
    start_small()
    while True:
        try:
            task = connection.recv()
        except EOFError:
            return
        message: Any
        try:
            message = task(_reporter(connection, task.spec.run_id))
        except Exception as error:
            message = error
        connection.send(message)


def _die_with_parent() -> None:
    # What this process computes can be computed again; its claim must not outlive the sweep it belongs to.
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _reporter(connection: Connection, run_id: str) -> Progress:
    last = float("-inf")

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_EVERY_S:
            last = now
            with contextlib.suppress(OSError):  # the parent is gone, and so are we in a moment
                connection.send((run_id, done, total))

    progress(0, 1)
    return progress
