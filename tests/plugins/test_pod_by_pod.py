"""Counting by columns and domains gives what looking at every pod gives, on any cluster and as it changes."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from pod_by_pod import affinity_scores, affinity_verdicts, spread_scores, spread_verdicts

from ksched.tables import NodeTable, NodeView, PodView
from ksched.testing import clusters, make_node, make_pod, node_affinity, term
from ksched.testing.pod_rules import pod_affinity, spread_constraints
from ksched.testing.probe import Probe
from ksched.testing.strategies import Drawn, choosers
from ksched_plugins.kubernetes.inter_pod_affinity import InterPodAffinity, InterPodAffinityArgs
from ksched_plugins.kubernetes.pod_topology_spread import PodTopologySpread, PodTopologySpreadArgs

THOROUGH = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


SEVERAL = range(3)


def crowded(choose: Drawn) -> NodeTable:
    """Up to six nodes, nearly all in a zone, with many pods of few kinds, some terminating, some with rules."""
    table = NodeTable()
    for name, labels in clusters.NAMESPACE_LABELS.items():
        table.namespaces.put(name, labels)
    for number in range(choose.integer(2, 6)):
        labels = {"topology.kubernetes.io/zone": choose.pick("abc")} if choose.integer(0, 5) else {}
        pool = {"pool": choose.pick(("", "x"))} if choose.integer(0, 1) else {}
        taints = ("dedicated=team:NoSchedule",) if choose.integer(0, 4) == 0 else ()
        table.add_node(make_node(f"n{number}", labels={**labels, **pool}, taints=taints))
    for number in range(choose.integer(0, 12)):
        table.add_pod(one(choose, f"p{number}", rare=True), choose.pick(list(table.index)))
    return table


def one(choose: Drawn, name: str, *, rare: bool = False) -> PodView:
    """A pod of one of few kinds; unless ``rare`` it has rules."""
    constraints = spread_constraints(choose, rare=rare)
    narrow = term("topology.kubernetes.io/zone In a,b")
    pod = make_pod(
        name,
        namespace=choose.pick(("default", "default", "team", "unknown")),
        labels=choose.pick(({"app": "x"}, {"app": "x"}, {"app": "y", "tier": "x"}, {"tier": "x"}, {})),
        affinity={**pod_affinity(choose, rare=rare), **(node_affinity(narrow) if choose.integer(0, 4) == 0 else {})},
        tolerations=("dedicated:NoSchedule",) if choose.integer(0, 2) == 0 else (),
        **({"topologySpreadConstraints": constraints} if constraints else {}),
    )
    if rare and choose.integer(0, 5) == 0:
        pod = pod.replaced(metadata=pod.metadata.replaced(deletion_timestamp="2024-01-01T00:00:00Z"))
    return PodView(pod)


@given(choosers())
@THOROUGH
def test_inter_pod_affinity_agrees_with_looking_at_every_pod(choose: Drawn) -> None:
    table = crowded(choose)
    probe = Probe(InterPodAffinity(InterPodAffinityArgs()))
    for number in SEVERAL:
        pod = one(choose, f"incoming-{number}")
        said = probe.answer(table, pod)
        expected = affinity_verdicts(table, pod)
        if said.filter is None:
            assert not any(expected.values())
        else:
            assert said.filter == expected
        everywhere = NodeView(table).rows
        scores = affinity_scores(table, pod)
        assert (probe.normalized(table, pod, everywhere) is None) == (scores is None)
        if scores is not None:
            assert probe.raw(table, pod, everywhere) == scores
        table.add_pod(pod, choose.pick(list(table.index)))


@given(choosers())
@THOROUGH
def test_pod_topology_spread_agrees_with_looking_at_every_pod(choose: Drawn) -> None:
    table = crowded(choose)
    probe = Probe(PodTopologySpread(PodTopologySpreadArgs()))
    for number in SEVERAL:
        pod = one(choose, f"incoming-{number}")
        said = probe.answer(table, pod)
        expected = spread_verdicts(table, pod)
        if said.filter is None:
            assert not any(expected.values())
        else:
            assert said.filter == expected
        rows = np.array([row for row in range(table.n) if choose.integer(0, 3)], dtype=np.intp)
        if len(rows):
            scores = spread_scores(table, pod, [table.nodes[row].name for row in rows])
            got = probe.normalized(table, pod, rows)
            assert got == (None if scores is None else scores[1])
            if scores is not None:
                assert probe.raw(table, pod, rows) == scores[0]
        table.add_pod(pod, choose.pick(list(table.index)))
