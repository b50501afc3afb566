"""`ksched results` as a user types it: lists, filters, differences, several directories, pruning."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

import ksched
from ksched.traces import write_trace
from ksched.traces.generate import generate
from ksched.traces.generator_config import GeneratorConfig

from .conftest import Cli

FAILING = """
class Bad:
    name = "Bad"
    def filter(self, cycle, pod, nodes):
        raise ValueError("no luck")
"""
GOOD = """
name: small
axes:
  policy: {default: {filter: [GpuShare]}, random: {score: {Random: 1}, filter: [GpuShare]}}
  seed: [1, 2]
trace: {path: trace, replay: {mode: inflate, resource: cpu, ratio: 0.7}}
"""
WITH_FAILURE = GOOD.replace("{default:", "{bad: {filter: ['bad.py:Bad']}, default:").replace("[1, 2]", "[1]")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two result directories: `one` (four runs done), `two` (one of three failed)."""
    folder = tmp_path_factory.mktemp("results")
    write_trace(generate(GeneratorConfig(name="small", seed=5, pods=40, nodes=8)), folder / "trace")
    (folder / "bad.py").write_text(FAILING)
    for name, text in (("one", GOOD), ("two", WITH_FAILURE)):
        (folder / f"{name}.yaml").write_text(text)
        ksched.run_experiment(folder / f"{name}.yaml", folder / name, jobs=1, progress=False)
    return folder


@pytest.fixture
def wide(cli: Cli, made: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(made)
    monkeypatch.setenv("COLUMNS", "200")
    return cli


def test_runs_are_listed_with_status_axes_decisions_and_time(wide):
    listed = wide("results", "one")
    header, *rows, counts = listed.out.strip().splitlines()
    assert header.split() == ["run_id", "policy", "seed", "trace", "status", "n_decisions", "wall_s", "max_rss_mib"]
    assert len(rows) == 4
    assert counts == "4 done"


def test_filters_go_by_axis_and_by_status(wide):
    assert wide("results", "one", "--only", "policy=random", "--only", "seed=2").out.count(" done ") == 1
    failed = wide("results", "two", "--status", "failed")
    assert "1 failed" in failed.out
    assert "ValueError: no luck" in failed.out
    assert wide("results", "two", "--status", "stale").out.strip().endswith("no runs")


def test_the_same_as_a_data_frame(made):
    frame = ksched.results(made / "two")
    assert list(frame["status"]) == ["failed", "done", "done"]
    assert frame.set_index("policy").loc["default", "n_decisions"] > 0
    with_metric = ksched.results(made / "one", only=["policy=random"], metrics=["scheduled_pods"])
    assert (with_metric["scheduled_pods"] > 0).all()
    both = ksched.results(made / "one", made / "two", status="done")
    assert both["experiment"].value_counts().to_dict() == {"one": 4, "two": 2}


def test_several_directories_are_joined_on_the_axes_they_share(wide, made):
    from ksched.report.runs import side_by_side

    frame = side_by_side([made / "one", made / "two"], metrics=["scheduled_pods"], by=["policy"])
    assert list(frame["policy"]) == ["default", "random"]
    assert list(frame["one: runs"]) == [2, 2]
    assert list(frame["two: runs"]) == [1, 1]
    single = ksched.results(made / "two", only=["policy=random"], metrics=["scheduled_pods"])
    assert frame["two: scheduled_pods"][1] == single["scheduled_pods"][0]
    shown = wide("results", "one", "two", "--metric", "scheduled_pods").out.split()  # the table may wrap its headings
    assert shown.count("one:") == shown.count("two:") == shown.count("scheduled_pods") == 2


def test_a_difference_between_two_runs_is_named(wide):
    seed = wide("results", "diff", "one/policy=random,seed=1", "one/policy=random,seed=2")
    assert seed.out.split() == ["seed", "1", "|", "2"]
    policy = wide("results", "diff", "one/policy=default,seed=1", "one/policy=random,seed=1").out
    assert "config.policy.profiles[default-scheduler].plugins.score.enabled[Random].weight\n  (absent) | 1" in policy
    assert "plugins.Random" in policy
    assert "seed" not in policy


def test_a_run_is_the_same_run_wherever_it_is(wide, made):
    (run_id,) = ksched.results(made / "one", only=["policy=random", "seed=1"])["run_id"]
    same = wide("results", "diff", f"one/runs/{run_id}", f"two/{run_id[:6]}")
    assert "the same run" in same.out


MISTAKES = {
    "no directory": (("results", "nowhere"), "no result directory"),
    "a directory of something else": (("results", "trace"), "no result directory"),
    "an unknown axis": (("results", "one", "--only", "polciy=x"), "did you mean 'policy'?"),
    "an unknown value": (("results", "one", "--only", "policy=radnom"), "did you mean 'random'?"),
    "an unknown status": (("results", "one", "--status", "dnoe"), "did you mean 'done'?"),
    "an unknown metric": (("results", "one", "--metric", "scheduled_pod"), "did you mean 'scheduled_pods'?"),
    "a directory twice": (("results", "one", "one"), "given twice"),
    "an axis not shared": (("results", "one", "two", "--by", "weight"), "there is no axis 'weight'"),
    "several runs": (("results", "diff", "one/policy=random", "one/seed=1"), "2 runs match"),
    "no run": (("results", "diff", "one/zzz", "one/seed=1"), "no run matches"),
    "an unknown kind": (("results", "prune", "one", "--what", "x"), "nothing called 'x'"),
    "pruning no results": (("results", "prune", "trace"), "no result directory"),
}


@pytest.mark.parametrize("case", MISTAKES, ids=str)
def test_a_mistake_is_one_message(case, wide):
    words, message = MISTAKES[case]
    assert wide(*words).complains(message)


def test_results_of_an_older_schema_are_one_message(wide, made):
    plan = made / "one" / "plan.json"
    text = plan.read_text()
    plan.write_text(text.replace('"schema_version": 1', '"schema_version": 0'))
    try:
        assert wide("results", "one").complains("schema version 0")
        assert wide("run", "one.yaml", "-o", "one").complains("schema version 0")
    finally:
        plan.write_text(text)


def test_pruning_removes_what_no_plan_needs_and_nothing_else(made, cli, tmp_path):
    output = tmp_path / "r"
    ksched.run_experiment(made / "one.yaml", output, jobs=1, progress=False)
    (output / "partial" / "dead").mkdir()
    os.utime(output / "partial" / "dead", (time.time() - 3600,) * 2)
    (output / "partial" / "alive").mkdir()
    ksched.run_experiment(made / "two.yaml", output, jobs=1, progress=False)  # drops seed 2, adds a failing policy
    needed = set(ksched.results(output, status="done")["run_id"])

    shown = cli("results", "prune", str(output), "--dry-run")
    assert "4 to remove" in shown.out, shown.out  # two stale, one failed, one leftover
    assert len(ksched.results(output, status="stale")) == 2
    assert cli("results", "prune", str(output), "--what", "stale", "--yes").out.endswith("2 removed\n")
    assert cli("results", "prune", str(output), "--yes").out.endswith("2 removed\n")
    assert {path.name for path in (output / "runs").iterdir()} == needed
    assert [path.name for path in (output / "partial").iterdir()] == ["alive"]
    assert {path.name for path in (output / "timing").iterdir()} == {f"{run_id}.json" for run_id in needed}
    assert cli("results", "prune", str(output)).out == "nothing to remove\n"


def test_pruning_spares_a_run_somebody_is_working_on(made, tmp_path):
    from ksched.experiments.prune import find_prunable, prune
    from ksched.experiments.store import ResultStore

    ksched.run_experiment(made / "two.yaml", tmp_path / "r", jobs=1, progress=False)
    store = ResultStore(tmp_path / "r")
    found = find_prunable(store)
    with store.claim(found[0].run_id):
        assert prune(store, found) == []
    assert len(prune(store, found)) == 1


def test_a_plan_that_could_not_see_all_its_traces_does_not_prune_finished_runs(made, cli, tmp_path):
    text = GOOD.replace("trace: {path: trace, replay", "trace: {replay").replace(
        "  seed", "  where: {target: trace, values: {here: {path: trace}, away: {path: away}}}\n  seed"
    )
    (tmp_path / "trace").symlink_to(made / "trace")
    (tmp_path / "two.yaml").write_text(text)
    only = ["where=here", "seed=1", "policy=random"]
    ksched.run_experiment(tmp_path / "two.yaml", tmp_path / "r", only=only, jobs=1, progress=False)
    assert cli("results", "prune", str(tmp_path / "r")).complains("leaves out 4 cells")
    assert cli("results", "prune", str(tmp_path / "r"), "--what", "failed").code == 0
