"""Where a policy departs from the baseline: found in the tables, judged by both on the state they share."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ksched.experiments import divergence
from ksched.experiments.divergence import divergences, first_difference, first_divergence
from ksched.experiments.recorded_choices import RecordedChoices
from ksched.experiments.reopen import find_run

from .recorded import POLICIES, record


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # A policy that is another name for the baseline, and one that takes pods in another order.
    same = {"score": {"NodeResourcesFit": 1, "NodeResourcesBalancedAllocation": 1}}
    policies = POLICIES | {"same": same, "again": {**same, "configuration": {"podMaxBackoffSeconds": 9}}}
    axes = {"policy": policies, "seed": [1, 2]}
    return record(tmp_path_factory.mktemp("divergence"), axes=axes, baseline={"policy": "same"})


def decisions(results: Path, policy: str) -> list[dict]:
    return pq.read_table(find_run(results, axes={"policy": policy}).folder / "decisions.parquet").to_pylist()


def entry(results: Path, policy: str) -> dict:
    document = json.loads((results / "divergence.json").read_text())
    (found,) = [e for e in document["entries"] if e["policy"] == {"policy": policy}]
    return found


def test_an_experiment_leaves_the_departure_of_every_policy_from_the_baseline(results: Path) -> None:
    document = json.loads((results / "divergence.json").read_text())
    assert [e["policy"]["policy"] for e in document["entries"]] == ["default", "free", "moody", "again"]
    assert {(e["baseline"]["policy"], e["seed"], e["trace"]) for e in document["entries"]} == {("same", 1, "small")}
    assert entry(results, "free")["workload"] == {"trace": "trace"}


@pytest.mark.parametrize("policy", ["free", "moody"])
def test_the_first_different_choice_is_shown_with_the_scores_of_both(policy: str, results: Path) -> None:
    found = entry(results, policy)
    mine, base = decisions(results, policy), decisions(results, "same")
    number = found["decision"]
    assert [r["node"] for r in mine[:number]] == [r["node"] for r in base[:number]]
    assert (mine[number]["node"], base[number]["node"]) == (found["node"], found["baseline_node"])
    assert found["node"] != found["baseline_node"]
    assert (found["pod"], found["time_us"]) == (mine[number]["pod"], mine[number]["t_us"])
    rows = {row["node"]: row for row in found["rows"]}
    for side, recorded in (("policy", mine[number]), ("baseline", base[number])):
        for candidate in recorded["top"]:
            said = rows[candidate["node"]][side]
            assert said["total"] == candidate["total"] == sum(s["points"] for s in said["scores"].values())
            assert {name: s["points"] for name, s in said["scores"].items()} == dict(candidate["scores"])
            assert all(s["points"] == s["normalized"] * s["weight"] for s in said["scores"].values())
    assert found["note"] == ""


def test_policies_that_choose_alike_never_part(results: Path) -> None:
    found = entry(results, "again")
    assert (found["decision"], found["pod"], found["rows"]) == (None, None, [])
    assert found["decisions"] == [len(decisions(results, "same"))] * 2
    runs = [find_run(results, axes={"policy": policy}) for policy in ("again", "same")]
    assert first_divergence(*runs) is None


def test_the_file_is_kept_until_other_runs_are_there(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = results / "divergence.json"
    before = path.read_bytes()
    monkeypatch.setattr(divergence, "RunSession", None)  # nothing is simulated again
    assert divergences(results) == json.loads(before)["entries"]
    monkeypatch.undo()
    path.write_text(json.dumps({"key": "of other runs", "entries": []}))
    assert len(divergences(results)) == 4
    assert path.read_bytes() == before


def test_another_baseline_can_be_asked_for_and_changes_no_file(results: Path) -> None:
    before = (results / "divergence.json").read_bytes()
    found = {e["policy"]["policy"]: e for e in divergences(results, {"policy": "free"})}
    assert set(found) == {"default", "moody", "same", "again"}
    assert found["same"]["decision"] == entry(results, "free")["decision"]
    assert (results / "divergence.json").read_bytes() == before


def choices(*rows: tuple) -> RecordedChoices:
    names = ("t_us", "pod", "attempt", "result", "node")
    return RecordedChoices({name: [row[i] for row in rows] for i, name in enumerate(names)}, "by hand")


A, B, C = (0, "a", 1, "scheduled", "n0"), (1, "b", 1, "scheduled", "n0"), (1, "b", 1, "scheduled", "n1")
DIFFERENCES = {
    "none": ((A, B), (A, B), None),
    "another node": ((A, B), (A, C), 1),
    "one run ends": ((A,), (A, B), 1),
    "from the start": ((A,), (B,), 0),
    "no decisions": ((), (), None),
}


@pytest.mark.parametrize("case", DIFFERENCES)
def test_the_first_difference_of_two_tables(case: str) -> None:
    a, b, expected = DIFFERENCES[case]
    assert first_difference(choices(*a), choices(*b)) == first_difference(choices(*b), choices(*a)) == expected


def test_what_cannot_be_simulated_again_is_still_located(results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ksched.experiments.identity.ksched_version", lambda: "99")
    found = {e["policy"]["policy"]: e for e in divergences(results, {"policy": "free"})}["same"]
    assert found["decision"] == entry(results, "free")["decision"]
    assert (found["node"], found["rows"]) == (entry(results, "free")["baseline_node"], [])
    assert "cannot be simulated again" in found["note"]


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    ways = {way: {"replay": {"mode": "timestamp", "expand": way}} for way in ("workloads", "pods")}
    axes = {"policy": POLICIES, "way": {"target": "trace", "values": ways}, "seed": [1]}
    out = record(tmp_path, axes=axes, baseline={"policy": "default"})
    alone = (out / "divergence.json").read_bytes()
    assert {entry["workload"]["way"] for entry in json.loads(alone)["entries"]} == set(ways)
    (out / "divergence.json").unlink()
    divergences(out, jobs=2)
    assert (out / "divergence.json").read_bytes() == alone
