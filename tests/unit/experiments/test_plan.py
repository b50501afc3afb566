"""From a file to runs: which cells are one run, and which runs an edit makes new."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksched.errors import InputError
from ksched.experiments import plan as planning
from ksched.experiments.file import load_experiment
from ksched.experiments.plan import Plan, make_plan

from .small import experiment_file, make_trace

PLUGIN = """
class Mine:
    name = "Mine"
    node_local = True
    def score(self, cycle, pod, nodes):
        return nodes.free("cpu") * 0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_trace(tmp_path, [{}])
    (tmp_path / "mine.py").write_text(PLUGIN)
    return tmp_path


def plan(folder: Path, only: tuple[str, ...] = (), **keys: object) -> Plan:
    return make_plan(load_experiment(experiment_file(folder, **keys)), only=only)


def ids(made: Plan) -> dict[str, str]:
    return {run.cells[0]["policy"]: run.spec.run_id for run in made.runs}


POLICIES = {"default": {}, "mine": {"score": {"mine.py:Mine": 1}}}


def test_cells_that_come_out_equal_are_one_run_without_the_axis_that_makes_no_difference(folder):
    axes = {
        "policy": {"default": {}, "free": {"score": {"FreeMemory": "${weight}", "NodeResourcesFit": 1}}},
        "weight": [1, 5, 25],
    }
    made = plan(folder, axes=axes)
    assert [(run.spec.axes, len(run.cells)) for run in made.runs] == [
        ({"policy": "default", "seed": "42", "trace": "trace"}, 3),
        *[({"policy": "free", "weight": w, "seed": "42", "trace": "trace"}, 1) for w in ("1", "5", "25")],
    ]
    assert [run["axes"] for run in made.to_json()["runs"]] == [run.spec.axes for run in made.runs]


def test_a_run_shared_by_cells_is_selected_by_any_of_them(folder):
    axes = {"policy": {"default": {}, "free": {"score": {"FreeMemory": "${weight}"}}}, "weight": [1, 5]}
    assert [s.axes["policy"] for s in plan(folder, ("weight=5",), axes=axes).selected] == ["default", "free"]


def test_an_edited_policy_file_makes_new_runs_of_its_policy_only(folder):
    before = ids(plan(folder, axes={"policy": POLICIES}))
    (folder / "mine.py").write_text(PLUGIN + "# a remark\n")
    after = ids(plan(folder, axes={"policy": POLICIES}))
    assert before["default"] == after["default"]
    assert before["mine"] != after["mine"]


def test_an_edited_python_extender_makes_new_runs_of_the_policies_that_ask_it(folder, monkeypatch):
    extender = folder / "asked.py"
    extender.write_text("def ask(verb, args): return {}\n")
    monkeypatch.syspath_prepend(folder)
    extenders = [{"urlPrefix": "python:asked:ask", "filterVerb": "filter"}]
    axes = {"policy": {"default": {}, "extended": {"configuration": {"extenders": extenders}}}}
    before = ids(plan(folder, axes=axes))
    extender.write_text("def ask(verb, args): return {}  # a remark\n")
    after = ids(plan(folder, axes=axes))
    assert before["default"] == after["default"]
    assert before["extended"] != after["extended"]


def test_names_and_places_are_no_part_of_a_run(folder, tmp_path_factory):
    before = plan(folder, name="one", axes={"policy": POLICIES})
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    make_trace(elsewhere, [{}])
    (elsewhere / "mine.py").write_text(PLUGIN)
    renamed = {"base": POLICIES["default"], "own": POLICIES["mine"]}
    after = plan(elsewhere, name="two", axes={"policy": renamed})
    assert [run.spec.run_id for run in before.runs] == [run.spec.run_id for run in after.runs]


def test_spelling_out_a_default_is_the_same_run_and_changing_it_is_not(folder):
    (implicit,) = plan(folder).runs
    (explicit,) = plan(
        folder,
        trace={"path": "trace", "replay": {"mode": "timestamp", "expand": "workloads", "max_pods": 110}},
        cluster={"apiserver": {"watch": "0"}},
        policy={"configuration": {"podInitialBackoffSeconds": 1}},
    ).runs
    assert implicit.spec.run_id == explicit.spec.run_id
    (slower,) = plan(folder, cluster={"apiserver": {"watch": "5ms"}}).runs
    (later,) = plan(folder, seed=43).runs
    (longer,) = plan(folder, policy={"configuration": {"podMaxBackoffSeconds": 30}}).runs
    assert len({run.spec.run_id for run in (implicit, slower, later, longer)}) == 4


def test_a_trace_nobody_asked_for_may_be_missing(folder):
    traces = {"here": {"path": "trace"}, "away": {"path": "nothing"}}
    made = plan(folder, ("trace=here",), trace=None, axes={"trace": traces})
    assert [run.spec.axes["trace"] for run in made.runs] == ["here"]
    with pytest.raises(InputError, match="no such trace directory"):
        plan(folder, trace=None, axes={"trace": traces})


def test_very_many_runs_must_be_meant(folder, monkeypatch):
    monkeypatch.setattr(planning, "MANY_CELLS", 5)
    axes = {"seed": {"range": [1, 6]}}
    with pytest.raises(InputError, match="multiply to 6 runs"):
        plan(folder, axes=axes)
    experiment = load_experiment(experiment_file(folder, axes=axes))
    assert len(make_plan(experiment, many=True).runs) == 6


BAD = {
    "a mistyped key of a policy": ({"policy": {"scores": {}}}, "policy.scores", "did you mean 'score'?"),
    "a mistyped replay key": (
        {"trace": {"path": "trace", "replay": {"mod": "inflate"}}},
        "trace.replay.mod",
        "did you mean 'mode'?",
    ),
    "a mistyped cluster key": ({"cluster": {"apisever": {}}}, "cluster.apisever", "did you mean 'apiserver'?"),
    "a mistyped key deep in the cluster": (
        {"cluster": {"apiserver": {"wach": "1ms"}}},
        "cluster.apiserver.wach",
        "did you mean 'watch'?",
    ),
    "a duration without a unit": ({"cluster": {"apiserver": {"watch": "5"}}}, "cluster.apiserver.watch", "duration"),
    "a trace with two sources": ({"trace": {"path": "trace", "name": "x"}}, "trace", "either a 'path' or a 'name'"),
    "an unknown mode": ({"trace": {"path": "trace", "replay": {"mode": "inflat"}}}, "trace.replay.mode", "'inflate'"),
    "a negative weight": (
        {"policy": {"score": {"FreeMemory": -1}}},
        "policy.score.FreeMemory",
        "greater than or equal",
    ),
    "an unknown plugin": ({"policy": {"score": {"FreeMemoy": 1}}}, "policy", "did you mean 'FreeMemory'?"),
    "a missing plugin file": ({"policy": {"score": {"no.py:P": 1}}}, "policy", "does not exist"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_fragments_are_explained_with_file_line_and_path(case, folder):
    keys, place, message = BAD[case]
    with pytest.raises(InputError) as caught:
        plan(folder, **keys)
    text = str(caught.value)
    assert message in text
    assert place in text
    assert "experiment.yaml:" in text


def test_an_error_in_a_merged_fragment_points_at_the_axis_it_came_from(folder):
    axes = {"net": {"target": "cluster", "values": {"slow": {"apiserver": {"wach": "1ms"}}}}}
    with pytest.raises(InputError) as caught:
        plan(folder, axes=axes, cluster={"apiserver": {"watch": "2ms"}})
    assert "axes.net.values.slow.apiserver.wach" in str(caught.value)
