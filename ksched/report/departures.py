"""The first decision in which each policy departs from the baseline, as ``divergence.json`` keeps it.

The file is computed beside the runs by the experiments package and described there; here it is read and arranged.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from ksched.errors import InputError
from ksched.report.comparison import Comparison
from ksched.report.grid import joined
from ksched.report.numbers import scale

FILE = "divergence.json"
VERSION = 1
_DELETE = "delete it; the next ksched run makes it again"
_COLUMNS = [
    "policy", "baseline", "workload", "seed", "decision", "time_s", "pod", "attempt", "node", "baseline_node",
]  # fmt: skip
_SCORE_COLUMNS = [
    "policy", "workload", "node", "judge", "plugin", "raw", "normalized", "weight", "points", "total", "reason",
]  # fmt: skip


@dataclass(frozen=True)
class Departure:
    """One policy on one workload. ``entry`` is the file's; ``decision`` None means that the two never part."""

    policy: str
    baseline: str
    workload: str
    decision: int | None
    entry: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        """Which pod went where, in one sentence."""
        entry = self.entry
        if self.decision is None:
            return f"{self.policy} decides like {self.baseline} throughout (seed {entry['seed']})."
        at = scale("s", entry["time_us"] / 1e6).value(entry["time_us"] / 1e6)
        mine, theirs = (f"to {node}" if node else "nowhere" for node in (entry["node"], entry["baseline_node"]))
        feasible = " and ".join(str(n) for n in dict.fromkeys(entry["feasible"]))
        text = (
            f"Decision {self.decision:,} of seed {entry['seed']}, at {at}: pod {entry['pod']} goes {mine} under "
            f"{self.policy} and {theirs} under {self.baseline}; {feasible} of {entry['nodes']:,} nodes could run it."
        )
        return f"{text} {entry['note']}" if entry["note"] else text


def departures(comparison: Comparison, entries: Sequence[Mapping[str, Any]] | None = None) -> list[Departure]:
    """The entries that concern this comparison's baseline, by default those of divergence.json; none where that file
    is missing. InputError when it is damaged."""
    path = comparison.results.directory / FILE
    if entries is None:
        entries = _read(path).get("entries", ())
    workloads = {
        (policy, run_id): workload
        for policy, workload, run_id in comparison.per_run[["policy", "workload", "run_id"]]
        .drop_duplicates()
        .itertuples(index=False)
    }
    found = []
    try:
        for entry in entries:
            policy, baseline = (_name(entry[side], comparison.compared) for side in ("policy", "baseline"))
            workload = workloads.get((policy, entry["run"]))
            if baseline == comparison.baseline and workload is not None:
                found.append(Departure(policy, baseline, workload, entry["decision"], entry))
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"an entry of this file is not as expected: {error!r}", where=str(path), hint=_DELETE
        ) from error
    order = {policy: i for i, policy in enumerate(comparison.policies)}
    return sorted(found, key=lambda one: (comparison.workloads.index(one.workload), order.get(one.policy, 0)))


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read this file: {error}", where=str(path), hint=_DELETE) from error
    # A file of another version is one that has not been made yet.
    return document if isinstance(document, dict) and document.get("version") == VERSION else {}


def _name(axes: Mapping[str, str], compared: Sequence[str]) -> str:
    return joined({str(k): str(v) for k, v in axes.items()}, list(compared))


def departures_table(found: Sequence[Departure]) -> pd.DataFrame:
    """One row a policy and workload: which decision, which pod, which nodes."""
    rows = [
        {
            "policy": one.policy,
            "baseline": one.baseline,
            "workload": one.workload,
            "seed": str(one.entry["seed"]),
            "decision": one.decision,
            "time_s": None if one.decision is None else one.entry["time_us"] / 1e6,
            **{name: one.entry.get(name) for name in ("pod", "attempt", "node", "baseline_node")},
        }
        for one in found
    ]
    frame = pd.DataFrame(rows, columns=_COLUMNS)
    return frame.astype({"decision": "Int64", "time_s": "Float64", "attempt": "Int64"})


def scores_table(found: Sequence[Departure]) -> pd.DataFrame:
    """One row a policy, workload, node, judge (the policy or the baseline) and plugin: the scores of both."""
    rows: list[dict[str, Any]] = []
    for one in found:
        for row in one.entry["rows"]:
            for side, judge in (("policy", one.policy), ("baseline", one.baseline)):
                said = row[side]
                shared = {"policy": one.policy, "workload": one.workload, "node": row["node"], "judge": judge}
                shared |= {"total": said["total"], "reason": said["reason"]}
                rows += [{**shared, "plugin": plugin, **score} for plugin, score in said["scores"].items()]
                if not said["scores"]:
                    rows.append(shared)
    frame = pd.DataFrame(rows, columns=_SCORE_COLUMNS)
    whole = dict.fromkeys(("normalized", "weight", "points", "total"), "Int64")
    return frame.astype({"raw": "Float64", **whole})
