"""Pods with volumes from claim to running container, a sentence each; what upstream does is named per section."""

from __future__ import annotations

from typing import Any

import pytest

from ksched.cluster import Cluster
from ksched.cluster.scheduler import Scheduler, SchedulerConfig
from ksched.framework import TieBreak, load_configuration
from ksched.objects import KubeObject, Pod
from ksched.objects.storage import CSINode, PersistentVolume, PersistentVolumeClaim
from ksched.sim import SECOND
from ksched.testing.storage_factories import (
    DRIVER,
    claim_volume,
    make_claim,
    make_csi_node,
    make_storage_class,
    make_volume,
)

from . import harness

ZONE = "topology.kubernetes.io/zone"
WAITS = make_storage_class("w")
STATIC = make_storage_class("w", provisioner="kubernetes.io/no-provisioner")
IMMEDIATE = make_storage_class("i", mode="Immediate")


class World:
    """A cluster of nodes n0, n1 ... in zones z0, z1 ... with the real scheduler."""

    def __init__(self, *objects: KubeObject, nodes: int = 2, args: dict[str, Any] | None = None, **config: Any) -> None:
        plugin_config = [{"name": "VolumeBinding", "args": args}] if args else []
        profile = {"profiles": [{"pluginConfig": plugin_config}]}

        def make(cluster: Cluster) -> Scheduler:
            return Scheduler(
                cluster.kernel,
                cluster.api.client("kube-scheduler"),
                load_configuration(profile),
                seed=0,
                streams=cluster.streams,
                config=SchedulerConfig(tie_break=TieBreak.NAME),
            )

        self.cluster = harness.cluster({"controllers": config}, make, nodes=0)
        self.history = harness.History(self.cluster)
        for i in range(nodes):
            node = harness.node(f"n{i}").to_dict()
            node["metadata"]["labels"] = {ZONE: f"z{i}", "kubernetes.io/hostname": f"n{i}"}
            self.cluster.client.create(harness.parse(node))
        self.create(*objects)
        self.until(0)

    def create(self, *objects: KubeObject) -> None:
        for obj in objects:
            self.cluster.client.create(obj)

    def pod(self, name: str, *claims: str, **spec: Any) -> None:
        self.create(harness.pod(name, volumes=claim_volume(*claims), **spec))

    def delete(self, cls: type[KubeObject], name: str) -> None:
        namespace = "default" if cls.NAMESPACED else None
        self.cluster.client.delete(cls, namespace, name, grace_seconds=0)

    def until(self, seconds: float) -> World:
        self.cluster.run(int(seconds * SECOND))
        return self

    def get(self, cls: type[Any], name: str) -> Any:
        answers = harness.Answers()
        self.cluster.client.get(cls, "default" if cls.NAMESPACED else None, name, answers)
        self.cluster.run(self.cluster.kernel.now)
        result, _ = answers.all[-1]
        return result

    def node_of(self, name: str) -> str | None:
        found: str | None = self.get(Pod, name).spec.node_name
        return found

    def phase(self, cls: type[Any], name: str) -> str | None:
        found: str | None = self.get(cls, name).status.phase
        return found

    def pending_reason(self, name: str) -> str:
        conditions = {c.type: c for c in self.get(Pod, name).status.conditions}
        return conditions["PodScheduled"].message or ""

    def bound_at(self, name: str) -> float:
        """When the pod was bound to its node, in seconds."""
        rows = self.history.of(f"pods/default/{name}")
        return next(time for time, _, _, _, obj in rows if obj and obj["spec"].get("nodeName"))


def local(name: str, node: str, **more: Any) -> PersistentVolume:
    return make_volume(name, storage_class="w", affinity=[f"kubernetes.io/hostname In {node}"], **more)


# -- WaitForFirstConsumer (binder.go: BindPodVolumes polls once a second; pv_controller.go: syncUnboundClaim) ----


def test_a_volume_is_made_where_the_pod_goes_and_the_pod_is_bound_once_it_is_there() -> None:
    world = World(WAITS, make_claim("c", storage_class="w"))
    assert world.until(5).phase(PersistentVolumeClaim, "c") == "Pending", "nothing happens before a pod wants it"
    world.pod("p", "c")
    world.until(20)
    claim = world.get(PersistentVolumeClaim, "c")
    assert claim.status.phase == "Bound"
    assert claim.metadata.annotations["volume.kubernetes.io/selected-node"] == world.node_of("p")
    volume = world.get(PersistentVolume, claim.spec.volume_name)
    assert (volume.status.phase, volume.spec.claim_ref.uid) == ("Bound", claim.metadata.uid)
    assert str(volume.spec.capacity["storage"]) == "1Gi"
    assert world.bound_at("p") == 6.0, "the scheduler looks once a second"
    assert world.phase(Pod, "p") == "Running"


def test_the_scheduler_waits_as_long_as_making_the_volume_takes() -> None:
    world = World(WAITS, make_claim("c", storage_class="w"), provisioning="7500ms")
    world.pod("p", "c")
    assert world.until(7).node_of("p") is None
    assert world.until(30).bound_at("p") == 8.0


def test_a_pod_whose_volume_takes_too_long_is_tried_again_and_finds_it_made() -> None:
    world = World(WAITS, make_claim("c", storage_class="w"), args={"bindTimeoutSeconds": 3}, provisioning="10s")
    world.pod("p", "c")
    assert "context deadline exceeded" in world.until(4).pending_reason("p")
    world.until(60)
    assert world.phase(Pod, "p") == "Running"
    assert 10.0 <= world.bound_at("p") <= 20.0


def test_local_volumes_are_taken_where_they_are_one_each() -> None:
    world = World(STATIC, make_claim("c0", storage_class="w"), make_claim("c1", storage_class="w"))
    world.create(local("v0", "n0"), local("v1", "n1"))
    world.until(1)
    world.pod("p0", "c0")
    world.pod("p1", "c1")
    world.until(30)
    assert sorted([world.node_of("p0"), world.node_of("p1")]) == ["n0", "n1"]
    for number in range(2):
        claim = world.get(PersistentVolumeClaim, f"c{number}")
        assert claim.spec.volume_name.replace("v", "n") == world.node_of(f"p{number}")


def test_a_pod_waits_for_a_local_volume_to_appear() -> None:
    world = World(STATIC, make_claim("c", storage_class="w"))
    world.pod("p", "c")
    assert "2 node(s) didn't find available persistent volumes to bind" in world.until(5).pending_reason("p")
    world.create(local("v", "n1", phase="Pending"))
    assert world.until(60).node_of("p") == "n1"


def test_a_volume_can_be_reached_from_where_its_driver_says_the_node_is() -> None:
    topology = [make_csi_node(f"n{i}", {DRIVER: None}, topology_keys=[ZONE]) for i in range(2)]
    world = World(WAITS, *topology, make_claim("c", storage_class="w"))
    world.pod("first", "c", nodeSelector={ZONE: "z1"})
    world.until(10)
    world.delete(Pod, "first")
    world.until(11)
    world.pod("second", "c")
    assert world.until(30).node_of("second") == "n1", "without the volume n0 would be first by name"


def test_a_pod_deleted_while_its_volume_is_made_is_not_bound() -> None:
    world = World(WAITS, make_claim("c", storage_class="w"), nodes=1, provisioning="5s")
    world.pod("p", "c")
    world.until(2)
    world.delete(Pod, "p")
    world.pod("next")
    world.until(30)
    assert world.get(Pod, "p") is None
    assert world.node_of("next") == "n0"
    assert world.cluster.scheduler.cache.table.pod_counts() == {"n0": 1}


# -- Immediate binding (pv_controller.go: findBestMatchForClaim, provisionClaim) ---------------------------------


def test_a_claim_gets_the_smallest_volume_that_will_do_without_any_pod() -> None:
    volumes = [
        make_volume(name, storage_class="i", size=size) for name, size in (("s", "1Gi"), ("l", "9Gi"), ("m", "4Gi"))
    ]
    world = World(make_storage_class("i", mode="Immediate", provisioner="kubernetes.io/no-provisioner"), *volumes)
    world.create(make_claim("c", storage_class="i", size="2Gi"))
    world.until(5)
    assert world.get(PersistentVolumeClaim, "c").spec.volume_name == "m"
    assert [world.phase(PersistentVolume, name) for name in "sml"] == ["Available", "Bound", "Available"]


def test_a_pod_waits_for_its_claim_to_be_bound_and_is_tried_again_when_it_is() -> None:
    world = World(IMMEDIATE, make_claim("c", storage_class="i"), provisioning="20s")
    world.pod("p", "c")
    assert "pod has unbound immediate PersistentVolumeClaims" in world.until(5).pending_reason("p")
    world.until(60)
    assert world.phase(Pod, "p") == "Running"
    assert world.bound_at("p") == 20.0


def test_a_pod_waits_for_a_claim_that_is_not_there_yet() -> None:
    world = World(IMMEDIATE)
    world.pod("p", "c")
    assert 'persistentvolumeclaim "c" not found' in world.until(5).pending_reason("p")
    world.create(make_claim("c", storage_class="i"))
    assert world.until(60).phase(Pod, "p") == "Running"


@pytest.mark.parametrize(
    ("policy", "after"),
    [
        pytest.param("Delete", None, id="a volume that was made for a claim goes with it"),
        pytest.param("Retain", "Released", id="unless it is to be retained"),
    ],
)
def test_what_becomes_of_a_volume_when_its_claim_is_deleted(policy: str, after: str | None) -> None:
    world = World(make_storage_class("i", mode="Immediate", reclaimPolicy=policy), make_claim("c", storage_class="i"))
    name = world.until(5).get(PersistentVolumeClaim, "c").spec.volume_name
    world.delete(PersistentVolumeClaim, "c")
    world.create(make_claim("c", storage_class="i", metadata={"uid": None}))
    volume = world.until(10).get(PersistentVolume, name)
    assert (volume.status.phase if volume is not None else None) == after
    assert world.get(PersistentVolumeClaim, "c").spec.volume_name != name, "the next claim of that name gets another"


def test_a_claim_whose_volume_is_deleted_is_lost_and_so_are_its_pods() -> None:
    world = World(IMMEDIATE, make_claim("c", storage_class="i"))
    name = world.until(5).get(PersistentVolumeClaim, "c").spec.volume_name
    world.delete(PersistentVolume, name)
    assert world.until(6).phase(PersistentVolumeClaim, "c") == "Lost"
    world.pod("p", "c")
    assert f'"c" bound to non-existent persistentvolume "{name}"' in world.until(8).pending_reason("p")


# -- ephemeral volumes (pkg/controller/volume/ephemeral) ---------------------------------------------------------


def test_an_ephemeral_volume_lives_as_long_as_its_pod() -> None:
    world = World(WAITS)
    spec = {"storageClassName": "w", "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "3Gi"}}}
    world.create(harness.pod("p", volumes=[{"name": "s", "ephemeral": {"volumeClaimTemplate": {"spec": spec}}}]))
    world.until(20)
    assert world.phase(Pod, "p") == "Running"
    claim = world.get(PersistentVolumeClaim, "p-s")
    assert claim.metadata.controller.uid == world.get(Pod, "p").metadata.uid
    world.delete(Pod, "p")
    world.until(30)
    assert world.get(PersistentVolumeClaim, "p-s") is None
    assert world.get(PersistentVolume, claim.spec.volume_name) is None


# -- limits and access modes (queue: EventsToRegister) -----------------------------------------------------------


def test_a_pod_that_needs_the_only_attachment_waits_for_it() -> None:
    claims = [make_claim(name, storage_class="w") for name in ("c0", "c1")]
    world = World(WAITS, make_csi_node("n0", {DRIVER: 1}), *claims, nodes=1)
    world.pod("p0", "c0")
    world.until(5)
    world.pod("p1", "c1")
    assert "1 node(s) exceed max volume count" in world.until(10).pending_reason("p1")
    world.delete(Pod, "p0")
    assert world.until(60).phase(Pod, "p1") == "Running"


def test_a_new_csi_node_may_help() -> None:
    world = World(WAITS, make_csi_node("n0", {DRIVER: 0}), make_claim("c", storage_class="w"), nodes=1)
    world.pod("p", "c")
    world.until(5)
    world.delete(CSINode, "n0")
    world.create(make_csi_node("n0", {DRIVER: 1}))
    assert world.until(60).phase(Pod, "p") == "Running"


def test_a_claim_for_one_pod_is_handed_on() -> None:
    world = World(IMMEDIATE, make_claim("c", storage_class="i", modes=["ReadWriteOncePod"]))
    world.until(5)
    world.pod("p0", "c")
    world.until(6)
    world.pod("p1", "c")
    assert "ReadWriteOncePod" in world.until(10).pending_reason("p1")
    world.delete(Pod, "p0")
    assert world.until(60).phase(Pod, "p1") == "Running"


def test_the_same_world_twice_writes_the_same_history() -> None:
    def digest() -> str:
        world = World(WAITS, *(make_claim(f"c{i}", storage_class="w") for i in range(6)), provisioning="1500ms")
        for i in range(6):
            world.pod(f"p{i}", f"c{i}")
        return world.until(60).history.digest()

    assert digest() == digest()
