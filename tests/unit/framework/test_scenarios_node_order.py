"""In which order nodes are looked at when not all are.

Derived from upstream: internal/cache/node_tree_test.go (TestNodeTree_List, TestNodeTree_UpdateNode,
TestNodeTree_RemoveNode) and schedule_one.go (nextStartNodeIndex, numFeasibleNodesToFind).
"""

from __future__ import annotations

import numpy as np
import pytest

from ksched.framework.node_order import NodeOrder
from ksched.testing.factories import make_node

from .build import framework, pod, table_of

ZONE, REGION = "topology.kubernetes.io/zone", "topology.kubernetes.io/region"
BETA_ZONE, BETA_REGION = "failure-domain.beta.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/region"


def node(name: str, zone: str = "", region: str = "", **labels: str):
    given = {ZONE: zone, REGION: region}
    return make_node(name, labels={key: value for key, value in given.items() if value} | labels)


UPSTREAMS = [
    node("node-0"),
    node("node-1", region="region-1"),
    node("node-2", "zone-2"),
    node("node-3", "zone-2", "region-1"),
    node("node-4", "zone-2", "region-1"),
    node("node-5", "zone-3", "region-1"),
    node("node-6", "zone-2", "region-2"),
    node("node-7", "zone-2", "region-2"),
    node("node-8", "zone-2", "region-2"),
]

LISTS = [
    ("an empty cluster has an empty order", 0, []),
    ("one node is the order", 1, [0]),
    ("nodes of different zones stay as they came", 4, [0, 1, 2, 3]),
    ("zones take turns until each has run out", 9, [0, 1, 2, 3, 5, 6, 4, 7, 8]),
]


@pytest.mark.parametrize(("sentence", "nodes", "order"), LISTS, ids=[r[0] for r in LISTS])
def test_the_order_of_nodes(sentence: str, nodes: int, order: list[int]) -> None:
    table = table_of(UPSTREAMS[:nodes])
    assert NodeOrder(table).rows().tolist() == order


def order_of(order: NodeOrder, table) -> list[str]:
    return [table.nodes[row].metadata.name for row in order.rows()]


def test_a_zone_keeps_its_turn_while_any_of_its_nodes_is_there_and_loses_it_with_the_last() -> None:
    table = table_of([node("a1", "a"), node("b1", "b"), node("a2", "a")])
    order = NodeOrder(table)
    assert order_of(order, table) == ["a1", "b1", "a2"]
    table.remove_node("a1")
    assert order_of(order, table) == ["a2", "b1"]
    table.remove_node("a2")
    table.add_node(node("a3", "a"))
    assert order_of(order, table) == ["b1", "a3"]


def test_a_node_that_changes_zones_goes_to_the_end_of_its_new_zone() -> None:
    table = table_of([node("a1", "a"), node("b1", "b"), node("b2", "b"), node("a2", "a")])
    order = NodeOrder(table)
    assert order_of(order, table) == ["a1", "b1", "a2", "b2"]
    table.update_node(node("a1", "b"))
    assert order_of(order, table) == ["a2", "b1", "b2", "a1"]


def test_the_beta_labels_tell_the_zone_where_a_node_has_both() -> None:
    beta = {BETA_ZONE: "a", BETA_REGION: "r"}
    table = table_of([node("x1", "a", "r"), node("y1", "y", "r"), node("x2", "b", "s", **beta)])
    assert order_of(NodeOrder(table), table) == ["x1", "y1", "x2"]


def test_a_search_for_a_part_of_the_nodes_sees_all_zones_alike_and_the_next_goes_on_behind_it() -> None:
    zones = 100 * ["a"] + 100 * ["b"] + 100 * ["c"]
    table = table_of([node(f"n{i:03}", zone) for i, zone in enumerate(zones)])
    fw = framework(table, percentage=40)
    seen: list[str] = []
    for i in range(5):
        decision = fw.schedule(pod(f"p{i}"), top=300)
        assert decision.feasible == 120
        names = [candidate.node for candidate in decision.top]
        assert {zone: sum(zones[int(name[1:])] == zone for name in names) for zone in "abc"} == dict.fromkeys("abc", 40)
        seen += names
    assert {name: seen.count(name) for name in set(seen)} == {node.metadata.name: 2 for node in table.nodes}


def test_one_order_serves_all_profiles() -> None:
    """Upstream: nextStartNodeIndex belongs to the scheduler."""
    table = table_of([f"n{i:03}" for i in range(200)])
    order = NodeOrder(table)
    one, other = framework(table, percentage=50), framework(table, percentage=50)
    one._order = other._order = order
    first, second = ({c.node for c in fw.schedule(pod("p"), top=200).top} for fw in (one, other))
    assert len(first) == len(second) == 100
    assert not first & second


def test_a_search_that_needs_all_nodes_leaves_the_start_where_it_was() -> None:
    table = table_of([f"n{i}" for i in range(3)])
    order = NodeOrder(table)
    feasible = np.array([True, False, True])
    assert order.sample(feasible, 2).tolist() == [0, 1, 2]
    assert order.sample(feasible, 1).tolist() == [0, 1]
    assert order.sample(feasible, 1).tolist() == [2]
