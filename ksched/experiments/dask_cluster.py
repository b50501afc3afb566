"""Runs on a Dask cluster: ``--executor dask://HOST:PORT``, with the extra ``ksched[dask]``.

Workers write results themselves, straight into the result directory: it, the traces and policy files in a checkout have
to be on a file system that the driver and all workers see under the same paths. Start workers with one thread each::

    dask scheduler
    dask worker HOST:8786 --nworkers 16 --nthreads 1

The driver holds nothing but the plan. When it dies, what runs is finished and committed by its worker; the same command
goes on from there. When a worker dies, the scheduler gives its runs to another, a bounded number of times.
"""

from __future__ import annotations

import contextlib
import queue
import time
import uuid
from types import TracebackType
from typing import Any, Self

from ksched.errors import InputError, KschedError
from ksched.experiments.executors import POLL_S, OnProgress, Task
from ksched.experiments.run_spec import Outcome

_IN_FLIGHT_PER_WORKER = 2
"""One run to compute and one to go on with; 100,000 runs do not sit in the scheduler."""
_CONNECT_S = 10
_REPORT_EVERY_S = 1.0
_AGAIN = "the same command goes on from there: finished runs are whole and are kept"


class DaskCluster:
    """Hands tasks to the workers of a running Dask scheduler at ``HOST:PORT``."""

    def __init__(self, address: str) -> None:
        try:
            import distributed
        except ImportError as error:
            raise InputError(
                "running on Dask needs the extra 'dask'", where="--executor", hint="pip install 'ksched[dask]'"
            ) from error
        self._address = address
        connect: Any = distributed.Client  # Dask's client is partly typed only
        try:
            self._client = connect(f"tcp://{address}", timeout=_CONNECT_S, set_as_default=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"there is no Dask scheduler at {address}",
                where="--executor",
                hint="start one with 'dask scheduler' and workers with 'dask worker HOST:PORT --nthreads 1'",
            ) from error
        self._futures: dict[Any, str] = {}
        self._group = ""
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._progress: queue.SimpleQueue[tuple[str, int, int]] = queue.SimpleQueue()
        self._topic = f"ksched-{uuid.uuid4()}"
        self._client.subscribe_topic(self._topic, lambda event: self._progress.put(event[1]))

    def room(self) -> list[str]:
        """Two runs for every worker there is now. Which worker gets a run is the scheduler's choice."""
        return [self._group] * (_IN_FLIGHT_PER_WORKER * len(self._workers()) - len(self._futures))

    def _workers(self) -> dict[str, int]:
        try:
            workers: dict[str, int] = self._client.nthreads()
        except (OSError, ValueError) as error:
            raise self._scheduler_lost() from error
        for worker, threads in workers.items():
            if threads != 1:
                raise InputError(
                    f"the Dask worker {worker} has {threads} threads; a run needs a process of its own",
                    where="--executor",
                    hint="start workers with --nthreads 1, and with --nworkers as many as there are cores",
                )
        return workers

    def submit(self, task: Task) -> None:
        """Send a task to the scheduler."""
        future = self._client.submit(_do, task, self._topic, pure=False)
        self._futures[future] = task.spec.run_id
        self._group = task.spec.group
        future.add_done_callback(self._ended.put)

    def completed(self, on_progress: OnProgress) -> list[Outcome]:
        """What the scheduler says has ended."""
        outcomes = []
        with contextlib.suppress(queue.Empty):
            outcomes.append(self._outcome(self._ended.get(timeout=POLL_S)))
            while True:
                outcomes.append(self._outcome(self._ended.get_nowait()))
        with contextlib.suppress(queue.Empty):
            while True:
                on_progress(*self._progress.get_nowait())
        if self._client.status in ("closing", "closed"):
            raise self._scheduler_lost()
        return outcomes

    def _outcome(self, future: Any) -> Outcome:
        from distributed import KilledWorker

        run_id = self._futures.pop(future)
        if future.status == "cancelled":  # the scheduler forgot it, for example because it was restarted
            return Outcome(run_id, "lost")
        error = future.exception()
        if error is None:
            outcome: Outcome = future.result()
            return outcome
        if isinstance(error, KilledWorker):
            return Outcome(run_id, "lost")
        if isinstance(error, KschedError):
            raise error
        raise InputError(
            f"a Dask worker cannot do a run: {type(error).__name__}: {error}",
            where="--executor",
            hint="all workers need the same Python, ksched and plugins as the process that starts the experiment",
        ) from error

    def _scheduler_lost(self) -> InputError:
        return InputError(f"the Dask scheduler at {self._address} is gone", where="--executor", hint=_AGAIN)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._client.cancel(list(self._futures))
        self._client.close()


def _do(task: Task, topic: str) -> Outcome:
    """Runs in a Dask worker."""
    from distributed import get_worker

    if not (task.store.root / "plan.json").is_file():
        raise InputError(
            "a Dask worker does not see the result directory",
            where=str(task.store.root),
            hint="choose, with -o DIR, a place on a file system that all workers share",
        )
    worker = get_worker()
    last = float("-inf")

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _REPORT_EVERY_S:
            last = now
            worker.log_event(topic, (task.spec.run_id, done, total))

    return task(progress)
