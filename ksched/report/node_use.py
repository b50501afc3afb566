"""How full each node is over the run: the numbers behind the heat map, binned so that big clusters stay readable."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from ksched.report.comparison import Comparison
from ksched.report.results import Run, RunTables
from ksched.report.series import runs_of

MOST_ROWS = 48
MOST_BINS = 60
FEWEST_CELLS = 200
CELL_BUDGET = 24_000
"""Cells of all heat maps of one report; more maps get coarser, so that the page stays small."""
CAPACITY = {"cpu": "cpu_milli", "memory": "memory_b", "gpu": "gpu_count"}
REQUEST = {"cpu": "cpu_milli", "memory": "memory_b", "gpu": "gpu_milli"}
GPU_MILLI = 1000

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class NodeUse:
    """``cells``: columns policy, row, bin, allocated (percent of the row's capacity, mean over the bin). ``labels``:
    what stands beside each row. ``width`` of a bin: seconds, or percent of arrived demand; bins start at 0."""

    seed: str
    resource: str
    timed: bool
    width: float
    labels: tuple[str, ...]
    cells: pd.DataFrame


def node_use(comparison: Comparison, workload: str, resource: str) -> NodeUse | None:
    """Allocation per group of nodes and time of one seed, the first that all policies share.

    Nodes of the same kind stand together, and each row is a run of neighbours as long as it must be. None when there
    are more maps than the budget allows, or nothing to show.
    """
    size = _size(len(comparison.policies) * len(comparison.workloads))
    runs = _one_seed(runs_of(comparison, workload))
    if size is None or not runs:
        return None
    tables = {policy: RunTables(run) for policy, run in runs.items()}
    first = next(iter(tables.values()))
    nodes = _nodes(first.nodes, resource)
    if not len(nodes):
        return None
    timed = first.run.pending_time_meaningful
    end = min(_end(t, resource, timed) for t in tables.values())
    if not end > 0:
        return None
    rows, bins = min(size[0], len(nodes)), size[1]
    group = np.arange(len(nodes)) * rows // len(nodes)
    edges = np.linspace(0, end, bins + 1)
    capacity = np.bincount(group, weights=nodes["capacity"].to_numpy(dtype=np.float64), minlength=rows)
    found = []
    for policy, one in tables.items():
        held = _held(one, resource, timed, dict(zip(nodes["node"], group, strict=True)), rows, edges)
        share = 100 * held / capacity[:, None]
        found.append(
            pd.DataFrame(
                {
                    "policy": policy,
                    "row": np.repeat(np.arange(rows), bins),
                    "bin": np.tile(np.arange(bins), rows),
                    "allocated": share.ravel(),
                }
            )
        )
    seed = next(iter(runs.values())).axes.get("seed", "")
    width = float(edges[1] - edges[0])
    return NodeUse(seed, resource, timed, width, _labels(nodes, group, rows), pd.concat(found, ignore_index=True))


def _size(maps: int) -> tuple[int, int] | None:
    """(rows, bins) each of so many maps may have."""
    allowed = CELL_BUDGET // max(1, maps)
    if allowed < FEWEST_CELLS:
        return None
    shrink = min(1.0, (allowed / (MOST_ROWS * MOST_BINS)) ** 0.5)
    return int(MOST_ROWS * shrink), int(MOST_BINS * shrink)


def _one_seed(runs: dict[str, list[Run]]) -> dict[str, Run]:
    """policy -> its run with the first seed that all policies have; else with its own first."""
    by_seed = {policy: {run.axes.get("seed", ""): run for run in some} for policy, some in runs.items()}
    shared = [s for s in next(iter(by_seed.values()), {}) if all(s in some for some in by_seed.values())]
    return {policy: some[shared[0]] if shared else next(iter(some.values())) for policy, some in by_seed.items()}


def _nodes(nodes: pd.DataFrame, resource: str) -> pd.DataFrame:
    """Columns node, kind, capacity of the nodes that have the resource, the same kinds side by side."""
    unit = GPU_MILLI if resource == "gpu" else 1
    kind = [c for c in ("gpu_model", "gpu_count", "cpu_milli", "memory_b") if c in nodes.columns]
    kept = nodes.loc[nodes[CAPACITY[resource]] > 0].copy()
    kept["natural"] = [_natural(str(name)) for name in kept["node"]]
    kept = kept.sort_values([*kind, "natural"], kind="stable")
    kept["kind"] = [str(model) for model in kept["gpu_model"]] if "gpu_model" in kept else ""
    kept["capacity"] = kept[CAPACITY[resource]].astype("float64") * unit
    return kept[["node", "kind", "capacity"]].reset_index(drop=True)


def _natural(name: str) -> str:
    """node-2 before node-10."""
    return re.sub(r"\d+", lambda digits: digits[0].zfill(12), name)


def _end(tables: RunTables, resource: str, timed: bool) -> float:
    if timed:
        return tables.run.t_end_us / 1e6
    return float(_arrived(tables, resource)[-1]) if len(tables.pods) else 0.0


def _arrived(tables: RunTables, resource: str) -> Floats:
    """Demand in percent of capacity once each pod has arrived; pods are listed in the order of their creation."""
    demand = np.cumsum(tables.pods[REQUEST[resource]].to_numpy(dtype=np.float64))
    return 100 * demand / float(_nodes(tables.nodes, resource)["capacity"].sum())


def _held(tables: RunTables, resource: str, timed: bool, group_of: dict[str, int], rows: int, edges: Floats) -> Floats:
    """Mean amount held per group and bin, float64[rows, bins]."""
    pods = tables.pods
    placed = pods["node"].isin(list(group_of)).to_numpy() & pods["t_scheduled_us"].notna().to_numpy()
    pods = pods[placed]
    group = np.array([group_of[node] for node in pods["node"]], dtype=np.intp)
    amount = pods[REQUEST[resource]].to_numpy(dtype=np.float64)
    if timed:
        ended = pods["t_finished_us"].where(pods["t_finished_us"].notna(), pods["t_deleted_us"])
        start = pods["t_scheduled_us"].to_numpy(dtype=np.float64) / 1e6
        stop = ended.to_numpy(dtype=np.float64, na_value=np.inf) / 1e6
    else:
        start = _arrived(tables, resource)[placed]
        stop = np.full(len(pods), np.inf)
    # The integral of what a group holds from the start to an edge; differences of it are the bins'.
    integrals = [np.bincount(group, amount * np.clip(edge - start, 0, stop - start), minlength=rows) for edge in edges]
    stacked: Floats = np.stack(integrals)
    held: Floats = (stacked[1:] - stacked[:-1]).T / (edges[1:] - edges[:-1])
    return held


def _labels(nodes: pd.DataFrame, group: npt.NDArray[np.int64], rows: int) -> tuple[str, ...]:
    """The first node of each row, and how many more there are."""
    labels = []
    for row in range(rows):
        inside = nodes[group == row]
        name = str(inside["node"].iloc[0])
        labels.append(name if len(inside) == 1 else f"{name} +{len(inside) - 1}")
    return tuple(labels)


def label_expression(labels: tuple[str, ...]) -> str:
    """A Vega expression that turns a row's number into its label."""
    return f"{json.dumps(list(labels))}[datum.value]"
