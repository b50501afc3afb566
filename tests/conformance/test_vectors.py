"""Agreement with kube-scheduler v1.30.14 on the published vectors (data/FORMAT.md): exact, for every plugin there is.

Plugins that are not there yet are named once, in NOT_YET. A part of an answer is compared as soon as its plugin exists;
a whole decision as soon as all plugins that had a say in it do. Nothing is left out silently: the number of values
compared is checked against the data.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ksched.objects import LabelSelectorMatcher
from ksched.testing.agreement import Compared, compare_plugins, compare_whole, depends_on
from ksched.testing.conformance import CaseScheduler, evaluate_trajectory, read_cases

DATA = Path(__file__).parent / "data"

NOT_YET = (
    "AzureDiskLimits",
    "CinderLimits",
    "DefaultPreemption",
    "EBSLimits",
    "GCEPDLimits",
    "InterPodAffinity",
    "NodeVolumeLimits",
    "PodTopologySpread",
    "SchedulingGates",
    "VolumeBinding",
    "VolumeRestrictions",
    "VolumeZone",
)

FILTERS = (
    "NodeAffinity",
    "NodeName",
    "NodePorts",
    "NodeResourcesFit",
    "NodeUnschedulable",
    "TaintToleration",
)
SCORES = (
    "ImageLocality",
    "NodeAffinity",
    "NodeResourcesBalancedAllocation",
    "NodeResourcesFit",
    "TaintToleration",
)


@dataclass
class Tally:
    """What was compared, and where the answers differ."""

    available: Counter[tuple[str, str]] = field(default_factory=Counter)
    values: Counter[tuple[str, str]] = field(default_factory=Counter)
    different: dict[tuple[str, str], list[str]] = field(default_factory=lambda: defaultdict(list))
    whole: int = 0

    def note(self, case: str, compared: Compared) -> None:
        key = (compared.part, compared.plugin)
        self.values[key] += compared.values
        if not compared.agrees:
            self.different[key].append(f"{case}: expected {compared.expected}, got {compared.got}")

    def count_available(self, expected: dict[str, Any]) -> None:
        for part in ("filter", "scoreRaw", "scoreNormalized"):
            for plugin, by_node in (expected.get(part) or {}).items():
                self.available[part, plugin] += len(by_node)


@pytest.fixture(scope="module")
def tally() -> Tally:
    tally = Tally()
    for line in read_cases(DATA / "public.jsonl.gz"):
        case, expected = line["case"], line["expect"]
        tally.count_available(expected)
        if "gated" in expected and "SchedulingGates" in NOT_YET:
            continue
        scheduler = CaseScheduler(case, without=NOT_YET)
        got = scheduler.answer(case["pod"])
        if not _nominations(case) and not depends_on(case, expected, NOT_YET):
            tally.whole += 1
            for compared in compare_whole(_without_missing(expected), got):
                tally.note(case["id"], compared)
        if expected["feasible"]:
            raw, normalized = scheduler.scores_of(scheduler.pod(case["pod"]), expected["feasible"])
            got |= {"scoreRaw": raw, "scoreNormalized": normalized}
        for compared in compare_plugins(expected, got, without=NOT_YET):
            tally.note(case["id"], compared)
    return tally


def _nominations(case: dict[str, Any]) -> bool:
    return bool(case.get("nominatedPods") or case["pod"].get("status", {}).get("nominatedNodeName"))


def _without_missing(expected: dict[str, Any]) -> dict[str, Any]:
    """Missing plugins add nothing to these cases, but are listed as enabled and skipped."""
    kept = dict(expected)
    if "weights" in kept:
        kept["weights"] = {name: w for name, w in kept["weights"].items() if name not in NOT_YET}
        kept["scoreSkipped"] = [name for name in kept.get("scoreSkipped", ()) if name not in NOT_YET]
    return kept


@pytest.mark.parametrize("plugin", FILTERS)
def test_a_filter_gives_every_node_the_reference_verdict_and_reasons(tally: Tally, plugin: str) -> None:
    assert tally.different["filter", plugin] == []
    assert tally.values["filter", plugin] == tally.available["filter", plugin] > 1000


@pytest.mark.parametrize("part", ["scoreRaw", "scoreNormalized"])
@pytest.mark.parametrize("plugin", SCORES)
def test_a_score_gives_every_feasible_node_the_reference_points(tally: Tally, plugin: str, part: str) -> None:
    assert tally.different[part, plugin] == []
    assert tally.values[part, plugin] == tally.available[part, plugin] > 1000


@pytest.mark.parametrize("plugin", ["NodeAffinity", "NodePorts"])
def test_a_pre_filter_skips_the_pods_the_reference_skips(tally: Tally, plugin: str) -> None:
    assert tally.different["skipped", plugin] == []
    assert tally.values["skipped", plugin] > 2000


@pytest.mark.parametrize("part", ["preFilter", "nodeNames"])
def test_pre_filters_together_reject_and_narrow_as_the_reference_does(tally: Tally, part: str) -> None:
    assert tally.different[part, ""] == []
    assert tally.values[part, ""] > 2000


@pytest.mark.parametrize("part", ["feasible", "rejectedBy", "scoreSkipped", "weights", "total", "best"])
def test_the_whole_decision_is_the_reference_decision(tally: Tally, part: str) -> None:
    assert tally.different[part, ""] == []
    assert tally.whole > 1000


def test_every_plugin_of_the_data_is_compared_or_named_as_missing(tally: Tally) -> None:
    named = {plugin for _, plugin in tally.available}
    assert named <= {*FILTERS, *SCORES, *NOT_YET}
    assert not {*FILTERS, *SCORES} & {*NOT_YET}


def test_steps_of_trajectories_that_no_missing_plugin_can_influence_agree() -> None:
    different, compared, steps = [], 0, 0
    for line in read_cases(DATA / "trajectories_public.jsonl.gz"):
        case, expected = line["case"], line["expect"]["steps"]
        nodes = [step["node"] for step in expected]
        answers = evaluate_trajectory(case, nodes, without=NOT_YET)
        for theirs, ours, judged in zip(expected, answers, _independent(case, expected), strict=True):
            steps += 1
            compared += judged
            if judged and ours != {key: value for key, value in theirs.items() if key != "preemption"}:
                different.append((case["id"], theirs, ours))
    assert different == []
    assert compared > 300
    assert steps > 8000


def _independent(case: dict[str, Any], steps: list[dict[str, Any]]) -> list[bool]:
    """Which steps neither inter-pod affinity nor topology spread can have influenced.

    Once a pod with affinity to other pods runs, its terms may move any later pod.
    """
    services = [LabelSelectorMatcher(s["spec"].get("selector") or {}) for s in case.get("services", ())]
    judged, affinity_runs = [], False
    for pod, step in zip(case["sequence"], steps, strict=True):
        affinity = pod["spec"].get("affinity") or {}
        own = "podAffinity" in affinity or "podAntiAffinity" in affinity
        labels = pod["metadata"].get("labels", {})
        spread = "topologySpreadConstraints" in pod["spec"] or any(s.matches(labels) for s in services)
        judged.append(not (affinity_runs or own or spread))
        affinity_runs = affinity_runs or (own and step["node"] is not None)
    return judged
