"""Reader of the Alibaba GPU trace of 2023 ("openb"): one node list and one of 24 pod lists.

Source: alibaba/clusterdata, cluster-trace-gpu-v2023/csv; published with Weng et al., "Beware of Fragmentation",
USENIX ATC 2023. Headered CSV, plain or gzip. What one has to know about the files:

- the ``multigpu*`` lists have the five request columns only: no model constraint, no QoS, no phase, no times;
- ``gpu_spec`` is a list ``A|B`` that may repeat a model; a trace keeps it as written, because published results tell
  ``A|B|B`` from ``A|B``;
- ``gpu_milli`` is per GPU: 0 without GPUs, at most 1000, a share of one GPU only with ``num_gpu`` 1;
- ``scheduled_time`` is empty for pods that never ran; they have a deletion time all the same, so their run time
  is unknown, not zero;
- ``pod_phase`` is a snapshot: Running pods carry real deletion times. Only those that end exactly with the trace
  are right-censored;
- ``qos`` holds Alibaba's classes (LS, BE), not Kubernetes', and is kept in ``source_meta``;
- a node's name means different machines in the two node lists.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from ksched.errors import InputError, nearest
from ksched.traces.build import MAX_US, US_PER_S, masked, seconds_to_us, table_of
from ksched.traces.schema import NODES, PODS, WORKLOADS, EndState, Manifest, Quality, SourceFile, WorkloadKind
from ksched.traces.trace import Trace

NODE_LISTS = {"gpu": "openb_node_list_gpu_node", "all": "openb_node_list_all_node"}
POD_LIST_PREFIX = "openb_pod_list_"
FOLDERS = ("traces/openb-2023", "openb-2023", ".")

NODE_COLUMNS = ("sn", "cpu_milli", "memory_mib", "gpu", "model")
POD_COLUMNS = ("name", "cpu_milli", "memory_mib", "num_gpu", "gpu_milli")
TIME_COLUMNS = ("creation_time", "deletion_time", "scheduled_time")
PHASES = {
    "Running": EndState.RUNNING,
    "Succeeded": EndState.FINISH,
    "Failed": EndState.FAIL,
    "Pending": EndState.PENDING,
}
MIB = 1 << 20
LARGEST = {"cpu_milli": 10**9, "memory_mib": 2**40, "num_gpu": 1024, "gpu": 1024, "gpu_milli": 10**6}
"""Beyond these a cell is no request but a damaged file."""


@dataclass(frozen=True)
class _Rows:
    """A CSV file as columns of text, without its blank lines."""

    path: Path
    text: str
    columns: dict[str, tuple[str, ...]]
    blank: int
    source: SourceFile

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def place(self, row: int) -> str:
        """The line a row stands on, which is asked for when something is wrong with it."""
        return f"{self.path}:{_line(self.text, row)}"

    def fault(self, row: int, column: str, text: str) -> InputError:
        return InputError(f"column {column}: {text}", where=self.place(row))


def pod_lists(data: Path) -> dict[str, Path]:
    """The pod lists found under ``data``, by name (``default``, ``multigpu20`` ...), sorted."""
    found: dict[str, Path] = {}
    for folder in FOLDERS:
        for path in sorted((data / folder).glob(f"{POD_LIST_PREFIX}*.csv*")):
            if path.name.endswith((".csv", ".csv.gz")):
                found.setdefault(path.name.removeprefix(POD_LIST_PREFIX).split(".")[0], path)
        if found:
            break
    return dict(sorted(found.items()))


def read_openb(data: Path, pod_list: str = "default", node_list: str = "gpu") -> Trace:
    """The trace of one pod list on the GPU nodes (``gpu``, 1,213) or on all nodes (``all``, 1,523).

    ``data`` is a folder holding ``traces/openb-2023/``, ``openb-2023/`` or the CSV files themselves. InputError
    for missing or cut files, cells that are no numbers, negative or absurd quantities and duplicate names.
    """
    if node_list not in NODE_LISTS:
        raise InputError(f"unknown openb node list {node_list!r}", hint="known: " + ", ".join(NODE_LISTS))
    nodes = _read_csv(_find_nodes(data, node_list), NODE_COLUMNS)
    pods = _read_csv(_find_pods(data, pod_list), POD_COLUMNS)
    workload_table, pod_table = _pods(pods)
    timed = TIME_COLUMNS[0] in pods.columns
    blank = nodes.blank + pods.blank
    manifest = Manifest(
        name=f"openb-{pod_list}" + ("" if node_list == "gpu" else f"-{node_list}"),
        source="Alibaba cluster-trace-gpu-v2023 (openb)",
        source_files=(nodes.source, pods.source),
        licence="Alibaba Cluster Trace Program terms: research or study purposes",
        citation="Weng et al., Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation "
        "Gradient Descent, USENIX ATC 2023",
        t_end_us=_last(pod_table),
        time_quality="phase_unknown" if timed else "none",
        replay_mode="inflate",
        drops={"blank line": blank} if blank else {},
        importer="ksched.traces.openb",
    )
    tables = {"nodes": _nodes(nodes), "workloads": workload_table, "pods": pod_table}
    return Trace.from_tables(manifest, tables, str(pods.path))


def _find_nodes(data: Path, node_list: str) -> Path:
    for folder in FOLDERS:
        for suffix in (".csv.gz", ".csv"):
            path = data / folder / (NODE_LISTS[node_list] + suffix)
            if path.is_file():
                return path
    raise InputError(f"no {NODE_LISTS[node_list]}.csv(.gz)", where=_where(data), hint=_layout())


def _find_pods(data: Path, pod_list: str) -> Path:
    found = pod_lists(data)
    if pod_list in found:
        return found[pod_list]
    if not found:
        raise InputError(f"no {POD_LIST_PREFIX}{pod_list}.csv(.gz)", where=_where(data), hint=_layout())
    close = nearest(pod_list, found)
    hint = f"did you mean {close}? " if close else ""
    raise InputError(f"no openb pod list {pod_list!r}", where=_where(data), hint=hint + "found: " + ", ".join(found))


def _where(data: Path) -> str:
    return str(data) if data.is_dir() else f"{data} (no such folder)"


def _layout() -> str:
    return "expected DATA/traces/openb-2023/*.csv.gz with DATA from --data or $KSCHED_DATA"


# ---------------------------------------------------------------------------------------------------- files


def _read_csv(path: Path, required: Sequence[str]) -> _Rows:
    raw, text = _read_text(path)
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        header = [name.strip() for name in next(reader, [])]
        _check_header(header, required, path)
        found = list(reader)
    except csv.Error as error:
        raise InputError(f"not CSV: {error}", where=f"{path}:{reader.line_num}") from None
    rows = list(filter(_filled, found))
    if not rows:
        raise InputError("has no rows", where=str(path))
    for number, row in enumerate(rows):
        if len(row) != len(header):
            where = f"{path}:{_line(text, number)}"
            raise InputError(f"{len(row)} cells, the header has {len(header)} columns", where=where)
    columns = dict(zip(header, zip(*rows, strict=True), strict=True))
    source = SourceFile(name=path.name, sha256=hashlib.sha256(raw).hexdigest(), bytes=len(raw))
    result = _Rows(path, text, columns, len(found) - len(rows), source)
    _check_names(result, required[0])
    return result


def _filled(row: Sequence[str]) -> bool:
    return bool("".join(row).strip())


def _line(text: str, row: int) -> int:
    """The line on which row number ``row`` of those that are not blank ends."""
    reader = csv.reader(io.StringIO(text, newline=""))
    next(reader)
    for _ in islice(filter(_filled, reader), row + 1):
        pass
    return reader.line_num


def _read_text(path: Path) -> tuple[bytes, str]:
    try:
        raw = path.read_bytes()
        data = gzip.decompress(raw) if path.suffix == ".gz" else raw
        return raw, data.decode("utf-8-sig")
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(f"damaged or cut gzip file: {error}", where=str(path), hint="fetch it again") from None
    except UnicodeDecodeError as error:
        text = f"not UTF-8 text: byte {error.start} is {error.object[error.start]:#x}"
        raise InputError(text, where=str(path)) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}", where=str(path)) from None


def _check_header(header: Sequence[str], required: Sequence[str], path: Path) -> None:
    missing = [name for name in required if name not in header]
    if missing:
        raise InputError(
            f"column {missing[0]} is missing; the header is {','.join(header) or 'empty'}",
            where=f"{path}:1",
            hint="expected " + ",".join(required),
        )
    for name in header:
        if header.count(name) > 1:
            raise InputError(f"column {name} is there twice", where=f"{path}:1")


def _check_names(rows: _Rows, column: str) -> None:
    names = rows.columns[column]
    if all(names) and len(set(names)) == len(names):
        return
    first: dict[str, int] = {}
    for row, name in enumerate(names):
        if not name:
            raise rows.fault(row, column, "is empty")
        if first.setdefault(name, row) != row:
            line = _line(rows.text, first[name])
            raise rows.fault(row, column, f"duplicate {name!r}, first on line {line}")


def _integers(rows: _Rows, column: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The column as int64[n]; whole numbers written as floats (``3.0``) are taken."""
    texts = rows.columns[column]
    try:
        values = list(map(int, texts))
    except ValueError:
        values = [_integer(rows, row, column, text) for row, text in enumerate(texts)]
    limit = LARGEST.get(column, 2**63 - 1)
    if min(values) < 0 or max(values) > limit:
        row, value = next((row, value) for row, value in enumerate(values) if not 0 <= value <= limit)
        wrong = "negative" if value < 0 else f"absurdly large (more than {limit})"
        raise rows.fault(row, column, f"{value} is {wrong}")
    return np.array(values, dtype=np.int64)


def _integer(rows: _Rows, row: int, column: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise rows.fault(row, column, f"{text!r} is not a number")
    if not number.is_integer():
        raise rows.fault(row, column, f"{text!r} is not a whole number")
    return int(number)


def _times(rows: _Rows, column: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Seconds of the file as (us int64[n], present bool[n]); empty cells are absent."""
    texts = rows.columns.get(column, ("",) * len(rows))
    present = np.array(list(map(bool, texts)), dtype=bool)
    try:
        seconds = [int(text) if text else 0 for text in texts]
    except ValueError:
        seconds = [_integer(rows, row, column, text) if text else 0 for row, text in enumerate(texts)]
    if min(seconds) < 0 or max(seconds) > MAX_US // US_PER_S:
        for row, value in enumerate(seconds):
            if value < 0:
                raise rows.fault(row, column, f"{value} is negative")
            seconds_to_us(value, rows.place(row))
    return np.array(seconds, dtype=np.int64) * US_PER_S, present


# --------------------------------------------------------------------------------------------------- tables


def _nodes(rows: _Rows) -> pa.Table:
    gpus = _integers(rows, "gpu")
    models = rows.columns["model"]
    for row in np.flatnonzero(gpus > 0):
        if not models[row]:
            raise rows.fault(int(row), "model", "is empty for a node with GPUs")
    return table_of(
        NODES,
        {
            "node_id": np.arange(len(rows)),
            "name": rows.columns["sn"],
            "cpu_milli": _integers(rows, "cpu_milli").astype(np.float64),
            "memory_b": _integers(rows, "memory_mib") * MIB,
            "gpu_count": gpus,
            "gpu_model": [model or None for model in models],
            "count": np.ones(len(rows), dtype=np.int32),
        },
    )


def _pods(rows: _Rows) -> tuple[pa.Table, pa.Table]:
    n = len(rows)
    count, milli, quality = _gpus(rows)
    models, specs = _models(rows, count)
    created, has_created = _times(rows, "creation_time")
    ended, has_end = _times(rows, "deletion_time")
    scheduled, has_sched = _times(rows, "scheduled_time")
    quality[~has_created] |= Quality.NO_SUBMIT.value
    quality[~has_end] |= Quality.NO_END.value
    inverted = has_end & (ended < created) | has_sched & (scheduled < created)
    inverted |= has_end & has_sched & (ended < scheduled)
    quality[inverted] |= Quality.TIME_INVERTED_FIXED.value
    scheduled = np.maximum(scheduled, created)
    ended = np.maximum(ended, np.where(has_sched, scheduled, created))
    ran = has_end & has_sched
    horizon = ended[has_end].max() if has_end.any() else -1
    at_horizon = has_end & (ended == horizon)
    phases = [PHASES.get(p) for p in rows.columns.get("pod_phase", ("",) * n)]
    ids = np.arange(n)
    submit = np.where(has_created, created, 0)
    workloads = table_of(
        WORKLOADS,
        {
            "workload_id": ids,
            "name": rows.columns["name"],
            "kind": np.full(n, WorkloadKind.JOB, dtype=np.uint8),
            "t_submit": submit,
            "t_end": masked(ended, has_end),
            "final_state": phases,
            "gang_min": np.ones(n, dtype=np.int32),
            "n_pods": np.ones(n, dtype=np.int32),
            "source_meta": _meta(rows, specs),
        },
    )
    pods = table_of(
        PODS,
        {
            "pod_id": ids,
            "workload_id": ids,
            "index": np.zeros(n, dtype=np.int32),
            "attempt": np.zeros(n, dtype=np.int16),
            "t_submit": submit,
            "t_sched": masked(scheduled, has_sched),
            "t_end": masked(ended, has_end),
            "run_us": masked(ended - scheduled, ran),
            "end_state": phases,
            "censor_left": np.zeros(n, dtype=bool),
            # One last pod is no evidence of a cut; several that end in the very same second are.
            "censor_right": at_horizon & (at_horizon.sum() > 1),
            "cpu_milli": _integers(rows, "cpu_milli").astype(np.float64),
            "memory_b": _integers(rows, "memory_mib") * MIB,
            "gpu_count": count,
            "gpu_milli": milli,
            "gpu_models": models,
            "quality": quality,
        },
    )
    return workloads, pods


def _gpus(rows: _Rows) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """(GPUs, thousandths of each, quality bits); per-GPU amounts above 1000 are clipped, as published."""
    count, milli = _integers(rows, "num_gpu"), _integers(rows, "gpu_milli")
    quality = np.zeros(len(rows), dtype=np.uint16)
    quality[(count > 0) & (milli > 1000) | (count == 0) & (milli > 0)] |= Quality.CLIPPED.value
    milli = np.where(count == 0, 0, np.minimum(milli, 1000))
    for row in np.flatnonzero((count > 0) & (milli == 0)):
        raise rows.fault(int(row), "gpu_milli", f"0 of each of {count[row]} GPUs")
    for row in np.flatnonzero((count > 1) & (milli < 1000)):
        raise rows.fault(int(row), "gpu_milli", f"{milli[row]} of each of {count[row]} GPUs: a share is of one GPU")
    return count, milli, quality


def _models(rows: _Rows, count: np.ndarray[Any, Any]) -> tuple[list[list[str] | None], tuple[str, ...]]:
    """Allowed models per pod (null: any) and the ``gpu_spec`` cells as written."""
    specs = rows.columns.get("gpu_spec", ("",) * len(rows))
    names = {spec: [name for name in spec.split("|") if name] or None for spec in set(specs)}
    return [names[spec] if gpus else None for spec, gpus in zip(specs, count.tolist(), strict=True)], specs


def _meta(rows: _Rows, specs: Sequence[str]) -> list[str | None]:
    qos, phase = (rows.columns.get(c, ("",) * len(rows)) for c in ("qos", "pod_phase"))
    texts: dict[tuple[str, str, str], str | None] = {}
    for key in zip(specs, phase, qos, strict=True):
        if key not in texts:
            named = dict(zip(("gpu_spec", "pod_phase", "qos"), key, strict=True))
            meta = {name: value for name, value in named.items() if value}
            texts[key] = json.dumps(meta, separators=(",", ":")) if meta else None
    return [texts[key] for key in zip(specs, phase, qos, strict=True)]


def _last(pods: pa.Table) -> int:
    ends = pods.column("t_end").drop_null()
    return int(max(ends.to_numpy().max(initial=0), pods.column("t_submit").to_numpy().max(initial=0)))
