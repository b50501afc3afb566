"""Fabricates result directories for tests of the report. The numbers are invented; no simulation is behind them.

The files follow the result schema: plan.json, experiment.yaml, and per run run.json with the tables pods, nodes,
decisions, samples, events. ``effects`` plants known differences between policies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

SCHEMA_VERSION = 1
REASONS = ("Insufficient cpu", "Insufficient memory", "no device has 500 free milli-GPU")


@dataclass(frozen=True)
class Effect:
    """How a fabricated policy differs from the ground: planted, so that tests know the truth."""

    fail: float = 0.02  # share of pods never scheduled
    wait_s: float = 2.0  # scale of the pending time
    imbalance: float = 0.10
    stranded: float = 0.05
    placement: int = 0  # policies with equal numbers place alike


@dataclass(frozen=True)
class Plan:
    policies: Mapping[str, Effect]
    traces: Sequence[str] = ("demo",)
    seeds: Sequence[int] = (42, 43, 44, 45, 46)
    mode: str = "timestamp"  # or inflate
    pods: int = 400
    nodes: int = 20
    samples: int = 200
    gpus: bool = True
    seed_matters: bool = True
    name: str = "demo"
    question: str = "Does more weight on free memory schedule more pods?"
    baseline: Mapping[str, str] | None = None
    more_axes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    failed: Sequence[tuple[str, str, int]] = ()  # (policy, trace, seed) whose run failed


def fabricate(directory: Path, plan: Plan) -> Path:
    """Write a whole result directory and return it."""
    runs: list[dict[str, Any]] = []
    for policy in plan.policies:
        for trace in plan.traces:
            for seed in plan.seeds:
                run_id = f"{policy}-{trace}-{seed}".encode().hex()[:12] + f"{len(runs):04x}"
                axes = {"policy": policy, "trace": trace, "seed": str(seed)}
                runs.append({"run_id": run_id, "axes": axes, "cells": [axes]})
                if (policy, trace, seed) in plan.failed:
                    _write_failure(directory / "runs" / f"{run_id}.failed", run_id, axes, seed)
                else:
                    _write_run(directory / "runs" / run_id, run_id, axes, seed, plan)
    axes_doc = {"policy": {p: {} for p in plan.policies}, "trace": list(plan.traces), "seed": list(plan.seeds)}
    experiment: dict[str, Any] = {"name": plan.name, "question": plan.question, "axes": axes_doc}
    if plan.baseline:
        experiment["baseline"] = dict(plan.baseline)
    (directory / "experiment.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
    axes_plan = {"policy": list(plan.policies), "trace": list(plan.traces), "seed": [str(s) for s in plan.seeds]}
    document = {"experiment": plan.name, "schema_version": SCHEMA_VERSION, "axes": axes_plan, "runs": runs}
    (directory / "plan.json").write_text(json.dumps(document, indent=1))
    return directory


def _facts(run_id: str, axes: Mapping[str, str], seed: int, plan: Plan, t_end_us: int) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "axes": dict(axes),
        "seed": seed,
        "config": {"policy": {}, "replay": {"mode": plan.mode}},
        "trace": {"name": axes["trace"], "content_hash": "ab12" * 16, "mode": plan.mode},
        "status": "done",
        "schema_version": SCHEMA_VERSION,
        "ksched": {"version": "0.1.0", "source": "cd" * 32},
        "t_end_us": t_end_us,
        "counts": {"pods": plan.pods},
        "notes": [],
        "pending_time_meaningful": plan.mode != "inflate",
    }


def _write_failure(folder: Path, run_id: str, axes: Mapping[str, str], seed: int) -> None:
    folder.mkdir(parents=True)
    message = "the plugin BestFit returned NaN for node n-3"
    facts: dict[str, Any] = {"run_id": run_id, "axes": dict(axes), "seed": seed, "status": "failed"}
    facts |= {"schema_version": SCHEMA_VERSION, "error": message}
    (folder / "run.json").write_text(json.dumps(facts))
    (folder / "traceback.txt").write_text(f"Traceback ...\nPluginError: {message}\n")


def _write_run(folder: Path, run_id: str, axes: Mapping[str, str], seed: int, plan: Plan) -> None:
    effect = plan.policies[axes["policy"]]
    trace = list(plan.traces).index(axes["trace"])
    shared = np.random.default_rng([7, trace, seed if plan.seed_matters else 0])
    own = np.random.default_rng([8, trace, seed if plan.seed_matters else 0, effect.placement])
    inflate = plan.mode == "inflate"
    n = plan.pods
    order = shared.permutation(n) if inflate else np.arange(n)
    gaps = shared.exponential(10.0, n)
    t_create = np.cumsum(gaps * 0 + 1 if inflate else gaps)
    t_create_us = (t_create * 1e6).astype(np.int64)
    luck = shared.random(n)
    failed = luck < effect.fail
    wait = np.zeros(n) if inflate else shared.exponential(1.0, n) * effect.wait_s + own.random(n) * 0.1
    run_s = shared.lognormal(5, 1, n)
    horizon_us = int((t_create[-1] + 600) * 1e6)
    t_scheduled = t_create_us + (wait * 1e6).astype(np.int64)
    t_finished = t_scheduled + (run_s * 1e6).astype(np.int64)
    unfinished = failed | (t_finished > horizon_us) | inflate
    reason = own.choice(len(REASONS), n, p=[0.6, 0.3, 0.1])
    node = own.integers(0, plan.nodes, n)
    tables = {
        "pods": pa.table(
            {
                "pod": [f"default/job-{i}" for i in order],
                "workload": [f"job-{i}" for i in order],
                "index": pa.array(np.zeros(n), pa.int32()),
                "incarnation": pa.array(np.zeros(n), pa.int32()),
                "t_create_us": t_create_us,
                "t_scheduled_us": pa.array(t_scheduled, mask=failed),
                "t_running_us": pa.array(t_scheduled, mask=failed),
                "t_finished_us": pa.array(t_finished, mask=unfinished),
                "t_deleted_us": pa.nulls(n, pa.int64()),
                "node": pa.array([f"n-{i}" for i in node], mask=failed),
                "outcome": pa.array(np.where(failed, "unschedulable", "scheduled")).dictionary_encode(),
                "reason": pa.array([REASONS[i] for i in reason], mask=~failed),
                "attempts": pa.array(np.ones(n), pa.int32()),
                "cpu_milli": pa.array((order % 4 + 1) * 500, pa.int64()),
                "memory_b": pa.array((order % 3 + 1) * 2**30, pa.int64()),
                "gpu_milli": pa.array(np.zeros(n), pa.int64()),
                "gpu_count": pa.array(np.zeros(n), pa.int32()),
                "priority": pa.array(np.zeros(n), pa.int32()),
                "censored": pa.array(unfinished),
            }
        ),
        "nodes": _nodes(plan),
        "samples": _samples(plan, effect, t_create_us, failed, horizon_us, own),
        "decisions": pa.table({"seq": np.arange(n), "t_us": t_create_us, "result": ["scheduled"] * n}),
        "events": pa.table({"t_us": t_create_us, "kind": ["Pod"] * n}),
    }
    folder.mkdir(parents=True)
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    facts = _facts(run_id, axes, seed, plan, int(t_create_us[-1]) if inflate else horizon_us)
    (folder / "run.json").write_text(json.dumps(facts))


def _nodes(plan: Plan) -> pa.Table:
    n = plan.nodes
    return pa.table(
        {
            "node": [f"n-{i}" for i in range(n)],
            "t_add_us": np.zeros(n, np.int64),
            "t_remove_us": pa.nulls(n, pa.int64()),
            "cpu_milli": np.full(n, 32_000),
            "memory_b": np.full(n, 128 * 2**30),
            "pods": np.full(n, 110),
            "gpu_count": pa.array(np.full(n, 4 if plan.gpus else 0), pa.int32()),
            "gpu_model": ["V100" if plan.gpus else ""] * n,
            "zone": [f"z{i % 3}" for i in range(n)],
        }
    )


def _samples(
    plan: Plan, effect: Effect, t_create_us: np.ndarray, failed: np.ndarray, horizon_us: int, own: np.random.Generator
) -> pa.Table:
    inflate = plan.mode == "inflate"
    rows = np.unique(np.linspace(0, len(failed) - 1, plan.samples).astype(int))
    progress = (rows + 1) / len(failed)
    good = np.cumsum(~failed)[rows]
    columns: dict[str, Any] = {
        "seq": np.arange(len(rows)),
        "t_us": t_create_us[rows],
        "arrived_pods": rows + 1,
        "pending_pods": np.zeros(len(rows), np.int64),
        "running_pods": good,
        "scheduled_pods": good,
        "failed_pods": (rows + 1) - good,
    }
    for i, resource in enumerate(("cpu", "memory", "gpu")):
        demand = progress * (1.3 - 0.2 * i)
        curve = demand if inflate else 0.6 + 0.2 * np.sin(progress * 6 + i)
        held = np.minimum(curve, 1 - effect.fail - 0.02 * i) + own.normal(0, 0.004, len(rows))
        missing = resource == "gpu" and not plan.gpus
        columns[f"arrived_{resource}"] = np.full(len(rows), np.nan) if missing else demand
        columns[f"allocated_{resource}"] = np.full(len(rows), np.nan) if missing else held
        noise = own.normal(0, 0.004, (2, len(rows)))
        columns[f"imbalance_{resource}"] = np.abs(effect.imbalance * (1 + i / 2) * np.sqrt(progress) + noise[0])
        columns[f"stranded_{resource}"] = np.abs(effect.stranded * progress * (1 + i) + noise[1])
    return pa.table(columns)
