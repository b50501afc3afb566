"""Policy fragments become genuine KubeSchedulerConfigurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ksched.errors import InputError
from ksched.experiments.policy import PolicyFragment, canonical_policy, scheduler_source
from ksched.framework import default_configuration

HERE = Path(__file__).parent


def effective(data: dict[str, Any], folder: Path = HERE) -> dict[str, Any]:
    source = scheduler_source(PolicyFragment.model_validate(data), folder, where="x.yaml: policy.p")
    return canonical_policy(source.load())


def scores(data: dict[str, Any], folder: Path = HERE) -> dict[str, int]:
    enabled = effective(data, folder)["profiles"][0]["plugins"]["score"]["enabled"]
    return {entry["name"]: entry["weight"] for entry in enabled}


def names(data: dict[str, Any], point: str) -> list[str]:
    return [entry["name"] for entry in effective(data)["profiles"][0]["plugins"][point]["enabled"]]


def args(data: dict[str, Any], plugin: str) -> dict[str, Any]:
    return next(e["args"] for e in effective(data)["profiles"][0]["pluginConfig"] if e["name"] == plugin)


DEFAULT = {
    "TaintToleration": 3,
    "NodeAffinity": 2,
    "NodeResourcesFit": 1,
    "VolumeBinding": 1,
    "PodTopologySpread": 2,
    "InterPodAffinity": 2,
    "NodeResourcesBalancedAllocation": 1,
    "ImageLocality": 1,
}
SCORES = {
    "an empty fragment is the default policy": ({}, DEFAULT),
    "score names exactly what scores": (
        {"score": {"FreeMemory": 5, "NodeResourcesFit": 1}},
        {"FreeMemory": 5, "NodeResourcesFit": 1},
    ),
    "weight 0 takes a plugin out of a sweep": (
        {"score": {"FreeMemory": 0, "NodeResourcesFit": 1}},
        {"NodeResourcesFit": 1},
    ),
    "no score at all leaves the choice to the tie-break": ({"score": {}}, {}),
    "filter adds plugins without their scores": ({"filter": ["GpuShare", "BestFit"]}, DEFAULT),
    "disable switches a default plugin off": (
        {"disable": ["ImageLocality"]},
        {k: v for k, v in DEFAULT.items() if k != "ImageLocality"},
    ),
    "inline plugins are upstream's own form": (
        {"plugins": {"score": {"disabled": [{"name": "*"}], "enabled": [{"name": "Random", "weight": 2}]}}},
        {"Random": 2},
    ),
}


@pytest.mark.parametrize("case", SCORES, ids=str)
def test_who_scores(case):
    fragment, expected = SCORES[case]
    assert scores(fragment) == expected


def test_an_empty_fragment_equals_the_default_configuration():
    assert effective({}) == canonical_policy(default_configuration())


def test_a_filter_also_reserves_and_a_scoring_default_plugin_still_filters():
    assert "GpuShare" in names({"filter": ["GpuShare"]}, "reserve")
    assert "NodeResourcesFit" in names({"score": {"NodeResourcesFit": 1}}, "filter")


def test_args_are_laid_over_the_profile_key_by_key():
    inline = [{"name": "NodeResourcesFit", "args": {"ignoredResources": ["example.com/foo"]}}]
    strategy = {"scoringStrategy": {"type": "MostAllocated", "resources": [{"name": "cpu", "weight": 1}]}}
    got = args({"pluginConfig": inline, "args": {"NodeResourcesFit": strategy}}, "NodeResourcesFit")
    assert got["ignoredResources"] == ["example.com/foo"]
    assert got["scoringStrategy"]["type"] == "MostAllocated"


def test_keys_of_the_whole_scheduler_go_under_configuration():
    got = effective({"configuration": {"percentageOfNodesToScore": 30, "podMaxBackoffSeconds": 20}})
    assert got["podMaxBackoffSeconds"] == 20
    assert got["profiles"][0]["percentageOfNodesToScore"] == 30


PLUGIN = """
class Mine:
    name = "Mine"
    node_local = True
    def score(self, cycle, pod, nodes):
        return nodes.free("cpu") * 0
"""


def test_a_plugin_file_is_relative_to_the_experiment_and_its_place_is_no_part_of_the_policy(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text(PLUGIN)
    fragment = {"score": {"mine.py:Mine": 1}}
    assert scores(fragment, tmp_path / "a") == {"Mine": 1}
    moved = {"score": {"../b/mine.py:Mine": 1}}
    assert effective(fragment, tmp_path / "a") == effective(moved, tmp_path / "a")


def test_a_profile_file_names_plugins_relative_to_itself(tmp_path):
    (tmp_path / "profiles").mkdir()
    (tmp_path / "profiles" / "mine.py").write_text(PLUGIN)
    (tmp_path / "profiles" / "p.yaml").write_text(
        "apiVersion: kubescheduler.config.k8s.io/v1\n"
        "kind: KubeSchedulerConfiguration\n"
        "profiles:\n"
        "- plugins: {score: {disabled: [{name: '*'}], enabled: [{name: 'mine.py:Mine', weight: 4}]}}\n"
    )
    assert scores({"profile": "profiles/p.yaml"}, tmp_path) == {"Mine": 4}


BAD = {
    "an unknown plugin": ({"score": {"FreeMemry": 1}}, "did you mean 'FreeMemory'?"),
    "an argument with a typo": ({"args": {"NodeResourcesFit": {"scoringStrateg": {}}}}, "scoringStrategy"),
    "a configuration key with a typo": ({"configuration": {"percentageOfNodesToScor": 5}}, "percentageOfNodesToScore"),
    "two forms at once": ({"score": {"FreeMemory": 1}, "plugins": {}}, "not a mixture"),
    "profiles under configuration": ({"configuration": {"profiles": []}}, "does not belong under 'configuration'"),
    "a missing profile": ({"profile": "nothing.yaml"}, "there is no profile file"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_policies_are_explained(case):
    fragment, message = BAD[case]
    with pytest.raises(InputError) as caught:
        effective(fragment)
    assert message in str(caught.value)
    assert "x.yaml: policy.p" in str(caught.value)
