"""Whatever happened before, a decision is the one a framework without memory takes over the same table."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from ksched.framework import (
    Code,
    DefaultNormalizer,
    Framework,
    MinMaxNormalizer,
    Outcome,
    PreFilterResult,
    Reject,
    Status,
    TieBreak,
)
from ksched.framework.explain import explain
from ksched.tables import NodeTable, PodView
from ksched.testing import clusters
from ksched.testing.strategies import Drawn, choosers

from .build import profile

GIB = 1 << 30


class Fits:
    """Local, two reasons at once, one of them unresolvable."""

    name = "Fits"
    node_local = True

    def filter(self, cycle, pod, nodes):
        return [
            Reject(nodes.free("cpu") < pod.request("cpu"), "Insufficient cpu"),
            Reject(nodes.free("memory") < pod.request("memory"), "Insufficient memory"),
            Reject(nodes.allocatable("cpu") < pod.request("cpu"), "too small", resolvable=False),
        ]


class NarrowTaints:
    """Local with a narrowed signature: pods with equal tolerations share a column."""

    name = "NarrowTaints"
    node_local = True

    def signature(self, pod):
        return tuple(toleration.key for toleration in pod.tolerations)

    def filter(self, cycle, pod, nodes):
        tolerated = {toleration.key for toleration in pod.tolerations}
        return nodes.per_taints(lambda taints: all(taint.key in tolerated for taint in taints), np.bool_)


class LooksCloser:
    """Local, and reads what pods hold only where a label asks for it: what it read changes with the rows."""

    name = "LooksCloser"
    node_local = True

    def filter(self, cycle, pod, nodes):
        ssd = nodes.label("disktype") == "ssd"
        if not ssd.any():
            return None
        return {"crowded": ssd & (nodes.requested("pods") > 1)}


class SkipsSome:
    """Local with a PreFilter that leaves small pods out."""

    name = "SkipsSome"
    node_local = True

    def pre_filter(self, cycle, pod):
        return Status.skip() if pod.request("cpu") < 250 else None

    def filter(self, cycle, pod, nodes):
        return ~nodes.unschedulable


class Narrows:
    """Local, and names the nodes for important pods."""

    name = "Narrows"
    node_local = True

    def pre_filter(self, cycle, pod):
        return PreFilterResult(frozenset({"n1", "n2", "n3", "gone"})) if pod.priority == 100 else None


class Whim:
    """Not local: depends on the pod's name and on what the whole cluster holds."""

    name = "Whim"

    def pre_filter(self, cycle, pod):
        cycle.state["Whim"] = int(cycle.cluster.requested("pods").sum()) % 3
        return Status.skip() if pod.name.endswith("5") else None

    def filter(self, cycle, pod, nodes):
        return {"whim": (nodes.rows + len(pod.name)) % 3 == cycle.state["Whim"]}


class LeastCpu:
    """Local and one column for all pods, of which each may have other feasible rows."""

    name = "LeastCpu"
    node_local = True

    def signature(self, pod):
        return ()

    def score(self, cycle, pod, nodes):
        return 100 * np.maximum(nodes.free("cpu"), 0) // np.maximum(nodes.allocatable("cpu"), 1)


class PodsReversed:
    name = "PodsReversed"
    node_local = True
    normalizer = DefaultNormalizer(reverse=True)

    def score(self, cycle, pod, nodes):
        return nodes.requested("pods")


class FreeMemoryFloat:
    name = "FreeMemoryFloat"
    node_local = True
    normalizer = MinMaxNormalizer()

    def score(self, cycle, pod, nodes):
        return nodes.free("memory") / GIB


class FloatMaximum:
    name = "FloatMaximum"
    node_local = True
    normalizer = DefaultNormalizer()

    def signature(self, pod):
        return pod.request("memory")

    def score(self, cycle, pod, nodes):
        return nodes.nonzero_requested("memory") / (GIB + pod.request("memory"))


class BigNodes:
    """Reads nothing that pods change: only which nodes are feasible moves its normaliser."""

    name = "BigNodes"
    node_local = True
    normalizer = MinMaxNormalizer()

    def score(self, cycle, pod, nodes):
        return nodes.allocatable("cpu")


class RankedImages:
    """Local with a normalize_score of its own, which reads the pod; images depend on other nodes."""

    name = "RankedImages"
    node_local = True

    def pre_score(self, cycle, pod, nodes):
        return Status.skip() if len(pod.images) > 1 else None

    def score(self, cycle, pod, nodes):
        spread = nodes.image(pod.images[0]).num_nodes * 10 // max(nodes.total_nodes, 1)
        return nodes.per_image_set(lambda images: len(images) * spread, np.int64)

    def normalize_score(self, cycle, pod, scores):
        return np.minimum(scores - scores.min(), 100)


class Devices:
    name = "Devices"
    node_local = True

    def score(self, cycle, pod, nodes):
        return np.clip(nodes.devices.milli_free // 100, 0, 100) + 0.5 * (nodes.devices.count > 0)


class Rank:
    """Not local, float, normalised among exactly the feasible nodes."""

    name = "Rank"

    def pre_score(self, cycle, pod, nodes):
        return Status.skip() if pod.name.endswith("7") else None

    def score(self, cycle, pod, nodes):
        return np.argsort(np.argsort(cycle.random(nodes.rows))) / max(len(nodes), 1)

    def normalize_score(self, cycle, pod, scores):
        return 100 * scores


FILTERS = (Fits, NarrowTaints, LooksCloser, SkipsSome, Narrows, Whim)
SCORES = (LeastCpu, PodsReversed, FreeMemoryFloat, FloatMaximum, BigNodes, RankedImages, Devices, Rank)


def record(decision: Any) -> tuple[Any, ...]:
    return (
        decision.outcome,
        decision.node,
        decision.score,
        decision.tied,
        decision.feasible,
        decision.evaluated,
        decision.rejections,
        decision.plugins,
        {c.node: (c.total, c.scores) for c in decision.top},
        decision.message(),
    )


def first_rejections(explanation: Any) -> Counter[tuple[str, str, bool]]:
    counts: Counter[tuple[str, str, bool]] = Counter()
    for row in np.flatnonzero(explanation.considered).tolist():
        first = next((s[row] for s in explanation.statuses.values() if s[row] is not None), None)
        for reason in first.reasons if first else ():
            counts[first.plugin, reason, first.code is Code.UNSCHEDULABLE] += 1
    return counts


@given(choosers())
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_a_decision_does_not_depend_on_what_was_decided_before(choose: Drawn) -> None:
    story(choose, most_nodes=7, most_changes=3)


@pytest.mark.parametrize("seed", range(12))
def test_nor_in_clusters_where_some_but_not_most_rows_change(seed: int) -> None:
    story(clusters.Seeded(seed), most_nodes=60, most_changes=12)


def story(choose: clusters.Chooser, *, most_nodes: int, most_changes: int) -> None:
    """Decide, change the cluster, decide again."""
    chosen = [cls for cls in (*FILTERS, *SCORES) if choose.pick((True, True, False))]
    if choose.pick((False, True)):
        chosen.reverse()
    made = profile(*chosen, weights={cls.name: choose.integer(1, 3) for cls in chosen})
    world = clusters.world(choose, most_nodes=most_nodes, most_pods=most_nodes)
    table = world.table()
    templates = [clusters.pod(choose, f"t{i}") for i in range(3)]
    remembering = Framework(made, table, seed=3)
    for step in range(choose.integer(2, 10)):
        for _ in range(choose.integer(0, most_changes)):
            world.change(choose, table)
        template = choose.pick(templates)
        name = f"incoming{step}"
        incoming = template.replaced(
            metadata=template.metadata.replaced(name=name, uid=name, labels={"app": choose.pick(("x", "y"))})
        )
        pod = PodView(incoming)
        check(remembering, Framework(made, table, seed=3), pod, table)
        decision = remembering.schedule(pod)
        if decision.outcome is Outcome.SCHEDULED and choose.pick((True, False)):
            assert decision.node is not None
            table.add_pod(pod, decision.node)
            world.pods[pod.uid] = (incoming, decision.node)


def check(remembering: Framework, fresh: Framework, pod: PodView, table: NodeTable) -> None:
    n = max(table.n, 1)
    decision = remembering.schedule(pod, top=n)
    assert record(decision) == record(fresh.schedule(pod, top=n))
    told = explain(Framework(remembering.profile, table, seed=3), pod)
    assert decision.feasible == int(told.feasible.sum())
    totals = {told.nodes[row]: int(t) for row, t in zip(np.flatnonzero(told.feasible), told.totals, strict=True)}
    assert {c.node: c.total for c in decision.top} == totals
    if told.pre_filter.status is None:
        assert {(r.plugin, r.reason, r.resolvable): r.nodes for r in decision.rejections} == first_rejections(told)


def test_the_same_pod_without_any_change_is_decided_alike_by_name() -> None:
    table = clusters.world(clusters.Seeded(4), most_nodes=6).table()
    incoming = PodView(clusters.pod(clusters.Seeded(1), "pod"))
    remembering = Framework(profile(*FILTERS, *SCORES), table, tie_break=TieBreak.NAME)
    assert record(remembering.schedule(incoming, top=9)) == record(remembering.schedule(incoming, top=9))
