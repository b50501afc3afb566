"""Preemption from decision to eviction to the preemptor's start, as kube-scheduler v1.30 goes about it.

Derived from upstream's test/integration/scheduler/preemption and the text of prepareCandidate, handleSchedulingFailure
(schedule_one.go) and PodEligibleToPreemptOthers. Two nodes of 2 cpu hold two low-priority pods of 1 cpu each.
"""

from __future__ import annotations

from typing import Any

import pytest

from ksched.cluster import Cluster, ClusterConfig
from ksched.cluster.scheduler import Scheduler, SchedulerConfig
from ksched.framework import Decision, Status, TieBreak, load_configuration
from ksched.objects import Node, Pod, PodDisruptionBudget, parse
from ksched.sim import SECOND

from . import harness

LOW, HIGH, TOP = 0, 100, 1000


class HoldsLabelled:
    """Permit: pods with a label wait."""

    name = "HoldsLabelled"

    def permit(self, cycle: Any, pod: Any, node_name: str) -> Status | None:
        return Status.wait(60) if "hold" in pod.labels else None


class World:
    """A cluster with the real scheduler; ``stop`` is how long a container takes to end when it is told to."""

    def __init__(
        self,
        nodes: int = 2,
        *,
        stop: str = "5s",
        scheduler: dict[str, Any] | None = None,
        profile: dict[str, Any] | None = None,
        **config: Any,
    ) -> None:
        self.decisions: list[tuple[float, Decision]] = []
        self._scheduler = SchedulerConfig(tie_break=TieBreak.NAME, **(scheduler or {}))
        self._profile = profile or {}
        everything = {"runtime": {"stop_container": stop}} | config
        self.cluster = Cluster(ClusterConfig.model_validate(everything), self._make, seed=0)
        self.history = harness.History(self.cluster)
        for i in range(nodes):
            self.cluster.client.create(harness.node(f"n{i}", cpu="2"))
        self.until(0.25)
        for i in range(2 * nodes):
            self.pod(f"low{i}", LOW)
        self.until(1)

    def _make(self, cluster: Cluster) -> Scheduler:
        made = Scheduler(
            cluster.kernel,
            cluster.api.client("kube-scheduler"),
            load_configuration({"profiles": [self._profile]}),
            seed=0,
            streams=cluster.streams,
            config=self._scheduler,
        )
        made.on_decision.append(lambda decision: self.decisions.append((cluster.kernel.now / SECOND, decision)))
        return made

    def pod(
        self, name: str, priority: int, *, cpu: str = "1", labels: dict[str, str] | None = None, **spec: Any
    ) -> None:
        container = {"name": "main", "image": "work", "resources": {"requests": {"cpu": cpu}}}
        fields = {"containers": [container], "priority": priority, **spec}
        self.cluster.client.create(harness.pod(name, metadata={"labels": labels or {}}, **fields))

    def until(self, seconds: float) -> None:
        self.cluster.run(int(seconds * SECOND))

    def get(self, name: str) -> Any:
        return self.cluster.scheduler.pods.get("default", name)

    def node_of(self, name: str) -> str | None:
        found = self.get(name)
        return found.spec.node_name if found is not None else None

    def nominated(self, name: str) -> str | None:
        return self.get(name).status.nominated_node_name

    def low_pods(self) -> list[str]:
        """Low-priority pods that nobody is evicting."""
        pods = (self.get(f"low{i}") for i in range(4))
        return [p.name for p in pods if p is not None and p.metadata.deletion_timestamp is None]

    def attempts(self, name: str) -> list[float]:
        return [time for time, decision in self.decisions if decision.pod.name == name]


def test_victims_are_marked_then_deleted_gracefully_and_the_preemptor_is_nominated() -> None:
    world = World()
    world.pod("high", HIGH, cpu="2")
    world.until(1.5)
    writes = [(verb, key, obj) for time, _, verb, key, obj in world.history.of("pods/default/low0") if time >= 1]
    (_, _, marked), (_, _, deleted) = writes
    condition = marked["status"]["conditions"][-1]
    assert condition["type"] == "DisruptionTarget"
    assert condition["status"] == "True"
    assert condition["reason"] == "PreemptionByScheduler"
    assert condition["message"] == "default-scheduler: preempting to accommodate a higher priority pod"
    assert "deletionTimestamp" not in marked["metadata"]
    assert deleted["metadata"]["deletionGracePeriodSeconds"] == 30
    assert deleted["status"]["conditions"] == marked["status"]["conditions"]
    assert world.low_pods() == ["low1", "low3"]
    assert world.nominated("high") == "n0"
    assert world.node_of("high") is None
    (_, decision) = world.decisions[-1]
    assert (decision.nominated_node, decision.victims) == ("n0", ("default/low0", "default/low2"))


def test_the_preemptor_is_bound_when_the_last_victim_is_gone() -> None:
    world = World()
    world.pod("high", HIGH, cpu="2")
    world.until(5.9)
    assert world.node_of("high") is None
    world.until(6)
    assert world.node_of("high") == "n0"
    assert world.get("low0") is None
    # t=1 evicts; the victims' marks are events of that attempt, so there is one retry after back-off, at 2 s; the rest
    # waits for the deletion at 6 s.
    assert world.attempts("high") == [1, 2, 6]


def test_nobody_else_is_evicted_while_victims_take_their_time() -> None:
    world = World()
    world.pod("high", HIGH, cpu="2")
    world.until(3)
    assert world.attempts("high") == [1, 2]
    assert world.low_pods() == ["low1", "low3"]
    message = world.get("high").status.conditions[-1].message
    assert message.endswith("preemption: not eligible due to a terminating pod on the nominated node.")


@pytest.mark.parametrize("stop", ["0s", "1ms", "5s"])
def test_a_latecomer_of_lower_priority_does_not_get_the_room_made(stop: str) -> None:
    world = World(stop=stop)
    world.pod("high", HIGH, cpu="2")
    world.until(1.5)
    world.pod("late", LOW)
    world.until(20)
    assert world.node_of("high") == "n0"
    assert world.node_of("late") is None


def test_two_preemptors_at_once_get_a_node_each() -> None:
    world = World()
    world.pod("high-a", HIGH, cpu="2")
    world.pod("high-b", HIGH, cpu="2")
    world.until(20)
    assert [world.node_of("high-a"), world.node_of("high-b")] == ["n0", "n1"]
    assert world.low_pods() == []


def test_a_third_preemptor_finds_nothing_and_evicts_nobody() -> None:
    world = World(1)
    world.pod("high", HIGH, cpu="2")
    world.until(1.5)
    world.pod("third", HIGH, cpu="2")
    world.until(20)
    assert world.node_of("high") == "n0"
    assert world.node_of("third") is None
    assert world.nominated("third") is None


def test_a_pod_of_still_higher_priority_takes_the_room_and_the_nomination_away() -> None:
    world = World(1)
    world.pod("high", HIGH, cpu="2")
    world.until(1.5)
    assert world.nominated("high") == "n0"
    world.pod("top", TOP, cpu="2")
    world.until(1.6)
    assert (world.nominated("top"), world.nominated("high")) == ("n0", None)
    world.until(30)
    assert world.node_of("top") == "n0"
    assert world.node_of("high") is None
    assert world.nominated("high") is None


def test_a_pod_that_never_preempts_waits_in_line() -> None:
    world = World()
    world.pod("high", HIGH, cpu="2", preemptionPolicy="Never")
    world.until(20)
    assert len(world.low_pods()) == 4
    assert world.node_of("high") is None


def test_the_preemptor_goes_elsewhere_if_room_turns_up_first() -> None:
    world = World()
    world.pod("high", HIGH, cpu="2")
    world.until(1.5)
    world.cluster.client.create(harness.node("n9", cpu="2"))
    world.until(4)
    assert world.node_of("high") == "n9"
    assert world.cluster.scheduler.nominator.nodes() == []


def test_a_nominated_node_that_is_cordoned_is_given_up_for_another() -> None:
    world = World()
    world.pod("high", HIGH, cpu="2")
    world.until(1.5)

    def cordon(node: Node) -> Node:
        return node.replaced(spec=node.spec.replaced(unschedulable=True))

    world.cluster.client.patch(Node, None, "n0", cordon)
    world.until(3)
    assert world.nominated("high") == "n1"
    world.until(20)
    assert world.node_of("high") == "n1"


def test_a_nomination_is_withdrawn_when_nothing_can_be_done_any_more() -> None:
    world = World(1)
    world.pod("high", HIGH, cpu="2")
    world.until(1.5)

    def shrink(node: Node) -> Node:
        less = harness.node("n0", cpu="1").status.allocatable
        return node.replaced(status=node.status.replaced(allocatable=less))

    world.cluster.client.patch(Node, None, "n0", shrink, subresource="status")
    world.until(20)
    assert world.node_of("high") is None
    assert world.nominated("high") is None
    assert world.cluster.scheduler.nominator.nodes() == []


def test_a_preemptor_that_is_deleted_leaves_no_nomination_behind() -> None:
    world = World(1)
    world.pod("high", HIGH, cpu="2")
    world.until(1.5)
    world.cluster.client.delete(Pod, "default", "high", grace_seconds=0)
    world.until(2)
    assert world.cluster.scheduler.nominator.nodes() == []
    world.pod("late", LOW)
    world.until(20)
    assert world.node_of("late") == "n0"


def test_budgets_are_followed_from_the_api_server() -> None:
    world = World(1)
    world.cluster.client.patch(
        Pod, "default", "low0", lambda pod: pod.replaced(metadata=pod.metadata.replaced(labels={"app": "x"}))
    )
    budget = parse(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "keep", "namespace": "default"},
            "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "x"}}},
        }
    )
    assert isinstance(budget, PodDisruptionBudget)
    world.cluster.client.create(budget)
    world.until(1.2)
    world.pod("high", HIGH)
    world.until(1.5)
    assert world.low_pods() == ["low0"]


def test_of_two_pods_the_one_that_started_later_goes() -> None:
    world = World(1, stop="0s")
    world.cluster.client.delete(Pod, "default", "low0", grace_seconds=0)
    world.until(5)
    world.pod("low2", LOW)
    world.until(6)
    world.pod("high", HIGH)
    world.until(8)
    assert world.low_pods() == ["low1"]


def test_a_victim_that_permit_holds_is_refused_and_not_deleted() -> None:
    name = f"{__name__}:HoldsLabelled"
    world = World(1, profile={"plugins": {"multiPoint": {"enabled": [{"name": name}]}}})
    world.cluster.client.delete(Pod, "default", "low0", grace_seconds=0)
    world.until(1.2)
    world.pod("held", LOW, labels={"hold": "yes"})
    world.until(1.5)
    assert [pod.name for pod in world.cluster.scheduler.waiting_pods()] == ["held"]
    # low1 has started and held has not, so held is the less important of the two.
    world.pod("high", HIGH)
    world.until(4)
    assert world.get("held").metadata.deletion_timestamp is None
    assert world.node_of("held") is None
    assert world.low_pods() == ["low1"]
    assert world.node_of("high") == "n0"


def test_the_scheduler_waits_for_the_answers_to_its_evictions() -> None:
    world = World(1, apiserver={"response": "100ms"})
    world.pod("high", HIGH, cpu="2")
    world.pod("other", LOW)
    world.until(4)
    began = world.attempts("high")[0]
    # Marking and deleting are two round trips of 100 ms; both victims go through them side by side.
    assert world.attempts("other")[0] == pytest.approx(began + 0.2)


def test_gated_pods_are_tried_when_the_last_gate_goes() -> None:
    world = World(1, stop="0s")
    world.pod("gated", HIGH, schedulingGates=[{"name": "quota"}])
    world.until(3)
    assert world.attempts("gated") == []
    world.cluster.client.patch(
        Pod, "default", "gated", lambda pod: pod.replaced(spec=pod.spec.replaced(scheduling_gates=()))
    )
    world.until(5)
    assert world.attempts("gated")[0] == 3
    assert world.node_of("gated") == "n0"
