"""Views: read-only, over any rows, noting what was read. Logs: what changed since. Forks: what if."""

from __future__ import annotations

import numpy as np
import pytest

from ksched.tables import IMAGES, NODE, USAGE, ChangeLog, NodeView
from ksched.tables import changes as changes_module
from ksched.testing.factories import make_node

from .build import pod, shown, table_of

READS = [
    ("names", lambda nodes: nodes.names, NODE),
    ("objects", lambda nodes: nodes.objects, NODE),
    ("labels", lambda nodes: nodes.label("x"), NODE),
    ("per_label", lambda nodes: nodes.per_label("x", str, object), NODE),
    ("per_taints", lambda nodes: nodes.per_taints(len, np.int64), NODE),
    ("unschedulable", lambda nodes: nodes.unschedulable, NODE),
    ("allocatable", lambda nodes: nodes.allocatable("cpu"), NODE),
    ("requested", lambda nodes: nodes.requested("cpu"), USAGE),
    ("nonzero_requested", lambda nodes: nodes.nonzero_requested("cpu"), USAGE),
    ("free", lambda nodes: nodes.free("cpu"), NODE | USAGE),
    ("port_conflicts", lambda nodes: nodes.port_conflicts([]), USAGE),
    ("an image's state", lambda nodes: nodes.image("app:1"), IMAGES),
    ("per_image_set", lambda nodes: nodes.per_image_set(len, np.int64), IMAGES),
    ("total_nodes", lambda nodes: nodes.total_nodes, IMAGES),
    ("devices.free", lambda nodes: nodes.devices.free, NODE | USAGE),
    ("devices.milli_free", lambda nodes: nodes.devices.milli_free, NODE | USAGE),
    ("devices.largest_free", lambda nodes: nodes.devices.largest_free, NODE | USAGE),
    ("devices.wholly_free", lambda nodes: nodes.devices.wholly_free, NODE | USAGE),
    ("devices.count", lambda nodes: nodes.devices.count, NODE),
    ("devices.capacity", lambda nodes: nodes.devices.capacity, NODE),
    ("devices.memory", lambda nodes: nodes.devices.memory, NODE),
    ("devices.model", lambda nodes: nodes.devices.model, NODE),
    ("nothing but its length", len, 0),
    ("the mere devices", lambda nodes: nodes.devices, 0),
    ("row numbers", lambda nodes: nodes.rows, 0),
]


@pytest.mark.parametrize(("what", "read", "groups"), READS, ids=[r[0] for r in READS])
def test_a_view_notes_which_groups_were_read(what: str, read, groups: int) -> None:
    nodes = NodeView(table_of("a"))
    read(nodes)
    assert nodes.reads == groups


CHANGES = [
    ("a pod added touches usage", lambda t: t.add_pod(pod("q"), "b"), {USAGE: [1]}),
    ("a pod removed touches usage", lambda t: t.remove_pod("default/p"), {USAGE: [0]}),
    ("a pod of an unknown node touches nothing", lambda t: t.add_pod(pod("q"), "nowhere"), {}),
    ("a label touches the node", lambda t: t.update_node(make_node("b", labels={"x": "y"})), {NODE: [1]}),
    ("a taint touches the node", lambda t: t.update_node(make_node("b", taints=["x:NoSchedule"])), {NODE: [1]}),
    ("a cordon touches the node", lambda t: t.update_node(make_node("b", unschedulable=True)), {NODE: [1]}),
    ("more cpu touches the node", lambda t: t.update_node(make_node("b", cpu=9)), {NODE: [1]}),
    ("the same again touches nothing", lambda t: t.update_node(make_node("b")), {}),
    ("a new resource version touches nothing", lambda t: t.update_node(_renewed(t.nodes[1])), {}),
    ("an annotation touches the node", lambda t: t.update_node(_annotated(t.nodes[1])), {NODE: [1]}),
    ("an image touches the node and everybody's images", lambda t: t.update_node(make_node("b", images={"i": 1})),
     {NODE: [1], IMAGES: None}),
    ("a node added touches everything", lambda t: t.add_node(make_node("d")), {NODE: None, USAGE: None, IMAGES: None}),
    ("a node removed touches everything", lambda t: t.remove_node("b"), {NODE: None, USAGE: None, IMAGES: None}),
    ("a fork reverted touches the rows it used", lambda t: _forked(t), {USAGE: [1]}),
]  # fmt: skip


def _renewed(node):
    return node.replaced(metadata=node.metadata.replaced(resource_version="99"))


def _annotated(node):
    return node.replaced(metadata=node.metadata.replaced(annotations={"rack": "7"}))


def _forked(table):
    with table.fork():
        table.add_pod(pod("q"), "b")


@pytest.mark.parametrize(("sentence", "act", "touched"), CHANGES, ids=[r[0] for r in CHANGES])
def test_logs_tell_what_changed(sentence: str, act, touched: dict) -> None:
    table = table_of("a", "b", "c")
    table.add_pod(pod("p"), "a")
    positions = {group: log.position for group, log in table.logs.items()}
    act(table)
    told = {group: log.since(positions[group]) for group, log in table.logs.items()}
    plain = {group: None if rows is None else rows.tolist() for group, rows in told.items()}
    assert {group: rows for group, rows in plain.items() if rows != []} == touched


def test_a_log_gives_each_row_once_in_the_order_of_first_touch() -> None:
    log = ChangeLog()
    for row in (3, 1, 3, 2, 1):
        log.touch(row)
    assert log.since(0).tolist() == [3, 1, 2]
    assert log.since(2).tolist() == [3, 2, 1]
    assert log.since(5).tolist() == []
    assert log.since(5).dtype == np.intp


@pytest.mark.parametrize("distinct", [0, 1, 5, 24, 25, 60, 100])
@pytest.mark.parametrize("times", [1, 2, 9])
def test_a_log_tells_few_rows_as_a_list_and_many_as_an_array(distinct: int, times: int) -> None:
    log = ChangeLog()
    log.touch(999)
    position = log.position
    for _ in range(times):
        for row in range(distinct):
            log.touch(3 * row)
    told = log.touched(position)
    assert isinstance(told, list) == (distinct <= 24)
    assert sorted(np.asarray(told).tolist()) == [3 * row for row in range(distinct)]
    assert sorted(log.since(position).tolist()) == sorted(np.asarray(told).tolist())


def test_a_reader_from_before_everything_changed_is_told_to_look_at_all() -> None:
    log = ChangeLog()
    log.touch(1)
    log.touch_all()
    position = log.position
    assert log.since(0) is None
    assert log.since(position - 1) is None
    assert log.since(position).tolist() == []
    log.touch(4)
    assert log.since(position).tolist() == [4]


def test_a_log_forgets_what_is_long_past_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(changes_module, "_KEEP", 4)
    log = ChangeLog()
    for row in range(20):
        log.touch(row)
        for position in range(log.position + 1):
            told = log.since(position)
            assert told is None or told.tolist() == list(range(position, row + 1))
        assert log.since(log.position - min(4, log.position)) is not None, "the last _KEEP are always known"
    assert log.since(0) is None
    assert len(log._rows) <= 8


ARRAYS = [
    ("names", lambda nodes: nodes.names),
    ("unschedulable", lambda nodes: nodes.unschedulable),
    ("allocatable", lambda nodes: nodes.allocatable("cpu")),
    ("requested", lambda nodes: nodes.requested("cpu")),
    ("nonzero_requested", lambda nodes: nodes.nonzero_requested("memory")),
    ("devices.free", lambda nodes: nodes.devices.free),
    ("devices.count", lambda nodes: nodes.devices.count),
    ("devices.memory", lambda nodes: nodes.devices.memory),
]
COPIES = [
    ("label", lambda nodes: nodes.label("kubernetes.io/hostname")),
    ("free", lambda nodes: nodes.free("cpu")),
    ("devices.model", lambda nodes: nodes.devices.model),
    ("an unknown resource", lambda nodes: nodes.requested("never/seen")),
    ("rows", lambda nodes: nodes.rows),
]


@pytest.mark.parametrize(("what", "read"), ARRAYS, ids=[r[0] for r in ARRAYS])
def test_arrays_of_a_whole_table_refuse_to_be_written(what: str, read) -> None:
    array = read(NodeView(table_of(make_node("a", gpus=1), make_node("b", gpus=1))))
    with pytest.raises(ValueError, match="read-only"):
        array[0] = array[1]


@pytest.mark.parametrize(("what", "read"), ARRAYS + COPIES, ids=[r[0] for r in ARRAYS + COPIES])
def test_writing_to_what_was_read_never_reaches_the_table(what: str, read) -> None:
    table = table_of(make_node("a", gpus=1), make_node("b", gpus=2))
    before = shown(table)
    for rows in (None, np.array([1]), np.array([], dtype=np.intp)):
        array = read(NodeView(table, rows))
        assert len(array) == (2 if rows is None else len(rows))
        if array.flags.writeable:
            array[...] = "x" if array.dtype.kind == "U" else 77
    assert shown(table) == before


def test_a_view_of_some_rows_shows_these_in_its_order() -> None:
    table = table_of(*(make_node(f"n{i}", cpu=i, labels={"pool": str(i % 2)}, images={f"i{i}": 1}) for i in range(5)))
    some = NodeView(table, np.array([4, 1]))
    assert some.names.tolist() == ["n4", "n1"]
    assert some.allocatable("cpu").tolist() == [4000, 1000]
    assert some.label("pool").tolist() == ["0", "1"]
    assert some.per_label("pool", lambda value: int(value), np.int64).tolist() == [0, 1]
    assert some.per_image_set(lambda images: min(images), object).tolist() == ["i4", "i1"]
    assert [node.name for node in some.objects] == ["n4", "n1"]
    assert some.total_nodes == 5


@pytest.mark.parametrize("rows", [[], [3], [4, 1], None])
def test_a_view_is_the_same_whether_its_rows_come_as_a_list_or_as_an_array(rows: list[int] | None) -> None:
    table = table_of(*(make_node(f"n{i}", cpu=i, gpus=i) for i in range(5)))
    table.add_pod(pod("p"), "n4")
    listed = NodeView(table, rows)
    other = NodeView(table, np.arange(5) if rows is None else np.array(rows, dtype=np.intp))
    assert listed.rows.tolist() == other.rows.tolist() == list(listed.numbers) == list(other.numbers)
    assert listed.rows.dtype == np.intp
    assert len(listed) == listed.n == len(listed.rows)
    assert listed.everything == (rows is None)
    assert not other.everything
    assert listed.names.tolist() == other.names.tolist() == table.names()[listed.select].tolist()
    assert listed.free_of(("pods", "cpu")).tolist() == other.free_of(("pods", "cpu")).tolist()
    assert listed.devices.free.tolist() == other.devices.free.tolist()
    assert listed.devices.states == other.devices.states
    assert [node.name for node in listed.objects] == [node.name for node in other.objects]


def test_amounts_of_several_resources_follow_the_table_as_it_changes_and_grows() -> None:
    wanted = [("pods", "cpu"), ("cpu", "memory"), ("cpu", "example.com/x"), ("example.com/y", "cpu")]
    table = table_of("a", "b")

    def check() -> None:
        for nodes in (NodeView(table), NodeView(table, [1]), NodeView(table, [1, 0])):
            for resources in wanted:
                each = [nodes.free(resource).tolist() for resource in resources]
                assert nodes.free_of(resources).tolist() == each, resources

    check()
    table.add_pod(pod("p"), "a")
    check()
    table.update_node(make_node("b", cpu=7, resources={"example.com/x": 3, "example.com/y": 1}))
    check()
    for number in range(40):
        table.add_node(make_node(f"n{number}", cpu=number))
        check()
    table.remove_node("a")
    check()


def test_functions_of_a_label_are_called_once_per_distinct_value() -> None:
    table = table_of(*(make_node(f"n{i}", labels={"pool": str(i % 3)} if i else {}) for i in range(20)))
    asked: list[str | None] = []

    def fn(value: str | None) -> bool:
        asked.append(value)
        return value == "1"

    NodeView(table).per_label("pool", fn, np.bool_)
    assert sorted(asked, key=str) == ["0", "1", "2", None]


def test_a_fork_kept_keeps_what_was_done_and_one_reverted_does_not() -> None:
    table = table_of(make_node("a", gpus=1))
    with table.fork() as fork:
        table.add_pod(pod("p", gpu_milli=400), "a")
        fork.commit()
    kept = shown(table)
    with table.fork():
        table.remove_pod("default/p")
        table.add_pod(pod("q", gpu_milli=900), "a")
        assert shown(table)["a"]["device free"] == [100]
    assert shown(table) == kept


def test_an_outer_fork_undoes_what_an_inner_one_kept() -> None:
    table = table_of("a", "b")
    before = shown(table)
    outer = table.fork()
    table.add_pod(pod("p"), "a")
    inner = table.fork()
    table.remove_pod("default/p")
    table.add_pod(pod("p"), "b")
    inner.commit()
    assert table.node_of("default/p") == "b"
    outer.revert()
    assert shown(table) == before
    assert table.node_of("default/p") is None


def test_reverting_restores_the_order_of_pods_and_their_node() -> None:
    table = table_of("a", "b")
    for name in ("p", "q", "r"):
        table.add_pod(pod(name), "a")
    with table.fork():
        moved = table.remove_pod("default/p")
        table.add_pod(moved.pod, "b")
        table.add_pod(table.remove_pod("default/q").pod, "a")
    assert [placed.pod.name for placed in table.pods_on("a")] == ["p", "q", "r"]
    assert [table.node_of(f"default/{name}") for name in "pqr"] == ["a", "a", "a"]


def test_a_fork_over_an_unknown_node_leaves_nothing() -> None:
    table = table_of("a")
    with table.fork():
        table.add_pod(pod("p"), "nowhere")
    assert "nowhere" not in table._pods
    assert table.node_of("default/p") is None


def test_forks_close_in_order_and_once() -> None:
    table = table_of("a")
    outer = table.fork()
    inner = table.fork()
    with pytest.raises(RuntimeError, match="inner fork"):
        outer.commit()
    inner.revert()
    outer.commit()
    with pytest.raises(RuntimeError, match="already"):
        outer.revert()


def test_a_fork_reverts_when_something_goes_wrong_inside() -> None:
    table = table_of("a")
    before = shown(table)
    with pytest.raises(KeyError), table.fork():
        table.add_pod(pod("p"), "a")
        table.remove_pod("ghost")
    assert shown(table) == before
