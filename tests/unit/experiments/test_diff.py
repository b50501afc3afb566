"""Two recorded runs held against each other: decisions, scores, and what followed."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ksched.errors import InputError
from ksched.experiments.diff import diff
from ksched.experiments.reopen import find_run
from ksched.experiments.sweep import run_experiment

from .recorded import record
from .small import S, experiment_file, make_trace


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return record(tmp_path_factory.mktemp("diff"))


def pods(results: Path, policy: str) -> dict[tuple, dict]:
    rows = pq.read_table(find_run(results, axes={"policy": policy}).folder / "pods.parquet").to_pylist()
    return {(r["workload"], r["index"], r["incarnation"]): r for r in rows}


def test_pods_whose_outcome_changed_are_listed_and_counted(results: Path) -> None:
    found = diff({"policy": "default"}, {"policy": "free"}, results=results)
    a, b = pods(results, "default"), pods(results, "free")
    changed = {k for k in a if any(a[k][c] != b[k][c] for c in ("node", "t_scheduled_us", "outcome"))}
    assert changed, "the two policies have to differ"
    assert set(found.pods[["workload", "index", "incarnation"]].itertuples(index=False, name=None)) == changed
    assert found.counts["pods"] == len(a)
    assert found.counts["on_another_node"] == sum(a[k]["node"] != b[k]["node"] for k in changed)
    assert sum(n for name, n in found.counts.items() if name != "pods") == len(changed)


def test_the_first_decisions_that_differ_are_shown_with_state_and_scores(results: Path) -> None:
    found = diff({"policy": "default"}, {"policy": "free"}, results=results, count=2)
    first = found.decisions[0]
    assert first.a is not None
    assert first.b is not None
    assert first.a.pod == first.b.pod
    assert first.a.node != first.b.node
    assert set(first.state) == {first.a.node, first.b.node}
    assert all(a == b for a, b in first.state.values()), "at the first difference both see the same state"
    chosen = {row.node: row for row in first.rows}[first.b.node]
    assert chosen.baseline.scores["FreeMemory"].points == 5 * chosen.baseline.scores["FreeMemory"].normalized
    assert len(found.decisions) == min(2, found.differing)
    assert json.loads(json.dumps(found.to_json()))["decisions"][0]["b"]["node"] == first.b.node


def test_a_run_does_not_differ_from_itself(results: Path) -> None:
    run = find_run(results, axes={"policy": "moody"})
    found = diff(run.folder, run.folder)
    assert (found.differing, found.decisions, len(found.pods)) == (0, (), 0)
    assert {name for name, n in found.counts.items() if n} == {"pods"}


def test_axes_named_for_neither_agree(results: Path) -> None:
    found = diff({"policy": "default", "seed": 2}, {"policy": "free", "seed": 2}, results=results, count=0)
    assert found.a.axes["seed"] == found.b.axes["seed"] == "2"
    found = diff({"policy": "free"}, {"policy": "default"}, results=results, count=0)
    assert found.a.axes["seed"] == found.b.axes["seed"] == "1"
    seeds = diff({"policy": "free", "seed": 1}, {"policy": "free", "seed": 2}, results=results, count=0)
    assert (seeds.a.axes["seed"], seeds.b.axes["seed"]) == ("1", "2")


def test_pods_scheduled_under_one_policy_only_are_told_apart(tmp_path: Path) -> None:
    # Best fit keeps n1 whole for the large pod, spreading does not.
    make_trace(
        tmp_path,
        [{"cpu_milli": 900.0}, {"cpu_milli": 900.0, "t_submit": S}, {"cpu_milli": 2000.0, "t_submit": 2 * S}],
        [{"cpu_milli": 1900.0}, {"cpu_milli": 2000.0}],
    )
    axes = {"policy": {"pack": {"score": {"BestFit": 1}}, "spread": {"score": {"WorstFit": 1}}}, "seed": [1]}
    path = experiment_file(tmp_path, axes=axes, trace={"path": "trace", "replay": {"mode": "snapshot"}})
    run_experiment(path, tmp_path / "out", jobs=1, progress=False)
    found = diff({"policy": "pack"}, {"policy": "spread"}, results=tmp_path / "out", count=5)
    assert found.counts["scheduled_only_in_a"] == 1
    (large,) = found.pods.query("workload == 'w2'").to_dict("records")
    assert (large["node_a"], large["outcome_b"]) == ("n1", "unschedulable")


def test_runs_of_different_traces_are_not_compared(results: Path, tmp_path: Path) -> None:
    make_trace(tmp_path, [{}])
    run_experiment(experiment_file(tmp_path), tmp_path / "out", jobs=1, progress=False)
    other = next((tmp_path / "out" / "runs").iterdir())
    with pytest.raises(InputError, match="different traces"):
        diff(find_run(results, axes={"policy": "free"}).folder, other)


BAD = {
    "an unknown axis": ({"polcy": "x"}, {"policy": "free"}, "did you mean 'policy'"),
    "an unknown value on the other side": ({"policy": "free"}, {"policy": "fre"}, "did you mean 'free'"),
    "an unknown run": ("nonsense", {"policy": "free"}, "no finished run"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_selection_that_means_no_run_is_an_input_error(case: str, results: Path) -> None:
    a, b, message = BAD[case]
    with pytest.raises(InputError, match=message):
        diff(a, b, results=results)


def test_axes_without_a_directory_are_an_input_error() -> None:
    with pytest.raises(InputError, match="give results="):
        diff({"policy": "a"}, {"policy": "b"})
