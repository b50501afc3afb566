"""`ksched explain` as a user types it: what it prints, and what it says about bad input."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Cli, Outcome

NODES = """
apiVersion: v1
kind: Node
metadata: {name: node-a, labels: {disktype: ssd}}
status: {allocatable: {cpu: "4", memory: 16Gi, pods: "110"}}
---
apiVersion: v1
kind: Node
metadata: {name: node-b, labels: {disktype: ssd}}
spec: {taints: [{key: dedicated, value: batch, effect: NoSchedule}]}
status: {allocatable: {cpu: "8", memory: 64Gi, pods: "110"}}
---
apiVersion: v1
kind: Node
metadata: {name: node-c, labels: {disktype: hdd}}
status: {allocatable: {cpu: "16", memory: 32Gi, pods: "110"}}
"""

POD = """
---
apiVersion: v1
kind: Pod
metadata: {name: NAME, namespace: default}
spec:
  containers: [{name: c, image: "app:1", resources: {requests: {cpu: "CPU", memory: 4Gi}}}]
"""

PROFILE = """
apiVersion: kubescheduler.config.k8s.io/v1
kind: KubeSchedulerConfiguration
profiles: [{plugins: {multiPoint: {enabled: [{name: "PLUGIN"}]}}}]
"""


def pod(name: str = "db", cpu: str = "1") -> str:
    return POD.replace("NAME", name).replace("CPU", cpu)


@pytest.fixture(autouse=True)
def cluster(tmp_path: Path) -> None:
    bound = pod("web", "3").replace("spec:", "spec:\n  nodeName: node-a")
    (tmp_path / "cluster.yaml").write_text(NODES + bound + pod() + pod("big", "20"))


def explain(cli: Cli, *words: str, name: str = "db", file: str = "cluster.yaml") -> Outcome:
    return cli("explain", "-f", file, "--pod", name, *words)


def test_the_chosen_node_and_the_rejected_one_are_shown_with_all_scores(cli: Cli) -> None:
    said = explain(cli)
    assert (said.code, said.err) == (0, "")
    lines = said.out.splitlines()
    assert lines[0] == "default/db: 3 nodes, 2 feasible"
    assert "1 pod left out because pending: default/big" in lines
    assert "TaintToleration: node(s) had untolerated taint {dedicated: batch}" in said.out
    assert ["node-c", "TaintToleration", "0", "100", "3", "300"] in [line.split() for line in lines]
    assert lines[-1].startswith("chosen: node-c with ")
    assert "ahead of node-a" in lines[-1]


def test_a_pod_that_fits_nowhere_gets_every_reason_and_upstreams_message(cli: Cli) -> None:
    said = explain(cli, name="big")
    assert said.code == 0
    assert "3 nodes: node-a, node-b, node-c" in said.out
    assert "no node: 0/3 nodes are available: 1 node(s) had untolerated taint" in said.out


def test_json_holds_the_same_numbers(cli: Cli) -> None:
    said = json.loads(explain(cli, "--output", "json").out)
    assert (said["pod"], said["nodes"], said["feasible"], said["node"]) == ("default/db", 3, 2, "node-c")
    assert [row["node"] for row in said["rejections"]] == ["node-b"]
    best = said["scores"][0]
    assert best["node"] == "node-c"
    assert best["total"] == said["total"] == sum(score["points"] for score in best["plugins"].values())
    assert best["plugins"]["TaintToleration"] == {"raw": 0, "normalized": 100, "weight": 3, "points": 300}


def test_every_node_is_feasible_or_has_a_reason(cli: Cli, tmp_path: Path) -> None:
    pinned = pod("pinned").replace(
        "spec:",
        "spec:\n  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: "
        "[{matchFields: [{key: metadata.name, operator: In, values: [node-a]}]}]}}}",
    )
    (tmp_path / "pinned.yaml").write_text(NODES + pinned)
    said = json.loads(explain(cli, "-o", "json", name="pinned", file="pinned.yaml").out)
    assert said["node"] == "node-a"
    assert {row["node"] for row in said["rejections"]} == {"node-b", "node-c"}


def test_only_named_nodes_are_shown(cli: Cli) -> None:
    said = explain(cli, "--node", "node-a")
    assert "untolerated" not in said.out
    assert [line.split()[0] for line in said.out.splitlines() if line.startswith("  node-")] == ["node-a"]
    assert explain(cli, "--node", "node-x").complains("no node 'node-x'", "did you mean 'node-")


def test_a_large_cluster_is_summarised_and_fits_the_terminal(cli: Cli, tmp_path: Path) -> None:
    node = NODES.partition("---")[0]
    many = "---".join(node.replace("node-a", f"node-{i:03}") for i in range(150))
    (tmp_path / "many.yaml").write_text(many + pod() + pod("big", "20"))
    fits = explain(cli, file="many.yaml").out
    assert "... and 140 more (--limit 150)" in fits
    assert "from 150 nodes with" in fits
    nowhere = explain(cli, name="big", file="many.yaml").out
    assert "150 nodes: node-000, node-001" in nowhere
    assert "and 140 more" in nowhere
    assert max(map(len, (fits + nowhere).splitlines())) <= 80
    assert len((fits + nowhere).splitlines()) < 60


def test_a_pod_on_an_unknown_node_is_mentioned(cli: Cli, tmp_path: Path) -> None:
    astray = pod("astray").replace("spec:", "spec:\n  nodeName: node-z")
    (tmp_path / "astray.yaml").write_text(NODES + pod() + astray)
    assert "left out because the node is not in the manifests: default/astray" in explain(cli, file="astray.yaml").out


def test_a_bound_pod_is_explained_as_if_it_were_not(cli: Cli) -> None:
    # It takes 3 of node-a's 4 cores; counted twice it would not fit there.
    said = json.loads(explain(cli, "-o", "json", name="web").out)
    assert "node-a" in [row["node"] for row in said["scores"]]


BAD_MANIFESTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "malformed YAML": (
        NODES + "\n---\nkind: Pod\n metadata: {}\n",
        ("bad.yaml:20: malformed YAML", "20 |  metadata: {}"),
    ),
    "an unknown kind": (NODES.replace("kind: Node", "kind: Knode"), ("bad.yaml:", "'Knode'", "did you mean Node")),
    "no kind": ("metadata: {name: x}\n", ("has no kind",)),
    "a list instead of objects": ("[1, 2]\n", ("bad.yaml",)),
    "a negative quantity": (NODES + pod(cpu="-1"), ("requests", "cpu")),
    "an absurd quantity": (NODES + pod(cpu="1e40"), ("requests", "cpu")),
    "no quantity at all": (NODES + pod(cpu="1 core"), ("'1 core' is not a quantity",)),
    "a request above the limit": (
        NODES + pod().replace("memory: 4Gi}", "memory: 4Gi}, limits: {cpu: 500m}"),
        ("requests",),
    ),
    "no containers": (NODES + pod().replace("containers:", "initContainers:"), ("containers",)),
    "an object twice": (NODES + pod() + pod(), ("defined twice",)),
    "no pod": (NODES, ("no pod 'default/db'",)),
    "no node": (pod(), ("no Node in the manifests",)),
}


@pytest.mark.parametrize("what", BAD_MANIFESTS)
def test_a_bad_manifest_is_one_message(what: str, cli: Cli, tmp_path: Path) -> None:
    text, complaint = BAD_MANIFESTS[what]
    (tmp_path / "bad.yaml").write_text(text)
    said = explain(cli, file="bad.yaml")
    assert said.complains(*complaint), said


def test_a_pod_that_is_not_there_is_one_message_with_the_nearest_name(cli: Cli) -> None:
    assert explain(cli, name="dbb").complains("no pod 'default/dbb'", "did you mean 'default/db'?")
    assert explain(cli, name="elsewhere/thing").complains("pods there: default/big, default/db, default/web")


def test_a_file_that_is_not_there_is_one_message(cli: Cli) -> None:
    assert explain(cli, file="nope.yaml").complains("nope.yaml: cannot read the manifest: No such file")


def test_the_same_object_in_two_files_is_one_message(cli: Cli) -> None:
    assert explain(cli, "-f", "cluster.yaml").complains("Node node-a is given twice")


def test_an_unknown_field_is_a_warning_only(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(NODES + pod().replace("spec:", "spec:\n  nodeSelecter: {}"))
    said = explain(cli, file="odd.yaml")
    assert said.code == 0
    assert said.err.count("\n") == 1
    assert "unknown field spec.nodeSelecter (did you mean nodeSelector?)" in said.err


def test_an_unknown_output_is_one_message(cli: Cli) -> None:
    assert explain(cli, "-o", "yaml").complains("--output: unknown output 'yaml'", "table or json")


def test_a_pod_of_another_scheduler_is_one_message(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "other.yaml").write_text(NODES + pod().replace("spec:", "spec:\n  schedulerName: mine"))
    said = explain(cli, file="other.yaml")
    assert said.complains("wants scheduler 'mine'", "'default-scheduler'")


BAD_PLUGINS = """
import numpy as np

class Raises:
    name = "Raises"
    def filter(self, cycle, pod, nodes):
        return nodes.no_such_thing

class WrongShape:
    name = "WrongShape"
    def score(self, cycle, pod, nodes):
        return np.zeros(len(nodes) + 1)

class NotANumber:
    name = "NotANumber"
    def score(self, cycle, pod, nodes):
        return np.full(len(nodes), np.nan)

class TooMuch:
    name = "TooMuch"
    def score(self, cycle, pod, nodes):
        return nodes.free("memory")

class Mutates:
    name = "Mutates"
    def filter(self, cycle, pod, nodes):
        nodes.requested("cpu")[:] = 0

class NotAMask:
    name = "NotAMask"
    def filter(self, cycle, pod, nodes):
        return {"no cpu": nodes.free("cpu")}
"""


@pytest.mark.parametrize(
    ("plugin", "complaint"),
    [
        ("Raises", ("filter for pod default/db raised AttributeError", "no_such_thing")),
        ("WrongShape", ("score returned float64[3], expected int64[2] or float64[2]",)),
        ("NotANumber", ("score of node node-a is nan", "from 0 to 100")),
        ("TooMuch", ("score of node node-a is", "from 0 to 100")),
        ("Mutates", ("read-only", "must not change the nodes")),
        ("NotAMask", ("mask for 'no cpu' is int64[3], expected bool[3]",)),
    ],
)
def test_a_broken_plugin_is_one_message_that_names_it(
    plugin: str, complaint: tuple[str, ...], cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text(BAD_PLUGINS)
    (tmp_path / "profile.yaml").write_text(PROFILE.replace("PLUGIN", f"bad.py:{plugin}"))
    said = explain(cli, "--profile", "profile.yaml")
    assert said.complains(f"plugin {plugin}", *complaint), said
