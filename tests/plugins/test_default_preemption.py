"""Whom DefaultPreemption evicts and where, a sentence each. A node fits two pods of 1 cpu."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from ksched.errors import InputError
from ksched.framework import Framework, Outcome, TieBreak, default_configuration, load_configuration
from ksched.framework.listers import Listers
from ksched.objects import Pod, PodDisruptionBudget, parse
from ksched.tables import PodView
from ksched.testing.factories import make_node, make_pod, make_table

Placed = dict[str, Any]


def pod(name: str, priority: int, *, start: int | None = 0, cpu: str = "1", **fields: Any) -> Pod:
    """``start`` in seconds after some midnight, None for a pod that has not started."""
    status = fields.pop("status", {})
    made = make_pod(name, cpu=cpu, priority=priority, **fields)
    started = None if start is None else f"2024-01-01T00:{start // 60:02d}:{start % 60:02d}Z"
    return made.replaced(status=made.status.replaced(start_time=started, **status))


def budget(allowed: int, selector: Mapping[str, Any] | None, *, disrupted: tuple[str, ...] = ()) -> PodDisruptionBudget:
    made = parse(
        {
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": f"pdb-{allowed}", "namespace": "default"},
            "spec": {"selector": selector},
            "status": {
                "disruptionsAllowed": allowed,
                "disruptedPods": dict.fromkeys(disrupted, "2024-01-01T00:00:00Z"),
            },
        }
    )
    assert isinstance(made, PodDisruptionBudget)
    return made


APP = {"matchLabels": {"app": "x"}}
X = {"app": "x"}
WITHOUT_Z = {"matchExpressions": [{"key": "z", "operator": "DoesNotExist"}]}


@dataclass
class Room:
    """Nodes with the pods on them; what a preemptor finds there."""

    nodes: dict[str, list[Pod]]
    budgets: list[PodDisruptionBudget] = field(default_factory=list)
    args: dict[str, Any] = field(default_factory=dict)
    cpu: int = 2

    def __post_init__(self) -> None:
        placed = [(held, node) for node, pods in self.nodes.items() for held in pods]
        table = make_table([make_node(node, cpu=self.cpu) for node in self.nodes], placed)
        configuration = load_configuration(
            {"profiles": [{"pluginConfig": [{"name": "DefaultPreemption", "args": self.args}]}]}
        )
        profile = configuration.profiles[0]
        self.framework = Framework(profile, table, objects=Listers(self.budgets), tie_break=TieBreak.NAME)

    def find(self, preemptor: Pod) -> tuple[str | None, list[str], str]:
        """The nominated node, the victims in order, and the message."""
        view = PodView(preemptor)
        cycle = self.framework.new_cycle(view)
        decision = self.framework.schedule(view, cycle)
        assert decision.outcome is Outcome.UNSCHEDULABLE
        result = self.framework.post_filter(cycle, view, decision)
        return result.nominated_node, [victim.name for victim in result.victims], decision.post_filter


def low(name: str, **fields: Any) -> Pod:
    return pod(name, 0, **fields)


def mid(name: str, **fields: Any) -> Pod:
    return pod(name, 50, **fields)


PREEMPTOR = pod("new", 100, cpu="1", start=None)
BIG = pod("big", 100, cpu="2", start=None)

CHOICES = [
    pytest.param(Room({"n": [low("a"), mid("b")]}), PREEMPTOR, "n", ["a"], id="the lowest priority goes first"),
    pytest.param(
        Room({"n": [low("a"), low("b")]}), BIG, "n", ["a", "b"], id="as many go as it takes, most important first"
    ),
    pytest.param(
        Room({"n": [low("old", start=1), low("young", start=2)]}),
        PREEMPTOR,
        "n",
        ["young"],
        id="among equals the one that started last goes",
    ),
    pytest.param(
        Room({"n": [low("started", start=9), low("waiting", start=None)]}),
        PREEMPTOR,
        "n",
        ["waiting"],
        id="a pod that has not started counts as started now",
    ),
    pytest.param(
        Room({"n": [low("big", cpu="1500m"), low("small", cpu="500m", start=9)]}),
        pod("new", 100, cpu="500m"),
        "n",
        ["small"],
        id="a pod is spared if the preemptor fits beside it",
    ),
    pytest.param(
        Room({"n": [mid("a", labels=X), mid("b")]}, [budget(0, APP)]),
        PREEMPTOR,
        "n",
        ["b"],
        id="a pod whose eviction breaks a budget is spared before others",
    ),
    pytest.param(
        Room({"n": [low("a", labels=X), mid("b")]}, [budget(0, APP)]),
        PREEMPTOR,
        "n",
        ["b"],
        id="a budget weighs more than priority within a node",
    ),
    pytest.param(
        Room({"n": [low("a", labels=X), mid("b")]}, [budget(1, APP)]),
        PREEMPTOR,
        "n",
        ["a"],
        id="a budget that still allows one disruption protects nobody",
    ),
    pytest.param(
        Room({"n": [low("a", labels=X), low("b", labels=X, start=1)]}, [budget(1, APP)]),
        PREEMPTOR,
        "n",
        ["a"],
        id="all potential victims use up budget, so the second of two protected pods is spared first",
    ),
    pytest.param(
        Room({"n": [low("a", labels=X), mid("b")]}, [budget(0, {})]),
        PREEMPTOR,
        "n",
        ["a"],
        id="a budget with an empty selector protects nobody",
    ),
    pytest.param(
        Room({"n": [low("a"), mid("b")]}, [budget(0, WITHOUT_Z)]),
        PREEMPTOR,
        "n",
        ["a"],
        id="a pod without labels is protected by no budget",
    ),
    pytest.param(
        Room({"n": [low("a", labels=X), mid("b")]}, [budget(0, APP, disrupted=("a",))]),
        PREEMPTOR,
        "n",
        ["a"],
        id="a pod the budget counts as disrupted already breaks it no more",
    ),
    pytest.param(
        Room({"n": [low("a", labels=X, namespace="team"), mid("b")]}, [budget(0, APP)]),
        PREEMPTOR,
        "n",
        ["a"],
        id="a budget of another namespace protects nobody",
    ),
    pytest.param(
        Room({"a": [low("p", labels=X), pod("top", 100)], "b": [mid("q"), pod("top2", 100)]}, [budget(0, APP)]),
        PREEMPTOR,
        "b",
        ["q"],
        id="criterion 1: a node without broken budgets is better",
    ),
    pytest.param(
        Room({"a": [mid("p"), pod("top", 100)], "b": [low("q"), low("r")]}),
        BIG,
        "b",
        ["q", "r"],
        id="criterion 2: the lowest top priority among victims is better, however many there are",
    ),
    pytest.param(
        Room({"a": [mid("p"), mid("q")], "b": [mid("r"), low("s")]}),
        BIG,
        "b",
        ["r", "s"],
        id="criterion 3: the lowest sum of priorities is better",
    ),
    pytest.param(
        Room({"a": [pod("p", -5), pod("q", -5)], "b": [pod("r", -5, cpu="2")]}),
        BIG,
        "b",
        ["r"],
        id="criterion 3 counts heads too, as each priority is raised above zero",
    ),
    pytest.param(
        Room({"a": [low("p", start=1), pod("top", 100)], "b": [low("q", start=2), pod("top2", 100)]}),
        PREEMPTOR,
        "b",
        ["q"],
        id="criterion 5: the latest start among the earliest of the most important victims is better",
    ),
    pytest.param(
        Room({"b": [low("p"), pod("top", 100)], "a": [low("q"), pod("top2", 100)]}),
        PREEMPTOR,
        "a",
        ["q"],
        id="equally good nodes are chosen by the profile's tie-break, here by name",
    ),
]


@pytest.mark.parametrize(("room", "preemptor", "node", "victims"), CHOICES)
def test_the_victims_are(room: Room, preemptor: Pod, node: str, victims: list[str]) -> None:
    assert room.find(preemptor) == (node, victims, "")


def terminating(name: str, *, reason: str = "PreemptionByScheduler", status: str = "True") -> Pod:
    conditions = [{"type": "DisruptionTarget", "status": status, "reason": reason}] if reason else []
    made = low(name, status={"conditions": Pod.model_validate(_status(conditions)).status.conditions})
    return made.replaced(metadata=made.metadata.replaced(deletion_timestamp="2024-01-01T00:00:30Z"))


def _status(conditions: list[dict[str, str]]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x"},
        "spec": {"containers": []},
        "status": {"conditions": conditions},
    }


def nominated(node: str, **fields: Any) -> Pod:
    return pod("new", 100, start=None, status={"nominated_node_name": node}, **fields)


STILL_WAITING = "preemption: not eligible due to a terminating pod on the nominated node."
OTHER = [low("c"), low("d")]

REFUSALS = [
    pytest.param(
        Room({"n": [low("a"), low("b")]}),
        pod("new", 100, preemptionPolicy="Never"),
        (None, [], "preemption: not eligible due to preemptionPolicy=Never."),
        id="a pod that never preempts does not, and keeps a nomination",
    ),
    pytest.param(
        Room({"n": [terminating("a"), low("b")], "m": OTHER}),
        nominated("n"),
        (None, [], STILL_WAITING),
        id="nobody is evicted while victims on the nominated node are on their way out",
    ),
    pytest.param(
        Room({"n": [mid("a"), mid("b")]}),
        mid("new"),
        ("", [], "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."),
        id="pods of the same priority are no victims",
    ),
    pytest.param(
        Room({"n": [mid("a"), mid("b")], "other": [mid("c")]}),
        mid("new", node_selector={"kubernetes.io/hostname": "n"}),
        (
            "",
            [],
            "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
            "1 Preemption is not helpful for scheduling.",
        ),
        id="where all pods are equal nodes are still told apart by whether room would help",
    ),
    pytest.param(
        Room({"n": [mid("a"), mid("b")], "full": [low("c", cpu="0"), pod("d", 100), pod("e", 100)]}),
        mid("new", node_selector={"kubernetes.io/hostname": "n"}),
        (
            "",
            [],
            "preemption: 0/2 nodes are available: 1 No preemption victims found for incoming pod, "
            "1 Preemption is not helpful for scheduling.",
        ),
        id="pods of lower priority elsewhere do not help",
    ),
    pytest.param(
        Room({"n": [low("a"), pod("b", 100)]}),
        BIG,
        ("", [], "preemption: 0/1 nodes are available: 1 Insufficient cpu."),
        id="nobody is evicted where that is not enough",
    ),
    pytest.param(
        Room({"n": [low("a"), low("b")]}),
        pod("new", 100, node_selector={"disktype": "ssd"}),
        ("", [], "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."),
        id="a node the pod could never use is not looked at",
    ),
]


@pytest.mark.parametrize(("room", "preemptor", "expected"), REFUSALS)
def test_nothing_is_done_because(room: Room, preemptor: Pod, expected: tuple[str | None, list[str], str]) -> None:
    assert room.find(preemptor) == expected


@pytest.mark.parametrize(
    "leaving",
    [
        pytest.param(terminating("a", reason=""), id="for a reason of its own"),
        pytest.param(terminating("a", reason="EvictionByEvictionAPI"), id="because somebody drains the node"),
        pytest.param(terminating("a", status="False"), id="no longer because of preemption"),
    ],
)
def test_a_pod_that_terminates_does_not_keep_the_preemptor_waiting(leaving: Pod) -> None:
    assert Room({"n": [leaving, mid("b")], "m": [mid("c"), mid("d")]}).find(nominated("n"))[:2] == ("n", ["a"])


def test_terminating_victims_do_not_count_once_the_nominated_node_cannot_be_used_at_all() -> None:
    room = Room({"n": [terminating("a"), low("b")], "m": OTHER})
    cordoned = make_node("n", cpu=2, unschedulable=True)
    room.framework.table.update_node(cordoned)
    node, victims, _ = room.find(nominated("n"))
    assert (node, len(victims)) == ("m", 1)


def test_a_search_ends_with_candidates_enough_and_begins_at_a_random_node() -> None:
    nodes = {f"n{i:02d}": [low(f"p{i}", start=i), pod(f"top{i}", 100)] for i in range(40)}
    room = Room(nodes, args={"minCandidateNodesPercentage": 10, "minCandidateNodesAbsolute": 1})
    plugin = room.framework.plugins["DefaultPreemption"]
    starts = set()
    for i in range(8):
        view = PodView(pod(f"new{i}", 100))
        cycle = room.framework.new_cycle(view)
        room.framework.schedule(view, cycle)
        cycle.plugin = "DefaultPreemption"
        analysis = plugin.analyse(cycle, view, room.framework.rejected(cycle, view))
        rows = [candidate.row for candidate in analysis.candidates]
        assert len(rows) == 4
        assert rows == [(rows[0] + step) % 40 for step in range(4)]
        starts.add(rows[0])
    assert len(starts) > 3


def test_the_search_goes_on_until_one_candidate_breaks_no_budget() -> None:
    protected = {f"n{i}": [low(f"p{i}", labels=X), pod(f"top{i}", 100)] for i in range(9)}
    room = Room(protected | {"z": [mid("q"), pod("topz", 100)]}, [budget(0, APP)], {"minCandidateNodesAbsolute": 1})
    for i in range(6):
        assert room.find(pod(f"new{i}", 100))[:2] == ("z", ["q"])


def test_a_changed_budget_is_noticed_between_two_attempts() -> None:
    room = Room({"n": [low("a", labels=X), mid("b")]}, [budget(0, APP)])
    assert room.find(PREEMPTOR)[1] == ["b"]
    room.framework.objects.remove(budget(0, APP))
    assert room.find(PREEMPTOR)[1] == ["a"]


def test_a_pod_that_started_is_noticed_between_two_attempts() -> None:
    room = Room({"n": [low("a", start=None), low("b", start=5)]})
    assert room.find(PREEMPTOR)[1] == ["a"]
    started = low("a", start=1)
    room.framework.table.renew_pod(PodView(started).uid, started)
    assert room.find(PREEMPTOR)[1] == ["b"]


def test_the_search_cannot_be_told_to_look_at_nothing() -> None:
    args = {"minCandidateNodesPercentage": 0, "minCandidateNodesAbsolute": 0}
    with pytest.raises(InputError, match="cannot both be zero"):
        Room({"n": []}, args=args)


def test_the_default_profile_preempts() -> None:
    points = default_configuration().profiles[0].points["postFilter"]
    assert [enabled.plugin.name for enabled in points] == ["DefaultPreemption"]
