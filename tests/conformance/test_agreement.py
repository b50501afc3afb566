"""Agreement with kube-scheduler v1.30.14 on all published cases (data/FORMAT.md): every part of every answer is exact.

The same run as ``ksched conformance``. How many values it compared is checked against a count of the data that shares
no code with it, so nothing can agree by not being looked at.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ksched.testing.conformance_run import Agreement, Judged, default_jobs, run, select
from ksched.testing.deviations import DEVIATIONS

DATA = Path(__file__).parent / "data"
PUBLIC, TRAJECTORIES = DATA / "public.jsonl.gz", DATA / "trajectories_public.jsonl.gz"

FILTERS = (
    "AzureDiskLimits",
    "EBSLimits",
    "GCEPDLimits",
    "InterPodAffinity",
    "NodeAffinity",
    "NodeName",
    "NodePorts",
    "NodeResourcesFit",
    "NodeUnschedulable",
    "NodeVolumeLimits",
    "PodTopologySpread",
    "TaintToleration",
    "VolumeBinding",
    "VolumeRestrictions",
    "VolumeZone",
)
SCORES = (
    "ImageLocality",
    "InterPodAffinity",
    "NodeAffinity",
    "NodeResourcesBalancedAllocation",
    "NodeResourcesFit",
    "PodTopologySpread",
    "TaintToleration",
)


def answers(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)["expect"]


def judged(path: Path) -> tuple[Agreement, list[Judged]]:
    totals, wrong = Agreement(), []
    for one in run(select(path), jobs=default_jobs()):
        totals.note(one)
        if not one.agrees:
            wrong.append(one)
    return totals, wrong


@pytest.fixture(scope="module")
def public() -> tuple[Agreement, list[Judged]]:
    return judged(PUBLIC)


@pytest.fixture(scope="module")
def recorded() -> Counter[tuple[str, str]]:
    """(part, plugin) -> single values in the data."""
    counts: Counter[tuple[str, str]] = Counter()
    for expected in answers(PUBLIC):
        for part in ("filter", "scoreRaw", "scoreNormalized"):
            for plugin, nodes in (expected.get(part) or {}).items():
                counts[part, plugin] += len(nodes)
        counts["total", ""] += len(expected.get("total") or ())
        counts["rejectedBy", ""] += len(expected.get("rejectedBy") or ())
        found = expected["preemption"] or {}
        # An empty list of candidates is a finding too.
        counts["preemption.candidates", "DefaultPreemption"] += max(len(found.get("candidates", ())), bool(found))
    return counts


def test_every_decision_is_the_reference_decision(public: tuple[Agreement, list[Judged]]) -> None:
    totals, wrong = public
    assert wrong[:3] == []
    assert totals.agreeing == totals.cases == sum(1 for _ in answers(PUBLIC)) == 3053
    assert totals.errors == 0


@pytest.mark.parametrize(
    ("part", "plugin"),
    [
        *(("filter", plugin) for plugin in FILTERS),
        *((part, plugin) for part in ("scoreRaw", "scoreNormalized") for plugin in SCORES),
        ("total", ""),
        ("rejectedBy", ""),
        ("preemption.candidates", "DefaultPreemption"),
    ],
)
def test_everything_the_reference_said_was_compared(
    public: tuple[Agreement, list[Judged]], recorded: Counter[tuple[str, str]], part: str, plugin: str
) -> None:
    compared = public[0].values[part, plugin]
    assert compared >= recorded[part, plugin] > 0
    assert public[0].values_agreeing[part, plugin] == compared


def test_the_data_names_no_plugin_that_is_not_listed_here(recorded: Counter[tuple[str, str]]) -> None:
    assert {plugin for part, plugin in recorded if part == "filter"} == set(FILTERS)
    assert {plugin for part, plugin in recorded if part.startswith("score")} == set(SCORES)


def test_trajectories_never_leave_the_references_path() -> None:
    totals, wrong = judged(TRAJECTORIES)
    assert wrong[:3] == []
    assert totals.agreeing == totals.cases == 30
    assert totals.values["steps", ""] == sum(len(expected["steps"]) for expected in answers(TRAJECTORIES)) == 8005


def test_there_is_no_known_deviation() -> None:
    assert DEVIATIONS == ()
