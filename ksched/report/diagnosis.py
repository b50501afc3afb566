"""What an experiment can and cannot tell: what its seeds vary, and whether its workload separates policies at all."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields

import pandas as pd

from ksched.report.results import RunTables


@dataclass(frozen=True)
class Fingerprint:
    """Digests of the parts of one run; where those of two seeds differ, the seed varies that part."""

    pods: str
    order: str
    times: str
    nodes: str
    placement: str


_WORDS = {
    "pods": "which pods arrive",
    "order": "the order in which pods arrive",
    "times": "the times at which pods arrive",
    "nodes": "the cluster",
    "placement": "where pods are placed (by ties and random choices)",
}


def fingerprint(tables: RunTables) -> Fingerprint:
    """Digests of pods, arrival order and times, nodes and placements of one run."""
    pods = tables.pods
    what = [c for c in ("workload", "index", "cpu_milli", "memory_b", "gpu_milli", "priority") if c in pods.columns]
    arrival = pods.sort_values("t_create_us", kind="stable")
    by_name = pods.sort_values(["workload", "index", "incarnation"], kind="stable")
    known = ("node", "cpu_milli", "memory_b", "gpu_count", "gpu_model", "zone")
    shape = [c for c in known if c in tables.nodes.columns]
    return Fingerprint(
        pods=_digest(by_name[what]),
        order=_digest(arrival[["workload", "index"]]),
        times=_digest(by_name[["workload", "index", "t_create_us"]]),
        nodes=_digest(tables.nodes.sort_values("node", kind="stable")[shape]),
        placement=_digest(by_name[["workload", "index", "node"]]),
    )


def _digest(frame: pd.DataFrame) -> str:
    hashes = pd.util.hash_pandas_object(frame.astype("object"), index=False).to_numpy()
    return hashlib.sha256(hashes.tobytes()).hexdigest()


def what_varies(prints: Sequence[Fingerprint]) -> tuple[list[str], list[str]]:
    """(what differs between the seeds, what is the same in all), in plain words. Both empty below two runs."""
    if len(prints) < 2:
        return [], []
    varied = {f.name for f in fields(Fingerprint) if len({getattr(p, f.name) for p in prints}) > 1}
    hidden = set()
    if "pods" in varied:
        hidden |= {"order", "times"}  # other pods trivially arrive in another order
    if varied & {"pods", "order", "times", "nodes"}:
        hidden.add("placement")  # a consequence, not a source of variation
    if "placement" not in varied:
        hidden.discard("placement")
    changing = [words for name, words in _WORDS.items() if name in varied - hidden]
    constant = [words for name, words in _WORDS.items() if name not in varied and name not in hidden]
    return changing, constant


def moved_share(pods: pd.DataFrame, reference: pd.DataFrame) -> tuple[int, int]:
    """(pods placed in both runs, of these on different nodes); the rows of the two frames match."""
    mine, theirs = pods["node"].astype("object").to_numpy(), reference["node"].astype("object").to_numpy()
    both = ~(pd.isna(mine) | pd.isna(theirs))
    return int(both.sum()), int((mine[both] != theirs[both]).sum())
