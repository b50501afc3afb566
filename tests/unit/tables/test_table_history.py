"""A table does not remember how it came to be: it equals one built fresh from the final state."""

from __future__ import annotations

from hypothesis import HealthCheck, given, settings

from ksched.tables import NodeTable, PodView
from ksched.testing import clusters
from ksched.testing.strategies import Drawn, choosers

from .build import images_of, shown

QUICK = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def fresh(world: clusters.World, order: list[str]) -> NodeTable:
    """Nodes in the order of their rows, then each node's pods in the order they came to it."""
    return world.table(order)


@given(choosers())
@QUICK
def test_a_table_after_any_events_equals_one_built_from_the_final_state(choose: Drawn) -> None:
    world = clusters.world(choose, most_nodes=5, most_pods=5)
    table = world.table()
    for _ in range(choose.integer(0, 25)):
        world.change(choose, table)
    again = fresh(world, list(table.index))
    assert shown(table) == shown(again)
    assert images_of(table) == images_of(again)
    assert list(table.index.values()) == list(range(table.n))
    assert {uid: table.node_of(uid) for uid in world.pods} == {uid: name for uid, (_, name) in world.pods.items()}


@given(choosers())
@QUICK
def test_what_did_not_change_is_not_logged_and_what_changed_is(choose: Drawn) -> None:
    """Rows a reader is told of since a position cover every row that looks different from then."""
    world = clusters.world(choose, most_nodes=5, most_pods=5)
    table = world.table()
    for _ in range(choose.integer(1, 12)):
        before, images = shown(table), images_of(table)
        positions = {group: log.position for group, log in table.logs.items()}
        world.change(choose, table)
        after = shown(table)
        told: set[str] = set()
        for group, log in table.logs.items():
            rows = log.since(positions[group])
            told |= set(table.index) if rows is None else {table.nodes[row].name for row in rows}
        assert {name for name in after if after[name] != before.get(name)} <= told
        if images_of(table) != images:
            assert told == set(table.index)


@given(choosers())
@QUICK
def test_a_fork_that_is_reverted_never_happened(choose: Drawn) -> None:
    world = clusters.world(choose, most_nodes=4, most_pods=6)
    table = world.table()
    before = shown(table)
    orders = {name: [p.pod.uid for p in table.pods_on(name)] for name in table.index}
    nodes = list(world.nodes)

    def meddle(depth: int) -> None:
        for _ in range(choose.integer(1, 4)):
            on = [uid for _, placed in table.pods() for uid in [placed.pod.uid]]
            action = choose.pick(("add", "remove", "move", "nest"))
            if action == "nest" and depth < 2:
                inner = table.fork()
                meddle(depth + 1)
                inner.commit() if choose.pick((True, False)) else inner.revert()
            elif action == "add" or not on:
                made = PodView(clusters.pod(choose, f"fork{len(table._node_of)}-{depth}-{choose.integer(0, 9999)}"))
                if table.node_of(made.uid) is None:
                    table.add_pod(made, choose.pick(nodes))
            else:
                placed = table.remove_pod(choose.pick(on))
                if action == "move":
                    table.add_pod(placed.pod, choose.pick(nodes))

    with table.fork():
        meddle(0)
    assert shown(table) == before
    assert {name: [p.pod.uid for p in table.pods_on(name)] for name in table.index} == orders
    assert {uid: table.node_of(uid) for uid in world.pods} == {uid: name for uid, (_, name) in world.pods.items()}
