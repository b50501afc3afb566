"""Enough seeds: is the interval of every policy's paired difference narrow enough to stop?

``ksched compare EXPERIMENT --until "pending p99=5%"`` asks after every batch of seeds. The rule and what it costs in
coverage are in ksched.report.statistics.stopping. What was decided stands in DIR/until.json, and the report says it.
"""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ksched.errors import InputError
from ksched.report import statistics
from ksched.report.comparison import metric_pairs
from ksched.report.metrics import Metric
from ksched.report.numbers import scale
from ksched.report.opening import open_results
from ksched.report.primary import find_name
from ksched.report.results import STOP_FILE

_WIDTH = re.compile(r"\s*([0-9]*\.?[0-9]+)\s*(%?)\s*")


@dataclass(frozen=True)
class Target:
    """The width that the interval of a metric shall have: in percent of the baseline's mean, or in the metric's unit.

    Without a part every part of the metric has to be narrow enough.
    """

    metric: Metric
    part: str
    width: float
    relative: bool

    @property
    def width_text(self) -> str:
        """5 % of the baseline's mean; 2.5 s."""
        if self.relative:
            return f"{self.width:g} % of the baseline's mean"
        unit = "points" if self.metric.unit == "%" else self.metric.unit
        return f"{self.width:g} {unit}".rstrip()


def parse_target(text: str, known: Mapping[str, Metric]) -> Target:
    """``pending p99=5%`` or ``makespan=60``. InputError for an unknown metric and for a width that is none."""
    where = f"--until {text}"
    name, equals, width = text.rpartition("=")
    found = _WIDTH.fullmatch(width)
    if not equals or found is None or float(found[1]) == 0:
        raise InputError(
            f"{text!r} is not of the form METRIC=WIDTH",
            where="--until",
            hint="for example 'pending p99=5%' (of the baseline's mean), or 'makespan=60' (in the metric's unit)",
        )
    metric, part = find_name(name.strip(), known, where=where)
    return Target(known[metric], part, float(found[1]), bool(found[2]))


@dataclass(frozen=True)
class Stop:
    """Whether there are enough seeds, and why, as a paragraph of the report."""

    enough: bool
    text: str


def judge(directory: Path, target: Target, seeds: Sequence[str], total: int) -> Stop:
    """Look at the finished runs of ``seeds`` (of ``total`` in the file) and nothing else, and note the verdict in
    DIR/until.json. InputError when the baseline's mean is zero and the width relative to it."""
    results = open_results(directory).of_seeds(seeds)
    pairs = metric_pairs(results, {target.metric.name: target.metric})
    if target.part:
        pairs = pairs[pairs["part"] == target.part]
    states: dict[str, tuple[float, statistics.Precision]] = {}
    for (policy, workload, part), group in pairs.groupby(["policy", "workload", "part"], sort=False):
        base = abs(float(group["baseline"].mean()))
        label = ", ".join(str(name) for name in (policy, workload, part) if name)
        if target.relative and base == 0:
            raise InputError(
                f"{target.metric.title} is 0 under the baseline, so no interval is so many percent of it wide",
                where="--until",
                hint=f"give a width in {target.metric.unit or 'the unit of the metric'}, without the % sign",
            )
        if not math.isnan(base):
            width = target.width * base / 100 if target.relative else target.width
            states[label] = (base, statistics.enough(group["diff"].to_numpy(), width))
    enough = bool(states) and all(state.enough for _, state in states.values())
    stop = Stop(enough, _text(target, states, len(seeds), total, enough))
    write_stop(directory, stop, [run.run_id for run in results.finished])
    return stop


def _text(
    target: Target, states: Mapping[str, tuple[float, statistics.Precision]], seeds: int, total: int, enough: bool
) -> str:
    asked = (
        f"Seeds were added until the 95 % interval of the paired difference in {target.metric.label(target.part)} was "
        f"at most {target.width_text} wide for every policy"
    )
    if not states:
        return f"{asked}: it has no value in any pair of the first {seeds} of {total} seeds."
    label, (base, widest) = max(states.items(), key=lambda item: _share(item[1][1]))
    unit = target.metric.unit
    width = f"{100 * widest.width / base:.3g} %" if target.relative else scale(unit, base).value(widest.width)
    if enough:
        return (
            f"{asked}: reached after {seeds} of {total} seeds (widest: {label}, {width}). Stopping at a width makes "
            "intervals cover slightly less often than they say."
        )
    needed = f"about {widest.needed:,} seeds would be needed"
    return f"{asked}: not reached with {seeds} of {total} seeds (widest: {label}, {width}; {needed})."


def _share(state: statistics.Precision) -> float:
    return math.inf if math.isnan(state.width) else state.width / state.target


def write_stop(directory: Path, stop: Stop, run_ids: Sequence[str]) -> None:
    """Note why no more seeds were run, and over which runs that was decided; at once or not at all."""
    temporary = directory / f".{STOP_FILE}.{os.getpid()}"
    text = json.dumps({"enough": stop.enough, "text": stop.text, "run_ids": sorted(set(run_ids))}, indent=1)
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        os.replace(temporary, directory / STOP_FILE)
    except OSError as error:
        raise InputError(f"cannot write: {error.strerror or error}", where=str(directory / STOP_FILE)) from error
