"""Deciding pods in batches and counting the CPU time: what tests, tables and plots of this folder have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from statistics import median

from ksched.framework import Framework
from ksched.tables import PodView
from scheduler_perf import Scenario

BATCH, BATCHES = 50, 30
WARM = 50
"""Decisions before the first that counts: those that fill caches are the cost of a template, not of a decision."""


def decide(framework: Framework, pods: Iterable[PodView]) -> int:
    """Decide and place ``pods`` as the scheduler does, preemption where nothing fits included; how many were placed."""
    placed = 0
    for pod in pods:
        cycle = framework.new_cycle(pod)
        decision = framework.schedule(pod, cycle)
        if decision.node is None:
            framework.post_filter(cycle, pod, decision)
        else:
            framework.table.add_pod(pod, decision.node)
            placed += 1
    return placed


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU time of this process that ``run`` takes."""
    before = time.process_time()
    run()
    return time.process_time() - before


class ScenarioRun:
    """A scenario at one size, its caches warm. ``batches`` is how many batches there is room for, at most BATCHES."""

    def __init__(self, scenario: Scenario, nodes: int) -> None:
        self.framework = scenario.framework(nodes)
        self._pods = scenario.arriving()
        room = scenario.room(nodes)
        self.batches = BATCHES if room is None else min(BATCHES, (room - WARM) // BATCH)
        self.placed = decide(self.framework, islice(self._pods, WARM))
        self.tried = WARM

    def batch(self) -> list[PodView]:
        """The next pods."""
        self.tried += BATCH
        return list(islice(self._pods, BATCH))

    def decide(self, pods: list[PodView]) -> None:
        """Decide and place them."""
        self.placed += decide(self.framework, pods)


def seconds_per_decision(scenario: Scenario, nodes: int) -> float:
    """CPU seconds, the median over batches: a busy machine disturbs that least."""
    run = ScenarioRun(scenario, nodes)
    batches: Iterator[list[PodView]] = (run.batch() for _ in range(run.batches))
    return median(cpu_seconds(lambda pods=pods: run.decide(pods)) for pods in batches) / BATCH
