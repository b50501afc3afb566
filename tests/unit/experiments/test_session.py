"""A recorded run is rebuilt at any decision; looking at it, and trying other policies, leaves no trace."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from ksched.errors import InputError
from ksched.experiments.reopen import find_run
from ksched.experiments.session import RunSession, explain_run, open_run, start_run, start_trace
from ksched.experiments.store import write_table

from .recorded import MOODY, POLICIES, record


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    record(folder)
    return folder


@pytest.fixture
def results(folder: Path) -> Path:
    return folder / "out"


def recorded(session: RunSession, results: Path) -> Path:
    return results / "runs" / session.spec.run_id


def same_bytes(session: RunSession, results: Path, tmp_path: Path) -> bool:
    for name, table in session.output().tables.items():
        write_table(tmp_path / name, table)
        if (tmp_path / name).read_bytes() != (recorded(session, results) / f"{name}.parquet").read_bytes():
            return False
    return True


class Last:
    """Prefers the last row; has state, so that leaking it would show."""

    name = "Last"
    asked = 0

    def score(self, cycle, pod, nodes):
        self.asked += 1
        return nodes.rows * 10


@pytest.mark.parametrize("policy", POLICIES)
def test_a_run_that_is_stepped_and_asked_at_every_decision_ends_with_the_recorded_bytes(
    policy: str, results: Path, tmp_path: Path
) -> None:
    session = open_run(results, policy=policy, seed=1)
    decisions = pq.read_table(recorded(session, results) / "decisions.parquet").to_pylist()
    assert any(row["node"] is None for row in decisions), "the workload has to make pods wait"
    for row in decisions:
        assert (session.pod, session.attempt, session.position) == (row["pod"], row["attempt"], row["seq"])
        said = session.explain(fit_on=session.nodes.index)
        assert (said.decision.node, said.decision.score) == (row["node"], row["score"])
        best = {candidate["node"]: candidate["total"] for candidate in row["top"]}
        ranking = said.ranking().set_index("node")["total"]
        assert {name: ranking[name] for name in best} == best
        session.what_if(weights={"Random": 3, "NodeResourcesFit": 7}, plugin=Last)
        session.what_if(profile={})
        assert session.step().node == row["node"]
    assert session.over
    assert same_bytes(session, results, tmp_path)


def test_a_pod_a_time_and_an_earlier_decision_are_gone_to(results: Path) -> None:
    session = open_run(results, policy="default", seed=1)
    rows = pq.read_table(recorded(session, results) / "decisions.parquet").to_pylist()
    waited = next(row for row in rows if row["attempt"] == 2)
    first = next(row for row in rows if row["pod"] == waited["pod"])
    session.run_to(pod=waited["pod"])
    assert (session.position, session.attempt) == (first["seq"], 1)
    assert session.run_to(pod=waited["pod"], attempt=2).position == waited["seq"]
    assert session.time_s == waited["t_us"] / 1e6
    late = next(row for row in rows if row["t_us"] >= 3_000_000)
    assert session.run_to(time="3s").position == late["seq"]
    assert session.run_to(time=0.0).position == 0
    assert session.run_to(decision=5).run_to(decision=2).position == 2


BAD_PLACES = {
    "no such pod": ({"pod": "w99"}, "no decision was made about a pod 'default/w99'"),
    "no such attempt": ({"pod": "default/w0-0", "attempt": 99}, "no decision|no attempt 99"),
    "beyond the end": ({"decision": 10_000}, "there is no decision 10000: the run ends after"),
    "a negative number": ({"decision": -1}, "numbered from 0"),
    "after the end": ({"time": "1h"}, "no decision at or after 1h"),
    "no time": ({"time": "soon"}, "is not a duration"),
    "two places": ({"decision": 1, "time": 1}, "one of decision=, pod= and time="),
}


@pytest.mark.parametrize("case", BAD_PLACES)
def test_a_place_that_is_not_there_is_an_input_error(case: str, results: Path) -> None:
    where, message = BAD_PLACES[case]
    with pytest.raises(InputError, match=message):
        open_run(results, policy="default").run_to(**where)


def test_a_finished_session_cannot_be_stepped_but_can_go_back(results: Path) -> None:
    session = open_run(results, policy="default")
    tables = session.finish()
    assert set(tables) == {"pods", "nodes", "decisions", "samples", "events"}
    assert len(tables["decisions"]) == session.position
    with pytest.raises(InputError, match="the run is over"):
        session.step()
    assert session.run_to(decision=0).pod == tables["decisions"]["pod"][0]


def test_nodes_and_pending_show_the_state_of_the_moment(results: Path) -> None:
    session = open_run(results, policy="default", seed=1)
    assert session.nodes["cpu_milli_free"].tolist() == [2000, 2000, 2000]
    decision = session.step()
    wanted = decision.pod.request("cpu")
    session.step()
    assert session.nodes.loc[decision.node, "cpu_milli_free"] <= 2000 - wanted
    rows = pq.read_table(recorded(session, results) / "decisions.parquet").to_pylist()
    waited = next(row for row in rows if row["node"] is None)
    session.run_to(decision=waited["seq"])
    assert session.pending.iloc[0].to_dict()["queue"] == "next"
    assert session.pending.iloc[0]["pod"] == waited["pod"]
    session.step()
    assert (session.pending.query("pod == @waited['pod']")["queue"] == "unschedulable").all()


# -- what-if ------------------------------------------------------------------------------------------------


def test_weights_arguments_and_plugins_are_tried_on_the_forked_state(results: Path) -> None:
    session = open_run(results, policy="free", seed=1).run_to(decision=4)
    own = session.explain()
    assert {d.plugin: d.weight for d in own.scores} == {"FreeMemory": 5, "NodeResourcesFit": 1}
    other = session.what_if(weights={"FreeMemory": 0, "NodeResourcesFit": 2})
    assert {d.plugin: d.weight for d in other.scores} == {"NodeResourcesFit": 2}
    before, after = (said.score_table().query("plugin == 'NodeResourcesFit'")["raw"].tolist() for said in (own, other))
    assert sorted(before) == sorted(after)
    most = session.what_if(args={"NodeResourcesFit": {"scoringStrategy": {"type": "MostAllocated"}}})
    assert most.score_table().query("plugin == 'NodeResourcesFit'")["raw"].tolist() != before
    last = session.what_if(plugin=Last, weights={"FreeMemory": 0, "NodeResourcesFit": 0})
    assert last.decision.node == last.nodes[np.flatnonzero(last.feasible)[-1]]


BAD_WHAT_IFS = {
    "an unknown plugin": ({"weights": {"FreeMemery": 1}}, "did you mean 'FreeMemory'"),
    "a negative weight": ({"weights": {"FreeMemory": -1}}, "a whole number of at least 0"),
    "a weight for what does not score": ({"weights": {"GpuShare": 2}}, "does not score"),
    "arguments of a plugin that is not there": ({"args": {"BestFit": {}}}, "has no plugin 'BestFit'"),
    "a wrong argument": ({"args": {"NodeResourcesFit": {"nonsense": 1}}}, "nonsense"),
    "a class that is no plugin": ({"plugin": Path}, "has no name"),
}


@pytest.mark.parametrize("case", BAD_WHAT_IFS)
def test_a_what_if_that_makes_no_sense_is_an_input_error(case: str, results: Path) -> None:
    tried, message = BAD_WHAT_IFS[case]
    with pytest.raises(InputError, match=message):
        open_run(results, policy="free").what_if(**tried)


# -- which run ----------------------------------------------------------------------------------------------


def test_runs_are_found_by_id_by_folder_and_by_axes(results: Path) -> None:
    by_axes = find_run(results, axes={"policy": "free", "seed": 2})
    assert find_run(results, by_axes.run_id[:6]).run_id == by_axes.run_id
    assert find_run(by_axes.folder).run_id == by_axes.run_id
    assert find_run(results, only=["policy=free"]).axes["seed"] == "1", "of several seeds, the first"


BAD_RUNS = {
    "a policy left open": ({}, "which policy is meant"),
    "an unknown axis": ({"polcy": "free"}, "did you mean 'policy'"),
    "an unknown value": ({"policy": "fre"}, "did you mean 'free'"),
    "an unknown id": ({"run": "zz"}, "no finished run matches"),
    "an id cut too short": ({"run": ""}, "6 runs begin with ''"),
}


@pytest.mark.parametrize("case", BAD_RUNS)
def test_a_run_that_is_not_meant_clearly_is_an_input_error(case: str, results: Path) -> None:
    selection, message = BAD_RUNS[case]
    with pytest.raises(InputError, match=message):
        open_run(results, **selection)


def test_a_directory_without_runs_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no result directory"):
        open_run(tmp_path)


# -- what changed since -------------------------------------------------------------------------------------


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    """The experiment and its results, to be spoiled."""
    shutil.copytree(folder, tmp_path / "copy")
    origin = tmp_path / "copy" / "out" / "origin.json"
    origin.write_text(json.dumps({"experiment": str(tmp_path / "copy" / "experiment.yaml"), "data": None}))
    return tmp_path / "copy"


def test_an_edited_plugin_is_refused(copy: Path) -> None:
    (copy / "moody.py").write_text(MOODY + "# edited\n")
    with pytest.raises(InputError, match=r"cannot be simulated again: .*changed since"):
        open_run(copy / "out", policy="moody")
    assert open_run(copy / "out", policy="free").pod, "a policy that does not use it is as it was"


def test_another_trace_is_refused(copy: Path) -> None:
    from .small import make_trace

    shutil.rmtree(copy / "trace")
    make_trace(copy, [{}])
    with pytest.raises(InputError, match="the trace small is not the one it replayed"):
        open_run(copy / "out", policy="free")


def test_another_ksched_is_refused(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ksched.experiments.identity.ksched_version", lambda: "99")
    with pytest.raises(InputError, match="ksched"):
        open_run(copy / "out", policy="free")


def test_results_that_were_moved_need_to_be_told_where_their_experiment_is(copy: Path) -> None:
    moved = copy / "elsewhere"
    moved.mkdir()
    shutil.move(copy / "out", moved / "out")
    for name in ("experiment.yaml", "moody.py", "trace"):
        shutil.move(copy / name, moved / name)
    with pytest.raises(InputError, match="if it was moved, name it"):
        open_run(moved / "out", policy="moody")
    assert open_run(moved / "out", policy="moody", experiment=moved).pod


def test_a_policy_that_is_not_repeatable_is_found_out(tmp_path: Path) -> None:
    careless = MOODY.replace("self.asked = 0", "pass").replace(
        "self.asked += 1", "type(self).asked += 1\n        self.asked = type(self).asked"
    )
    (tmp_path / "careless.py").write_text(careless.replace('name = "Moody"', 'name = "Moody"\n    asked = 0'))
    results = record(tmp_path, axes={"policy": {"careless": {"score": {"careless.py:Moody": 1}}}, "seed": [1]})
    # The count lives in the class, so a second run in this process begins where the first one ended.
    with pytest.raises(InputError, match=r"decision \d+ does not come out as recorded"):
        open_run(results).step()
        open_run(results).output()


# -- runs that were not recorded ------------------------------------------------------------------------------


def test_a_run_of_an_experiment_file_or_of_a_trace_is_stepped_without_recording(folder: Path, results: Path) -> None:
    expected = open_run(results, policy="free", seed=2).output().tables["decisions"]
    from_file = start_run(folder / "experiment.yaml", policy="free", seed=2)
    assert from_file.output().tables["decisions"].equals(expected)
    policy = {"score": {"FreeMemory": 5, "NodeResourcesFit": 1}}
    from_trace = start_trace(folder / "trace", policy=policy, seed=2, replay={"mode": "timestamp"})
    assert from_trace.run_to(pod=expected["pod"][3].as_py()).position == 3
    assert from_trace.output().tables["decisions"].equals(expected)


def test_a_pod_of_a_recorded_run_is_explained_in_its_last_attempt(results: Path) -> None:
    rows = pq.read_table(find_run(results, axes={"policy": "default"}).folder / "decisions.parquet").to_pylist()
    last = next(row for row in reversed(rows) if row["attempt"] > 1)
    said = explain_run(results, last["pod"], policy="default")
    assert said.decision.node == last["node"]
    assert f"attempt {last['attempt']} of {last['attempt']}" in said.notes[0]
    first = explain_run(results, last["pod"], policy="default", attempt=1, fit_on=["n0"])
    assert first.decision.node is None
    (obstacle,) = first.obstacles["n0"]
    assert (obstacle.plugin, obstacle.reasons) == ("NodeResourcesFit", ("Insufficient cpu",))
    assert "more; the pod wants" in obstacle.remedies[0]
