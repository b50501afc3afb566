"""The time of plugins is measured when asked for, stays out of results, and comes back as a table."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksched.errors import InputError
from ksched.experiments.sweep import run_experiment
from ksched.experiments.timing import per_plugin, timing

from .small import S, experiment_file, make_trace


def run(folder: Path, name: str, **options: bool) -> Path:
    if not (folder / "trace").exists():
        make_trace(folder, [{"t_submit": i * S, "cpu_milli": 100.0} for i in range(6)], [{"count": 3}])
    path = experiment_file(folder, axes={"policy": {"free": {"score": {"FreeMemory": 1, "Random": 1}}}})
    run_experiment(path, folder / name, jobs=1, progress=False, **options)
    return folder / name


def test_measuring_changes_no_result(tmp_path: Path) -> None:
    plain, timed = run(tmp_path, "plain"), run(tmp_path, "timed", profile_plugins=True)
    files = [path.relative_to(plain) for path in sorted((plain / "runs").rglob("*")) if path.is_file()]
    assert files
    assert all((plain / file).read_bytes() == (timed / file).read_bytes() for file in files)


def test_time_calls_and_reuse_are_told_per_plugin_and_point(tmp_path: Path) -> None:
    times = timing(run(tmp_path, "out", profile_plugins=True))
    assert set(times["policy"]) == {"free"}
    cells = times.set_index(["plugin", "point"])
    random, fit, memory = (
        cells.loc[k] for k in (("Random", "score"), ("NodeResourcesFit", "filter"), ("FreeMemory", "score"))
    )
    assert (random["calls"], random["rows"]) == (6, 18), "asked about every node for every pod"
    assert random["reused"] != random["reused"], "nothing of it is cached"
    # Three rows for the first pod, afterwards those that a pod came to or left since.
    assert fit["rows_needed"] == memory["rows_needed"] == 18
    assert 3 <= fit["rows_computed"] < 18
    assert fit["reused"] == pytest.approx(1 - fit["rows_computed"] / 18)
    assert (times["seconds"] >= 0).all()
    summed = per_plugin(times)
    assert summed["seconds"].is_monotonic_decreasing
    assert summed["seconds"].sum() == pytest.approx(times["seconds"].sum())


def test_results_that_were_not_timed_say_how_to_get_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--profile-plugins"):
        timing(run(tmp_path, "out"))
