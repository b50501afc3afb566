"""The first departures from the baseline: read from divergence.json, told in words, shown with both score tables."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ksched.errors import InputError
from ksched.report import charts, compare, html, open_results
from ksched.report.departures import departures, departures_table, scores_table


def judgement(total: int | None, **points: int) -> dict[str, Any]:
    scores = {name: {"raw": p / 2, "normalized": p, "weight": 1, "points": p} for name, p in points.items()}
    reason = "" if total is not None else "Fit: Insufficient cpu"
    return {"feasible": total is not None, "looked_at": True, "reason": reason, "total": total, "scores": scores}


def entry(policy: str, run: str, decision: int | None = 17) -> dict[str, Any]:
    there = {"time_us": 3_000_000, "pod": "default/w3-0", "attempt": 1, "node": "n-4", "baseline_node": None}
    rows = [
        {"node": "n-4", "policy": judgement(131, Fit=100, Free=31), "baseline": judgement(None)},
        {"node": "n-1", "policy": judgement(90, Fit=60, Free=30), "baseline": judgement(80, Fit=80)},
    ]
    base = {"policy": {"policy": policy}, "baseline": {"policy": "default"}, "workload": {"trace": "demo"}, "seed": 42}
    base |= {"trace": "demo", "run": run, "baseline_run": "b", "decisions": [400, 401], "decision": decision}
    if decision is None:
        return base | dict.fromkeys([*there, "nodes", "feasible", "note"]) | {"rows": []}
    return base | there | {"nodes": 20, "feasible": [12, 11], "note": "A note.", "rows": rows}


@pytest.fixture
def results(timed: Path, tmp_path: Path) -> Path:
    directory = tmp_path / "results"
    shutil.copytree(timed, directory)
    by_policy = {run.axes["policy"]: run.run_id for run in reversed(open_results(directory).finished)}
    entries = [entry(p, by_policy[p], None if p == "default-again" else 17) for p in ("default-again", "best-fit")]
    (directory / "divergence.json").write_text(json.dumps({"version": 1, "key": "k", "entries": entries}))
    return directory


def test_each_departure_is_a_sentence(results: Path) -> None:
    told = {one.policy: one.sentence for one in departures(compare(open_results(results)))}
    assert list(told) == ["best-fit", "default-again"], "in the order of the policies"
    assert told["best-fit"] == (
        "Decision 17 of seed 42, at 3.00 s: pod default/w3-0 goes to n-4 under best-fit and nowhere under default; "
        "12 and 11 of 20 nodes could run it. A note."
    )
    assert told["default-again"] == "default-again decides like default throughout (seed 42)."


def test_the_tables_hold_both_judgements(results: Path) -> None:
    found = departures(compare(open_results(results)))
    table = departures_table(found).set_index("policy")
    assert table.loc["best-fit", ["decision", "time_s", "node"]].tolist() == [17, 3.0, "n-4"]
    assert table["decision"].isna().tolist() == [False, True]
    scores = scores_table(found)
    mine = scores[(scores["node"] == "n-4") & (scores["judge"] == "best-fit")]
    assert dict(zip(mine["plugin"], mine["points"], strict=True)) == {"Fit": 100, "Free": 31}
    assert scores[scores["judge"] == "default"].set_index("node").loc["n-4", "reason"] == "Fit: Insufficient cpu"


def test_the_page_shows_them(results: Path) -> None:
    comparison = compare(open_results(results))
    page = html.render(comparison, charts.all_figures(comparison), departures(comparison)).replace("\u00a0", " ")
    for text in ("Where each policy first departs from default", "Scores under best-fit", "Fit: Insufficient cpu"):
        assert text in page
    assert 'raw score 15.5">31<small>31 × 1</small>' in page
    assert '<td class="chosen">131<small>chosen</small>' in page


def test_entries_of_another_baseline_are_not_mixed_in(results: Path) -> None:
    assert departures(compare(open_results(results), baseline="free-memory")) == []


def test_without_the_file_there_are_none(timed: Path) -> None:
    assert departures(compare(open_results(timed))) == []


@pytest.mark.parametrize(
    "content", ["{", '{"version": 1, "entries": [{"policy": 3}]}'], ids=["torn", "of another form"]
)
def test_a_damaged_file_is_one_message(results: Path, content: str) -> None:
    (results / "divergence.json").write_text(content)
    with pytest.raises(InputError, match=r"divergence\.json.*\n  delete it"):
        departures(compare(open_results(results)))
