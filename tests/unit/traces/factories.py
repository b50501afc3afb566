"""Small traces made by hand."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from ksched.traces.build import table_of
from ksched.traces.schema import TABLES, Manifest, WorkloadKind
from ksched.traces.trace import Trace

GIB = 1 << 30
S = 1_000_000

Row = Mapping[str, Any]

NODE_DEFAULTS = {"cpu_milli": 8000.0, "memory_b": 32 * GIB, "gpu_count": 0, "count": 1}
WORKLOAD_DEFAULTS = {"kind": WorkloadKind.JOB.value, "t_submit": 0, "gang_min": 1, "n_pods": 1}
POD_DEFAULTS = {
    "index": 0,
    "attempt": 0,
    "t_submit": 0,
    "run_us": 60 * S,
    "censor_left": False,
    "censor_right": False,
    "cpu_milli": 1000.0,
    "memory_b": GIB,
    "gpu_count": 0,
    "gpu_milli": 0,
    "quality": 0,
}


def table(name: str, rows: Sequence[Row]) -> pa.Table:
    """A table of the named schema from rows; columns no row has are left out."""
    keys = [c.name for c in TABLES[name].columns if any(c.name in row for row in rows)]
    return table_of(TABLES[name], {key: [row.get(key) for row in rows] for key in keys})


def tables(
    nodes: Sequence[Row] = ({},), pods: Sequence[Row] = ({},), workloads: Sequence[Row] | None = None
) -> dict[str, pa.Table]:
    """The three tables; a pod gets a workload of its own unless it names one."""
    numbered = [{"pod_id": i, "workload_id": i, **POD_DEFAULTS, **pod} for i, pod in enumerate(pods)]
    if workloads is None:
        ids = list(dict.fromkeys(pod["workload_id"] for pod in numbered))
        workloads = [{"workload_id": i, "n_pods": sum(p["workload_id"] == i for p in numbered)} for i in ids]
    return {
        "nodes": table(
            "nodes", [{"node_id": i, "name": f"n{i}", **NODE_DEFAULTS, **row} for i, row in enumerate(nodes)]
        ),
        "workloads": table(
            "workloads",
            [{"workload_id": i, "name": f"job-{i}", **WORKLOAD_DEFAULTS, **row} for i, row in enumerate(workloads)],
        ),
        "pods": table("pods", numbered),
    }


def trace(
    nodes: Sequence[Row] = ({},),
    pods: Sequence[Row] = ({},),
    workloads: Sequence[Row] | None = None,
    *,
    extra: Mapping[str, Sequence[Row]] | None = None,
    **manifest: Any,
) -> Trace:
    """A trace in memory."""
    made = tables(nodes, pods, workloads) | {name: table(name, rows) for name, rows in (extra or {}).items()}
    return Trace.from_tables(Manifest(name="tiny", source="hand-made", **manifest), made, "tiny")


OPENB_NODES = """\
sn,cpu_milli,memory_mib,gpu,model
node-a,32000,65536,2,T4
node-b,64000,131072,8,V100
"""
OPENB_ALL_NODES = OPENB_NODES + "node-c,16000,32768,0,\n"
OPENB_PODS = """\
name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time
p-0,4000,8192,1,470,,LS,Running,0,900,10
p-1,8000,16384,2,1000,V100|T4|T4,BE,Succeeded,100,400,100
p-2,2000,0,0,0,,LS,Pending,200,300,
p-3,6000,4096,1,1000,V100,Guaranteed,Failed,300,900,350.0
"""
OPENB_SHORT_PODS = """\
name,cpu_milli,memory_mib,num_gpu,gpu_milli
p-1,8000,16384,2,1000
p-0,4000,8192,1,470
"""


def openb_folder(root: Path, **files: str | bytes) -> Path:
    """A data folder in openb's layout; keyword ``default`` etc. replace or add lists, ``nodes`` the node list."""
    folder = root / "traces" / "openb-2023"
    folder.mkdir(parents=True, exist_ok=True)
    contents: dict[str, str | bytes] = {
        "nodes": OPENB_NODES, "all": OPENB_ALL_NODES, "default": OPENB_PODS, "multigpu20": OPENB_SHORT_PODS,
    } | files  # fmt: skip
    names = {"nodes": "openb_node_list_gpu_node", "all": "openb_node_list_all_node"}
    for key, content in contents.items():
        data = gzip.compress(content.encode(), mtime=0) if isinstance(content, str) else content
        (folder / f"{names.get(key, f'openb_pod_list_{key}')}.csv.gz").write_bytes(data)
    return root
