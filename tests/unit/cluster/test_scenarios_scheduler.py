"""What kube-scheduler does over time, a sentence each; every section says what in upstream it is derived from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ksched.cluster import Cluster, ClusterConfig
from ksched.cluster.scheduler import Scheduler, SchedulerConfig
from ksched.framework import SchedulerConfiguration, Status, TieBreak, default_configuration
from ksched.framework.profile import Enabled, Profile
from ksched.framework.protocols import POINTS, implements
from ksched.framework.registry import PluginClass
from ksched.objects import Node, Pod
from ksched.sim import SECOND

from . import harness


def with_plugins(*classes: type, name: str = "default-scheduler") -> Profile:
    """The default profile with ``classes`` behind its own plugins."""
    base = default_configuration().profiles[0]
    found = [PluginClass(cls.name, cls, f"{cls.__module__}:{cls.__qualname__}") for cls in classes]
    points = {
        point: (*base.points[point], *(Enabled(p) for p in found if implements(p.cls, point))) for point in POINTS
    }
    return replace(base, scheduler_name=name, points=points)


class World:
    """A cluster with the real scheduler, and a diary of what it decided."""

    def __init__(self, *classes: type, nodes: int = 1, profiles: tuple[Profile, ...] = (), **config: Any) -> None:
        self.decisions: list[tuple[float, str, str | None]] = []
        self.cluster = Cluster(ClusterConfig(), self._scheduler(profiles or (with_plugins(*classes),), config))
        self.scheduler: Scheduler = self.cluster.scheduler
        for i in range(nodes):
            self.node(f"n{i}")
        self.until(0)

    def _scheduler(self, profiles: tuple[Profile, ...], config: dict[str, Any]) -> Any:
        def make(cluster: Cluster) -> Scheduler:
            made = Scheduler(
                cluster.kernel,
                cluster.api.client("kube-scheduler"),
                SchedulerConfiguration(profiles),
                seed=0,
                streams=cluster.streams,
                config=SchedulerConfig(**{"tie_break": TieBreak.NAME} | config),
            )
            made.on_decision.append(lambda d: self.decisions.append((cluster.kernel.now / SECOND, d.pod.name, d.node)))
            return made

        return make

    def node(self, name: str, labels: dict[str, str] | None = None, spec: Any = None, **allocatable: str) -> None:
        made = harness.node(name, **allocatable).to_dict()
        made["metadata"]["labels"] = labels or {}
        self.cluster.client.create(harness.parse(made | {"spec": spec or {}}))

    def pod(self, name: str, *, cpu: str = "1", labels: dict[str, str] | None = None, **spec: Any) -> None:
        container = {"name": "main", "image": "work", "resources": {"requests": {"cpu": cpu}}}
        self.cluster.client.create(
            harness.pod(name, metadata={"labels": labels or {}}, **{"containers": [container], **spec})
        )

    def change_node(self, name: str, **parts: Any) -> None:
        def change(current: Node) -> Node:
            body = current.to_dict()
            for part, values in parts.items():
                body[part] = {**body.get(part, {}), **values}
            return harness.parse(body)

        self.cluster.client.patch(Node, None, name, change, subresource="status" if "status" in parts else None)

    def delete(self, name: str) -> None:
        self.cluster.client.delete(Pod, "default", name, grace_seconds=0)

    def until(self, seconds: float) -> None:
        self.cluster.run(int(seconds * SECOND))

    def bound(self) -> dict[str, str]:
        return {p.name: p.spec.node_name for p in self.scheduler.pods.list() if p.spec.node_name}

    def attempts(self, name: str) -> list[float]:
        return [time for time, pod, _ in self.decisions if pod == name]


# -- queue order: queuesort/priority_sort.go; scheduling_queue_test.go TestPriorityQueue_Add --------------------------


def test_while_the_scheduler_is_busy_pods_queue_by_priority_and_then_by_age() -> None:
    world = World(decision={"kind": "constant", "value": "1s"})
    for name, priority in (("busy", 0), ("low", 0), ("high", 10), ("high-too", 10), ("negative", -5)):
        world.pod(name, priority=priority)
        world.until(world.cluster.kernel.now / SECOND + 0.01)
    world.until(60)
    assert [name for _, name, _ in world.decisions] == ["busy", "high", "high-too", "low", "negative"]


# -- binding cycles beside scheduling cycles: schedule_one.go ScheduleOne ----------------------------------------------


class Diary:
    """When which pod came to be bound."""

    name = "Diary"

    def __init__(self) -> None:
        self.lines: list[str] = []

    def reserve(self, cycle, pod, node_name):
        self.lines.append(f"reserve {pod.name}")

    def pre_bind(self, cycle, pod, node_name):
        self.lines.append(f"bind {pod.name}")


def test_pods_that_come_together_are_all_decided_before_the_first_of_them_is_bound() -> None:
    world = World(Diary)
    for name in ("a", "b"):
        world.pod(name)
    world.until(1)
    (diary,) = (framework.plugins["Diary"] for framework in world.scheduler.frameworks.values())
    assert diary.lines == ["reserve a", "reserve b", "bind a", "bind b"]


# -- back-off: scheduling_queue.go calculateBackoffDuration; scheduling_queue_test.go TestBackOffFlow -----------------


class FailsSixTimes:
    """An error (the api-server hiccups, say), not a rejection: no event is waited for."""

    name = "FailsSixTimes"

    def __init__(self) -> None:
        self.left = 6

    def pre_bind(self, cycle, pod, node_name):
        self.left -= 1
        return Status.error("hiccup") if self.left >= 0 else None


def test_back_off_doubles_from_one_second_to_ten_and_stays_there() -> None:
    world = World(FailsSixTimes)
    world.pod("p")
    world.until(120)
    assert world.attempts("p") == [0, 1, 3, 7, 15, 25, 35]
    assert world.bound() == {"p": "n0"}


# -- the unschedulable pool: flushUnschedulablePodsLeftover; TestHighPriorityFlushUnschedulablePodsLeftover -----------


def test_a_pod_nothing_happens_for_is_tried_again_after_more_than_five_minutes_at_a_look_every_thirty_seconds() -> None:
    world = World()
    world.pod("p", cpu="100")
    world.until(1000)
    assert world.attempts("p") == [0, 330, 660, 990]


# -- which events wake whom: EventsToRegister of each plugin; eventhandlers_test.go TestPreCheckForNode; ---------------
# -- test/integration/scheduler/queue_test.go TestSchedulingGates, TestCoreResourceEnqueue ----------------------------


def waiting(world: World, **spec: Any) -> None:
    """A pod that was tried in vain and whose back-off is over."""
    world.pod("p", **spec)
    world.until(100)
    assert world.attempts("p") == [0]


def test_a_new_node_wakes_a_pod_that_fits_on_it() -> None:
    world = World()
    waiting(world, cpu="10")
    world.node("large", cpu="16")
    world.until(101)
    assert world.attempts("p") == [0, 100]
    assert world.bound() == {"p": "large"}


NODES_THAT_DO_NOT_HELP: list[tuple[str, dict[str, Any]]] = [
    ("too small", {"cpu": "9"}),
    ("without room for another pod", {"cpu": "16", "pods": "0"}),
    ("tainted", {"cpu": "16", "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}),
    ("of the wrong kind", {"cpu": "16", "labels": {"disk": "hdd"}}),
]


@pytest.mark.parametrize(("sentence", "node"), NODES_THAT_DO_NOT_HELP, ids=[r[0] for r in NODES_THAT_DO_NOT_HELP])
def test_a_new_node_wakes_no_pod_if_it_is(sentence: str, node: dict[str, Any]) -> None:
    world = World()
    waiting(world, cpu="10", nodeSelector={"disk": "ssd"})
    world.node("other", **{"labels": {"disk": "ssd"}} | node)
    world.until(200)
    assert world.attempts("p") == [0]


def allocatable(**amounts: str) -> dict[str, Any]:
    return {"status": {"allocatable": {"memory": "32Gi", "pods": "110"} | amounts}}


CHANGES: list[tuple[str, dict[str, Any], dict[str, Any], bool]] = [
    (
        "more allocatable wakes who lacked it",
        {"cpu": "10"},
        {"status": {"allocatable": {"cpu": "16", "pods": "9"}}},
        True,
    ),
    (
        "a label wakes who selected it",
        {"nodeSelector": {"disk": "ssd"}},
        {"metadata": {"labels": {"disk": "ssd"}}},
        True,
    ),
    (
        "another label does not",
        {"nodeSelector": {"disk": "ssd"}},
        {"metadata": {"labels": {"disk": "hdd"}}},
        False,
    ),
    (
        "more allocatable that is still too little does not",
        {"cpu": "10"},
        {"status": {"allocatable": {"cpu": "9"}}},
        False,
    ),
]


@pytest.mark.parametrize(("sentence", "pod", "change", "woken"), CHANGES, ids=[r[0] for r in CHANGES])
def test_a_changed_node(sentence: str, pod: dict[str, Any], change: dict[str, Any], woken: bool) -> None:
    world = World()
    waiting(world, **pod)
    world.change_node("n0", **change)
    world.until(200)
    assert world.attempts("p") == ([0, 100] if woken else [0])
    assert bool(world.bound()) is woken


def test_removing_the_taint_a_new_node_came_with_wakes_a_pod_that_only_waits_for_new_nodes() -> None:
    """Upstream: buildQueueingHintMap registers UpdateNodeTaint for whoever registers Add (issue 109437)."""
    world = World()
    apart = {"labelSelector": {}, "topologyKey": "host"}
    rules = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}}
    world.change_node("n0", metadata={"labels": {"host": "n0"}})
    world.pod("first")
    world.until(1)
    world.pod("p", affinity=rules)
    world.until(100)
    world.node("n1", labels={"host": "n1"}, spec={"taints": [{"key": "new", "effect": "NoSchedule"}]})
    world.until(101)
    assert world.attempts("p") == [1]
    world.change_node("n1", spec={"taints": []})
    world.until(102)
    assert world.bound() == {"first": "n0", "p": "n1"}


def test_a_pod_that_leaves_wakes_who_lacked_room_and_not_who_wants_another_node() -> None:
    world = World()
    world.pod("runs", cpu="8")
    world.until(1)
    world.pod("lacks-room", cpu="8")
    world.pod("wants-ssd", nodeSelector={"disk": "ssd"})
    world.until(100)
    world.delete("runs")
    world.until(200)
    assert world.bound() == {"lacks-room": "n0"}
    assert world.attempts("wants-ssd") == [1]


def test_a_pod_that_comes_wakes_only_pods_whose_required_affinity_means_it() -> None:
    """scheduling_queue_test.go TestPriorityQueue_AssignedPodAdded, TestAssignedPodAdded."""
    world = World()
    world.change_node("n0", metadata={"labels": {"zone": "a"}})
    for name in ("near-web", "near-db"):
        term = {"labelSelector": {"matchLabels": {"app": name.removeprefix("near-")}}, "topologyKey": "zone"}
        world.pod(name, affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})
    world.pod("large", cpu="100")
    world.until(100)
    world.pod("web", labels={"app": "web"})
    world.until(200)
    assert world.bound() == {"web": "n0", "near-web": "n0"}
    assert world.attempts("near-db") == world.attempts("large") == [0]


def test_an_event_during_an_attempt_that_fails_sends_the_pod_to_back_off_instead_of_the_pool() -> None:
    """scheduling_queue.go moveRequestCycle; TestPriorityQueue_AddUnschedulableIfNotPresent_Backoff."""
    world = World(decision={"kind": "constant", "value": "2s"})
    world.pod("p", cpu="100")
    world.until(1)
    world.node("small")
    world.until(30)
    assert world.attempts("p") == [2, 5]


def test_a_gated_pod_is_tried_as_soon_as_its_last_gate_is_gone() -> None:
    """test/integration/scheduler/queue_test.go TestSchedulingGates."""
    world = World()
    world.pod("p", schedulingGates=[{"name": "a"}, {"name": "b"}])

    def open_gates(*left: str) -> None:
        def change(current: Pod) -> Pod:
            body = current.to_dict()
            body["spec"]["schedulingGates"] = [{"name": name} for name in left]
            return harness.parse(body)

        world.cluster.client.patch(Pod, "default", "p", change)

    world.until(10)
    open_gates("b")
    world.until(20)
    assert world.attempts("p") == []
    open_gates()
    world.until(30)
    assert world.attempts("p") == [20]


class OpensWithANode:
    """A gate of its own that new nodes may open (upstream: PreEnqueue plugins with EnqueueExtensions)."""

    name = "OpensWithANode"

    def __init__(self) -> None:
        self.open = False

    def pre_enqueue(self, pod):
        return None if self.open else Status.unschedulable("closed")


def test_an_event_makes_a_pre_enqueue_plugin_look_again() -> None:
    world = World(OpensWithANode)
    world.pod("p")
    world.until(10)
    world.scheduler.frameworks["default-scheduler"].plugins["OpensWithANode"].open = True
    world.until(20)
    assert world.attempts("p") == []
    world.node("n1")
    world.until(30)
    assert world.attempts("p") == [20]


# -- Permit: scheduling framework docs "Permit"; waiting_pods_map.go; integration test TestPermitPlugin ----------


class Holds:
    """Holds every pod named "held...": for 20 s."""

    name = "Holds"
    seconds = 20.0

    def permit(self, cycle, pod, node_name):
        return Status.wait(self.seconds) if pod.name.startswith("held") else None


class HoldsLonger(Holds):
    name = "HoldsLonger"
    seconds = 50.0


class HoldsForever(Holds):
    name = "HoldsForever"
    seconds = 1e9


def uid(world: World, name: str) -> str:
    return next(p.uid for p in world.scheduler.waiting_pods() if p.name == name)


def test_a_held_pod_counts_on_its_node_and_others_are_scheduled_meanwhile() -> None:
    world = World(Holds)
    world.pod("held", cpu="5")
    world.pod("large", cpu="5")
    world.pod("small")
    world.until(10)
    assert world.bound() == {"small": "n0"}
    assert [p.name for p in world.scheduler.waiting_pods()] == ["held"]


def test_a_held_pod_is_bound_when_it_is_allowed() -> None:
    world = World(Holds)
    world.pod("held")
    world.until(10)
    world.scheduler.allow_waiting(uid(world, "held"))
    world.until(11)
    assert world.bound() == {"held": "n0"}
    world.until(100)
    assert world.attempts("held") == [0]


def test_a_pod_held_too_long_is_rejected_its_room_is_given_to_others_and_it_is_tried_again_after_back_off() -> None:
    world = World(Holds)
    world.pod("held", cpu="5")
    world.pod("large", cpu="5")
    world.until(20.5)
    assert world.bound() == {"large": "n0"}
    world.until(30)
    assert world.attempts("held") == [0, 21]


def test_of_two_plugins_that_hold_a_pod_the_less_patient_rejects_it() -> None:
    world = World(HoldsLonger, Holds)
    world.pod("held")
    world.until(22)
    assert world.attempts("held") == [0, 21]


def test_a_pod_two_plugins_hold_is_bound_when_both_allow_it_and_whoever_did_cannot_time_out() -> None:
    world = World(HoldsLonger, Holds)
    world.pod("held")
    world.until(10)
    world.scheduler.allow_waiting(uid(world, "held"), "Holds")
    world.until(40)
    assert world.bound() == {}
    assert world.attempts("held") == [0]
    world.scheduler.allow_waiting(uid(world, "held"), "HoldsLonger")
    world.until(41)
    assert world.bound() == {"held": "n0"}


def test_no_plugin_holds_a_pod_for_more_than_a_quarter_of_an_hour() -> None:
    """waiting_pods_map.go; framework.go maxTimeout."""
    world = World(HoldsForever)
    world.pod("held")
    world.until(902)
    assert world.attempts("held") == [0, 901]


def test_deleting_a_held_pod_gives_its_room_to_others() -> None:
    """eventhandlers.go deletePodFromSchedulingQueue: RejectWaitingPod, then AssignedPodDelete."""
    world = World(Holds)
    world.pod("held", cpu="5")
    world.pod("large", cpu="5")
    world.until(5)
    world.delete("held")
    world.until(6)
    assert world.bound() == {"large": "n0"}
    assert world.scheduler.waiting_pods() == []


# -- Reserve and Unreserve: scheduling framework docs "Reserve"; framework_test.go TestReservePlugins, -----------------
# -- schedule_one.go handleBindingCycleError; test/integration/scheduler TestReservePluginUnreserve --------------------


def reserving(plugin: str, diary: list[str], *, fails: bool = False) -> type:
    class Reserving:
        name = plugin

        def reserve(self, cycle, pod, node_name):
            diary.append(f"{plugin} reserves")
            return Status.unschedulable("no") if fails else None

        def unreserve(self, cycle, pod, node_name):
            diary.append(f"{plugin} undoes")

    return Reserving


def failing(point: str, code: Any) -> type:
    return type("Fails", (), {"name": "Fails", point: lambda self, cycle, pod, node_name: code})


def test_when_a_reserve_fails_all_plugins_undo_in_reverse_order_also_those_that_were_not_asked() -> None:
    diary: list[str] = []
    world = World(reserving("A", diary), reserving("B", diary, fails=True), reserving("C", diary))
    world.pod("p")
    world.until(0.5)
    assert diary == ["A reserves", "B reserves", "C undoes", "B undoes", "A undoes"]
    assert world.bound() == {}


@pytest.mark.parametrize("point", ["permit", "pre_bind"])
@pytest.mark.parametrize("status", [Status.unschedulable("no"), Status.error("oops")], ids=["rejects", "fails"])
def test_whatever_goes_wrong_after_reserve_is_undone_in_reverse_order(point: str, status: Status) -> None:
    diary: list[str] = []
    world = World(reserving("A", diary), reserving("B", diary), failing(point, status))
    world.pod("p", cpu="8")
    world.until(0.5)
    assert diary == ["A reserves", "B reserves", "B undoes", "A undoes"]
    assert world.scheduler.cache.table.requested[0].max() == 0


def test_a_pod_whose_binding_fails_gives_its_room_to_who_waits_for_it_and_is_itself_retried_after_back_off() -> None:
    class Fails:
        name = "Fails"

        def permit(self, cycle, pod, node_name):
            return Status.wait(10) if pod.name == "first" else None

    world = World(Fails)
    world.pod("first", cpu="8")
    world.pod("second", cpu="8")
    world.until(5)
    assert world.bound() == {}
    world.until(10.5)
    assert world.bound() == {"second": "n0"}
    world.until(20)
    assert world.attempts("first") == [0, 11]


# -- profiles: docs "Multiple profiles"; scheduler_test.go TestSchedulerMultipleProfilesScheduling ---------------------


class OnlyN1:
    name = "OnlyN1"

    def filter(self, cycle, pod, nodes):
        return nodes.names == "n1"


def test_each_pod_is_placed_by_the_profile_it_names_and_left_alone_if_there_is_none() -> None:
    world = World(nodes=2, profiles=(with_plugins(), with_plugins(OnlyN1, name="picky")))
    world.pod("plain")
    world.pod("picky", schedulerName="picky")
    world.pod("foreign", schedulerName="somebody-else")
    world.until(1000)
    assert world.bound() == {"plain": "n0", "picky": "n1"}
    assert world.attempts("foreign") == []


def test_profiles_share_one_queue() -> None:
    world = World(decision={"kind": "constant", "value": "1s"}, profiles=(with_plugins(), with_plugins(name="second")))
    for name, scheduler, priority in (("a", "default-scheduler", 0), ("b", "default-scheduler", 1), ("c", "second", 2)):
        world.pod(name, schedulerName=scheduler, priority=priority)
        world.until(world.cluster.kernel.now / SECOND + 0.01)
    world.until(60)
    assert [name for _, name, _ in world.decisions] == ["a", "c", "b"]


# -- queueing hints: feature gate SchedulerQueueingHints, off in v1.30 -------------------------------------------------


@pytest.mark.parametrize("hints", [False, True])
def test_hints_spare_a_pod_attempts_that_the_kind_of_event_alone_would_cause(hints: bool) -> None:
    """nodeports: Test_isSchedulableAfterPodDeleted."""
    world = World(queueing_hints=hints)

    def serving(name: str, port: int) -> None:
        ports = [{"hostPort": port, "containerPort": port}]
        world.cluster.client.create(harness.pod(name, containers=[{"name": "c", "image": "i", "ports": ports}]))

    world.pod("other")
    serving("runs", 80)
    world.until(1)
    serving("p", 80)
    world.until(100)
    world.delete("other")
    world.until(200)
    assert world.attempts("p") == ([1] if hints else [1, 100])
    world.delete("runs")
    world.until(300)
    assert world.bound() == {"p": "n0"}
