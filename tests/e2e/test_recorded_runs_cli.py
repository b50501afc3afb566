"""`ksched explain RESULTS`, `ksched diff` and `ksched run --profile-plugins` as a user types them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from ksched.experiments.sweep import run_experiment
from ksched.traces import write_trace
from ksched.traces.generate import generate
from ksched.traces.generator_config import GeneratorConfig

from .conftest import Cli

EXPERIMENT = """
name: small
axes:
  policy: {default: {filter: [GpuShare]}, random: {score: {Random: 1}, filter: [GpuShare]}}
  seed: [1, 2]
trace: {path: trace, replay: {mode: inflate, resource: cpu, ratio: 0.9}}
"""


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    write_trace(generate(GeneratorConfig(name="small", seed=5, pods=80, nodes=8)), folder / "trace")
    (folder / "experiment.yaml").write_text(EXPERIMENT)
    run_experiment(folder / "experiment.yaml", folder / "out", jobs=1, progress=False)
    return folder


@pytest.fixture
def rejected(recorded: Path) -> dict:
    """A decision of the default policy that found no node, as recorded."""
    import pyarrow.parquet as pq

    from ksched.experiments.reopen import find_run

    table = pq.read_table(find_run(recorded / "out", axes={"policy": "default"}).folder / "decisions.parquet")
    return next(row for row in table.to_pylist() if row["node"] is None)


def test_a_pod_of_a_recorded_run_is_explained(cli: Cli, recorded: Path, rejected: dict) -> None:
    done = cli("explain", str(recorded / "out"), "--only", "policy=default", "--pod", rejected["pod"])
    assert done.code == 0, done.err
    assert f"decision {rejected['seq']} at" in done.out
    assert all(rejection["reason"] in done.out for rejection in rejected["rejections"])
    assert "no node: 0/8 nodes are available" in done.out


def test_the_same_as_json_by_run_id_with_what_would_have_to_change(cli: Cli, recorded: Path, rejected: dict) -> None:
    listed = json.loads((recorded / "out" / "plan.json").read_text())["runs"]
    run = next(r["run_id"] for r in listed if r["axes"] == {"policy": "default", "seed": "1", "trace": "trace"})
    words = ("--run", run, "--pod", rejected["pod"], "--node", "cpu-0", "-o", "json")
    done = cli("explain", str(recorded / "out"), *words)
    said = json.loads(done.out)
    assert (said["pod"], said["node"], said["nodes"]) == (rejected["pod"], None, 8)
    (rejection, *_) = said["rejections"]
    assert {o["plugin"] for o in said["obstacles"]["cpu-0"]} >= {rejection["plugin"]}
    assert any("more" in remedy for o in said["obstacles"]["cpu-0"] for remedy in o["remedies"])


def test_two_policies_are_told_apart(cli: Cli, recorded: Path) -> None:
    done = cli("diff", str(recorded / "out"), "--a", "policy=default", "--b", "policy=random")
    assert done.code == 0, done.err
    assert "Decision that differs, 1 of" in done.out
    assert "free on" in done.out
    assert "What followed:" in done.out
    runs = sorted(str(p) for p in (recorded / "out" / "runs").iterdir())
    found = json.loads(cli("diff", runs[0], runs[0], "-o", "json").out)
    assert (found["differing_decisions"], found["pods"]) == (0, [])


def test_the_time_of_plugins_is_shown(cli: Cli, recorded: Path) -> None:
    experiment = str(recorded / "experiment.yaml")
    words = ("run", experiment, "-o", "out", "-j", "1", "--only", "policy=random", "--profile-plugins")
    done = cli(*words)
    assert done.code == 0, done.err
    assert "Time of plugins, 2 runs" in done.out
    assert "NodeResourcesFit" in done.out
    assert "finished runs are kept" in cli(*words).out


WRONG = {
    "neither results nor manifests": (("explain", "--pod", "a"), "one of them"),
    "both": (("explain", "OUT", "-f", "x.yaml", "--pod", "a"), "one of them"),
    "no pod": (("explain", "OUT"), "which pod?"),
    "a profile for recorded results": (("explain", "OUT", "--pod", "a", "--profile", "p"), "its own profile"),
    "no results": (("explain", ".", "--pod", "a"), "no result directory"),
    "a policy left open": (("explain", "OUT", "--pod", "a"), "which policy is meant"),
    "an unknown pod": (("explain", "OUT", "--only", "policy=random", "--pod", "a"), "no decision was made about"),
    "an unknown axis": (("explain", "OUT", "--only", "polcy=random", "--pod", "a"), "did you mean 'policy'"),
    "no axis": (("explain", "OUT", "--only", "random", "--pod", "a"), "axis=value"),
    "one side of a diff": (("diff", "OUT", "--a", "policy=random"), "--a and --b"),
    "an unknown side": (("diff", "OUT", "--a", "policy=random", "--b", "policy=x"), "no value 'x'"),
    "an unknown output": (("diff", "OUT", "OUT", "-o", "xml"), "unknown output"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_answered_is_one_message(case: str, cli: Cli, recorded: Path) -> None:
    words, message = WRONG[case]
    done = cli(*(str(recorded / "out") if word == "OUT" else word for word in words))
    assert done.complains(message), done


def test_a_trace_that_changed_since_is_one_message(cli: Cli, recorded: Path, tmp_path: Path) -> None:
    shutil.copytree(recorded, tmp_path / "copy")
    (tmp_path / "copy" / "out" / "origin.json").unlink()
    write_trace(
        generate(GeneratorConfig(name="small", seed=6, pods=80, nodes=8)), tmp_path / "copy" / "trace", force=True
    )
    words = ("--only", "policy=random", "--pod", "a-0", "--experiment", str(tmp_path / "copy"))
    rejected = cli("explain", str(tmp_path / "copy" / "out"), *words)
    assert rejected.complains("no decision was made about")
    pod = next(iter(json.loads((tmp_path / "copy" / "out" / "divergence.json").read_text())["entries"]))["pod"]
    done = cli("explain", str(tmp_path / "copy" / "out"), "--only", "policy=random", "--pod", pod, *words[4:])
    assert done.complains("the trace small is not the one it replayed"), done
