"""The conformance run: it finds every difference there is, and nothing passes by being left out."""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ksched.cli.conformance import conformance
from ksched.errors import InputError
from ksched.testing import conformance_run
from ksched.testing.agreement import compare
from ksched.testing.conformance_run import judge, run, select
from ksched.testing.deviations import Deviation, deviation_of

DATA = Path(__file__).parents[2] / "conformance" / "data"
TAGS = (
    "gates",
    "preempt-pdb",
    "nominated-others",
    "nominated-self",
    "vol-bound",
    "fit-least",
    "pts-soft",
    "podaffinity-required",
)

app = typer.Typer()
app.command()(conformance)


@pytest.fixture(scope="module")
def lines() -> list[dict[str, Any]]:
    """One recorded case of each of some tags."""
    cases = select(DATA / "public.jsonl.gz")
    return [next(c for c in cases if tag in c["case"]["tags"] and len(c["case"]["tags"]) == 1) for tag in TAGS]


@pytest.fixture(scope="module")
def trajectory() -> dict[str, Any]:
    """The head of a recorded trajectory."""
    line = copy.deepcopy(select(DATA / "trajectories_public.jsonl.gz")[0])
    line["case"]["sequence"] = line["case"]["sequence"][:5]
    line["expect"]["steps"] = line["expect"]["steps"][:5]
    return line


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of everything in an answer that can be removed or changed."""
    if path:
        yield path
    for key, part in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from leaves(part, (*path, key))


def changed(answer: dict[str, Any], path: tuple[Any, ...], *, remove: bool) -> dict[str, Any]:
    made = copy.deepcopy(answer)
    holder = made
    for key in path[:-1]:
        holder = holder[key]
    if remove:
        del holder[path[-1]]
    else:
        old = holder[path[-1]]
        holder[path[-1]] = not old if isinstance(old, bool) else old + 1 if isinstance(old, int) else "something else"
    return made


def differs(expected: dict[str, Any], got: dict[str, Any]) -> bool:
    return any(not part.agrees for part in compare(expected, got))


def test_an_answer_agrees_with_itself(lines: list[dict[str, Any]], trajectory: dict[str, Any]) -> None:
    for line in [*lines, trajectory]:
        assert not differs(line["expect"], line["expect"])


@pytest.mark.parametrize("remove", [True, False], ids=["removed", "changed"])
@pytest.mark.parametrize("number", range(len(TAGS) + 1))
def test_every_single_part_of_an_answer_matters_in_either_direction(
    lines: list[dict[str, Any]], trajectory: dict[str, Any], number: int, remove: bool
) -> None:
    expected = [*lines, trajectory][number]["expect"]
    paths = list(leaves(expected))
    unnoticed = []
    for path in paths:
        other = changed(expected, path, remove=remove)
        if not differs(expected, other) or not differs(other, expected):
            unnoticed.append(path)
    # Two writings of one answer: a filter that passes everywhere may be left out of what is expected.
    passing = {
        ("filter", plugin)
        for plugin, verdicts in (expected.get("filter") or {}).items()
        if not any(verdicts.values()) and remove
    }
    assert set(unnoticed) <= passing
    assert len(paths) > 3


def test_an_unknown_part_is_compared_too() -> None:
    assert differs({"novel": 1}, {})
    assert differs({}, {"novel": 1})


@pytest.mark.parametrize(
    ("sentence", "expected", "got", "agrees"),
    [
        ("the order of reasons does not matter", ["a", "b"], ["b", "a"], True),
        ("other reasons do", ["a", "b"], ["a"], False),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_reasons(sentence: str, expected: list[str], got: list[str], agrees: bool) -> None:
    def answer(reasons: list[str]) -> dict[str, Any]:
        return {"filter": {"P": {"n": {"code": "Unschedulable", "reasons": reasons}}}}

    assert differs(answer(expected), answer(got)) is not agrees


def test_zero_is_not_false_and_null_is_not_missing() -> None:
    assert differs({"viaNominatedNode": True}, {"viaNominatedNode": 1})
    assert differs({"preemption": None}, {})
    assert differs({"filter": {"P": {"n": None}}}, {"filter": {"P": {}}})


def test_differences_are_laid_at_a_plugins_door(lines: list[dict[str, Any]]) -> None:
    line = copy.deepcopy(next(c for c in lines if "fit-least" in c["case"]["tags"]))
    node = next(iter(line["expect"]["scoreRaw"]["NodeResourcesFit"]))
    line["expect"]["scoreRaw"]["NodeResourcesFit"][node] += 1
    judged = judge(line)
    assert [(d.plugin, d.part, d.where) for d in judged.differences] == [("NodeResourcesFit", "scoreRaw", node)]
    values, agreeing = judged.counts["scoreRaw", "NodeResourcesFit"]
    assert values - agreeing == 1


def test_the_recorded_cases_agree_and_results_have_the_form_of_expect(lines: list[dict[str, Any]]) -> None:
    for line in lines:
        judged = judge(line)
        assert judged.agrees, judged.differences or judged.error
        assert json.loads(judged.line).keys() <= line["expect"].keys()


def test_a_trajectory_is_told_by_its_content(trajectory: dict[str, Any]) -> None:
    judged = judge(trajectory)
    assert judged.agrees, judged.differences or judged.error
    assert json.loads(judged.line) == trajectory["expect"]
    assert judged.counts["steps", ""] == (5, 5)


def broken(line: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(line)
    made["case"]["id"] = "broken"
    made["case"]["pod"]["spec"] = {"containers": [{"name": "c", "resources": {"requests": {"cpu": "lots"}}}]}
    return made


def test_a_case_that_cannot_be_evaluated_is_a_disagreement_in_everything(lines: list[dict[str, Any]]) -> None:
    line = broken(lines[-1])
    judged = judge(line)
    assert not judged.agrees
    assert json.loads(judged.line) == {"id": "broken", "error": judged.error}
    assert "lots" in judged.error
    right = sum(values for values, _ in judge(lines[-1]).counts.values())
    assert sum(values for values, _ in judged.counts.values()) == right
    assert all(agreeing == 0 for _, agreeing in judged.counts.values())


def test_a_case_without_expectation_is_a_disagreement(lines: list[dict[str, Any]]) -> None:
    judged = judge({"case": lines[0]["case"]})
    assert not judged.agrees
    assert "no expect" in judged.error
    assert "error" not in json.loads(judged.line)


def test_processes_change_nothing_and_keep_the_order(lines: list[dict[str, Any]]) -> None:
    many = [*lines, broken(lines[-1]), *lines]
    assert list(run(many, jobs=2)) == list(run(many, jobs=1))


def dies(line: Any) -> Any:
    import os

    os._exit(1)


def test_cases_lost_with_their_process_are_disagreements(
    lines: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformance_run, "judge", dies)
    judged = list(run(lines, jobs=2))
    assert [j.case for j in judged] == [line["case"]["id"] for line in lines]
    assert all("died" in j.error and not j.agrees for j in judged)


def test_a_known_deviation_is_named() -> None:
    known = (Deviation("rounding", "for a reason", lambda case, part: part.plugin == "P"),)
    parts = list(compare({"scoreRaw": {"P": {"n": 1}, "Q": {"n": 1}}}, {"scoreRaw": {"P": {"n": 2}, "Q": {"n": 2}}}))
    assert [deviation_of({}, part, known) for part in parts] == ["rounding", ""]


# -- the command ------------------------------------------------------------------------------------------------------


def write(path: Path, lines: list[Any]) -> Path:
    with gzip.open(path, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)
    return path


def test_the_command_says_yes_with_0(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    result = CliRunner().invoke(app, [str(write(tmp_path / "c.jsonl.gz", lines)), "--out", str(out), "--jobs", "1"])
    assert result.exit_code == 0, result.output
    assert f"{len(lines)} of {len(lines)} cases agree (100.00 %)" in result.output
    assert [json.loads(text)["id"] for text in out.read_text().splitlines()] == [c["case"]["id"] for c in lines]
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []


def test_the_command_says_no_with_1_and_shows_both_sides(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    line = copy.deepcopy(lines[-1])
    line["expect"]["best"] = ["elsewhere"]
    result = CliRunner().invoke(app, [str(write(tmp_path / "c.jsonl.gz", [*lines, line])), "--jobs", "1"])
    assert result.exit_code == 1
    assert 'kube-scheduler  ["elsewhere"]' in result.output
    assert f"{len(lines)} of {len(lines) + 1} cases agree" in result.output


def test_a_tag_selects(lines: list[dict[str, Any]], tmp_path: Path) -> None:
    file = write(tmp_path / "c.jsonl.gz", lines)
    result = CliRunner().invoke(app, [str(file), "--jobs", "1", "--tag", "gates"])
    assert "1 of 1 cases agree" in result.output
    with pytest.raises(InputError, match="no case has tag gate"):
        CliRunner().invoke(app, [str(file), "--tag", "gate"], catch_exceptions=False)


UNREADABLE: list[tuple[str, bytes, str]] = [
    ("what is not gzip", b"{}\n", "gzip"),
    ("a line that is not JSON", gzip.compress(b"{}\nno\n"), ":1"),
    ("a file that was cut off", gzip.compress(b'{"case": {"pod": {}}}\n' * 50)[:-9], "gzip"),
    ("a line that is no case", gzip.compress(b'{"case": {"id": 1}}\n'), "not a conformance case"),
    ("an empty file", gzip.compress(b""), "there is no case in it"),
]


@pytest.mark.parametrize(("sentence", "content", "message"), UNREADABLE, ids=[r[0] for r in UNREADABLE])
def test_it_refuses(sentence: str, content: bytes, message: str, tmp_path: Path) -> None:
    file, out = tmp_path / "c.jsonl.gz", tmp_path / "out"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(app, [str(file), "--out", str(out)], catch_exceptions=False)
    assert not out.exists()
