"""Dry runs in one go, and remembered ones, find what asking node by node from scratch finds, and change nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from ksched.framework import Framework, Outcome, PostFilterResult, TieBreak, default_configuration
from ksched.framework.framework import WhatIf
from ksched.framework.listers import Listers
from ksched.framework.nominator import Nominator
from ksched.objects import PodDisruptionBudget, parse
from ksched.tables import NodeTable, PodView
from ksched.testing import clusters
from ksched.testing.factories import make_node, make_pod, make_table
from ksched.testing.snapshots import table_state
from ksched.testing.strategies import Drawn, choosers

PROFILE = default_configuration().profiles[0]


class OneByOne(WhatIf):
    """Every filter is asked about one node at a time, as those that are not node-local have to be."""

    is_local = False  # type: ignore[assignment]


def node_by_node(framework: Framework) -> Framework:
    batched = framework.what_if

    def what_if(*args: Any) -> WhatIf:
        made = batched(*args)
        made.__class__ = OneByOne
        return made

    framework.what_if = what_if  # type: ignore[method-assign]
    return framework


def tried(framework: Framework, pod: PodView, attempt: int) -> tuple[Any, ...]:
    cycle = framework.new_cycle(pod, attempt=attempt)
    decision = framework.schedule(pod, cycle, top=9)
    shown = (decision.outcome, decision.node, decision.score, decision.feasible, decision.rejections, decision.plugins)
    if decision.outcome is Outcome.SCHEDULED or not framework.table.n:
        return shown
    rejected = framework.rejected(cycle, pod)
    assert rejected.row_count == len(rejected.rows)
    result = framework.post_filter(cycle, pod, decision)
    return (*shown, result, decision.message())


def budget(choose: clusters.Chooser, name: str) -> PodDisruptionBudget:
    made = parse(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": name, "namespace": choose.pick(("default", "team"))},
            "spec": {"selector": choose.pick(({}, {"matchLabels": {"app": "x"}}, {"matchLabels": {"tier": "y"}}))},
            "status": {"disruptionsAllowed": choose.integer(0, 1)},
        }
    )
    assert isinstance(made, PodDisruptionBudget)
    return made


def incoming(choose: clusters.Chooser, name: str) -> PodView:
    """A pod that lower ones can keep from a node and little else can."""
    made = make_pod(
        name,
        cpu=choose.pick((1, 3, 3, "3500m")),
        memory=choose.pick((None, "1Gi")),
        tolerations=["*"],
        host_ports=clusters.subset(choose, (80, 443), 1),
        labels={"app": "x"},
        priority=choose.pick((50, 100)),
    )
    return PodView(made)


def held(choose: clusters.Chooser, name: str) -> PodView:
    made = clusters.pod(choose, name)
    started = choose.pick((None, "2024-01-01T00:00:00Z", "2024-01-01T00:00:01Z"))
    return PodView(made.replaced(status=made.status.replaced(start_time=started)))


@given(choosers())
@settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_remembered_batched_and_node_by_node_agree(choose: Drawn) -> None:
    world = clusters.world(choose, most_nodes=3, most_pods=4, odd=False)
    for name in world.nodes:
        if choose.pick((True, True, False)):
            world.nodes[name] = make_node(name, cpu=4, memory="8Gi", pods=20)
    table = world.table()
    for i in range(choose.integer(6, 16)):
        table.add_pod(held(choose, f"held{i}"), choose.pick(list(world.nodes)))
    nominator = Nominator(table)
    objects = Listers(budget(choose, f"b{i}") for i in range(choose.integer(0, 2)))

    def framework() -> Framework:
        return Framework(PROFILE, table, seed=3, objects=objects, nominator=nominator)

    remembering = framework()
    templates = [incoming(choose, f"t{i}") for i in range(2)]
    twin = templates[0].pod
    templates.append(PodView(twin.replaced(metadata=twin.metadata.replaced(name="twin", uid="twin"))))
    nominees = [incoming(choose, f"nominee{i}") for i in range(3)]
    for attempt in range(1, choose.integer(2, 6)):
        for _ in range(choose.integer(0, 2)):
            world.change(choose, table, odd=False)
        nominee = choose.pick([*nominees, *templates])
        if world.nodes:
            nominator.add(nominee, choose.pick((*world.nodes, "")))
        pod = choose.pick(templates)
        before = table_state(table)
        answer = tried(remembering, pod, attempt)
        assert answer == tried(framework(), pod, attempt)
        assert answer == tried(node_by_node(framework()), pod, attempt)
        assert table_state(table) == before
        if isinstance(answer[-2], PostFilterResult) and answer[-2].status is None:
            check_victims(framework(), pod, answer[-2])


def check_victims(framework: Framework, pod: PodView, result: PostFilterResult) -> None:
    """All have lower priority; without them the pod fits; with any one of them it does not."""
    table = framework.table
    row = np.array([table.index[result.nominated_node or ""]])
    assert result.victims
    assert all(victim.priority < pod.priority for victim in result.victims)

    def fits() -> bool:
        cycle = framework.new_cycle(pod)
        entry = framework.signatures.entry(pod)
        outcome = framework._pre_filter(entry, cycle, pod)
        return not framework.what_if(entry, cycle, pod, outcome).verdict_ids(row)[0]

    with table.fork():
        placed = [table.remove_pod(victim.uid) for victim in result.victims]
        assert fits()
        for one in placed:
            table.add_pod(one.pod, result.nominated_node or "", one.devices)
            assert not fits()
            table.remove_pod(one.pod.uid)


def full_table(nodes: int = 2) -> NodeTable:
    made = [make_node(f"n{i}", cpu=2) for i in range(nodes)]
    placed = [(make_pod(f"low{i}", cpu=1, priority=0), f"n{i % nodes}") for i in range(2 * nodes)]
    return make_table(made, placed)


def test_a_quiet_fork_leaves_no_trace_in_the_change_logs() -> None:
    table = full_table()
    positions = {group: log.position for group, log in table.logs.items()}
    with table.fork(quiet=True):
        table.remove_pod("default/low0")
        with table.fork():
            table.remove_pod("default/low1")
    assert {group: log.position for group, log in table.logs.items()} == positions
    assert table.node_of("default/low0") == "n0"


def test_a_quiet_fork_cannot_be_kept() -> None:
    table = full_table()
    with table.fork(quiet=True) as fork, pytest.raises(RuntimeError, match="only be reverted"):
        fork.commit()


def test_a_pod_whose_status_changed_keeps_its_place_and_what_it_holds() -> None:
    table = full_table(1)
    before = table.requested.copy()
    renewed = make_pod("low0", cpu=1, priority=0)
    renewed = renewed.replaced(status=renewed.status.replaced(start_time="2024-01-01T00:00:00Z"))
    table.renew_pod("default/low0", renewed)
    assert [placed.pod.name for placed in table.pods_on("n0")] == ["low0", "low1"]
    assert next(iter(table.pods_on("n0"))).pod.pod is renewed
    assert (table.requested == before).all()


def test_how_many_nodes_evictions_might_help_is_known_without_looking_at_them() -> None:
    table = full_table()
    table.add_node(make_node("cordoned", unschedulable=True))
    framework = Framework(PROFILE, table, tie_break=TieBreak.NAME)
    for fields, count in (
        ({"cpu": 3, "priority": 9}, table.n - 1),
        ({"cpu": 3, "node_selector": {"disk": "ssd"}}, 0),
    ):
        pod = PodView(make_pod("new", **fields))
        cycle = framework.new_cycle(pod)
        framework.schedule(pod, cycle)
        rejected = framework.rejected(cycle, pod)
        assert rejected.row_count == len(rejected.rows) == count
        assert rejected.n == table.n


def test_post_filter_is_refused_where_a_node_was_found() -> None:
    framework = Framework(PROFILE, full_table(), tie_break=TieBreak.NAME)
    pod = PodView(make_pod("small"))
    cycle = framework.new_cycle(pod)
    framework.schedule(pod, cycle)
    with pytest.raises(RuntimeError, match="found no node"):
        framework.rejected(cycle, pod)
