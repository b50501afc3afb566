"""Kubernetes pod specs and nodes from trace rows: one PodSpec object per distinct shape.

A shape is everything of a pod's row that goes into its spec. Traces have millions of pods and hundreds of shapes,
so each spec is built once and shared by all its pods.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

from ksched.errors import InputError
from ksched.objects import Node, PodSpec, PriorityClass
from ksched.objects.gpu import GPU_MILLI, MILLI_PER_GPU, MODEL_LABEL
from ksched.traces.build import MAX_US
from ksched.traces.schema import ConstraintOp
from ksched.traces.trace import Trace, column, valid

DEFAULT_MAX_PODS = 110
HOSTNAME_LABEL = "kubernetes.io/hostname"
ZONE_LABEL = "topology.kubernetes.io/zone"
RACK_LABEL = "ksched.dev/rack"
PARTITION_LABEL = "ksched.dev/partition"
PLATFORM_LABEL = "ksched.dev/platform"
GPU_MEMORY_LABEL = "alibabacloud.com/gpu-card-memory"
NODE_LABELS = {
    "zone": ZONE_LABEL,
    "rack": RACK_LABEL,
    "partition": PARTITION_LABEL,
    "platform": PLATFORM_LABEL,
    "gpu_model": MODEL_LABEL,
    "gpu_mem_b": GPU_MEMORY_LABEL,
}
"""Columns of ``nodes`` that a replay turns into labels."""
_INDIVIDUAL = ["node_id", "name", "t_add", "t_remove", "count"]
"""Columns of ``nodes`` that say nothing of what kind of node it is."""
IMAGE = "workload"

_NUMERIC = ("cpu_milli", "cpu_limit", "memory_b", "memory_limit", "disk_b", "gpu_count", "gpu_milli",
            "constraint_set", "spec_ref")  # fmt: skip
_INVALID_NAME = re.compile(r"[^a-z0-9-]+")
_OPERATORS = {
    ConstraintOp.EQ: "In",
    ConstraintOp.IN: "In",
    ConstraintOp.NE: "NotIn",
    ConstraintOp.NOTIN: "NotIn",
    ConstraintOp.EXISTS: "Exists",
    ConstraintOp.NOTEXISTS: "DoesNotExist",
    ConstraintOp.LT: "Lt",
    ConstraintOp.LE: "Lt",
    ConstraintOp.GT: "Gt",
    ConstraintOp.GE: "Gt",
}
Array = np.ndarray[Any, np.dtype[Any]]


class Shapes:
    """The distinct pod shapes of a trace.

    ``code`` is int64[rows of pods]: which shape each row has; ``first`` the first row of each shape, ``count`` its
    rows. :meth:`spec` gives the shape's PodSpec, the same object each time.
    """

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._priority = _priorities(trace)
        self._constraints = _constraint_terms(trace)
        self._templates = _template_specs(trace)
        self._specs: dict[tuple[int, str], PodSpec] = {}
        keys = _shape_keys(trace, self._priority)
        _, first, code, count = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
        self.code: Array = code
        self.first: Array = first
        self.count: Array = count

    def __len__(self) -> int:
        return len(self.first)

    def spec(self, shape: int, restart_policy: str = "Always") -> PodSpec:
        """The spec of a shape; InputError for a row that no Kubernetes spec can express."""
        spec = self._specs.get((shape, restart_policy))
        if spec is None:
            row = int(self.first[shape])
            spec = self._specs[shape, restart_policy] = self._build(row, restart_policy)
        return spec

    def _build(self, row: int, restart_policy: str) -> PodSpec:
        pod = {name: values[0] for name, values in self._trace.pods.slice(row, 1).to_pydict().items()}
        data: dict[str, Any] = dict(self._templates.get(pod["spec_ref"], {}))
        resources = _resources(pod)
        container: dict[str, Any] = {"name": "main", "image": IMAGE}
        if resources:
            container["resources"] = resources
        data.update(containers=[container], restartPolicy=restart_policy)
        affinity = self._affinity(pod)
        if affinity:
            data["affinity"] = affinity
        if self._priority[1][row]:
            data["priority"] = int(self._priority[0][row])
            data["priorityClassName"] = priority_class_name(data["priority"])
        try:
            return PodSpec.model_validate(data)
        except ValidationError as error:
            fault = error.errors()[0]
            place = ".".join(str(part) for part in fault["loc"])
            text = f"row {row + 1} makes no valid pod spec: {place}: {fault['msg']}"
            raise InputError(text, where=f"{self._trace.where}: pods") from None

    def _affinity(self, pod: Mapping[str, Any]) -> dict[str, Any]:
        where = f"{self._trace.where}: pods, column affinity, pod_id {pod['pod_id']}"
        affinity = _json_object(pod["affinity"], where) if pod["affinity"] else {}
        required, preferred = self._constraints.get(pod["constraint_set"], ([], []))
        if pod["gpu_models"]:
            required = [*required, {"key": MODEL_LABEL, "operator": "In", "values": list(pod["gpu_models"])}]
        if not required and not preferred:
            return affinity
        node = dict(affinity.get("nodeAffinity", {}))
        if required:
            selector = node.get("requiredDuringSchedulingIgnoredDuringExecution", {"nodeSelectorTerms": [{}]})
            # Terms are alternatives, so what the trace requires goes into each of them.
            terms = [
                {**term, "matchExpressions": [*term.get("matchExpressions", ()), *required]}
                for term in selector["nodeSelectorTerms"]
            ]
            node["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": terms}
        if preferred:
            wishes = [{"weight": 1, "preference": {"matchExpressions": [r]}} for r in preferred]
            key = "preferredDuringSchedulingIgnoredDuringExecution"
            node[key] = [*node.get(key, ()), *wishes]
        return {**affinity, "nodeAffinity": node}


@lru_cache(maxsize=1)
def shapes_of(trace: Trace) -> Shapes:
    """The shapes of ``trace``: the same specs for all that is made of one trace, whatever its order."""
    return Shapes(trace)


def _shape_keys(trace: Trace, priority: tuple[Array, Array]) -> Array:
    """int64[n], equal where rows have the same shape."""
    pods = trace.pods
    parts = [_codes(column(pods, name), valid(pods, name)) for name in _NUMERIC]
    parts.append(_codes(*priority))
    parts.append(_text_codes(pc.binary_join(pods.column("gpu_models").combine_chunks(), "|")))
    parts.append(_text_codes(pods.column("affinity").combine_chunks().cast(pa.utf8())))
    extended = pods.column("extended")
    if extended.null_count < pods.num_rows:
        texts = [None if value is None else json.dumps(value) for value in extended.to_pylist()]
        parts.append(_text_codes(pa.array(texts, pa.utf8())))
    keys = np.zeros(pods.num_rows, dtype=np.int64)
    for codes in parts:
        _, keys = np.unique(keys * (int(codes.max(initial=0)) + 1) + codes, return_inverse=True)
    return keys


def _codes(values: Array, present: Array) -> Array:
    _, codes = np.unique(values, return_inverse=True)
    return np.asarray(np.where(present, codes + 1, 0))


def _text_codes(texts: pa.Array) -> Array:
    encoded = texts.dictionary_encode()
    return np.asarray(pc.fill_null(encoded.indices, -1).to_numpy(zero_copy_only=False)).astype(np.int64) + 1


def _priorities(trace: Trace) -> tuple[Array, Array]:
    """(priority, known) per pod row: the pod's own, else its workload's."""
    pods, workloads = trace.pods, trace.workloads
    rows = workload_rows(trace)
    own, has_own = column(pods, "priority"), valid(pods, "priority")
    values = np.where(has_own, own, column(workloads, "priority")[rows])
    return values, has_own | valid(workloads, "priority")[rows]


def workload_rows(trace: Trace) -> Array:
    """int64[rows of pods]: the row of ``workloads`` each pod belongs to."""
    ids = column(trace.workloads, "workload_id")
    order = np.argsort(ids, kind="stable")
    return np.asarray(order[np.searchsorted(ids[order], column(trace.pods, "workload_id"))])


def _resources(pod: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    requests, limits = {}, {}
    if pod["cpu_milli"] is not None:
        requests["cpu"] = f"{math.ceil(pod['cpu_milli'])}m"
    if pod["cpu_limit"] is not None:
        limits["cpu"] = f"{math.ceil(pod['cpu_limit'])}m"
    for name, request, limit in (("memory", "memory_b", "memory_limit"), ("ephemeral-storage", "disk_b", None)):
        if pod[request] is not None:
            requests[name] = str(pod[request])
        if limit and pod[limit] is not None:
            limits[name] = str(pod[limit])
    # Extended resources cannot be overcommitted: the api-server wants limit and request equal.
    if pod["gpu_count"]:
        requests[GPU_MILLI] = limits[GPU_MILLI] = str(pod["gpu_count"] * pod["gpu_milli"])
    for entry in pod["extended"] or ():
        requests[entry["name"]] = limits[entry["name"]] = str(math.ceil(entry["qty"]))
    return {name: values for name, values in (("requests", requests), ("limits", limits)) if values}


def _constraint_terms(trace: Trace) -> dict[int, tuple[list[dict[str, Any]], list[dict[str, Any]]]]:
    """(required, preferred) node selector requirements by constraint set."""
    table = trace.table("constraints")
    sets: dict[int, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
    for row, entry in enumerate(table.to_pylist() if table is not None else ()):
        requirement = _requirement(entry, f"{trace.where}: constraints, row {row + 1}")
        sets.setdefault(entry["constraint_set"], ([], []))[0 if entry["hard"] else 1].append(requirement)
    return sets


def _requirement(entry: Mapping[str, Any], where: str) -> dict[str, Any]:
    op = ConstraintOp(entry["op"])
    values = list(entry["values"] or ())
    if op in (ConstraintOp.LT, ConstraintOp.LE, ConstraintOp.GT, ConstraintOp.GE):
        try:
            (bound,) = (int(value) for value in values)
        except ValueError:
            raise InputError(f"{op.name} needs one whole number, not {values}", where=where) from None
        # Kubernetes has only the strict comparisons.
        values = [str(bound + {ConstraintOp.LE: 1, ConstraintOp.GE: -1}.get(op, 0))]
    requirement = {"key": entry["key"], "operator": _OPERATORS[op]}
    return {**requirement, "values": values} if op not in (ConstraintOp.EXISTS, ConstraintOp.NOTEXISTS) else requirement


def _template_specs(trace: Trace) -> dict[int, dict[str, Any]]:
    table = trace.table("templates")
    specs: dict[int, dict[str, Any]] = {}
    for row, entry in enumerate(table.to_pylist() if table is not None else ()):
        where = f"{trace.where}: templates, column spec, row {row + 1}"
        specs[entry["spec_ref"]] = _json_object(entry["spec"], where)
        if "containers" in specs[entry["spec_ref"]]:
            raise InputError("containers come from the columns of pods, a template has none", where=where)
    return specs


def _json_object(text: str, where: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error}", where=where) from None
    if not isinstance(value, dict):
        raise InputError("expected a JSON object", where=where)
    return value


# --------------------------------------------------------------------------------------------------- cluster


def cluster_nodes(trace: Trace, *, max_pods: int = DEFAULT_MAX_PODS, ranks: Array | None = None) -> list[Node]:
    """The nodes there at the trace's start, in table order; a row with ``count`` above 1 becomes NAME-0, NAME-1 ...

    ``max_pods`` is the number of pod slots where the trace does not say. GPUs appear as
    ``alibabacloud.com/gpu-milli`` (1000 a device), their model as a label. ``ranks`` has a number for every node,
    nodes by name, and puts it before the name (``0042-NAME``), so that names sort by it. Nodes of a kind share all but
    their metadata.
    """
    kinds: dict[str, Node] = {}
    names: list[str] = []
    nodes: list[Node] = []
    rows = trace.nodes.select(["name", "count", "t_add"]).to_pylist()
    for row, hardware in zip(rows, trace.nodes.drop_columns(_INDIVIDUAL).to_pylist(), strict=True):
        if row["t_add"]:
            continue
        name, count = row["name"], row["count"]
        kind = kinds.get(key := repr(hardware))
        if kind is None:
            kind = kinds[key] = Node.model_validate(_node(hardware, max_pods))
        names += [name] if count == 1 else [f"{name}-{i}" for i in range(count)]
        nodes += [kind] * count
    if ranks is not None:
        rank_of = dict(zip(sorted(names), ranks.tolist(), strict=True))
        names = [f"{rank_of[name]:04d}-{name}" for name in names]
    return [_named(node, name) for node, name in zip(nodes, names, strict=True)]


def _named(node: Node, name: str) -> Node:
    meta = node.metadata
    return node.replaced(metadata=meta.replaced(name=name, labels=meta.labels | {HOSTNAME_LABEL: name}))


def initial_nodes(trace: Trace) -> int:
    """How many nodes there are at the trace's start."""
    later = column(trace.nodes, "t_add") > 0
    return int(column(trace.nodes, "count")[~later].sum())


def _node(row: Mapping[str, Any], max_pods: int) -> dict[str, Any]:
    """A node like those of ``row``, still without a name."""
    labels = dict(row["labels"] or ())
    labels[HOSTNAME_LABEL] = ""
    labels.update({label: str(row[field]) for field, label in NODE_LABELS.items() if row[field] is not None})
    amounts = {"cpu": f"{math.floor(row['cpu_milli'])}m"}
    if row["memory_b"] is not None:
        amounts["memory"] = str(row["memory_b"])
    if row["disk_b"] is not None:
        amounts["ephemeral-storage"] = str(row["disk_b"])
    amounts["pods"] = str(row["max_pods"] if row["max_pods"] is not None else max_pods)
    if row["gpu_count"]:
        amounts[GPU_MILLI] = str(row["gpu_count"] * MILLI_PER_GPU)
    for entry in row["extended"] or ():
        amounts[entry["name"]] = str(math.floor(entry["qty"]))
    node: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "", "labels": labels},
        "status": {"capacity": amounts, "allocatable": amounts},
    }
    if row["taints"]:
        node["spec"] = {"taints": [{k: v for k, v in taint.items() if v} for taint in row["taints"]]}
    return node


def priority_classes(trace: Trace) -> list[PriorityClass]:
    """The PriorityClasses the trace's pods refer to, to be created before them; by value, ascending."""
    values, known = _priorities(trace)
    return [
        PriorityClass.model_validate(
            {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": priority_class_name(int(value))},
                "value": int(value),
            }
        )
        for value in np.unique(values[known])
    ]


def priority_class_name(value: int) -> str:
    """The name of the PriorityClass for a trace's numeric priority."""
    return f"trace-{value}" if value >= 0 else f"trace-minus-{-value}"


# ----------------------------------------------------------------------------------------------------- names


def object_name(name: str | None, workload_id: int) -> str:
    """A workload's name as Kubernetes allows it (at most 50 characters, room for suffixes); unique per workload."""
    if not name:
        return f"w-{workload_id}"
    clean = _INVALID_NAME.sub("-", name.lower()).strip("-")[:50].strip("-")
    return name if clean == name else f"{clean[:40].strip('-') or 'w'}-{workload_id}"


def us_to_ns(us: Array, where: str) -> Array:
    """int64 nanoseconds; the one place that converts. InputError where that would overflow."""
    if us.size and int(us.max()) > MAX_US:
        raise InputError(f"time {int(us.max())} us is too large: at most {MAX_US} us", where=where)
    return np.asarray(us * 1000)
