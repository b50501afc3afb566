"""check_plugin catches planted cheats, each by the clause that forbids it, and lets honest plugins pass."""

from __future__ import annotations

import itertools
import random
import time
from typing import Any, ClassVar

import numpy as np
import pytest
from pydantic import BaseModel, ConfigDict

from ksched.errors import InputError
from ksched.framework import MinMaxNormalizer, Status
from ksched.testing import PluginContractError, check_plugin, plugin_checks

# Plugins below leave out types where they would only repeat the contract: they stand for what users write.
# mypy: disable-error-code="no-untyped-def"


class Scores:
    """Base of the cheats: everybody gets 50 points."""

    name = "Cheat"
    node_local = True

    def score(self, cycle, pod, nodes):
        return np.full(len(nodes), 50)


class ReadsTheClock(Scores):
    def score(self, cycle, pod, nodes):
        return np.full(len(nodes), cycle.now % 100)


class DrawsAtRandom(Scores):
    def score(self, cycle, pod, nodes):
        return np.full(len(nodes), cycle.random() % 100)


class BuildsAGenerator(Scores):
    def score(self, cycle, pod, nodes):
        return cycle.rng.integers(0, 100, len(nodes))


class LooksAtTheCluster(Scores):
    def score(self, cycle, pod, nodes):
        return np.full(len(nodes), min(len(cycle.cluster), 100))


class ReadsTheName(Scores):
    def score(self, cycle, pod, nodes):
        return np.full(len(nodes), len(pod.name) % 100)


class ReadsTheUid(Scores):
    def score(self, cycle, pod, nodes):
        return np.full(len(nodes), len(pod.uid) % 100)


class ReadsAnnotations(Scores):
    def filter(self, cycle, pod, nodes):
        return {"marked": np.full(len(nodes), "mark" in pod.annotations)}


class CountsCalls(Scores):
    def __init__(self) -> None:
        self.calls = 0

    def score(self, cycle, pod, nodes):
        self.calls += 1
        return np.full(len(nodes), self.calls % 100)


class RemembersQuietly(Scores):
    def __init__(self) -> None:
        self.seen: dict[str, int] = {}

    def score(self, cycle, pod, nodes):
        return np.array([self.seen.setdefault(name, 7) for name in nodes.names.tolist()], dtype=np.int64)


SEEN: list[int] = []
COUNTER = itertools.count()


class RemembersInAGlobal(Scores):
    node_local = False

    def score(self, cycle, pod, nodes):
        SEEN.append(len(nodes))
        return np.full(len(nodes), 50)


def _helper() -> None:
    next(COUNTER)


class RemembersThroughAHelper(Scores):
    def filter(self, cycle, pod, nodes):
        _helper()


class RemembersInItsClass(Scores):
    seen: ClassVar[dict[int, int]] = {}

    def score(self, cycle, pod, nodes):
        self.seen[len(self.seen)] = 1
        return np.full(len(nodes), 50)


class RemembersInADefault(Scores):
    def score(self, cycle, pod, nodes, _seen=[]):  # noqa: B006
        _seen.append(1)
        return np.full(len(nodes), 50)


class ReadsTheWallClock(Scores):
    def score(self, cycle, pod, nodes):
        return np.full(len(nodes), int(time.time()) % 100)


class DrawsFromNumpy(Scores):
    node_local = False

    def score(self, cycle, pod, nodes):
        return np.random.randint(0, 100, len(nodes))


class DrawsFromPython(Scores):
    def filter(self, cycle, pod, nodes):
        return {"unlucky": np.full(len(nodes), random.random() < 0.5)}


class ComparesWithNeighbours(Scores):
    def score(self, cycle, pod, nodes):
        free = nodes.free("cpu")
        return np.where(free == free.max(initial=0), 100, 0)


class ScoresByRow(Scores):
    node_local = False

    def score(self, cycle, pod, nodes):
        return np.arange(len(nodes)) % 100


class FirstRowWins(Scores):
    node_local = False

    def filter(self, cycle, pod, nodes):
        return np.arange(len(nodes)) == 0


class UsesTheBackDoor(Scores):
    def score(self, cycle, pod, nodes):
        held = sum(1 for _ in nodes._table.pods())
        return np.full(len(nodes), held % 100)


class WritesToTheNodes(Scores):
    def filter(self, cycle, pod, nodes):
        nodes.unschedulable[:] = False


class ChangesALabel(Scores):
    def filter(self, cycle, pod, nodes):
        for node in nodes.objects:
            node.metadata.labels["seen"] = "yes"


class ChangesThePod(Scores):
    node_local = False

    def filter(self, cycle, pod, nodes):
        pod.labels["seen"] = "yes"


class WrongLength(Scores):
    def score(self, cycle, pod, nodes):
        return np.zeros(len(nodes) + 1)


class OneNumber(Scores):
    def score(self, cycle, pod, nodes):
        return 50


class Texts(Scores):
    def score(self, cycle, pod, nodes):
        return nodes.names


class Truthy(Scores):
    def filter(self, cycle, pod, nodes):
        return nodes.free("cpu")


class WrongMask(Scores):
    def filter(self, cycle, pod, nodes):
        return {"no": np.ones(1, dtype=bool)}


class SaysYes(Scores):
    def filter(self, cycle, pod, nodes):
        return True


class NotANumber(Scores):
    def score(self, cycle, pod, nodes):
        return np.full(len(nodes), np.nan)


class Infinite(Scores):
    def score(self, cycle, pod, nodes):
        return np.full(len(nodes), np.inf)


class Bytes(Scores):
    def score(self, cycle, pod, nodes):
        return nodes.free("memory")


class Negative(Scores):
    def score(self, cycle, pod, nodes):
        return np.full(len(nodes), -1)


class NeedsANode(Scores):
    node_local = False

    def score(self, cycle, pod, nodes):
        return 100 * nodes.free("cpu") // nodes.free("cpu").max()


class ForgetsMemory(Scores):
    def signature(self, pod):
        return pod.request("cpu")

    def filter(self, cycle, pod, nodes):
        return {"no memory": nodes.free("memory") < pod.request("memory")}


class ForgetsLabels(Scores):
    def signature(self, pod):
        return None

    def score(self, cycle, pod, nodes):
        return np.full(len(nodes), len(pod.labels))


class ForgetsPriority(Scores):
    def signature(self, pod):
        return pod.namespace

    def score(self, cycle, pod, nodes):
        return np.full(len(nodes), min(pod.priority, 100))


class SignsByName(Scores):
    def signature(self, pod):
        return pod.name


class SignsWithAList(Scores):
    def signature(self, pod):
        return [1]


class LooksAtNodesInPreScore(Scores):
    def pre_score(self, cycle, pod, nodes):
        return Status.skip() if nodes.free("cpu").any() else None


class LooseArgs(BaseModel):
    model_config = ConfigDict(frozen=True)
    weight: int = 1


class TakesLooseArgs(Scores):
    Args = LooseArgs

    def __init__(self, args: LooseArgs) -> None:
        self.args = args


class ChangingArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")
    weight: int = 1


class TakesChangingArgs(Scores):
    Args = ChangingArgs

    def __init__(self, args: ChangingArgs) -> None:
        self.args = args


class CannotTravel(Scores):
    def __init__(self) -> None:
        self.rule = lambda free: free > 0


class MixedKeys:
    name = "Cheat"

    def queue_sort_key(self, pod, queued_at):
        return pod.name if queued_at % 2 else queued_at


class EnqueuesWithTrue(Scores):
    def pre_enqueue(self, pod):
        return True


class Nameless:
    def score(self, cycle, pod, nodes):
        return np.zeros(len(nodes))


class Idle:
    name = "Idle"


class BreaksWhenMade(Scores):
    def __init__(self) -> None:
        raise RuntimeError("no licence")


class ReservesWithTrue(Scores):
    def reserve(self, cycle, pod, node_name):
        return True


class UnreservesOnce(Scores):
    node_local = False

    def reserve(self, cycle, pod, node_name):
        cycle.state["mine"] = 1

    def unreserve(self, cycle, pod, node_name):
        del cycle.state["mine"]


class CountsPods:
    """Honest: rejects nodes with three pods or more, by counts PreFilter takes and AddPod/RemovePod keep."""

    name = "CountsPods"

    def pre_filter(self, cycle, pod):
        nodes = cycle.cluster
        cycle.state[self.name] = dict(zip(nodes.names.tolist(), nodes.requested("pods").tolist(), strict=True))

    def add_pod(self, cycle, pod, other, node_name):
        cycle.state[self.name][node_name] += 1

    def remove_pod(self, cycle, pod, other, node_name):
        cycle.state[self.name][node_name] -= 1

    def filter(self, cycle, pod, nodes):
        counts = cycle.state[self.name]
        return {"crowded": np.array([counts[name] >= 3 for name in nodes.names.tolist()], dtype=bool)}


class ForgetsToAdd(CountsPods):
    def add_pod(self, cycle, pod, other, node_name):
        return None


class ForgetsToRemove(CountsPods):
    def remove_pod(self, cycle, pod, other, node_name):
        return None


CHEATS: list[tuple[type, str, str]] = [
    (ReadsTheClock, "answers", "reads cycle.now"),
    (DrawsAtRandom, "answers", "reads cycle.random"),
    (BuildsAGenerator, "answers", "reads cycle.rng"),
    (LooksAtTheCluster, "answers", "reads cycle.cluster"),
    (ReadsTheName, "answers", "reads pod.name"),
    (ReadsTheUid, "answers", "reads pod.uid"),
    (ReadsAnnotations, "answers", "reads pod.annotations"),
    (LooksAtNodesInPreScore, "answers", "pre_score reads the nodes"),
    (WritesToTheNodes, "answers", "must not change the nodes"),
    (WrongLength, "answers", "expected int64"),
    (OneNumber, "answers", "score returned int"),
    (Texts, "answers", "score returned <U"),
    (Truthy, "answers", "expected bool"),
    (WrongMask, "answers", "expected bool"),
    (SaysYes, "answers", "filter returned bool"),
    (NotANumber, "in_range", "is nan"),
    (Infinite, "in_range", "is inf"),
    (Bytes, "in_range", "expected a finite number from 0 to 100"),
    (Negative, "in_range", "is -1"),
    (NeedsANode, "zero_nodes", "raised ValueError"),
    (CountsCalls, "same_twice", "twice in a row"),
    (ReadsTheWallClock, "same_twice", "state, clock or chance"),
    (DrawsFromNumpy, "same_twice", "twice in a row"),
    (DrawsFromPython, "same_twice", "twice in a row"),
    (ScoresByRow, "permutation", "another order"),
    (FirstRowWins, "permutation", "another order"),
    (ComparesWithNeighbours, "subset", "only some of the nodes"),
    (UsesTheBackDoor, "cached", "results are kept"),
    (ForgetsMemory, "signature", "signature.. is equal"),
    (ForgetsLabels, "signature", "signature.. is equal"),
    (ForgetsPriority, "signature", "signature.. is equal"),
    (SignsByName, "signature", "reads pod.name"),
    (SignsWithAList, "signature", "not hashable"),
    (ChangesALabel, "no_mutation", "changes the nodes"),
    (ChangesThePod, "no_mutation", "changes the pod"),
    (CountsCalls, "no_memory", "changes self.calls"),
    (RemembersQuietly, "no_memory", "changes self.seen"),
    (RemembersInAGlobal, "no_memory", "changes global SEEN"),
    (RemembersThroughAHelper, "no_memory", "changes global COUNTER"),
    (RemembersInItsClass, "no_memory", "changes RemembersInItsClass.seen"),
    (RemembersInADefault, "no_memory", "changes a default argument of"),
    (ForgetsToAdd, "added_and_removed", "after add_pod"),
    (ForgetsToRemove, "added_and_removed", "after remove_pod"),
    (ReservesWithTrue, "reserve_returns", "reserve returned bool"),
    (UnreservesOnce, "reserve_returns", "unreserve raises KeyError"),
    (EnqueuesWithTrue, "queueing", "pre_enqueue returned bool"),
    (MixedKeys, "queueing", "cannot be compared"),
    (TakesLooseArgs, "arguments", "accept unknown keys"),
    (TakesChangingArgs, "arguments", "can be changed"),
    (CannotTravel, "pickling", "cannot be pickled"),
]


@pytest.mark.parametrize(("plugin", "clause", "words"), CHEATS, ids=[f"{c[0].__name__}-{c[1]}" for c in CHEATS])
def test_a_cheat_is_caught_by_the_clause_it_breaks(plugin: type, clause: str, words: str) -> None:
    check = next(check for check in plugin_checks(plugin) if check.name == clause)
    with pytest.raises(PluginContractError, match=words):
        check()


class Honest(Scores):
    name = "Honest"

    def filter(self, cycle, pod, nodes):
        return {"node has no ssd": nodes.label("disktype") != "ssd"}

    def score(self, cycle, pod, nodes):
        return 100.0 * nodes.free("cpu") / np.maximum(nodes.allocatable("cpu"), 1)


class Stateful:
    """Honest: not node-local, so it may keep state in its instance; it changes it when a pod is reserved."""

    name = "Stateful"
    normalizer = MinMaxNormalizer()

    def __init__(self) -> None:
        self.used: dict[str, int] = {}

    def score(self, cycle, pod, nodes):
        return np.array([-self.used.get(name, 0) for name in nodes.names.tolist()], dtype=np.int64)

    def reserve(self, cycle, pod, node_name):
        self.used[node_name] = self.used.get(node_name, 0) + 1


@pytest.mark.parametrize("plugin", [Scores, Honest, Stateful, CountsPods])
def test_honest_plugins_pass(plugin: type) -> None:
    check_plugin(plugin)


def test_all_violations_are_listed_at_once() -> None:
    with pytest.raises(PluginContractError) as raised:
        check_plugin(CountsCalls)
    message = str(raised.value)
    assert "plugin Cheat breaks the plugin contract" in message
    assert "same_twice:" in message
    assert "no_memory:" in message


@pytest.mark.parametrize(
    ("plugin", "words"),
    [
        pytest.param(Nameless, "has no name", id="a class without a name"),
        pytest.param(Idle, "implements no extension point", id="a class without any method"),
        pytest.param(BreaksWhenMade, "making it raised RuntimeError: no licence", id="a constructor that fails"),
    ],
)
def test_what_is_no_plugin_at_all_is_one_clear_message(plugin: type, words: str) -> None:
    with pytest.raises(InputError, match=words):
        check_plugin(plugin)


def test_bad_arguments_are_reported_as_such(tmp_path: Any) -> None:
    file = tmp_path / "policy.py"
    file.write_text(
        "import numpy as np\n"
        "class Flat:\n"
        "    name = 'Flat'\n"
        "    node_local = True\n"
        "    def score(self, cycle, pod, nodes):\n"
        "        return np.zeros(len(nodes))\n"
    )
    check_plugin(f"{file}:Flat")
    with pytest.raises(InputError, match="takes no arguments"):
        check_plugin(f"{file}:Flat", {"weight": 2})
