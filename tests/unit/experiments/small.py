"""Experiments on traces small enough to follow by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ksched.experiments.driver import simulate
from ksched.experiments.file import load_experiment
from ksched.experiments.plan import make_plan
from ksched.experiments.run_spec import RunOutput
from ksched.traces import write_trace
from ksched.traces.build import table_of
from ksched.traces.schema import TABLES, Manifest, WorkloadKind
from ksched.traces.trace import Trace

GIB = 1 << 30
S = 1_000_000

NODE = {"cpu_milli": 1000.0, "memory_b": 8 * GIB, "gpu_count": 0, "count": 1}
WORKLOAD = {"kind": WorkloadKind.JOB.value, "t_submit": 0, "gang_min": 1}
POD = {
    "index": 0,
    "attempt": 0,
    "t_submit": 0,
    "run_us": 10 * S,
    "censor_left": False,
    "censor_right": False,
    "cpu_milli": 1000.0,
    "memory_b": GIB,
    "gpu_count": 0,
    "gpu_milli": 0,
    "quality": 0,
}


def make_trace(
    folder: Path, pods: Sequence[Mapping[str, Any]], nodes: Sequence[Mapping[str, Any]] = ({},), service: bool = False
) -> Path:
    """A trace directory; each pod is a workload of its own unless it names one."""
    pod_rows = [{"pod_id": i, "workload_id": i, **POD, **pod} for i, pod in enumerate(pods)]
    ids = list(dict.fromkeys(row["workload_id"] for row in pod_rows))
    kind = (WorkloadKind.SERVICE if service else WorkloadKind.JOB).value
    rows = {
        "nodes": [{"node_id": i, "name": f"n{i}", **NODE, **node} for i, node in enumerate(nodes)],
        "workloads": [
            {
                "workload_id": i,
                "name": f"w{i}",
                **WORKLOAD,
                "kind": kind,
                "t_submit": min(p["t_submit"] for p in pod_rows if p["workload_id"] == i),
                "n_pods": sum(p["workload_id"] == i for p in pod_rows),
            }
            for i in ids
        ],
        "pods": pod_rows,
    }
    tables = {}
    for name, given in rows.items():
        keys = [c.name for c in TABLES[name].columns if any(c.name in row for row in given)]
        tables[name] = table_of(TABLES[name], {key: [row.get(key) for row in given] for key in keys})
    write_trace(Trace.from_tables(Manifest(name="small", source="by hand"), tables, "small"), folder / "trace")
    return folder / "trace"


def experiment_file(folder: Path, **keys: Any) -> Path:
    """An experiment file on the trace of :func:`make_trace`."""
    data = {"name": "small", "trace": {"path": "trace", "replay": {"mode": "timestamp"}}, **keys}
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False))
    return path


def run_one(folder: Path, replay: Mapping[str, Any], **keys: Any) -> RunOutput:
    """The output of an experiment's only run."""
    path = experiment_file(folder, trace={"path": "trace", "replay": dict(replay)}, **keys)
    (spec,) = make_plan(load_experiment(path)).selected
    return simulate(spec, lambda done, total: None)


def columns(output: RunOutput, table: str, *names: str) -> list[tuple[Any, ...]]:
    """Some columns of a result table, row by row."""
    data = output.tables[table].select(list(names)).to_pydict()
    return list(zip(*(data[name] for name in names), strict=True))
