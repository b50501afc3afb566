"""The finished runs of an experiment arranged for pairing: workload -> pair (seed) -> policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ksched.errors import InputError, nearest
from ksched.report.results import POLICY_AXIS, SEED_AXIS, Results, Run, natural_key


def baseline_of(results: Results, given: str | Mapping[str, str] | None) -> dict[str, str]:
    """The baseline as axis -> value name, checked against the axes that ran."""
    axes = results.axes
    if given is None:
        given = results.experiment.get("baseline") or results.plan.get("baseline") or _default_baseline(axes)
    if isinstance(given, str):
        axis = POLICY_AXIS if POLICY_AXIS in axes else next(iter(_default_baseline(axes)))
        given = {axis: given}
    chosen = {str(name): str(value) for name, value in given.items()}
    for name, value in chosen.items():
        if name not in axes or name == SEED_AXIS:
            raise InputError(
                f"the baseline names the axis {name!r}, which is not one of {', '.join(axes)}",
                where=str(results.directory),
            )
        if value not in axes[name]:
            guess = nearest(value, axes[name])
            raise InputError(
                f"no finished run has {name}={value}, so it cannot be the baseline",
                where=str(results.directory),
                hint=f"did you mean {guess!r}?" if guess else f"there are: {', '.join(axes[name])}",
            )
    return chosen


def _default_baseline(axes: Mapping[str, Sequence[str]]) -> dict[str, str]:
    if len(axes.get(POLICY_AXIS, ())) > 1:
        return {POLICY_AXIS: axes[POLICY_AXIS][0]}
    varied = [name for name, values in axes.items() if len(values) > 1 and name != SEED_AXIS]
    name = varied[0] if len(varied) == 1 else POLICY_AXIS if POLICY_AXIS in axes else next(iter(axes))
    return {name: axes[name][0]}


class Grid:
    """The finished runs arranged as workload -> pair -> policy."""

    def __init__(self, results: Results, reference: Mapping[str, str]) -> None:
        axes = results.axes
        self.reference = reference
        self.baseline = joined(reference, list(reference))
        rest = [name for name in axes if name not in reference and name != SEED_AXIS]
        self._shown = [name for name in rest if len(axes[name]) > 1] or [n for n in rest if n == "trace"]
        self.pairs: dict[str, dict[str, dict[str, Run]]] = {}
        self.cells: dict[tuple[str, str], dict[str, str]] = {}
        policies: dict[str, tuple[Any, ...]] = {}
        order: dict[str, tuple[Any, ...]] = {}
        for run in results.finished:
            policy = joined(run.axes, list(reference))
            workload = joined(run.axes, self._shown) or "workload"
            policies[policy] = _rank(run.axes, list(reference), axes)
            self.cells[policy, workload] = {name: v for name, v in run.axes.items() if name != SEED_AXIS}
            order[workload] = _rank(run.axes, self._shown, axes)
            pair = run.axes.get(SEED_AXIS, str(run.seed))
            self.pairs.setdefault(workload, {}).setdefault(pair, {})[policy] = run
        others = sorted((p for p in policies if p != self.baseline), key=lambda p: policies[p])
        self.policies = (self.baseline, *others) if self.baseline in policies else tuple(others)
        self.workloads = tuple(sorted(order, key=lambda w: order[w]))

    def of(self, workload: str) -> list[tuple[str, dict[str, Run]]]:
        """(pair, policy -> run) of a workload, by seed."""
        return sorted(self.pairs[workload].items(), key=lambda item: natural_key(item[0]))

    def unpaired(self) -> list[str]:
        """What the comparison had to leave out, in words."""
        lost = []
        for workload in self.workloads:
            for pair, runs in self.of(workload):
                missing = [p for p in self.policies if p not in runs]
                if self.baseline in missing:
                    lost.append(f"{workload}, seed {pair}: the baseline has no finished run, nothing was compared")
                elif missing:
                    lost.append(f"{workload}, seed {pair}: no finished run of {', '.join(missing)}")
        return lost


def joined(axes: Mapping[str, str], names: Sequence[str]) -> str:
    """One name for the values of some axes: "best-fit", or "best-fit, weight 5"."""
    if len(names) == 1:
        return axes.get(names[0], "-")
    plain = (POLICY_AXIS, "trace", "cluster")
    return ", ".join(axes.get(n, "-") if n in plain else f"{n} {axes.get(n, '-')}" for n in names)


def _rank(axes: Mapping[str, str], names: Sequence[str], known: Mapping[str, Sequence[str]]) -> tuple[int, ...]:
    return tuple(known[n].index(axes[n]) if n in axes else -1 for n in names)
