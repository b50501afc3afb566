"""Export ``load-curves``: allocation and fragmentation by how much demand has arrived, one row a run.

The tables, their columns and their rounding are those published with "Beware of Fragmentation" (Weng et al., USENIX
ATC 2023; https://github.com/hkust-adsl/kubernetes-scheduler-simulator, experiments/analysis/expected_results), so that
files can be compared cell by cell. Column x is the mean over the arrivals at which demand, in percent of all GPUs,
rounds to x.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ksched.errors import InputError
from ksched.report.results import POLICY_AXIS, Results, Run

ALLOCATION = "analysis_allo_discrete.csv"
FILES = (ALLOCATION, "analysis_frag_discrete.csv", "analysis_frag_ratio_discrete.csv")
"""One for each of :class:`Curves`."""
KEYS = ("workload", "sc_policy", "tune", "seed")
WORKLOAD_AXIS = "workload"
LAST_PERCENT = 130
_COLUMNS = ("arrived_pods", "arrived_gpu_milli", "used", "q3_satisfied")

Floats = npt.NDArray[np.float64]


class Curves(NamedTuple):
    """float64[131] each, NaN where demand never was near: percent of all GPUs allocated, percent of them that are
    fragments, and percent of the idle ones that are."""

    allocated: Floats
    fragments: Floats
    fragment_ratio: Floats


def export(results: Results) -> dict[str, bytes]:
    """The three CSV files of all finished runs, in the order of the plan."""
    tables: dict[str, list[list[object]]] = {file: [] for file in FILES}
    for run in results.finished:
        gpus = _gpus(run)
        for file, values in zip(FILES, curves(run, gpus), strict=True):
            sizes = [gpus] if file == ALLOCATION else []
            tables[file].append([*key(run), *sizes, *cells(values)])
    percents = list(range(LAST_PERCENT + 1))
    return {
        file: _csv([[*KEYS, *(["total_gpus"] if file == ALLOCATION else []), *percents], *rows])
        for file, rows in tables.items()
    }


def key(run: Run) -> tuple[str, ...]:
    """What identifies a run in the files: its :data:`KEYS`."""
    workload = run.axes.get(WORKLOAD_AXIS, run.trace.get("name"))
    values = (workload, run.axes.get(POLICY_AXIS), run.config["replay"].get("ratio"), run.seed)
    return tuple("" if value is None else str(value) for value in values)


def curves_of(run: Run) -> Curves:
    """The curves of one run (:func:`curves`)."""
    return curves(run, _gpus(run))


def cells(values: Floats) -> list[str]:
    """The curve as it is printed, empty where demand never was near."""
    return ["" if np.isnan(value) else str(value) for value in values.tolist()]


def _gpus(run: Run) -> int:
    return int(run.arrow("nodes", ["gpu_count"])["gpu_count"].to_numpy().sum())


def curves(run: Run, gpus: int) -> Curves:
    """The curves of one run on so many GPUs. InputError when the experiment did not record fragmentation."""
    if "fragmentation" not in run.counts:
        raise InputError(
            "the runs have no table 'fragmentation', which load-curves needs",
            where=str(run.path),
            hint="write 'probes: [fragmentation]' into the experiment file",
        )
    table = run.arrow("fragmentation", _COLUMNS)
    columns: list[Floats] = [table[name].to_numpy().astype(np.float64) for name in _COLUMNS]
    _, arrived, used, usable = (column[columns[0] > 0] for column in columns)
    idle = 1000 * gpus - used
    amount = idle - usable
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio: Floats = np.where(idle > 0, 100 * amount / idle, 0.0)
    stretches = _stretches(np.round(arrived / gpus / 10))
    # np.round, which multiplies, rounds and divides: of two ways to break a tie the published one.
    return Curves(
        np.round(_means(stretches, np.round(used / gpus / 10, 2)), 2),
        np.round(100 * _means(stretches, np.round(amount, 2)) / 1000 / gpus, 2),
        _means(stretches, np.round(ratio, 2)),
    )


def _stretches(at: Floats) -> list[slice]:
    """The arrivals at each percent; where there are none those one percent off. ``at`` never falls."""
    bounds = np.searchsorted(at, np.arange(-1, LAST_PERCENT + 3)).tolist()
    found = []
    for i in range(1, LAST_PERCENT + 2):
        exact = slice(bounds[i], bounds[i + 1])
        found.append(exact if exact.start < exact.stop else slice(bounds[i - 1], bounds[i + 2]))
    return found


def _means(stretches: Sequence[slice], values: Floats) -> Floats:
    """Mean of ``values`` over each stretch, NaN over an empty one."""
    parts = [values[stretch] for stretch in stretches]
    return np.array([np.add.reduce(part) / len(part) if len(part) else np.nan for part in parts])


def _csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
