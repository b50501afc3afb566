"""VolumeRestrictions and VolumeZone, row by row (upstream: their *_test.go)."""

from __future__ import annotations

from typing import Any

import pytest

from ksched.framework import Framework, Outcome, load_configuration
from ksched.framework.listers import Listers
from ksched.tables import PodView
from ksched.testing import Answer, ask, make_node, make_pod
from ksched.testing.factories import make_table
from ksched.testing.storage_factories import claim_volume, make_claim, make_storage_class, make_volume
from ksched_plugins.kubernetes.volume_restrictions import VolumeRestrictions
from ksched_plugins.kubernetes.volume_zone import VolumeZone

UNRESOLVABLE = "UnschedulableAndUnresolvable"
ZONE, BETA_ZONE = "topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"
REGION = "topology.kubernetes.io/region"
NO_DISK = {"a": ("Unschedulable", ("node(s) had no available disk",))}


def outcome(answer: Answer) -> tuple[bool, str, tuple[str, ...]]:
    """(skipped, code, reasons) of PreFilter."""
    found = answer.pre_filter
    assert found is not None
    status = found.status
    return bool(found.skipped), status.code.value if status else "", status.reasons if status else ()


def gce(name: str, read_only: bool = False) -> dict[str, Any]:
    return {"gcePersistentDisk": {"pdName": name, "readOnly": read_only}}


def iscsi(iqn: str, read_only: bool = False) -> dict[str, Any]:
    return {"iscsi": {"targetPortal": "p", "lun": 0, "iqn": iqn, "readOnly": read_only}}


def rbd(monitors: str, image: str, pool: str | None = None, read_only: bool = False) -> dict[str, Any]:
    source: dict[str, Any] = {"monitors": list(monitors), "image": image, "readOnly": read_only}
    return {"rbd": source | ({"pool": pool} if pool else {})}


def ebs(volume_id: str) -> dict[str, Any]:
    return {"awsElasticBlockStore": {"volumeID": volume_id}}


def with_disks(name: str, *disks: dict[str, Any], **spec: Any) -> Any:
    return make_pod(name, volumes=[{"name": f"d{i}", **disk} for i, disk in enumerate(disks)], **spec)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        pytest.param(ebs("vol-1"), ebs("vol-1"), NO_DISK, id="an EBS disk is for one pod of a node"),
        pytest.param(ebs("vol-1"), ebs("vol-2"), {"a": None}, id="another EBS disk is no conflict"),
        pytest.param(gce("d"), gce("d"), NO_DISK, id="a GCE disk cannot be written by two pods"),
        pytest.param(gce("d", True), gce("d"), NO_DISK, id="nor read by one while another writes"),
        pytest.param(gce("d", True), gce("d", True), {"a": None}, id="but two may read it"),
        pytest.param(iscsi("q"), iscsi("q", True), NO_DISK, id="an iSCSI disk cannot be written while another reads"),
        pytest.param(iscsi("q", True), iscsi("q", True), {"a": None}, id="two may read an iSCSI disk"),
        pytest.param(rbd("ab", "i"), rbd("bc", "i"), NO_DISK, id="one shared monitor makes it the same RBD image"),
        pytest.param(rbd("ab", "i"), rbd("cd", "i"), {"a": None}, id="without one it is another image"),
        pytest.param(rbd("a", "i", "p"), rbd("a", "i", "q"), {"a": None}, id="another pool is another image"),
        pytest.param(rbd("a", "i"), rbd("a", "i", "rbd"), NO_DISK, id='the pool is "rbd" unless it is named'),
        pytest.param(rbd("a", "i", read_only=True), rbd("a", "i", read_only=True), {"a": None}, id="two may read it"),
        pytest.param(gce("vol-1"), ebs("vol-1"), {"a": None}, id="disks of different kinds never conflict"),
    ],
)
def test_disks_in_use(ours: dict[str, Any], theirs: dict[str, Any], expected: Any) -> None:
    answer = ask(VolumeRestrictions(), with_disks("new", ours), [make_node("a")], [(with_disks("old", theirs), "a")])
    assert answer.filter == expected


def test_only_the_node_where_the_disk_is_used_is_rejected() -> None:
    nodes = [make_node(name) for name in "abc"]
    answer = ask(VolumeRestrictions(), with_disks("new", ebs("x")), nodes, [(with_disks("old", ebs("x")), "b")])
    assert answer.filter == {"a": None, "b": NO_DISK["a"], "c": None}


@pytest.mark.parametrize(
    ("pod", "claims", "expected"),
    [
        pytest.param(make_pod(), [], (True, "", ()), id="a pod without volumes is skipped"),
        pytest.param(
            make_pod(volumes=[{"name": "e", "emptyDir": {}}]), [], (True, "", ()), id="so is one with scratch space"
        ),
        pytest.param(
            make_pod(volumes=claim_volume("c")),
            [make_claim("c")],
            (True, "", ()),
            id="so is one with an ordinary claim",
        ),
        pytest.param(
            make_pod(volumes=claim_volume("c")),
            [],
            (False, UNRESOLVABLE, ('persistentvolumeclaim "c" not found',)),
            id="a missing claim rejects the pod everywhere",
        ),
        pytest.param(
            make_pod(volumes=claim_volume("c")),
            [make_claim("c", modes=["ReadWriteOncePod"])],
            (True, "", ()),
            id="a claim for one pod that nobody uses is no obstacle",
        ),
    ],
)
def test_what_volume_restrictions_finds_before_any_node(pod: Any, claims: list[Any], expected: Any) -> None:
    assert outcome(ask(VolumeRestrictions(), pod, [make_node("a")], objects=claims)) == expected


def test_a_claim_for_one_pod_keeps_every_other_pod_from_every_node() -> None:
    claim = make_claim("c", modes=["ReadWriteOncePod"])
    user, other = (make_pod(name, volumes=claim_volume("c")) for name in ("user", "other"))
    answer = ask(VolumeRestrictions(), other, [make_node("a"), make_node("b")], [(user, "b")], [claim])
    reason = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    assert answer.filter == dict.fromkeys("ab", ("Unschedulable", (reason,)))


def test_preemption_takes_the_claim_from_a_pod_of_lower_priority() -> None:
    claim = make_claim("c", modes=["ReadWriteOncePod"], volume="v")
    user = make_pod("user", volumes=claim_volume("c"), priority=1)
    other = make_pod("other", volumes=claim_volume("c"), priority=5)
    table = make_table([make_node("a"), make_node("b")], [(user, "b")])
    framework = Framework(
        load_configuration({"profiles": [{}]}).profiles[0], table, objects=Listers([claim, make_volume("v", claim="c")])
    )
    pod = PodView(other)
    cycle = framework.new_cycle(pod)
    decision = framework.schedule(pod, cycle)
    assert decision.outcome is Outcome.UNSCHEDULABLE
    result = framework.post_filter(cycle, pod, decision)
    assert (result.nominated_node, [victim.name for victim in result.victims]) == ("b", ["user"])


# -- VolumeZone -------------------------------------------------------------------------------------------------

WRONG_ZONE = (UNRESOLVABLE, ("node(s) had no available volume zone",))
NODES = {"z1": {ZONE: "z1", REGION: "r1"}, "z2": {ZONE: "z2", REGION: "r1"}, "old": {BETA_ZONE: "z1"}, "bare": {}}


@pytest.mark.parametrize(
    ("labels", "rejected"),
    [
        pytest.param(
            {ZONE: "z1"}, ["z2", "old"], id="only the zone's nodes, and nodes without any zone, take a volume"
        ),
        pytest.param({BETA_ZONE: "z1"}, ["z2"], id="an old label of the volume matches the node's new or old one"),
        pytest.param({ZONE: "z1__z2"}, ["old"], id="a volume may be in several zones"),
        pytest.param({ZONE: "z1", REGION: "r2"}, ["z1", "z2", "old"], id="zone and region must both match"),
        pytest.param({REGION: "r1"}, ["old"], id="a node that says its zone must say its region too"),
        pytest.param({ZONE: "z1____z2", REGION: "r1"}, ["old"], id="a label with an empty part is ignored"),
    ],
)
def test_zone_labels(labels: dict[str, str], rejected: list[str]) -> None:
    nodes = [make_node(name, labels=on_node) for name, on_node in NODES.items()]
    objects = [make_claim("c", volume="v"), make_volume("v", claim="c", labels=labels)]
    answer = ask(VolumeZone(), make_pod(volumes=claim_volume("c")), nodes, objects=objects)
    assert answer.filter == {name: WRONG_ZONE if name in rejected else None for name in NODES}


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param([make_claim("c", volume="v"), make_volume("v", claim="c")], (True, "", ()), id="no labels: skip"),
        pytest.param(
            [make_claim("c", storage_class="s"), make_storage_class("s")], (True, "", ()), id="a claim that waits: skip"
        ),
        pytest.param(
            [make_claim("c", storage_class="s"), make_storage_class("s", mode="Immediate")],
            (False, UNRESOLVABLE, ("PersistentVolume had no name",)),
            id="a claim that should be bound rejects the pod",
        ),
        pytest.param(
            [make_claim("c")],
            (False, UNRESOLVABLE, ("PersistentVolumeClaim had no pv name and storageClass name",)),
            id="a claim without volume and class rejects it",
        ),
        pytest.param(
            [make_claim("c", storage_class="s")],
            (False, UNRESOLVABLE, ('storageclass.storage.k8s.io "s" not found',)),
            id="so does one whose class is missing",
        ),
        pytest.param(
            [make_claim("c", volume="v")],
            (False, UNRESOLVABLE, ('persistentvolume "v" not found',)),
            id="and one whose volume is gone",
        ),
    ],
)
def test_what_volume_zone_finds_before_any_node(objects: list[Any], expected: Any) -> None:
    answer = ask(VolumeZone(), make_pod(volumes=claim_volume("c")), [make_node("a")], objects=objects)
    assert outcome(answer) == expected


def test_volume_zone_looks_at_no_claim_of_an_ephemeral_volume() -> None:
    scratch = [{"name": "s", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}}]
    assert outcome(ask(VolumeZone(), make_pod(volumes=scratch), [make_node("a")])) == (True, "", ())
