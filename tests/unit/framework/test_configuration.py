"""KubeSchedulerConfiguration files: what they mean and what is wrong with them.

Merging and expansion follow upstream's own tests in idea: default_plugins_test.go and framework_test.go (v1.30).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ksched.errors import InputError
from ksched.framework import SchedulerConfiguration, default_configuration, load_configuration

PLUGINS = """
from pydantic import BaseModel, ConfigDict

class _Base:
    def score(self, cycle, pod, nodes): ...
    def filter(self, cycle, pod, nodes): ...

class A(_Base):
    name = "A"
    def reserve(self, cycle, pod, node): ...

class B(_Base):
    name = "B"

class C(_Base):
    name = "C"
    class Args(BaseModel):
        model_config = ConfigDict(extra="forbid", frozen=True)
        depth: int = 1
    def __init__(self, args): self.args = args

class OnlyFilter:
    name = "OnlyFilter"
    def filter(self, cycle, pod, nodes): ...

class Sorter:
    name = "Sorter"
    def queue_sort_key(self, pod, queued_at): return queued_at

class Impostor:
    name = "NodeAffinity"
    def filter(self, cycle, pod, nodes): ...
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plugins")
    (folder / "p.py").write_text(PLUGINS)
    return folder


def ref(name: str) -> str:
    return f"p.py:{name}" if name in ("A", "B", "C", "OnlyFilter", "Sorter", "Impostor", "Nobody") else name


def entry(text: str) -> dict[str, Any]:
    name, _, weight = text.partition("=")
    return {"name": ref(name)} | ({"weight": int(weight)} if weight else {})


def plugins(**points: str) -> dict[str, Any]:
    """``score="A=2 -B"``: enabled A with weight 2, disabled B; "*" may be disabled too."""
    return {
        point: {
            "enabled": [entry(word) for word in words.split() if not word.startswith("-")],
            "disabled": [entry(word[1:]) for word in words.split() if word.startswith("-")],
        }
        for point, words in points.items()
    }


def load(base: Path, **points: str) -> SchedulerConfiguration:
    return load_configuration({"profiles": [{"plugins": plugins(**points)}]}, base=base)


def at(configuration: SchedulerConfiguration, point: str) -> str:
    weights = point == "score"
    entries = configuration.profiles[0].points[point]
    return " ".join(f"{e.plugin.name}={e.weight}" if weights else e.plugin.name for e in entries)


LATER_FILTERS = (
    "VolumeRestrictions EBSLimits GCEPDLimits NodeVolumeLimits AzureDiskLimits VolumeBinding VolumeZone "
    "PodTopologySpread InterPodAffinity"
)
FILTERS = f"NodeUnschedulable NodeName TaintToleration NodeAffinity NodePorts NodeResourcesFit {LATER_FILTERS}"
SCORES = (
    "TaintToleration=3 NodeAffinity=2 NodeResourcesFit=1 VolumeBinding=1 PodTopologySpread=2 InterPodAffinity=2 "
    "NodeResourcesBalancedAllocation=1 ImageLocality=1"
)
CUSTOM = "PrioritySort DefaultBinder"
"""What every profile that clears the defaults must enable again."""

MEANINGS = [
    ("without a word the defaults hold", {}, {"filter": FILTERS, "score": SCORES, "queueSort": "PrioritySort"}),
    ("a plugin disabled at multiPoint is nowhere", {"multiPoint": "-NodeAffinity"},
     {"filter": FILTERS.replace("NodeAffinity ", ""), "score": SCORES.replace("NodeAffinity=2 ", "")}),
    ("a plugin disabled at one point stays at the others", {"score": "-NodeAffinity"},
     {"filter": FILTERS, "score": SCORES.replace("NodeAffinity=2 ", "")}),
    ("a star disables a point", {"score": "-*"}, {"filter": FILTERS, "score": ""}),
    ("a star and a plugin leave that plugin",
     {"score": "-* NodeAffinity=7"}, {"filter": FILTERS, "score": "NodeAffinity=7"}),
    ("a star at multiPoint clears all defaults", {"multiPoint": f"-* {CUSTOM} A"},
     {"filter": "A", "score": "A=1", "reserve": "A", "queueSort": "PrioritySort", "bind": "DefaultBinder"}),
    ("a star at multiPoint does not clear what a point enables",
     {"multiPoint": f"-* {CUSTOM}", "filter": "NodeName"}, {"filter": "NodeName", "score": ""}),
    ("own plugins at multiPoint come last", {"multiPoint": "A"}, {"filter": f"{FILTERS} A", "score": f"{SCORES} A=1"}),
    ("own plugins at multiPoint keep their order", {"multiPoint": "B A"}, {"filter": f"{FILTERS} B A"}),
    ("own plugins at a point come last there",
     {"filter": "A"}, {"filter": f"{FILTERS} A", "score": SCORES, "reserve": "VolumeBinding"}),
    ("a default configured anew at multiPoint keeps its place", {"multiPoint": "NodeAffinity=9"},
     {"filter": FILTERS, "score": SCORES.replace("NodeAffinity=2", "NodeAffinity=9")}),
    ("a weight given at multiPoint holds at score", {"multiPoint": "A=4"}, {"score": f"{SCORES} A=4"}),
    ("a weight given at the point beats one at multiPoint", {"multiPoint": "A=4", "score": "A=5"},
     {"score": f"A=5 {SCORES}"}),
    ("a point that names a plugin of multiPoint without a weight means 1", {"score": "TaintToleration"},
     {"score": f"TaintToleration=1 {SCORES.replace('TaintToleration=3 ', '')}"}),
    ("weight 0 means 1", {"score": "-* A=0 B"}, {"score": "A=1 B=1"}),
    ("plugins of multiPoint a point names come first, in the point's order",
     {"filter": "NodePorts NodeUnschedulable"},
     {"filter": f"NodePorts NodeUnschedulable NodeName TaintToleration NodeAffinity NodeResourcesFit {LATER_FILTERS}",
      "score": SCORES}),
    ("then the rest of multiPoint, then the point's others",
     {"multiPoint": f"-* {CUSTOM} A B", "filter": "OnlyFilter B"},
     {"filter": "B A OnlyFilter", "score": "A=1 B=1"}),
    ("a plugin may be disabled at multiPoint and enabled at a point",
     {"multiPoint": "-NodeAffinity", "score": "NodeAffinity=5"},
     {"filter": FILTERS.replace("NodeAffinity ", ""),
      "score": f"{SCORES.replace('NodeAffinity=2 ', '')} NodeAffinity=5"}),
    ("reordering at multiPoint is disabling and enabling again", {"multiPoint": "-NodeName NodeName"},
     {"filter": FILTERS.replace("NodeName ", "") + " NodeName"}),
    ("a plugin of multiPoint is only at the points it implements", {"multiPoint": "OnlyFilter"},
     {"filter": f"{FILTERS} OnlyFilter", "score": SCORES}),
    ("the queue may be sorted by another plugin", {"queueSort": "-* Sorter"}, {"queueSort": "Sorter"}),
    ("disabling what is not enabled there changes nothing", {"preFilter": "-ImageLocality"}, {"score": SCORES}),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "points", "wanted"), MEANINGS, ids=[r[0] for r in MEANINGS])
def test_a_profile_means(sentence: str, points: dict, wanted: dict[str, str], base: Path) -> None:
    configuration = load(base, **points)
    assert {point: at(configuration, point) for point in wanted} == wanted


@pytest.mark.parametrize(("sentence", "points", "wanted"), MEANINGS, ids=[r[0] for r in MEANINGS])
def test_the_effective_configuration_means_itself(sentence: str, points: dict, wanted: dict, base: Path) -> None:
    configuration = load(base, **points)
    effective = configuration.effective()
    again = load_configuration(yaml.safe_load(yaml.safe_dump(effective)), base=base)
    assert again.effective() == effective
    assert {p: at(again, p) for p in again.profiles[0].points} == {
        p: at(configuration, p) for p in again.profiles[0].points
    }
    assert again.source_hashes() == configuration.source_hashes()


REFUSED = [
    ("a plugin twice at a point", {"filter": "A A"}, "plugin p.py:A is enabled twice at filter"),
    ("an own plugin twice at multiPoint", {"multiPoint": "A A"}, "plugin p.py:A is enabled twice at multiPoint"),
    ("a default plugin twice at multiPoint", {"multiPoint": "NodeName NodeName"},
     "plugin NodeName is enabled twice at multiPoint"),
    ("a plugin where it has nothing to do", {"score": "OnlyFilter"}, "plugin p.py:OnlyFilter does not implement score"),
    ("an unknown plugin", {"filter": "NodeNmae"}, "unknown plugin 'NodeNmae'; did you mean 'NodeName'?"),
    ("an unknown class", {"filter": "Nobody"}, "p.py has no class 'Nobody'"),
    ("disabling an unknown plugin", {"score": "-NodeAfinity"},
     "score.disabled names unknown plugin 'NodeAfinity'; did you mean 'NodeAffinity'?"),
    ("no way to sort", {"queueSort": "-*"}, "profile 'default-scheduler' has no queueSort plugin"),
    ("two ways to sort", {"queueSort": "Sorter"}, "profile 'default-scheduler' has more than one queueSort plugin"),
    ("no way to bind", {"bind": "-*"}, "profile 'default-scheduler' has no bind plugin"),
    ("two plugins of one name", {"filter": "Impostor"}, "two plugins have the name 'NodeAffinity'"),
    ("two of one name at multiPoint", {"multiPoint": "Impostor"}, "enabled twice at multiPoint"),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "points", "message"), REFUSED, ids=[r[0] for r in REFUSED])
def test_a_profile_may_not_have(sentence: str, points: dict, message: str, base: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(base, **points)
    assert message in str(caught.value)


# -- the file ---------------------------------------------------------------------------------------------------------

KEYS = [
    ("a typo at the top", {"profils": []}, "unknown key 'profils'", "did you mean 'profiles'?"),
    ("a typo in a profile", {"profiles": [{"schedulerNam": "x"}]}, "unknown key 'profiles[0].schedulerNam'",
     "did you mean 'schedulerName'?"),
    ("a typo in an extension point", {"profiles": [{}, {"plugins": {"filtr": {}}}]},
     "unknown key 'profiles[1].plugins.filtr'", "did you mean 'filter'?"),
    ("a typo in a plugin set", {"profiles": [{"plugins": {"filter": {"enable": []}}}]},
     "unknown key 'profiles[0].plugins.filter.enable'", "did you mean 'enabled'?"),
    ("a typo in an entry", {"profiles": [{"plugins": {"score": {"enabled": [{"name": "NodeName", "wieght": 1}]}}}]},
     "unknown key 'profiles[0].plugins.score.enabled[0].wieght'", "did you mean 'weight'?"),
    ("a typo in pluginConfig",
     {"profiles": [{"pluginConfig": [{"nam": "x"}]}]}, "'profiles[0].pluginConfig[0].name' is missing", ""),
    ("a key like no other", {"qqq": 1}, "unknown key 'qqq'", "known keys: apiVersion"),
    ("another version", {"apiVersion": "kubescheduler.config.k8s.io/v1beta3"},
     "apiVersion: expected kubescheduler.config.k8s.io/v1, got 'kubescheduler.config.k8s.io/v1beta3'", ""),
    ("another kind", {"kind": "Pod"}, "kind: expected KubeSchedulerConfiguration, got 'Pod'", ""),
    ("a negative weight", {"profiles": [{"plugins": {"score": {"enabled": [{"name": "NodeName", "weight": -1}]}}}]},
     "profiles[0].plugins.score.enabled[0].weight: Input should be greater than or equal to 0", ""),
    ("a percentage above 100",
     {"percentageOfNodesToScore": 101}, "percentageOfNodesToScore: Input should be less than", ""),
    ("a text for a number",
     {"podMaxBackoffSeconds": "ten"}, "podMaxBackoffSeconds: Input should be a valid integer", ""),
    ("a back-off that shrinks", {"podInitialBackoffSeconds": 20}, "podMaxBackoffSeconds must not be below", ""),
    ("no profile", {"profiles": []}, "profiles must name at least one profile", ""),
    ("two profiles of one name", {"profiles": [{}, {}]}, "two profiles have the same schedulerName", ""),
    ("arguments of an unknown plugin", {"profiles": [{"pluginConfig": [{"name": "NodeResorcesFit"}]}]},
     "pluginConfig is for 'NodeResorcesFit', which the profile does not enable; did you mean 'NodeResourcesFit'?", ""),
    ("arguments twice", {"profiles": [{"pluginConfig": [{"name": "NodeName"}, {"name": "NodeName"}]}]},
     "pluginConfig names 'NodeName' twice", ""),
    ("a typo in arguments",
     {"profiles": [{"pluginConfig": [{"name": "NodeResourcesFit", "args": {"scoringStrateg": {}}}]}]},
     "unknown key 'scoringStrateg'", "did you mean 'scoringStrategy'?"),
    ("arguments for a plugin without any", {"profiles": [{"pluginConfig": [{"name": "NodeName", "args": {"x": 1}}]}]},
     "plugin NodeName takes no arguments, got x", ""),
    ("a key that is no text", {7: 8}, "7", ""),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "data", "message", "hint"), KEYS, ids=[r[0] for r in KEYS])
def test_a_mistake_in_the_file_names_the_key(sentence: str, data: dict, message: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        load_configuration(data, where="sched.yaml")
    text = str(caught.value)
    assert text.startswith("sched.yaml: ")
    assert message in text
    assert hint in text
    assert len(text.splitlines()) <= 2


FILES = [
    ("no YAML", "profiles: [", "malformed YAML"),
    ("a tab", "profiles:\n\t- {}\n", "sched.yaml:2: malformed YAML"),
    ("nothing", "", "expected one KubeSchedulerConfiguration, found 0 documents"),
    ("a list", "- 1\n", "expected a KubeSchedulerConfiguration mapping, got list"),
    ("two documents", "a: 1\n---\nb: 2\n", "expected one KubeSchedulerConfiguration, found 2 documents"),
    ("a key twice", "parallelism: 1\nparallelism: 2\n", "parallelism"),
]


@pytest.mark.parametrize(("sentence", "text", "message"), FILES, ids=[r[0] for r in FILES])
def test_a_file_that_holds(sentence: str, text: str, message: str, tmp_path: Path) -> None:
    file = tmp_path / "sched.yaml"
    file.write_text(text)
    with pytest.raises(InputError) as caught:
        load_configuration(file)
    assert message in str(caught.value)
    assert "sched.yaml" in str(caught.value)


def test_a_file_that_is_missing_or_not_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the scheduler configuration"):
        load_configuration(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="cannot read the scheduler configuration"):
        load_configuration(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        load_configuration(tmp_path / "binary.yaml")


GENUINE = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
parallelism: 4
podInitialBackoffSeconds: 2
podMaxBackoffSeconds: 20
percentageOfNodesToScore: 30
clientConnection: {kubeconfig: /etc/kubernetes/scheduler.conf, qps: 50}
leaderElection: {leaderElect: false}
profiles:
- schedulerName: default-scheduler
  pluginConfig:
  - name: NodeResourcesFit
    args:
      apiVersion: kubescheduler.config.k8s.io/v1
      kind: NodeResourcesFitArgs
      scoringStrategy:
        type: MostAllocated
        resources: [{name: cpu, weight: 2}]
- schedulerName: packing
  percentageOfNodesToScore: 100
  plugins:
    score:
      disabled: [{name: "*"}]
      enabled: [{name: BestFit, weight: 5}]
- schedulerName: quiet
  plugins: {score: {enabled: null, disabled: }}
"""


def test_a_genuine_file(tmp_path: Path) -> None:
    file = tmp_path / "sched.yaml"
    file.write_text(GENUINE)
    configuration = load_configuration(file)
    assert (configuration.pod_initial_backoff_seconds, configuration.pod_max_backoff_seconds) == (2, 20)
    default, packing, quiet = configuration.profiles
    assert [p.percentage_of_nodes_to_score for p in configuration.profiles] == [30, 100, 30]
    args = {config["name"]: config["args"] for config in default.effective()["pluginConfig"]}
    assert args["NodeResourcesFit"]["scoringStrategy"]["type"] == "MostAllocated"
    assert [(e.plugin.name, e.weight) for e in packing.points["score"]] == [("BestFit", 5)]
    assert configuration.profile("packing") is packing
    assert configuration.profile("other") is None
    assert [e.plugin.name for e in quiet.points["score"]] == [e.plugin.name for e in default.points["score"]]
    again = load_configuration(configuration.effective())
    assert again.effective() == configuration.effective()


def test_the_default_is_upstreams_order_with_all_nodes_scored() -> None:
    configuration = default_configuration()
    assert at(configuration, "filter") == FILTERS
    assert at(configuration, "score") == SCORES
    assert (at(configuration, "queueSort"), at(configuration, "bind")) == ("PrioritySort", "DefaultBinder")
    assert configuration.profiles[0].percentage_of_nodes_to_score == 100
    assert load_configuration({}).effective() == configuration.effective()


def test_arguments_reach_the_plugin_under_either_name(base: Path) -> None:
    for name in ("C", "p.py:C"):
        profile = {"plugins": plugins(multiPoint="C"), "pluginConfig": [{"name": name, "args": {"depth": 4}}]}
        configuration = load_configuration({"profiles": [profile]}, base=base)
        assert configuration.profiles[0].instances()["C"].args.depth == 4
        assert {"name": "C", "args": {"depth": 4}} in configuration.effective()["profiles"][0]["pluginConfig"]


def test_every_run_has_plugins_of_its_own(base: Path) -> None:
    profile = load(base, multiPoint="C").profiles[0]
    assert profile.instances()["C"] is not profile.instances()["C"]


def test_plugin_files_are_relative_to_the_configuration_file(base: Path) -> None:
    file = base / "sched.yaml"
    file.write_text(yaml.safe_dump({"profiles": [{"plugins": plugins(multiPoint="A")}]}))
    configuration = load_configuration(file)
    assert at(configuration, "reserve") == "VolumeBinding A"
    enabled = configuration.effective()["profiles"][0]["plugins"]["reserve"]["enabled"]
    assert enabled == [{"name": "VolumeBinding"}, {"name": "p.py:A"}]
