"""node_local is a promise: the framework refuses what would break it, and shares results only where it holds."""

from __future__ import annotations

import numpy as np
import pytest

from ksched.errors import PluginError
from ksched.framework import signatures
from ksched.tables import PodView
from ksched.testing.factories import make_node

from .build import filtering, framework, pod, scoring, table_of

FORBIDDEN = [
    ("the clock", lambda cycle, pod: cycle.now, "cycle.now"),
    ("the cluster", lambda cycle, pod: cycle.cluster, "cycle.cluster"),
    ("another node", lambda cycle, pod: cycle.node("a"), "cycle.node"),
    ("another node's devices", lambda cycle, pod: cycle.free_devices("a"), "cycle.free_devices"),
    ("chance", lambda cycle, pod: cycle.random(), "cycle.random"),
    ("a generator", lambda cycle, pod: cycle.rng, "cycle.rng"),
    ("the attempt", lambda cycle, pod: cycle.attempt, "cycle.attempt"),
    ("the incarnation", lambda cycle, pod: cycle.incarnation, "cycle.incarnation"),
    ("the pod's name", lambda cycle, pod: pod.name, "pod.name"),
    ("its uid", lambda cycle, pod: pod.uid, "pod.uid"),
    ("its key", lambda cycle, pod: pod.key, "pod.key"),
    ("its annotations", lambda cycle, pod: pod.annotations, "pod.annotations"),
    ("its workload", lambda cycle, pod: pod.workload, "pod.workload"),
    ("its index", lambda cycle, pod: pod.index, "pod.index"),
    ("its owner", lambda cycle, pod: pod.owner, "pod.owner"),
    ("its devices", lambda cycle, pod: pod.device_indices, "pod.device_indices"),
    ("the whole object", lambda cycle, pod: pod.pod, "pod.pod"),
]
ALLOWED = [
    ("spec", lambda pod: pod.spec.containers[0].name == "c0"),
    ("namespace", lambda pod: pod.namespace == "team"),
    ("priority", lambda pod: pod.priority == 7),
    ("requests", lambda pod: pod.request("cpu") == 250),
    ("labels", lambda pod: pod.labels["app"] == "x"),
    ("tolerations", lambda pod: pod.tolerations == ()),
    ("host ports", lambda pod: pod.host_ports[0].port == 80),
    ("images", lambda pod: pod.images == ("app:1",)),
    ("gpu", lambda pod: pod.gpu is None),
    ("scheduler name", lambda pod: pod.scheduler_name == "default-scheduler"),
    ("repr", lambda pod: "x" not in repr(pod)),
]


ATTEMPTS = [
    (point, *row)
    for point in ("pre_filter", "filter", "pre_score", "score", "signature")
    for row in FORBIDDEN
    if point != "signature" or row[2].startswith("pod")  # signature is given no cycle
]


@pytest.mark.parametrize(("point", "what", "read", "name"), ATTEMPTS, ids=[f"{r[1]} in {r[0]}" for r in ATTEMPTS])
def test_a_local_plugin_may_not_read(point: str, what: str, read, name: str) -> None:
    class Cheat:
        name = "Cheat"
        node_local = True

        def filter(self, cycle, pod, nodes):
            return None

        def score(self, cycle, pod, nodes):
            return np.zeros(len(nodes))

    if point == "signature":
        Cheat.signature = lambda self, pod: read(None, pod)
    else:
        setattr(Cheat, point, lambda self, cycle, pod, *nodes: read(cycle, pod) and None)
    with pytest.raises(PluginError, match=f"plugin Cheat is node_local but reads {name}") as caught:
        framework(table_of("a"), Cheat).schedule(pod("x"))
    assert "drop node_local" in (caught.value.hint or "")


@pytest.mark.parametrize(("what", "holds"), ALLOWED, ids=[r[0] for r in ALLOWED])
def test_a_local_plugin_may_read(what: str, holds) -> None:
    view = pod("x", namespace="team", cpu="250m", priority=7, labels={"app": "x"}, host_ports=[80])
    cls = filtering(lambda pod, nodes: np.full(len(nodes), holds(pod)))
    assert framework(table_of("a"), cls).schedule(view).node == "a"


def test_a_plugin_without_the_promise_may_read_everything() -> None:
    class Curious:
        name = "Curious"

        def filter(self, cycle, pod, nodes):
            assert (cycle.now, cycle.attempt, pod.name) == (5, 2, "x")
            assert len(cycle.cluster) == 2
            assert cycle.node("b").names.tolist() == ["b"]
            assert cycle.random() == cycle.random(0) != cycle.random(1)
            assert cycle.rng.random() == cycle.rng.random(), "each asks a new generator"
            return nodes.rows == cycle.random() % 2

    fw = framework(table_of("ab"), Curious)
    view = pod("x")
    assert fw.schedule(view, fw.new_cycle(view, now=5, attempt=2)).node in {"a", "b"}


# -- labels -----------------------------------------------------------------------------------------------------------


class ByLabel:
    """Keeps pods of a tier on nodes named after it."""

    name = "ByLabel"
    node_local = True

    def filter(self, cycle, pod, nodes):
        return nodes.names == pod.labels.get("tier", "none")


class ByLabelNarrowed(ByLabel):
    def signature(self, pod):
        return pod.labels.get("tier")


class ByLabelLater(ByLabel):
    """Reads the label only once a node holds a pod."""

    def filter(self, cycle, pod, nodes):
        if not nodes.requested("pods").any():
            return None
        return (nodes.requested("pods") == 0) | (nodes.names == pod.labels.get("tier", "none"))


class ByAllLabels(ByLabel):
    def filter(self, cycle, pod, nodes):
        return np.isin(nodes.names, list(pod.labels.values()))


class ByLabelInPreScore(ByLabel):
    def filter(self, cycle, pod, nodes):
        return None

    def pre_score(self, cycle, pod, nodes):
        cycle.state["tier"] = pod.labels.get("tier")

    def score(self, cycle, pod, nodes):
        return 100 * (nodes.names == cycle.state["tier"])


def twins(*tiers: str):
    """Pods that differ in their labels alone: one spec object, as replicas have."""
    first = pod("p0", labels={"tier": tiers[0], "unique": "0"}).pod
    meta = first.metadata
    return [
        PodView(first.replaced(metadata=meta.replaced(name=f"p{i}", uid=f"p{i}", labels={"tier": t, "unique": str(i)})))
        for i, t in enumerate(tiers)
    ]


@pytest.mark.parametrize("cls", [ByLabel, ByLabelNarrowed, ByAllLabels, ByLabelInPreScore])
def test_pods_that_differ_in_a_label_a_local_plugin_reads_do_not_share_its_results(cls: type) -> None:
    fw = framework(table_of("abc"), cls)
    assert [fw.schedule(view).node for view in twins("a", "b", "c", "a", "b")] == list("abcab")


def test_a_label_first_read_later_parts_pods_that_shared_results_until_then() -> None:
    table = table_of("abc")
    fw = framework(table, ByLabelLater)
    first, second = twins("a", "b")
    assert [fw.schedule(view).feasible for view in (first, second)] == [3, 3]
    for name in "abc":
        table.add_pod(pod(f"on-{name}"), name)
    assert [fw.schedule(view).node for view in (second, first, second)] == ["b", "a", "b"]


def test_labels_nobody_reads_do_not_defeat_the_cache() -> None:
    asked = []

    class Counts(ByLabel):
        def filter(self, cycle, pod, nodes):
            asked.append(len(nodes))
            return super().filter(cycle, pod, nodes)

    fw = framework(table_of("abc"), Counts)
    for view in twins(*"abababab"):
        fw.schedule(view)
    assert len(asked) <= 3, "once per tier, and once more because the first reading changed the signature"


def test_a_label_noticed_in_the_middle_leaves_no_trace_in_the_cycle() -> None:
    class Appends:
        name = "Appends"

        def pre_filter(self, cycle, pod):
            cycle.state.setdefault("calls", []).append(1)

        def filter(self, cycle, pod, nodes):
            return None

    fw = framework(table_of("ab"), Appends, ByLabel)
    view = twins("b")[0]
    cycle = fw.new_cycle(view)
    assert fw.schedule(view, cycle).node == "b"
    assert cycle.state["calls"] == [1]


# -- sharing ------------------------------------------------------------------------------------------------------


def test_local_plugins_are_asked_again_only_about_rows_that_changed() -> None:
    asked: list[int] = []

    class Fits:
        name = "Fits"
        node_local = True

        def filter(self, cycle, pod, nodes):
            asked.append(len(nodes))
            return {"full": nodes.free("cpu") < pod.request("cpu")}

    table = table_of([f"n{i}" for i in range(50)])
    fw = framework(table, Fits)
    view = pod("p", cpu=1)
    for i in range(10):
        node = fw.schedule(view).node
        table.add_pod(pod(f"q{i}", cpu=1), node)
    assert asked == [50] + [1] * 9
    for _ in range(3):
        fw.schedule(view)
    assert asked == [50] + [1] * 10, "nothing changed, nobody was asked"


def test_a_score_is_asked_only_about_feasible_rows_each_once_it_is() -> None:
    asked: list[list[int]] = []

    class Shared:
        """One column for all pods."""

        name = "Shared"
        node_local = True

        def signature(self, pod):
            return ()

        def score(self, cycle, pod, nodes):
            asked.append(nodes.rows.tolist())
            return nodes.requested("pods")

    table = table_of([make_node(f"n{i}", cpu=4) for i in range(9)])
    fw = framework(table, filtering(lambda pod, nodes: nodes.free("cpu") >= pod.request("cpu")), Shared)
    small, large = pod("small", cpu=1), pod("large", cpu=4)
    early = pod("early", cpu=1)
    table.add_pod(early, "n3")
    assert fw.schedule(large).score == 0
    assert asked == [[0, 1, 2, 4, 5, 6, 7, 8]]
    table.add_pod(pod("late", cpu=1), "n5")
    assert fw.schedule(large).score == 0
    assert asked[1:] == [], "what changed has no room"
    assert fw.schedule(small).score == 1
    assert asked[1:] == [[3, 5]], "but it has for others"
    assert fw.schedule(large).score == 0
    table.remove_pod(early.uid)
    assert fw.schedule(large).score == 0
    assert asked[2:] == [[3]]


def test_what_a_plugin_did_not_read_does_not_make_it_be_asked() -> None:
    asked: list[str] = []
    table = table_of([f"n{i}" for i in range(9)])
    fw = framework(
        table,
        filtering(lambda pod, nodes: asked.append("labels") or nodes.label("x") == "", name="Labels"),
        filtering(lambda pod, nodes: asked.append("usage") or nodes.requested("pods") < 9, name="Usage"),
        filtering(lambda pod, nodes: asked.append("nothing"), name="Nothing"),
        scoring(lambda pod, nodes: asked.append("images") or np.full(len(nodes), nodes.image("i").num_nodes)),
    )
    view = pod()
    fw.schedule(view)
    assert asked == ["labels", "usage", "nothing", "images"]
    table.add_pod(pod("q"), "n3")
    fw.schedule(view)
    assert asked[4:] == ["usage"]
    table.remove_node("n3")
    fw.schedule(view)
    assert asked[5:] == ["labels", "usage", "nothing", "images"]


def test_pods_of_equal_signature_share_a_column() -> None:
    asked = []

    class Narrow:
        name = "Narrow"
        node_local = True

        def signature(self, pod):
            return pod.request("cpu")

        def score(self, cycle, pod, nodes):
            asked.append(pod.request("cpu"))
            return np.minimum(nodes.free("cpu") // 100, 100)

    fw = framework(table_of("ab"), Narrow)
    for i in range(6):
        fw.schedule(pod(f"p{i}", cpu=1 + i % 2, images=[f"image{i}"]))
    assert asked == [1000, 2000]


@pytest.mark.parametrize("signature", [[], {}, {"a": []}, np.zeros(2)])
def test_a_signature_that_cannot_be_hashed_is_told(signature: object) -> None:
    cls = filtering(lambda pod, nodes: None)
    cls.signature = lambda self, pod: signature
    with pytest.raises(PluginError, match=r"plugin F: signature returned a .* that cannot be hashed"):
        framework(table_of("a"), cls).schedule(pod())


def test_caches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signatures, "_MIN_ENTRIES", 4)
    monkeypatch.setattr(signatures, "_CACHE_BYTES", 0)
    fw = framework(table_of("ab"), filtering(lambda pod, nodes: nodes.free("cpu") >= pod.request("cpu")))
    views = [pod(f"p{i}", cpu=1 + i % 7) for i in range(40)]
    for view in views * 2:
        assert fw.schedule(view).feasible == (2 if view.request("cpu") <= 4000 else 0)
    assert len(fw.signatures.entries) <= 4
    assert len(fw.signatures.columns) <= 16
