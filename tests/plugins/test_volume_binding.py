"""VolumeBinding, row by row (upstream: volumebinding/*_test.go)."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from ksched.framework import Cycle, Framework, Status, load_configuration
from ksched.framework.explain_manifests import explain_objects
from ksched.framework.listers import Listers
from ksched.objects import Pod
from ksched.objects.storage import PersistentVolume
from ksched.objects.volume_claims import BIND_COMPLETED, SELECTED_NODE
from ksched.tables import NodeView, PodView
from ksched.testing import Answer, ask, make_node, make_pod
from ksched.testing.factories import make_table
from ksched.testing.storage_factories import (
    claim_volume,
    make_capacity,
    make_claim,
    make_csi_driver,
    make_csi_node,
    make_storage_class,
    make_volume,
)
from ksched_plugins.kubernetes.volume_binding import VolumeBinding, VolumeBindingArgs
from ksched_plugins.kubernetes.volume_matching import Candidates, VolumePool

UNRESOLVABLE = "UnschedulableAndUnresolvable"
UNREACHABLE = "node(s) had volume node affinity conflict"
NO_VOLUME = "node(s) didn't find available persistent volumes to bind"
NO_SPACE = "node(s) did not have enough free storage"
GONE = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"
ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"

NODES = [make_node("a", labels={ZONE: "z1"}), make_node("b", labels={ZONE: "z2"}), make_node("c", labels={ZONE: "z2"})]
WAITS, STATIC = make_storage_class("w"), make_storage_class("w", provisioner="kubernetes.io/no-provisioner")


def plugin() -> VolumeBinding:
    return VolumeBinding(VolumeBindingArgs())


def rejected(answer: Answer) -> dict[str, str]:
    """Reasons by rejected node; every code is unresolvable."""
    assert answer.filter is not None
    found = {name: verdict for name, verdict in answer.filter.items() if verdict is not None}
    assert all(code == UNRESOLVABLE for code, _ in found.values())
    return {name: " & ".join(reasons) for name, (_, reasons) in found.items()}


def asked(*objects: Any, claims: tuple[str, ...] = ("c",), nodes: Any = NODES) -> dict[str, str]:
    return rejected(ask(plugin(), make_pod(volumes=claim_volume(*claims)), nodes, objects=objects))


SCRATCH = [{"name": "s", "ephemeral": {"volumeClaimTemplate": {"spec": {"accessModes": ["ReadWriteOnce"]}}}}]
POD = make_pod("p", volumes=claim_volume("c"))
EPHEMERAL = make_pod("p", volumes=SCRATCH)


@pytest.mark.parametrize(
    ("pod", "objects", "reason"),
    [
        pytest.param(POD, [], 'persistentvolumeclaim "c" not found', id="a missing claim"),
        pytest.param(
            POD,
            [make_claim("c", volume="v", phase="Lost")],
            'persistentvolumeclaim "c" bound to non-existent persistentvolume "v"',
            id="a lost claim",
        ),
        pytest.param(
            POD,
            [make_claim("c", metadata={"deletionTimestamp": "2024-01-01T00:00:00Z"})],
            'persistentvolumeclaim "c" is being deleted',
            id="a claim that is being deleted",
        ),
        pytest.param(
            POD,
            [make_claim("c", storage_class="i"), make_storage_class("i", mode="Immediate")],
            "pod has unbound immediate PersistentVolumeClaims",
            id="a claim that should be bound at once",
        ),
        pytest.param(
            POD, [make_claim("c")], "pod has unbound immediate PersistentVolumeClaims", id="a claim without a class"
        ),
        pytest.param(
            POD,
            [make_claim("c", storage_class="w", volume="v", bound=False), WAITS],
            "pod has unbound immediate PersistentVolumeClaims",
            id="a claim that names its volume and is not bound yet",
        ),
        pytest.param(
            EPHEMERAL,
            [],
            'waiting for ephemeral volume controller to create the persistentvolumeclaim "p-s"',
            id="an ephemeral volume whose claim is not there yet",
        ),
        pytest.param(
            EPHEMERAL,
            [make_claim("p-s", owner="another")],
            "PVC default/p-s was not created for pod default/p (pod is not owner)",
            id="an ephemeral volume whose claim is another pod's",
        ),
    ],
)
def test_claims_that_reject_the_pod_everywhere(pod: Pod, objects: list[Any], reason: str) -> None:
    answer = ask(plugin(), pod, NODES, objects=objects)
    assert answer.pre_filter is not None and answer.pre_filter.status is not None
    assert (answer.pre_filter.status.code.value, answer.pre_filter.status.reasons) == (UNRESOLVABLE, (reason,))


@pytest.mark.parametrize(
    "volumes",
    [
        pytest.param([], id="a pod without volumes is skipped"),
        pytest.param([{"name": "d", "awsElasticBlockStore": {"volumeID": "x"}}], id="so is one with disks only"),
    ],
)
def test_skipped(volumes: list[Any]) -> None:
    answer = ask(plugin(), make_pod(volumes=volumes), NODES)
    assert answer.pre_filter is not None and answer.pre_filter.skipped and answer.raw is None


# -- bound claims -----------------------------------------------------------------------------------------------


def gce_volume(**more: Any) -> Any:
    return make_volume("v", claim="c", source={"gcePersistentDisk": {"pdName": "d"}}, **more)


BOUND = make_claim("c", volume="v")
MIGRATED = [make_csi_node(name, migrated="kubernetes.io/gce-pd") for name in "ab"]
GKE_NODES = [make_node(name, labels={ZONE: z, "topology.gke.io/zone": z}) for name, z in (("a", "z1"), ("b", "z2"))]


@pytest.mark.parametrize(
    ("objects", "expected"),
    [
        pytest.param([make_volume("v", claim="c")], {}, id="a volume without affinity can be reached from everywhere"),
        pytest.param(
            [make_volume("v", claim="c", affinity=[f"{ZONE} In z1"])],
            {"b": UNREACHABLE, "c": UNREACHABLE},
            id="an affinity keeps the pod near its volume",
        ),
        pytest.param(
            [make_volume("v", claim="c", affinity=[f"{ZONE} In z1", f"{HOST} In c"])],
            {"b": UNREACHABLE},
            id="one term of several is enough",
        ),
        pytest.param(
            [make_volume("v", claim="c", affinity=[(f"{ZONE} In z2", f"{HOST} NotIn b")])],
            {"a": UNREACHABLE, "b": UNREACHABLE},
            id="all of one term must hold",
        ),
        pytest.param([], dict.fromkeys("abc", GONE), id="a volume that is gone cannot be reached at all"),
    ],
)
def test_bound_claims(objects: list[Any], expected: dict[str, str]) -> None:
    assert asked(BOUND, *objects) == expected


@pytest.mark.parametrize(
    ("volume", "nodes", "expected"),
    [
        pytest.param(
            gce_volume(labels={ZONE: "z1"}), GKE_NODES, {"b": UNREACHABLE}, id="the zone label becomes an affinity"
        ),
        pytest.param(
            gce_volume(affinity=["failure-domain.beta.kubernetes.io/zone In z2"]),
            GKE_NODES,
            {"a": UNREACHABLE},
            id="an affinity to an old zone label is one to the driver's label",
        ),
        pytest.param(
            gce_volume(labels={ZONE: "z1"}), NODES[:2], dict.fromkeys("ab", UNREACHABLE), id="which the nodes must have"
        ),
    ],
)
def test_in_tree_volumes_as_nodes_with_a_migrated_plugin_see_them(volume: Any, nodes: Any, expected: Any) -> None:
    assert asked(BOUND, volume, *MIGRATED, nodes=nodes) == expected
    as_it_is = asked(BOUND, volume, nodes=nodes)
    assert set(as_it_is) == ({"a", "b"} if volume.spec.node_affinity else set())


# -- claims that wait: existing volumes -------------------------------------------------------------------------


def waiting(name: str = "c", **more: Any) -> Any:
    return make_claim(name, storage_class="w", **more)


def free(name: str, *hosts: str, **more: Any) -> Any:
    """An available volume of class "w" on these nodes."""
    return make_volume(name, **{"storage_class": "w", "affinity": [f"{HOST} In {','.join(hosts)}"], **more})


ONLY_A = {"b": NO_VOLUME, "c": NO_VOLUME}
NOWHERE = dict.fromkeys("abc", NO_VOLUME)


@pytest.mark.parametrize(
    ("claim", "volumes", "expected"),
    [
        pytest.param(waiting(), [free("v", "a")], ONLY_A, id="a node needs a volume it can reach"),
        pytest.param(waiting(size="2Gi"), [free("v", "a")], NOWHERE, id="that is large enough"),
        pytest.param(waiting(modes=["ReadWriteMany"]), [free("v", "a")], NOWHERE, id="with the access modes"),
        pytest.param(waiting(volumeMode="Block"), [free("v", "a")], NOWHERE, id="of the mode"),
        pytest.param(waiting(), [free("v", "a", storage_class="x")], NOWHERE, id="and of the class"),
        pytest.param(waiting(), [free("v", "a", phase="Released")], NOWHERE, id="nobody used before"),
        pytest.param(waiting(), [free("v", "a", claim="other")], NOWHERE, id="nobody else has"),
        pytest.param(
            waiting(selector={"matchLabels": {"tier": "fast"}}),
            [free("v", "a", labels={"tier": "fast"}), free("w", "b")],
            ONLY_A,
            id="with the labels its selector asks for",
        ),
        pytest.param(
            waiting(),
            [free("v", "a", claim="c", phase="Available"), free("w", "b")],
            ONLY_A,
            id="one reserved for it is it",
        ),
        pytest.param(
            waiting(size="2Gi"),
            [free("v", "a", claim="c", phase="Available"), free("w", "b", size="2Gi")],
            {"a": NO_VOLUME, "c": NO_VOLUME},
            id="unless it is too small",
        ),
        pytest.param(
            waiting(selected_node="b"), [free("v", "a")], NOWHERE, id="once a node is selected none is looked for"
        ),
    ],
)
def test_existing_volumes_for_claims_that_wait(claim: Any, volumes: list[Any], expected: dict[str, str]) -> None:
    assert asked(claim, STATIC, *volumes) == expected


def test_two_claims_need_two_volumes() -> None:
    volumes = [free("v1", "a", "b"), free("v2", "b")]
    assert asked(waiting("c"), waiting("d"), STATIC, *volumes, claims=("c", "d")) == {"a": NO_VOLUME, "c": NO_VOLUME}


def test_the_smaller_claim_chooses_first_whatever_the_order_of_volumes() -> None:
    # Asked in the pod's order the large claim would take nothing the small one needs, the small one all it needs.
    volumes = [free("small", "a", size="1Gi"), free("large", "a", size="5Gi")]
    objects = [waiting("large", size="3Gi"), waiting("small"), STATIC, *volumes]
    assert set(asked(*objects, claims=("large", "small"))) == {"b", "c"}


def test_reasons_about_bound_and_waiting_claims_add_up() -> None:
    bound, volume = make_claim("bound", volume="v"), make_volume("v", claim="bound", affinity=[f"{HOST} In b"])
    found = asked(bound, volume, waiting(), STATIC, free("w", "b"), claims=("bound", "c"))
    assert found == dict.fromkeys("ac", f"{NO_VOLUME} & {UNREACHABLE}")


# -- claims that wait: volumes to be made -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("claim", "objects", "expected"),
    [
        pytest.param(waiting(), [WAITS], {}, id="a volume can be made anywhere"),
        pytest.param(waiting(), [make_storage_class("w", zones=["z1"])], ONLY_A, id="where the class allows it"),
        pytest.param(waiting(), [STATIC], NOWHERE, id="nowhere by a class without provisioner"),
        pytest.param(waiting(selected_node="a"), [WAITS], ONLY_A, id="only on the node that was selected before"),
        pytest.param(
            waiting(), [WAITS, make_csi_driver()], dict.fromkeys("abc", NO_SPACE), id="where no capacity is known, none"
        ),
        pytest.param(
            waiting(), [WAITS, make_csi_driver(storage_capacity=False)], {}, id="unless the driver does not track it"
        ),
        pytest.param(
            waiting(size="3Gi"),
            [
                WAITS,
                make_csi_driver(),
                make_capacity("1", "w", "4Gi", {ZONE: "z1"}),
                make_capacity("2", "w", "2Gi", {ZONE: "z2"}),
            ],
            {"b": NO_SPACE, "c": NO_SPACE},
            id="where a pool has room",
        ),
        pytest.param(
            waiting(size="3Gi"),
            [WAITS, make_csi_driver(), make_capacity("1", "w", "4Gi", {ZONE: "z1"}, maximumVolumeSize="2Gi")],
            dict.fromkeys("abc", NO_SPACE),
            id="for a volume that large",
        ),
        pytest.param(
            waiting(),
            [WAITS, make_csi_driver(), make_capacity("1", "other", "4Gi", {ZONE: "z1"})],
            dict.fromkeys("abc", NO_SPACE),
            id="of this class",
        ),
        pytest.param(
            waiting(size="9Gi"),
            [WAITS, make_csi_driver(), free("v", "b", size="9Gi")],
            {"a": NO_SPACE, "c": NO_SPACE},
            id="but an existing volume needs no room",
        ),
    ],
)
def test_volumes_to_be_made_for_claims_that_wait(claim: Any, objects: list[Any], expected: dict[str, str]) -> None:
    assert asked(claim, *objects) == expected


# -- Reserve to PreBind -----------------------------------------------------------------------------------------


class FakeApi:
    """Answers at once; keeps what was written. ``refuse``: error for everything."""

    def __init__(self, refuse: str | None = None) -> None:
        self.written: list[Any] = []
        self._refuse = refuse

    def update(self, obj: Any, then: Any) -> None:
        if self._refuse:
            then(None, self._refuse)
            return
        self.written.append(obj)
        then(obj, None)


class Cycles:
    """Pods that use claim "c", one after another, over one framework and cluster."""

    def __init__(self, *objects: Any) -> None:
        self.objects = Listers(objects)
        profile = load_configuration({"profiles": [{}]}).profiles[0]
        self.framework = Framework(profile, make_table(NODES), objects=self.objects)

    def schedule(self, name: str = "p", *claims: str) -> tuple[Cycle, PodView, str | None]:
        pod = PodView(make_pod(name, volumes=claim_volume(*(claims or ("c",)))))
        cycle = self.framework.new_cycle(pod)
        node = self.framework.schedule(pod, cycle).node
        if node is not None:
            assert self.framework.reserve(cycle, pod, node) is None
        return cycle, pod, node


def test_a_volume_that_was_reserved_is_not_to_be_had_until_it_is_given_back() -> None:
    cycles = Cycles(waiting("c"), waiting("d"), STATIC, free("v", "a"))
    cycle, pod, node = cycles.schedule("first", "c")
    assert node == "a"
    assert cycles.schedule("second", "d")[2] is None
    cycles.framework.unreserve(cycle, pod, "a")
    assert cycles.schedule("second", "d")[2] == "a"


def test_pods_that_share_a_claim_share_the_volume_reserved_for_it() -> None:
    cycles = Cycles(waiting(modes=["ReadWriteOnce"]), STATIC, free("v", "b"), free("w", "a", size="2Gi"))
    assert cycles.schedule("first")[2] == "b"
    assert cycles.schedule("second")[2] == "b", "the smallest volume is on b; only it is the claim's from then on"


def test_a_claim_for_which_a_volume_is_being_made_ties_other_pods_to_the_node() -> None:
    cycles = Cycles(waiting(), WAITS)
    node = cycles.schedule("first")[2]
    assert [cycles.schedule(f"p{i}")[2] for i in range(5)] == [node] * 5


def test_an_assumption_ends_when_the_api_server_knows_better() -> None:
    cycles = Cycles(waiting("c"), waiting("d"), STATIC, free("v", "a"))
    cycles.schedule("first", "c")
    volume = free("v", "a")
    cycles.objects.put(volume.replaced(metadata=volume.metadata.replaced(resource_version="7")))
    assert cycles.schedule("second", "d")[2] == "a"


def test_pre_bind_writes_the_claim_and_waits_until_it_is_bound() -> None:
    cycles = Cycles(waiting(), WAITS)
    cycle, pod, node = cycles.schedule()
    assert node is not None
    api = cycle.api = FakeApi()
    assert cycles.framework.pre_bind(cycle, pod, node) == Status.wait(1.0).by("VolumeBinding")
    (claim,) = api.written
    assert claim.metadata.annotations[SELECTED_NODE] == node
    cycles.objects.put(claim)
    assert cycles.framework.pre_bind(cycle, pod, node) == Status.wait(1.0).by("VolumeBinding"), "not bound yet"
    annotations = claim.metadata.annotations | {BIND_COMPLETED: "yes"}
    bound = claim.replaced(
        metadata=claim.metadata.replaced(annotations=annotations), spec=claim.spec.replaced(volume_name="made")
    )
    cycles.objects.put(bound)
    cycles.objects.put(make_volume("made", claim="c", storage_class="w"))
    assert cycles.framework.pre_bind(cycle, pod, node) is None


def _lose_node(claim: Any) -> Any:
    annotations = {k: v for k, v in claim.metadata.annotations.items() if k != SELECTED_NODE}
    return claim.replaced(metadata=claim.metadata.replaced(annotations=annotations))


@pytest.mark.parametrize(
    ("api", "change", "reason"),
    [
        pytest.param(FakeApi("conflict"), None, "conflict", id="when the write is refused"),
        pytest.param(
            FakeApi(),
            _lose_node,
            'binding volumes: provisioning failed for PVC "c"',
            id="when the provisioner gives up",
        ),
    ],
)
def test_pre_bind_fails(api: FakeApi, change: Any, reason: str) -> None:
    cycles = Cycles(waiting(), WAITS)
    cycle, pod, node = cycles.schedule()
    assert node is not None
    cycle.api = api
    cycles.framework.pre_bind(cycle, pod, node)
    if change is not None:
        cycles.objects.put(change(api.written[0]))
    status = cycles.framework.pre_bind(cycle, pod, node)
    assert status is not None and (status.code.value, status.reasons) == ("Error", (reason,))


def test_pre_bind_gives_up_after_the_time_its_arguments_set() -> None:
    made = VolumeBinding(VolumeBindingArgs(bind_timeout_seconds=3))
    objects = Listers([waiting(), WAITS])
    table = make_table(NODES)
    pod = PodView(POD)
    cycle = Cycle(table, pod, now=0, seed=0, objects=objects)
    cycle.api = api = FakeApi()
    assert made.pre_filter(cycle, pod) is None and made.reserve(cycle, pod, "a") is None
    codes = []
    while not codes or codes[-1] == "Wait":
        status = made.pre_bind(cycle, pod, "a")
        assert status is not None
        codes.append(status.code.value)
        objects.put(api.written[0])
    assert codes == ["Wait", "Wait", "Wait", "Error"]


def test_a_pod_whose_claims_are_bound_is_not_delayed() -> None:
    cycles = Cycles(BOUND, make_volume("v", claim="c"))
    cycle, pod, node = cycles.schedule()
    assert node is not None
    cycle.api = api = FakeApi()
    assert cycles.framework.pre_bind(cycle, pod, node) is None and api.written == []


# -- kept current -----------------------------------------------------------------------------------------------


def _volume(dice: random.Random) -> Any:
    zone, hosts = dice.choice(["z1", "z2"]), dice.choice(["a", "b", "a,c", "nowhere"])
    affinity = dice.choice(
        [[f"{HOST} In {hosts}"], [f"{ZONE} In {zone}"], [f"{ZONE} In {zone}", f"{HOST} In {hosts}"], []]
    )
    return make_volume(
        f"v{dice.randrange(8)}",
        storage_class=dice.choice(["w", "w", "x"]),
        size=f"{dice.randrange(1, 5)}Gi",
        affinity=affinity,
        claim=dice.choice([None, None, None, None, "other"]),
        phase=dice.choice(["Available", "Available", "Released"]),
    )


def _smallest(volumes: Iterable[Any], claim: Any, labels: Mapping[str, str], gone: set[str]) -> str | None:
    """The size of the volume a plain search finds, following upstream's FindMatchingVolume line by line."""
    best: Any = None
    for volume in volumes:
        if volume.name in gone or volume.spec.claim_ref is not None:
            continue
        if volume.spec.capacity["storage"] < claim.spec.resources.requests["storage"]:
            continue
        if volume.status.phase != "Available" or volume.spec.storage_class_name != claim.spec.storage_class_name:
            continue
        terms = volume.spec.node_affinity.required.node_selector_terms if volume.spec.node_affinity else None
        if terms is not None and not any(
            all(labels.get(e.key) in e.values for e in term.match_expressions) for term in terms
        ):
            continue
        if best is None or best.spec.capacity["storage"] > volume.spec.capacity["storage"]:
            best = volume
    return None if best is None else str(best.spec.capacity["storage"])


@pytest.mark.parametrize("seed", range(15))
def test_a_pool_kept_current_finds_what_a_plain_search_finds(seed: int) -> None:
    dice = random.Random(seed)
    objects = Listers()
    claim = waiting(size="2Gi")
    pool, nodes = VolumePool(claim), NodeView(make_table(NODES))
    found = 0
    for _ in range(80):
        volume = _volume(dice)
        (objects.remove if dice.random() < 0.25 else objects.put)(volume)
        if dice.random() < 0.5:
            continue
        pool.refresh(objects)
        gone = {f"v{dice.randrange(8)}" for _ in range(dice.randrange(3))}
        candidates = Candidates(claim, (), pool, gone)
        expected = [_smallest(objects.list(PersistentVolume), claim, node.metadata.labels, gone) for node in NODES]
        best = [candidates.best(node.metadata.labels, frozenset()) for node in NODES]
        assert [str(v.spec.capacity["storage"]) if v else None for v in best] == expected
        assert candidates.exist(nodes).tolist() == [size is not None for size in expected]
        found += sum(size is not None for size in expected)
    assert found > 10


def test_an_explanation_of_manifests_knows_the_claims_in_them() -> None:
    pod = make_pod("p", volumes=claim_volume("c"))
    said = explain_objects([*NODES, pod, BOUND, make_volume("v", claim="c", affinity=[f"{HOST} In b"])], "p")
    assert said.decision.node == "b"
    assert set(said.rejections()["reason"]) == {UNREACHABLE}
