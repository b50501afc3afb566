"""NodeVolumeLimits and the limits of in-tree disks, row by row (upstream: nodevolumelimits/*_test.go)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ksched.framework.listers import Listers
from ksched.objects import Pod
from ksched.tables import NodeTable, NodeView, PodView
from ksched.testing import ask, make_node, make_pod
from ksched.testing.factories import make_table
from ksched.testing.storage_factories import (
    DRIVER,
    claim_volume,
    make_claim,
    make_csi_node,
    make_storage_class,
    make_volume,
)
from ksched_plugins.kubernetes.attached_volumes import AttachedVolumes
from ksched_plugins.kubernetes.in_tree_volume_limits import AzureDiskLimits, CinderLimits, EBSLimits, GCEPDLimits
from ksched_plugins.kubernetes.node_volume_limits import NodeVolumeLimits, limit_key, resolve

TOO_MANY = ("Unschedulable", ("node(s) exceed max volume count",))
EBS_KEY = "attachable-volumes-aws-ebs"


def disk(kind: str, identity: str) -> dict[str, Any]:
    sources = {
        "ebs": {"awsElasticBlockStore": {"volumeID": identity}},
        "gce": {"gcePersistentDisk": {"pdName": identity}},
        "azure": {"azureDisk": {"diskName": identity, "diskURI": f"/{identity}"}},
        "cinder": {"cinder": {"volumeID": identity}},
    }
    return sources[kind]


def with_disks(name: str, kind: str, *identities: str) -> Pod:
    return make_pod(name, volumes=[{"name": f"d{i}", **disk(kind, x)} for i, x in enumerate(identities)])


# -- in-tree disks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("plugin", "kind", "limit"),
    [(EBSLimits, "ebs", 39), (GCEPDLimits, "gce", 16), (AzureDiskLimits, "azure", 16), (CinderLimits, "cinder", 256)],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_each_kind_has_its_own_default_limit(plugin: Any, kind: str, limit: int) -> None:
    old = with_disks("old", kind, *(str(i) for i in range(limit - 1)))
    nodes = [make_node("a")]
    assert ask(plugin(), with_disks("one", kind, "x"), nodes, [(old, "a")]).filter == {"a": None}
    assert ask(plugin(), with_disks("two", kind, "x", "y"), nodes, [(old, "a")]).filter == {"a": TOO_MANY}


@pytest.mark.parametrize(
    ("labels", "allocatable", "disks", "expected"),
    [
        pytest.param({"node.kubernetes.io/instance-type": "m5.large"}, {}, 26, TOO_MANY, id="Nitro instances take 25"),
        pytest.param({"beta.kubernetes.io/instance-type": "t3.nano"}, {}, 25, None, id="by the old label too"),
        pytest.param({"node.kubernetes.io/instance-type": "m4.large"}, {}, 39, None, id="others take 39"),
        pytest.param({}, {EBS_KEY: 2}, 3, TOO_MANY, id="what the node declares goes first"),
        pytest.param({}, {EBS_KEY: 50}, 50, None, id="even if it is more"),
        pytest.param({}, {EBS_KEY: 0}, 1, TOO_MANY, id="a declared 0 means none"),
        pytest.param({}, {"attachable-volumes-gce-pd": 1}, 2, None, id="another kind's limit does not matter"),
    ],
)
def test_where_the_limit_comes_from(labels: Any, allocatable: Any, disks: int, expected: Any) -> None:
    node = make_node("a", labels=labels, resources=allocatable)
    assert ask(EBSLimits(), with_disks("p", "ebs", *map(str, range(disks))), [node]).filter == {"a": expected}


LIMITED = make_node("a", resources={EBS_KEY: 2})
EBS_CLASS = make_storage_class("ebs", provisioner="kubernetes.io/aws-ebs")
OTHER_CLASS = make_storage_class("csi")


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param(
            [make_claim("c", volume="v"), make_volume("v", claim="c", source=disk("ebs", "new"))],
            TOO_MANY,
            id="a claim's EBS volume counts",
        ),
        pytest.param(
            [make_claim("c", volume="v"), make_volume("v", claim="c", source=disk("ebs", "e1"))],
            None,
            id="one that is attached already does not count twice",
        ),
        pytest.param(
            [make_claim("c", volume="v"), make_volume("v", claim="c")], None, id="a CSI volume does not count"
        ),
        pytest.param(
            [make_claim("c", storage_class="ebs"), EBS_CLASS], TOO_MANY, id="an unbound claim counts by its class"
        ),
        pytest.param([make_claim("c", storage_class="csi"), OTHER_CLASS], None, id="which may be of another kind"),
        pytest.param(
            [make_claim("c", storage_class="ebs", volume="gone"), EBS_CLASS],
            TOO_MANY,
            id="so does one whose volume is gone",
        ),
        pytest.param(
            [make_claim("c", storage_class="ebs"), EBS_CLASS, make_csi_node("a")],
            None,
            id="a node with a CSINode is a matter of the CSI driver",
        ),
    ],
)
def test_claims_count_against_the_limit_of_ebs(objects: list[Any], expected: Any) -> None:
    pod = make_pod("p", volumes=claim_volume("c"))
    placed = [(with_disks("old", "ebs", "e1", "e2"), "a")]
    assert ask(EBSLimits(), pod, [LIMITED], placed, objects).filter == {"a": expected}


def test_a_pod_whose_disks_are_all_attached_is_rejected_where_there_are_too_many_already() -> None:
    # As upstream: existing plus new is compared, new or not. CSI limits do not do so.
    placed = [(with_disks("old", "ebs", "e1", "e2", "e3"), "a")]
    assert ask(EBSLimits(), with_disks("p", "ebs", "e1"), [LIMITED], placed).filter == {"a": TOO_MANY}


@pytest.mark.parametrize(
    ("plugin", "kinds"),
    [
        pytest.param(EBSLimits(), {"ebs", "claim"}, id="EBSLimits skips pods without EBS disks and claims"),
        pytest.param(GCEPDLimits(), {"gce", "claim"}, id="GCEPDLimits pods without GCE disks and claims"),
        pytest.param(NodeVolumeLimits(), {"ebs", "gce", "claim"}, id="NodeVolumeLimits pods with iSCSI at most"),
    ],
)
def test_skips(plugin: Any, kinds: set[str]) -> None:
    volumes = {
        "none": [],
        "scratch": [{"name": "e", "emptyDir": {}}],
        "iscsi": [{"name": "i", "iscsi": {"targetPortal": "p", "lun": 0, "iqn": "q"}}],
        "claim": claim_volume("c"),
        "ebs": [{"name": "d", **disk("ebs", "x")}],
        "gce": [{"name": "d", **disk("gce", "x")}],
    }
    asked = set()
    for kind, body in volumes.items():
        answer = ask(plugin, make_pod(volumes=body), [make_node("a")], objects=[make_claim("c")])
        assert answer.pre_filter is not None
        if not answer.pre_filter.skipped:
            asked.add(kind)
    assert asked == kinds


# -- CSI volumes ------------------------------------------------------------------------------------------------


def csi(*names: str) -> list[Any]:
    """Claims c-<name> bound to volumes <name>."""
    return [x for n in names for x in (make_claim(f"c-{n}", volume=n), make_volume(n, claim=f"c-{n}"))]


def user(name: str, *volumes: str) -> Pod:
    return make_pod(name, volumes=claim_volume(*(f"c-{v}" for v in volumes)))


@pytest.mark.parametrize(
    ("pod", "csi_node", "resources", "expected"),
    [
        pytest.param(
            user("p", "x"), make_csi_node("a", {DRIVER: 2}), {}, TOO_MANY, id="the CSINode's count is the limit"
        ),
        pytest.param(user("p", "x"), make_csi_node("a", {DRIVER: 3}), {}, None, id="up to it pods fit"),
        pytest.param(
            user("p", "v1"), make_csi_node("a", {DRIVER: 2}), {}, None, id="an attached volume is not counted again"
        ),
        pytest.param(
            user("p", "v1"), make_csi_node("a", {DRIVER: 1}), {}, None, id="not even where there are too many"
        ),
        pytest.param(
            user("p", "x"), make_csi_node("a", {"other": 0}), {}, None, id="another driver's limit is not ours"
        ),
        pytest.param(user("p", "x"), make_csi_node("a", {DRIVER: None}), {}, None, id="no count is no limit"),
        pytest.param(user("p", "x"), None, {}, None, id="without CSINode there is none either"),
        pytest.param(user("p", "x"), None, {limit_key(DRIVER): 2}, TOO_MANY, id="unless the node declares one"),
        pytest.param(
            user("p", "x"),
            make_csi_node("a", {DRIVER: 9}),
            {limit_key(DRIVER): 2},
            None,
            id="which the CSINode overrides",
        ),
    ],
)
def test_csi_limits(pod: Pod, csi_node: Any, resources: Any, expected: Any) -> None:
    objects = [*csi("v1", "v2", "x"), *([csi_node] if csi_node else [])]
    node = make_node("a", resources=resources)
    assert ask(NodeVolumeLimits(), pod, [node], [(user("old", "v1", "v2"), "a")], objects).filter == {"a": expected}


@pytest.mark.parametrize(
    ("with_csi_node", "expected"),
    [
        pytest.param(True, TOO_MANY, id="in-tree disks count for their driver where there is a CSINode"),
        pytest.param(False, None, id="and do not where there is none"),
    ],
)
def test_in_tree_disks_of_migrated_plugins(with_csi_node: bool, expected: Any) -> None:
    limits = make_csi_node("a", {"ebs.csi.aws.com": 1})
    node = make_node("a", resources={limit_key("ebs.csi.aws.com"): 1})
    placed = [(with_disks("old", "ebs", "aws://zone/vol-1"), "a")]
    objects = [limits] if with_csi_node else []
    assert ask(NodeVolumeLimits(), with_disks("p", "ebs", "vol-2"), [node], placed, objects).filter == {"a": expected}
    same = ask(NodeVolumeLimits(), with_disks("p", "ebs", "vol-1"), [node], placed, objects)
    assert same.filter == {"a": None}, "the id in a URL is the bare id"


def test_unbound_claims_count_by_their_class() -> None:
    objects = [make_claim("c", storage_class="s"), make_storage_class("s"), make_csi_node("a", {DRIVER: 0})]
    pod = make_pod(volumes=claim_volume("c"))
    assert ask(NodeVolumeLimits(), pod, [make_node("a")], objects=objects).filter == {"a": TOO_MANY}


def test_the_key_of_a_long_driver_name_is_cut_and_hashed() -> None:
    assert limit_key("short") == "attachable-volumes-csi-short"
    key = limit_key("a-driver-with-a-name-that-is-far-too-long.example.com")
    assert key.startswith("attachable-volumes-csi-a-driver-with-a-name-th") and len(key) == 62


# -- kept current -----------------------------------------------------------------------------------------------


class World:
    """Random pods, claims, volumes, CSINodes and nodes that come, change and go."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.table = make_table([make_node(f"n{i}") for i in range(4)])
        self.objects = Listers([make_storage_class("s"), make_storage_class("e", provisioner="kubernetes.io/aws-ebs")])
        self.pods: dict[str, Pod] = {}
        self.serial = 0

    def step(self) -> None:
        getattr(
            self, self.random.choice(["place", "place", "unplace", "claim", "volume", "csi_node", "what_if", "node"])
        )()

    def place(self) -> None:
        self.serial += 1
        volumes = claim_volume(*{f"c{self.random.randrange(6)}" for _ in range(2)})
        volumes.append({"name": "d", **disk("ebs", f"vol-{self.random.randrange(4)}")})
        pod = make_pod(f"p{self.serial}", volumes=volumes)
        self.table.add_pod(PodView(pod), self.random.choice([n.metadata.name or "" for n in self.table.nodes]))
        self.pods[PodView(pod).uid] = pod

    def unplace(self) -> None:
        if self.pods:
            uid = self.random.choice(list(self.pods))
            self.table.remove_pod(uid)
            del self.pods[uid]

    def claim(self) -> None:
        name = f"c{self.random.randrange(6)}"
        volume = self.random.choice([None, f"v{self.random.randrange(4)}"])
        claim = make_claim(name, volume=volume, storage_class=self.random.choice(["s", "e", None]))
        (self.objects.remove if self.random.random() < 0.2 else self.objects.put)(claim)

    def volume(self) -> None:
        name = f"v{self.random.randrange(4)}"
        source = self.random.choice([None, disk("ebs", f"vol-{self.random.randrange(4)}")])
        volume = make_volume(name, source=source)
        (self.objects.remove if self.random.random() < 0.3 else self.objects.put)(volume)

    def csi_node(self) -> None:
        made = make_csi_node(f"n{self.random.randrange(5)}", {DRIVER: 3})
        (self.objects.remove if self.random.random() < 0.5 else self.objects.put)(made)

    def what_if(self) -> None:
        with self.table.fork(quiet=True):
            kept = dict(self.pods)
            self.unplace()
            self.place()
            self.check()
        self.pods = kept

    def node(self) -> None:
        if self.random.random() < 0.3:
            self.table.add_node(make_node("n4"))
            self.table.remove_node("n1") if "n1" in self.table.index else self.table.add_node(make_node("n1"))
            self.pods = {uid: pod for uid, pod in self.pods.items() if self.table.node_of(uid) in self.table.index}

    def check(self) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("seed", range(12))
def test_attached_volumes_kept_current_equal_those_counted_anew(seed: int) -> None:
    world, kept = World(seed), AttachedVolumes(resolve)

    def check() -> None:
        assert _counts(kept, world.table, world.objects) == _counts(
            AttachedVolumes(resolve), world.table, world.objects
        )

    world.check = check  # type: ignore[method-assign]
    for _ in range(60):
        world.step()
        check()
    assert world.serial > 5


def _counts(attached: AttachedVolumes, table: NodeTable, objects: Listers) -> Any:
    attached.refresh(NodeView(table), objects)
    limits = (DRIVER, "ebs.csi.aws.com")
    on = {volume: sorted(rows) for volume, rows in attached._rows.items()}
    return {limit: attached.count(limit, table.n)[: table.n].tolist() for limit in limits}, on
