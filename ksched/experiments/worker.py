"""What happens to one run: it is claimed, simulated and committed. Imports no chart and no statistics library."""

from __future__ import annotations

import time
import traceback
from typing import Any

from ksched.errors import InputError, KschedError
from ksched.experiments.identity import installed_ksched
from ksched.experiments.run_spec import Outcome, Progress, RunOutput, RunSpec, Simulate
from ksched.experiments.store import Claimed, ResultStore
from ksched.experiments.worker_memory import give_back
from ksched.result_directory import SCHEMA_VERSION

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


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
        _check_same_ksched(spec)
        output = simulate(spec, progress)
    except Exception as error:
        message = describe(error)
        record_failure(spec, store, message, "".join(traceback.format_exception(error)))
        return Outcome(spec.run_id, "failed", message, time.perf_counter() - wall)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    give_back()  # writing Parquet takes some more, on top of what the simulation left unused
    store.commit(spec.run_id, _finished_facts(spec, output), output.tables)
    store.write_timing(spec.run_id, _timing(output, wall, cpu))
    give_back()  # and the next simulation more again, on top of that
    return Outcome(spec.run_id, "done", seconds=wall)


def record_failure(spec: RunSpec, store: ResultStore, message: str, details: str) -> None:
    """Leave a record of a run that failed, with its traceback or whatever else is known of it."""
    store.commit_failure(spec.run_id, {**_facts(spec), "status": "failed", "error": message}, details)


def _check_same_ksched(spec: RunSpec) -> None:
    """A run's id names the ksched that planned it; another one must not compute it."""
    if spec.ksched and spec.ksched != installed_ksched():
        raise InputError(
            "ksched itself changed after the experiment was started, or this worker has another version of it "
            f"({installed_ksched()['version']}, planned with {spec.ksched['version']})",
            hint="start the experiment again, with the same ksched in all workers",
        )


def _facts(spec: RunSpec) -> dict[str, Any]:
    return {
        "run_id": spec.run_id,
        "schema_version": SCHEMA_VERSION,
        "axes": spec.axes,
        "seed": spec.seed,
        "trace": spec.trace,
        "config": spec.config,
        "plugins": spec.plugin_hashes,
        "ksched": spec.ksched,
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
