"""What the columns say of nodes and of the pods on them."""

from __future__ import annotations

import numpy as np
import pytest

from ksched.objects import Pod, parse
from ksched.tables import HostPort, ImageState, NodeTable, NodeView, PodView
from ksched.testing.factories import make_node

from .build import pod, row_of, shown, table_of

GIB = 1 << 30
MIB = 1 << 20

SAYS_OF_A_NODE = [
    ("cpu is counted in millicores", {"cpu": "3500m"}, "allocatable cpu", 3500),
    ("whole cpus too", {"cpu": 16}, "allocatable cpu", 16000),
    ("memory is counted in bytes", {"memory": "4Gi"}, "allocatable memory", 4 * GIB),
    ("pod slots are a resource", {"pods": 2}, "allocatable pods", 2),
    ("a resource the node does not have is 0", {"cpu": None}, "allocatable cpu", 0),
    ("a resource nobody ever had is 0", {}, "allocatable never/seen", 0),
    ("an extended resource is counted in units",
     {"resources": {"example.com/fpga": 3}}, "allocatable example.com/fpga", 3),
    ("a label is its value", {"labels": {"disktype": "ssd"}}, "label disktype", "ssd"),
    ("an absent label reads as empty", {}, "label disktype", ""),
    ("an empty label reads as empty", {"labels": {"pool": ""}}, "label pool", ""),
    ("but an empty label is there", {"labels": {"pool": ""}}, "has pool", True),
    ("and an absent one is not", {}, "has pool", False),
    ("a node is schedulable unless it says otherwise", {}, "unschedulable", False),
    ("a cordoned node says so", {"unschedulable": True}, "unschedulable", True),
    ("taints keep their order", {"taints": ["b:NoSchedule", "a=1:NoExecute"]}, "taints",
     "[('b', None, 'NoSchedule'), ('a', '1', 'NoExecute')]"),
    ("a node without devices has none", {}, "device count", 0),
    ("devices are wholly free at first", {"gpus": 2}, "device free", [1000, 1000]),
    ("the device model comes from a label", {"gpus": 1, "gpu_model": "V100"}, "device model", "V100"),
    ("images are known by name", {"images": {"web:2": 5, "app:1": 7}}, "images", "app:1,web:2"),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "node", "column", "value"), SAYS_OF_A_NODE, ids=[r[0] for r in SAYS_OF_A_NODE])
def test_of_a_node(sentence: str, node: dict, column: str, value: object) -> None:
    # Other nodes beside it make sure that columns exist and rows are not confused.
    other = make_node(
        "other", labels={"disktype": "hdd", "pool": "x"}, taints=["z:NoSchedule"], gpus=4, images={"x": 1}
    )
    table = table_of(other, make_node("it", **node), make_node("last"))
    assert row_of(table, "it")[column] == value


HELD = [
    ("a pod's requests are counted", [{"cpu": "250m"}, {"cpu": 1}], "requested cpu", 1250),
    ("free is what is left", [{"cpu": 1}], "free cpu", 3000),
    ("free may be negative", [{"cpu": 5}], "free cpu", -1000),
    ("every pod takes a slot", [{}, {}, {}], "requested pods", 3),
    ("a pod without requests asks for nothing", [{}], "requested cpu", 0),
    ("but counts for scoring", [{}], "nonzero cpu", 100),
    ("memory as well", [{}], "nonzero memory", 200 * MIB),
    ("an explicit zero stays zero", [{"cpu": "0"}], "nonzero cpu", 0),
    ("a host port is taken", [{"host_ports": [80]}], "port 80", True),
    ("other ports are not", [{"host_ports": [80]}], "port 443", False),
    ("an extended resource nobody offers is counted",
     [{"requests": {"example.com/fpga": 2}}], "free example.com/fpga", -2),
    ("a share of a device leaves the rest", [{"gpu_milli": 300}], "device free", [700, 1000]),
    ("shares go where room is least", [{"gpu_milli": 300}, {"gpu_milli": 300}], "device free", [400, 1000]),
    ("a whole device needs a free one", [{"gpu_milli": 300}, {"gpu_milli": 1000}], "device free", [700, 0]),
    ("too much takes none", [{"gpu_milli": 300}, {"gpu_milli": 2000}], "device free", [700, 1000]),
    ("an annotation names the device", [{"gpu_milli": 300, "annotations": {"alibabacloud.com/gpu-index": "1"}}],
     "device free", [1000, 700]),
    ("a device the node does not have is ignored",
     [{"gpu_milli": 300, "annotations": {"alibabacloud.com/gpu-index": "7"}}], "device free", [1000, 1000]),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "pods", "column", "value"), HELD, ids=[r[0] for r in HELD])
def test_of_pods_on_a_node_and_all_of_it_is_given_back(
    sentence: str, pods: list[dict], column: str, value: object
) -> None:
    table = table_of("other", make_node("it", gpus=2), "last")
    empty = shown(table)
    views = [pod(f"p{i}", **fields) for i, fields in enumerate(pods)]
    for view in views:
        table.add_pod(view, "it")
    assert row_of(table, "it")[column] == value
    assert {name: shown(table)[name] for name in ("other", "last")} == {name: empty[name] for name in ("other", "last")}
    for view in views:
        table.remove_pod(view.uid)
    assert shown(table) == empty


PORTS = [
    ("the same port and protocol", ("0.0.0.0", "TCP", 80), ("0.0.0.0", "TCP", 80), True),
    ("another protocol", ("0.0.0.0", "TCP", 80), ("0.0.0.0", "UDP", 80), False),
    ("another port", ("0.0.0.0", "TCP", 80), ("0.0.0.0", "TCP", 81), False),
    ("another address", ("10.0.0.1", "TCP", 80), ("10.0.0.2", "TCP", 80), False),
    ("the same address", ("10.0.0.1", "TCP", 80), ("10.0.0.1", "TCP", 80), True),
    ("every address meets one", ("10.0.0.1", "TCP", 80), ("0.0.0.0", "TCP", 80), True),
    ("one meets every address", ("0.0.0.0", "TCP", 80), ("10.0.0.1", "TCP", 80), True),
]


@pytest.mark.parametrize(("sentence", "held", "wanted", "conflict"), PORTS, ids=[r[0] for r in PORTS])
def test_host_ports_conflict(sentence: str, held: tuple, wanted: tuple, conflict: bool) -> None:
    table = table_of("a", "b")
    ip, protocol, port = held
    body = {"containerPort": port, "hostPort": port, "hostIP": ip, "protocol": protocol}
    spec = {"containers": [{"name": "c", "image": "i", "ports": [body]}]}
    table.add_pod(pod("holder", **spec), "b")
    every = NodeView(table).port_conflicts([HostPort(*wanted)])
    assert every.tolist() == [False, conflict]
    assert NodeView(table, np.array([1, 0])).port_conflicts([HostPort(*wanted)]).tolist() == [conflict, False]


def test_an_image_is_known_by_the_size_first_told_and_the_nodes_that_have_it() -> None:
    table = table_of(make_node("a", images={"app:1": 10}), make_node("b", images={"app:1": 99}), "c")
    assert NodeView(table).image("app:1") == ImageState(10, 2)
    assert NodeView(table).image("unknown") == ImageState(0, 0)
    table.remove_node("a")
    assert NodeView(table).image("app:1") == ImageState(10, 1)
    table.update_node(make_node("b"))
    assert NodeView(table).image("app:1") == ImageState(0, 0)


def test_the_first_of_two_sizes_a_node_tells_of_one_image_counts() -> None:
    images = [{"names": ["app:1", "app@sha"], "sizeBytes": 5}, {"names": ["app:1"], "sizeBytes": 9}]
    table = table_of(
        parse({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "a"}, "status": {"images": images}})
    )
    assert NodeView(table).image("app:1") == ImageState(5, 1)


def test_tables_grow() -> None:
    table = NodeTable()
    pods = {}
    for i in range(70):
        name = f"n{i}"
        table.add_node(make_node(name, cpu=i, labels={f"key{i}": str(i)}, gpus=i % 3, taints=[f"t{i}:NoSchedule"]))
        pods[name] = pod(f"p{i}", cpu=1, host_ports=[80] if i % 2 else [], requests={f"example.com/r{i}": i})
        table.add_pod(pods[name], name)
    nodes = NodeView(table)
    assert nodes.free("cpu").tolist() == [1000 * (i - 1) for i in range(70)]
    assert nodes.label("key69").tolist() == [""] * 69 + ["69"]
    assert nodes.requested("example.com/r3").tolist() == [0, 0, 0, 3] + [0] * 66
    assert nodes.devices.count.tolist() == [i % 3 for i in range(70)]
    assert nodes.port_conflicts([HostPort("0.0.0.0", "TCP", 80)]).tolist() == [bool(i % 2) for i in range(70)]
    assert nodes.per_taints(lambda taints: taints[0].key, object).tolist() == [f"t{i}" for i in range(70)]


def test_what_pods_hold_is_what_adding_them_changes() -> None:
    table = table_of(make_node("a"), make_node("b"))
    small, large = pod("s", cpu="250m"), pod("l", memory="1Gi", requests={"example.com/new": 3})
    before = table.held.copy()
    groups = table.held_by_all([[small, large], []])
    for each in (small, large):
        table.add_pod(each, "a")
    table.shift(np.array([0, 1]), -groups)
    assert (table.held[: len(before)] == before).all()
    assert not table.held[len(before) :].any()


LIFECYCLE = [
    ("a pod seen before its node is counted when the node appears", "pod node"),
    ("a node removed and added again has its pods again", "node pod remove node"),
    ("a node updated keeps its pods", "node pod node"),
    ("a pod removed and added again is counted once", "node pod forget pod"),
    ("a node that comes twice is one node", "node node pod"),
    ("a pod added while its node is away is counted when it is back", "node remove pod node"),
]


@pytest.mark.parametrize(("sentence", "events"), LIFECYCLE, ids=[r[0] for r in LIFECYCLE])
def test_of_lives(sentence: str, events: str) -> None:
    node = make_node("it", gpus=2, images={"app:1": 1})
    view = pod("p", cpu=1, gpu_milli=1000, host_ports=[80])
    wanted = table_of("other", node)
    wanted.add_pod(view, "it")
    table = table_of("other")
    for event in events.split():
        match event:
            case "node":
                table.add_node(node)
            case "remove":
                table.remove_node("it")
            case "pod":
                table.add_pod(view, "it")
            case "forget":
                table.remove_pod(view.uid)
    assert shown(table) == shown(wanted)
    assert [(name, placed.pod.uid) for name, placed in table.pods()] == [("it", view.uid)]
    assert table.pod_counts() == {"other": 0, "it": 1}


def test_a_pod_without_a_device_takes_one_when_its_node_gets_some() -> None:
    """A device plugin registers after the node does."""
    table = table_of("it")
    table.add_pod(pod("p", gpu_milli=500), "it")
    table.update_node(make_node("it", gpus=2))
    assert row_of(table, "it")["device free"] == [500, 1000]
    table.remove_pod("default/p")
    assert row_of(table, "it")["device free"] == [1000, 1000]


def test_removing_the_first_node_moves_the_others_up() -> None:
    table = table_of(*(make_node(f"n{i}", cpu=i + 1, labels={"pool": str(i)}) for i in range(4)))
    for i in range(4):
        table.add_pod(pod(f"p{i}", cpu=1, host_ports=[80] if i == 2 else []), f"n{i}")
    before = shown(table)
    table.remove_node("n0")
    assert NodeView(table).names.tolist() == ["n1", "n2", "n3"]
    assert shown(table) == {name: before[name] for name in ("n1", "n2", "n3")}
    assert table.index == {"n1": 0, "n2": 1, "n3": 2}


ERRORS = [
    ("a pod cannot be on two nodes", lambda t: t.add_pod(pod("p"), "b"), ValueError, "already on node a"),
    ("a pod that is nowhere cannot be removed", lambda t: t.remove_pod("ghost"), KeyError, "ghost"),
    ("an unknown node cannot be removed", lambda t: t.remove_node("ghost"), KeyError, "ghost"),
]


@pytest.mark.parametrize(("sentence", "act", "error", "text"), ERRORS, ids=[r[0] for r in ERRORS])
def test_refused_and_nothing_changed(sentence: str, act, error: type[Exception], text: str) -> None:
    table = table_of("a", "b")
    table.add_pod(pod("p", cpu=1), "a")
    before = shown(table)
    with pytest.raises(error, match=text):
        act(table)
    assert shown(table) == before


def test_memory_of_pods_and_nodes_gone_is_given_back() -> None:
    table = table_of("stays")
    for i in range(50):
        table.add_node(make_node(f"n{i}"))
        table.add_pod(pod(f"p{i}"), f"n{i}")
        table.add_pod(pod(f"q{i}"), "elsewhere")
        if i % 2:
            table.remove_node(f"n{i}")
        table.remove_pod(f"default/p{i}")
        table.remove_pod(f"default/q{i}")
        if not i % 2:
            table.remove_node(f"n{i}")
    assert len(table._pods) <= 1
    assert not table._node_of


def test_a_pod_keeps_what_a_manifest_said_of_it() -> None:
    view = pod(
        "p", namespace="team", annotations={"ksched.dev/workload": "w", "batch.kubernetes.io/job-completion-index": "7"}
    )
    assert (view.name, view.namespace, view.key, view.workload, view.index) == ("p", "team", "team/p", "w", 7)


PODS = [
    ("a pod without a namespace is in default", Pod.model_validate({"metadata": {"name": "p"}}), "key", "default/p"),
    ("a pod without uid is known by its key", Pod.model_validate({"metadata": {"name": "p"}}), "uid", "default/p"),
    ("a pod without priority has 0", pod().pod, "priority", 0),
    ("an index that is no number is 0",
     pod(annotations={"batch.kubernetes.io/job-completion-index": "x"}).pod, "index", 0),
    ("a bare pod has no owner", pod().pod, "owner", None),
    ("an image without a tag means the latest", pod(images=["a", "r:5000/b", "c:1"]).pod, "images",
     ("a:latest", "r:5000/b:latest", "c:1")),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "made", "attribute", "value"), PODS, ids=[r[0] for r in PODS])
def test_of_a_pod(sentence: str, made: Pod, attribute: str, value: object) -> None:
    assert getattr(PodView(made), attribute) == value
