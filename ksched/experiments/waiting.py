"""Runs that wait to be handed out: those of one group to one worker, one after another.

What a run makes of its trace and seed (arrivals, their pods, the nodes) serves the next run of the same group as it is,
if the same process does it. The order changes no result, only how much is computed twice.
"""

from __future__ import annotations

from collections import deque

from ksched.experiments.run_spec import RunSpec


class WaitingRuns:
    """Runs by group, groups in the order they came in."""

    def __init__(self) -> None:
        self._groups: dict[str, deque[RunSpec]] = {}
        self._begun: set[str] = set()

    def __len__(self) -> int:
        return sum(map(len, self._groups.values()))

    def has(self, group: str) -> bool:
        """Whether a run of this group waits."""
        return group in self._groups

    def add(self, spec: RunSpec) -> None:
        """Queue a run behind those of its group."""
        self._groups.setdefault(spec.group, deque()).append(spec)

    def take(self, after: str) -> RunSpec:
        """The next run for a worker that did one of group ``after``; IndexError when none waits.

        One of the same group; else the first of a group nobody has begun; else of the group with most runs waiting,
        so that no worker is idle while another has a whole group before it.
        """
        group = after if self.has(after) else self._another()
        self._begun.add(group)
        runs = self._groups[group]
        spec = runs.popleft()
        if not runs:
            del self._groups[group]
        return spec

    def _another(self) -> str:
        if not self._groups:
            raise IndexError("no run waits")
        fresh = (group for group in self._groups if group not in self._begun)
        return next(fresh, None) or max(self._groups, key=lambda group: len(self._groups[group]))
