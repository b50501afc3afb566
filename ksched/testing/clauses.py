"""The clauses of the plugin contract, each as a search for a counterexample.

A clause is a generator over :class:`Subject` that yields one sentence per violation it finds; the first is reported.
Where a plugin raises, only the clause "answers" reports it: the others have nothing to compare.
"""

from __future__ import annotations

import json
import pickle
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from unittest import mock

import numpy as np

from ksched.errors import InputError, KschedError, PluginError
from ksched.framework.cycle import Cycle
from ksched.framework.invoke import guarded
from ksched.framework.registry import PluginClass
from ksched.framework.status import Status
from ksched.tables import NodeTable, NodeView, PodView
from ksched.testing import clusters
from ksched.testing.probe import NOW, SEED, Answer, CachedColumns, Probe
from ksched.testing.snapshots import kept_state, pod_state, table_state

WORLDS = 12
PODS = 6
CHANGES = 12


@dataclass(frozen=True)
class Scenario:
    """A cluster and pods to be placed on it."""

    world: clusters.World
    pods: tuple[PodView, ...]
    usable: bool
    """Every node has cpu, memory and pod slots, and none is overcommitted."""


class Subject:
    """The plugin under test and the scenarios it is tested with, the same for every run."""

    def __init__(self, found: PluginClass, args: dict[str, Any] | None) -> None:
        self.found = found
        self.args = args

    def probe(self) -> Probe:
        """A fresh instance; InputError if it cannot be made."""
        try:
            return Probe.of(self.found, self.args)
        except KschedError:
            raise
        except Exception as error:
            where = f"plugin {self.found.name}"
            raise InputError(f"its constructor raised {type(error).__name__}: {error}", where=where) from error

    @cached_property
    def node_local(self) -> bool:
        """Whether the plugin promises to be."""
        return self.probe().node_local

    @cached_property
    def scenarios(self) -> tuple[Scenario, ...]:
        """Half of them with odd nodes, half with usable ones only. All clauses share them."""
        return self.new_scenarios()

    @staticmethod
    def new_scenarios() -> tuple[Scenario, ...]:
        """The same scenarios again, with objects no plugin has seen yet."""
        made = []
        for seed in range(WORLDS):
            choose = clusters.Seeded(seed)
            usable = seed % 2 == 0
            world = clusters.world(choose, odd=not usable)
            pods = [clusters.pod(choose, f"incoming-{seed}-{i}") for i in range(PODS)]
            made.append(Scenario(world.usable() if usable else world, tuple(PodView(pod) for pod in pods), usable))
        return tuple(made)

    def questions(self) -> Iterator[tuple[Scenario, NodeTable, PodView]]:
        """Every pod of every scenario, each scenario with a fresh table."""
        for scenario in self.scenarios:
            table = scenario.world.table()
            for pod in scenario.pods:
                yield scenario, table, pod

    def answer(self, probe: Probe, table: NodeTable, pod: PodView, rows: Any = None) -> Answer | None:
        """The probe's answer, None where it raises."""
        try:
            return probe.answer(table, pod, rows)
        except KschedError:
            return None


Clause = Callable[[Subject], Iterator[str]]


def answers(subject: Subject) -> Iterator[str]:
    """Every extension point returns what the contract allows, on any cluster."""
    probe = subject.probe()
    for _, table, pod in subject.questions():
        try:
            probe.answer(table, pod)
        except KschedError as error:
            yield _without_hint(error)


def in_range(subject: Subject) -> Iterator[str]:
    """Scores of nodes with room for the pod are finite and within 0..100 after normalisation."""
    probe = subject.probe()
    for scenario, table, pod in subject.questions():
        answer = subject.answer(probe, table, pod)
        if answer is None or not scenario.usable:
            continue
        view = NodeView(table)
        passes = np.array([not (answer.filter or {}).get(name) for name in view.names.tolist()], dtype=np.bool_)
        for resource, amount in {**pod.requests, "pods": 1}.items():
            passes &= (view.free(resource) >= amount) | (amount == 0)
        try:
            probe.normalized(table, pod, np.flatnonzero(passes))
        except KschedError as error:
            yield _without_hint(error)


def zero_nodes(subject: Subject) -> Iterator[str]:
    """No nodes are a legal input: empty arrays, no error."""
    none = np.array([], dtype=np.intp)
    for _, table, pod in subject.questions():
        for place, rows, what in ((NodeTable(), None, "an empty cluster"), (table, none, "no rows of a cluster")):
            if subject.answer(subject.probe(), table, pod) is None:
                continue
            try:
                subject.probe().answer(place, pod, rows)
            except KschedError as error:
                yield f"with {what}: {_without_hint(error)}"


def same_twice(subject: Subject) -> Iterator[str]:
    """The same question gets the same answer: again, later, after other questions, and from a fresh instance."""
    probe, first = subject.probe(), {}
    for number, (_, table, pod) in enumerate(subject.questions()):
        first[number] = subject.answer(probe, table, pod)
        if first[number] != subject.answer(probe, table, pod):
            yield f"asked about {_pod(pod)} twice in a row it answers differently"
    with _later():
        for who, other in (("later, after other pods,", probe), ("a fresh instance", subject.probe())):
            questions = list(enumerate(subject.questions()))
            for number, (_, table, pod) in reversed(questions):
                if subject.answer(other, table, pod) != first[number]:
                    yield f"{who} it answers differently about {_pod(pod)}: state, clock or chance outside cycle"


def permutation(subject: Subject) -> Iterator[str]:
    """Permuting the nodes permutes the answer and nothing else."""
    for scenario, table, pod in subject.questions():
        names = list(scenario.world.nodes)
        permuted = scenario.world.table(names[len(names) // 2 :][::-1] + names[: len(names) // 2])
        straight = subject.answer(subject.probe(), table, pod)
        turned = subject.answer(subject.probe(), permuted, pod)
        if straight is not None and turned is not None and straight != turned:
            yield f"{_difference(straight, turned)} when the nodes come in another order"


def subset(subject: Subject) -> Iterator[str]:
    """Node-local: the answer about some rows is that part of the answer about all rows."""
    if not subject.node_local:
        return
    for _, table, pod in subject.questions():
        whole = subject.answer(subject.probe(), table, pod)
        for rows in (np.arange(0, table.n, 2), np.arange(table.n - 1, table.n), np.arange(table.n)[::-1]):
            some = subject.answer(subject.probe(), table, pod, rows)
            names = table.names()[rows].tolist()
            if whole is not None and some is not None and some != whole.only(names):
                yield f"{_difference(whole.only(names), some)} when only some of the nodes are shown"


def cached(subject: Subject) -> Iterator[str]:
    """Node-local: results kept for unchanged nodes equal results computed anew, whatever changes in the cluster."""
    if not subject.node_local:
        return
    for seed, scenario in enumerate(subject.scenarios):
        choose = clusters.Seeded(1000 + seed)
        world, probe = clusters.World(dict(scenario.world.nodes), dict(scenario.world.pods), 100), subject.probe()
        table = world.table()
        try:
            columns = [(pod, CachedColumns(probe, table, pod)) for pod in scenario.pods]
        except KschedError:
            continue
        for _ in range(CHANGES):
            event = world.change(choose, table)
            fresh = world.table()
            for pod, column in columns:
                anew = subject.answer(probe, fresh, pod)
                if anew is None:
                    continue
                try:
                    kept = column.answer()
                except KschedError:
                    continue
                kept.pre_filter = anew.pre_filter
                if kept != anew:
                    yield f"{_difference(anew, kept)} when results are kept over the event {event!r}"


def signature(subject: Subject) -> Iterator[str]:
    """Node-local: pods of equal signature get equal answers."""
    if not subject.node_local:
        return
    probe = subject.probe()
    by_signature: dict[Any, PodView] = {}
    for scenario in subject.scenarios[:4]:
        table = scenario.world.table()
        by_signature.clear()
        choose = clusters.Seeded(7)
        for number in range(60):
            pod = PodView(clusters.pod(choose, f"same-{number}"))
            try:
                other = by_signature.setdefault(probe.signature(table, pod), pod)
            except (KschedError, TypeError) as error:
                yield f"signature() fails or is not hashable: {error}"
                continue
            mine, theirs = subject.answer(probe, table, pod), subject.answer(probe, table, other)
            if mine is not None and theirs is not None and mine != theirs:
                yield (
                    f"signature() is equal for {_pod(pod)} and {_pod(other)}, but {_difference(mine, theirs)}; "
                    "let it return all that decides"
                )


def no_mutation(subject: Subject) -> Iterator[str]:
    """Neither the pod nor the nodes are changed."""
    # Objects of their own: a change made while another clause was tested would already be there.
    for scenario in subject.new_scenarios():
        table = scenario.world.table()
        for pod in scenario.pods:
            nodes_before, pod_before = table_state(table), pod_state(pod)
            subject.answer(subject.probe(), table, pod)
            if table_state(table) != nodes_before:
                yield "it changes the nodes it is shown"
            if pod_state(pod) != pod_before:
                yield "it changes the pod it is shown"


def no_memory(subject: Subject) -> Iterator[str]:
    """Node-local plugins remember nothing; no plugin leaves anything outside its instance, where runs would meet."""
    probe = subject.probe()
    before = kept_state(probe.plugin)
    for _, table, pod in subject.questions():
        subject.answer(probe, table, pod)
    after = kept_state(probe.plugin)
    changed = sorted(key for key in before.keys() | after.keys() if before.get(key) != after.get(key))
    for key in changed:
        if not key.startswith("self."):
            yield f"it changes {key}: that outlives a run and leaks into the next one in the same process"
        elif subject.node_local:
            yield (
                f"it changes {key} although it is node_local: its results are kept and shared, so it is not asked "
                "every time; keep per-pod work in cycle.state"
            )


def added_and_removed(subject: Subject) -> Iterator[str]:
    """After AddPod and RemovePod the answer is as if PreFilter had seen the cluster like that."""
    if not subject.probe().has("add_pod", "remove_pod"):
        return
    for scenario, table, pod in subject.questions():
        if not scenario.world.nodes:
            continue
        for other, node_name in _moves(scenario):
            adding = table.node_of(other.uid) is None
            method = "add_pod" if adding else "remove_pod"
            probe = subject.probe()
            ask = probe.ask(table, pod)
            with table.fork():
                try:
                    outcome = probe.pre_filter(ask)
                    if outcome and (outcome.status or outcome.skipped):
                        continue
                    if adding:
                        table.add_pod(other, node_name)
                    else:
                        table.remove_pod(other.uid)
                    guarded(probe.plugin, method, *ask, other, node_name)
                    _, stepwise = probe.filter(ask, NodeView(table))
                    anew = probe.answer(table, pod).filter
                except KschedError as error:
                    yield f"{method}: {_without_hint(error)}"
                    continue
                if stepwise != anew:
                    yield f"after {method} its filter differs from what it says when PreFilter is run anew"


def reserve_returns(subject: Subject) -> Iterator[str]:
    """Reserve and Permit return None or a Status; Unreserve may be called twice."""
    probe = subject.probe()
    for _, table, pod in subject.questions():
        cycle = Cycle(table, pod, now=NOW, seed=SEED)
        cycle.plugin = probe.plugin.name
        name = str(table.names()[0])
        for method in ("reserve", "permit", "unreserve", "unreserve"):
            if not probe.has(method):
                continue
            try:
                got = getattr(probe.plugin, method)(cycle, pod, name)
            except Exception as error:
                yield f"{method} raises {type(error).__name__}: {error}"
                continue
            if got is not None and (method == "unreserve" or not isinstance(got, Status)):
                yield f"{method} returned {type(got).__name__}"


def queueing(subject: Subject) -> Iterator[str]:
    """PreEnqueue returns None or a Status; queue keys of any two pods compare, and a pod keeps its key."""
    probe = subject.probe()
    keys = []
    try:
        for number, (_, _, pod) in enumerate(subject.questions()):
            if probe.has("pre_enqueue"):
                got = guarded(probe.plugin, "pre_enqueue", pod)
                if got is not None and not isinstance(got, Status):
                    yield f"pre_enqueue returned {type(got).__name__}"
            if probe.has("queue_sort_key"):
                keys.append(guarded(probe.plugin, "queue_sort_key", pod, number))
                if guarded(probe.plugin, "queue_sort_key", pod, number) != keys[-1]:
                    yield "queue_sort_key answers differently about the same pod"
        sorted(keys)
    except KschedError as error:
        yield _without_hint(error)
    except TypeError as error:
        yield f"queue_sort_key returns keys that cannot be compared: {error}"


def arguments(subject: Subject) -> Iterator[str]:
    """Args are a frozen model that survives JSON and refuses unknown keys."""
    model = getattr(subject.found.cls, "Args", None)
    if model is None:
        return
    args = model.model_validate(dict(subject.args or {}))
    written = args.model_dump_json(by_alias=True, exclude_unset=True)
    try:
        if model.model_validate_json(written) != args:
            yield f"Args written as JSON are read back as something else: {written}"
    except ValueError as error:
        yield f"Args written as JSON are not accepted: {written}: {error}"
    try:
        model.model_validate({**json.loads(written), "noSuchArgument": 1})
        yield 'Args accept unknown keys, so a typo goes unnoticed: set model_config = ConfigDict(extra="forbid")'
    except ValueError:
        pass
    if not model.model_config.get("frozen"):
        yield "Args can be changed: set model_config = ConfigDict(frozen=True)"


def pickling(subject: Subject) -> Iterator[str]:
    """An instance travels to a worker process and answers the same there."""
    try:
        copy = Probe(pickle.loads(pickle.dumps(subject.probe().plugin)))
    except Exception as error:
        yield f"it cannot be pickled: {type(error).__name__}: {error}"
        return
    for _, table, pod in subject.questions():
        if subject.answer(copy, table, pod) != subject.answer(subject.probe(), table, pod):
            yield "it answers differently after pickling"


CLAUSES: tuple[Clause, ...] = (
    answers,
    in_range,
    zero_nodes,
    same_twice,
    permutation,
    subset,
    cached,
    signature,
    no_mutation,
    no_memory,
    added_and_removed,
    reserve_returns,
    queueing,
    arguments,
    pickling,
)


def _moves(scenario: Scenario) -> Iterator[tuple[PodView, str]]:
    """Pods to take off their node, and pods to put on one."""
    for held, node_name in list(scenario.world.pods.values())[:3]:
        yield PodView(held), node_name
    choose = clusters.Seeded(99)
    for number in range(3):
        yield PodView(clusters.pod(choose, f"added-{number}")), choose.pick(list(scenario.world.nodes))


def _difference(expected: Answer, got: Answer) -> str:
    if expected.pre_filter != got.pre_filter:
        return "PreFilter answers differently"
    for what, left, right in (("filter", expected.filter, got.filter), ("score", expected.raw, got.raw)):
        if left is None or right is None:
            if left is not right:
                return f"{what} is skipped in one case only"
            continue
        for name in left:
            if name not in right or left[name] != right[name]:
                return f"{what} of node {name} is {left[name]!r} or {right.get(name)!r}"
    return "the answers differ"


def _pod(pod: PodView) -> str:
    return f"pod {pod.name}"


def _without_hint(error: KschedError) -> str:
    if isinstance(error, PluginError) and error.hint:
        return f"{error.message} ({error.hint})"
    return str(error)


@contextmanager
def _later() -> Iterator[None]:
    """Clocks read in here have moved on by some odd amount, so that an answer taken from one shows."""
    with mock.patch.multiple(
        time,
        time=_shifted(time.time, 98_765.4321),
        time_ns=_shifted(time.time_ns, 98_765_432_109_877),
        monotonic=_shifted(time.monotonic, 98_765.4321),
        perf_counter=_shifted(time.perf_counter, 98_765.4321),
    ):
        yield


def _shifted(clock: Callable[[], Any], by: Any) -> Callable[[], Any]:
    return lambda: clock() + by
