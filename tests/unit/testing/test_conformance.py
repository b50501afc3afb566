"""Conformance evaluation on a case worked out by hand, and the comparison that must not pass by skipping."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ksched.errors import InputError
from ksched.testing.agreement import compare_plugins, compare_whole
from ksched.testing.conformance import evaluate_case, evaluate_trajectory, read_cases


def container(**requests: str) -> list[dict[str, Any]]:
    return [{"name": "c", "image": "i", "resources": {"requests": requests}}]


def node(name: str, cpu: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "spec": spec,
        "status": {"allocatable": {"cpu": cpu, "memory": "4Gi", "pods": "9"}},
    }


CASE = {
    "id": "by hand",
    "nodes": [node("a", "4"), node("b", "1"), node("c", "8", unschedulable=True)],
    "pods": [
        {"metadata": {"name": "old"}, "spec": {"nodeName": "a", "containers": container(cpu="1", memory="1Gi")}},
        {
            "metadata": {"name": "done"},
            "spec": {"nodeName": "a", "containers": container(cpu="3")},
            "status": {"phase": "Succeeded"},
        },
    ],
    "pod": {"metadata": {"name": "new"}, "spec": {"containers": container(cpu="2", memory="1Gi")}},
}


def test_a_case_is_evaluated_as_by_hand() -> None:
    got = evaluate_case(CASE)
    assert got["feasible"] == ["a"]
    assert got["rejectedBy"] == {"b": "NodeResourcesFit", "c": "NodeUnschedulable"}
    assert got["filter"]["NodeResourcesFit"] == {
        "a": None,
        "b": {"code": "Unschedulable", "reasons": ["Insufficient cpu"]},
        "c": None,
    }
    # cpu (4-3)/4, memory (4-2)/4; fractions 3/4 and 1/2
    assert got["scoreRaw"]["NodeResourcesFit"] == {"a": 37}
    assert got["scoreRaw"]["NodeResourcesBalancedAllocation"] == {"a": 87}
    assert got["total"] == {"a": 37 + 87 + 3 * 100 + 0}
    assert got["best"] == ["a"]


def test_a_trajectory_places_each_pod_before_the_next() -> None:
    pods = [{"metadata": {"name": f"p{i}"}, "spec": {"containers": container(cpu="1")}} for i in range(3)]
    steps = list(evaluate_trajectory({"nodes": [node("a", "2")], "sequence": pods}))
    assert [step["node"] for step in steps] == ["a", "a", None]
    assert [step["best"] for step in steps] == [["a"], ["a"], []]
    elsewhere = list(evaluate_trajectory({"nodes": [node("a", "2")], "sequence": pods}, [None, None, None]))
    assert [step["node"] for step in elsewhere] == ["a", "a", "a"]


def test_plugins_can_be_left_out() -> None:
    profile = {
        "plugins": {"score": {"disabled": [{"name": "Absent"}]}},
        "pluginConfig": [{"name": "Absent", "args": {}}],
    }
    with pytest.raises(InputError):
        evaluate_case({**CASE, "profile": profile})
    assert evaluate_case({**CASE, "profile": profile}, without=["Absent"])["feasible"] == ["a"]


def test_reasons_compare_as_a_set_and_a_missing_part_disagrees() -> None:
    verdict = {"code": "Unschedulable", "reasons": ["b", "a"]}
    expected = {"filter": {"F": {"n": verdict}}, "scoreRaw": {"S": {"n": 1}}}
    same = {"filter": {"F": {"n": {**verdict, "reasons": ["a", "b"]}}}, "scoreRaw": {"S": {"n": 1}}}
    assert all(compared.agrees for compared in compare_plugins(expected, same))
    differing = [(c.part, c.plugin) for c in compare_plugins(expected, {}) if not c.agrees]
    assert differing == [("filter", "F"), ("scoreRaw", "S")]
    assert [c.part for c in compare_whole({"best": ["n"]}, {}) if not c.agrees] == ["best"]
    assert [c.part for c in compare_whole({}, {"total": {}}) if not c.agrees] == ["total"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        pytest.param(b"not gzip", "cannot be read", id="a file that is not gzip"),
        pytest.param(gzip.compress(b'{"case": {}}\n{"case":\n'), ":2: not a JSON object", id="a broken line"),
        pytest.param(gzip.compress(b"{}\n" * 999)[:30], "cannot be read", id="a truncated file"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "cases.jsonl.gz"
    file.write_bytes(content)
    with pytest.raises(InputError, match=words):
        list(read_cases(file))


def test_cases_are_read_in_order(tmp_path: Path) -> None:
    file = tmp_path / "cases.jsonl.gz"
    file.write_bytes(gzip.compress(b"".join(json.dumps({"case": {"id": i}}).encode() + b"\n" for i in range(3))))
    assert [line["case"]["id"] for line in read_cases(file)] == [0, 1, 2]
