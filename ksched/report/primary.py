"""The primary metrics: the small family that decides, corrected together. All other metrics are exploratory.

An experiment declares its family before it is run, ``primary: [scheduled_pods, pending_p99, imbalance_mean.gpu]``: a
metric by name, or one part of it after a dot. Testing everything that can be measured would need a correction so
strict that no small experiment shows anything; choosing the family after looking at the results would be no test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from ksched.errors import InputError, nearest
from ksched.report.metrics import Metric

Key = tuple[str, str]
"""(metric, part)"""

_OF_PODS = ("scheduled_pods", "pending_p99", "pending_mean")
_OF_RESOURCE = ("stranded", "imbalance", "allocation")
_LAST = ("makespan", "failed_pods")


def default_primary(pressed: Sequence[str], *, timed: bool) -> list[Key]:
    """The family of an experiment that declares none: scheduled pods, p99 and mean pending time, stranded capacity,
    imbalance and allocation of the resource most in demand under the baseline, makespan, failed pods.

    Of these the states of the cluster are means over time, or those at the end where the replay gives time no meaning
    (``timed`` false); times have no values then. ``pressed``: resources, the most in demand first.
    """
    when = "mean" if timed else "final"
    states = [(f"{name}_{when}", resource) for resource in pressed[:1] for name in _OF_RESOURCE]
    return [*((name, "") for name in _OF_PODS), *states, *((name, "") for name in _LAST)]


def named_primary(
    names: Iterable[str], known: Mapping[str, Metric], parts: Mapping[str, Sequence[str]], *, where: str
) -> list[Key]:
    """The declared family; a metric without a part stands for all its parts. InputError for unknown names."""
    family: list[Key] = []
    for name in names:
        metric, part = find_name(name, known, where=where)
        if metric not in parts:  # it failed on some run, which is reported in its place
            continue
        if part and part not in parts[metric]:
            raise InputError(
                f"the metric {metric!r} has no part {part!r} here",
                where=where,
                hint=f"its parts: {', '.join(parts[metric]) or 'none'}",
            )
        family += [(metric, one) for one in ([part] if part else parts[metric])]
    return list(dict.fromkeys(family))


def find_name(text: str, known: Mapping[str, Metric], *, where: str) -> Key:
    """(metric, part or "") of a metric as people write it: ``pending_p99``, ``pending p99``, ``imbalance_mean.gpu``, or
    its title. InputError with the nearest name for anything else."""
    spoken = {_plain(metric.title): name for name, metric in known.items()} | {_plain(name): name for name in known}
    for name, dot, part in ((text, "", ""), text.partition(".")):
        if _plain(name) in spoken and (part or not dot):
            return spoken[_plain(name)], part.strip()
    guess = nearest(_plain(text), spoken)
    hint = f"did you mean {spoken[guess]!r}?" if guess else f"metrics: {', '.join(known)}"
    raise InputError(f"there is no metric {text!r}", where=where, hint=hint)


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")


def by_pressure(per_run: pd.DataFrame, baseline: str) -> list[str]:
    """Resources, the most contended first (highest peak allocation of the baseline)."""
    peaks = per_run[(per_run["metric"] == "allocation_max") & (per_run["policy"] == baseline)]
    means = peaks.groupby("part", sort=False)["value"].mean()
    return sorted((str(r) for r in means.index), key=lambda r: (-round(float(means[r]), 6), r))
