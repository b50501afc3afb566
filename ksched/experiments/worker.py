"""What happens in a worker process: claim a run, simulate it, commit it. Imports no chart and no statistics library."""

from __future__ import annotations

import os
import signal
import threading
import time
import traceback
from multiprocessing import parent_process
from multiprocessing.queues import SimpleQueue
from typing import Any

from ksched.errors import KschedError
from ksched.experiments.identity import SCHEMA_VERSION
from ksched.experiments.run_spec import Outcome, Progress, RunOutput, RunSpec, Simulate
from ksched.experiments.store import Claimed, ResultStore

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

_REPORT_EVERY_S = 0.2
_queue: SimpleQueue[tuple[str, int, int]] | None = None


def start_worker(queue: SimpleQueue[tuple[str, int, int]]) -> None:
    """Initialise a pool process: progress goes to ``queue``, Ctrl-C is the parent's business."""
    global _queue
    _queue = queue
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    # A pool process whose parent was killed waits for work for ever; what it was computing can be computed again.
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def work_in_pool(spec: RunSpec, store: ResultStore, simulate: Simulate) -> Outcome:
    """:func:`work` with progress sent to the parent."""
    last = 0.0

    def progress(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if _queue is not None and now - last >= _REPORT_EVERY_S:
            last = now
            _queue.put((spec.run_id, done, total))

    return work(spec, store, simulate, progress)


def work(spec: RunSpec, store: ResultStore, simulate: Simulate, progress: Progress) -> Outcome:
    """Do one run unless it is done. A simulation that fails is recorded; a result that cannot be written raises."""
    try:
        with store.claim(spec.run_id):
            if store.state(spec.run_id) == "done":
                return Outcome(spec.run_id, "kept")
            return _run(spec, store, simulate, progress)
    except Claimed:
        return Outcome(spec.run_id, "busy")


def _run(spec: RunSpec, store: ResultStore, simulate: Simulate, progress: Progress) -> Outcome:
    wall, cpu = time.perf_counter(), time.process_time()
    try:
        output = simulate(spec, progress)
    except Exception as error:
        message = describe(error)
        facts = {**_facts(spec), "status": "failed", "error": message}
        store.commit_failure(spec.run_id, facts, "".join(traceback.format_exception(error)))
        return Outcome(spec.run_id, "failed", message, time.perf_counter() - wall)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    store.commit(spec.run_id, _finished_facts(spec, output), output.tables)
    store.write_timing(spec.run_id, _timing(output, wall, cpu))
    return Outcome(spec.run_id, "done", seconds=wall)


def _facts(spec: RunSpec) -> dict[str, Any]:
    return {
        "run_id": spec.run_id,
        "schema_version": SCHEMA_VERSION,
        "axes": spec.axes,
        "seed": spec.seed,
        "trace": spec.trace,
        "config": spec.config,
    }


def _finished_facts(spec: RunSpec, output: RunOutput) -> dict[str, Any]:
    return {
        **_facts(spec),
        "status": "done",
        "t_end_us": output.t_end_us,
        "pending_time_meaningful": output.pending_time_meaningful,
        "notes": list(output.notes),
        "counts": {name: table.num_rows for name, table in sorted(output.tables.items())},
    }


def _timing(output: RunOutput, wall: float, cpu: float) -> dict[str, Any]:
    decisions = output.tables["decisions"].num_rows if "decisions" in output.tables else 0
    return {
        "wall_s": round(wall, 4),
        "cpu_s": round(cpu, 4),
        "decisions_per_s": round(decisions / wall, 1) if wall > 0 else None,
        # High-water mark of the process, which may have done other runs before.
        "max_rss_kib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss if resource else None,
        **output.timing,
    }


def describe(error: BaseException) -> str:
    """One message for an error: a KschedError's own words, else its type, text and innermost place."""
    if isinstance(error, KschedError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {error}{place}"
