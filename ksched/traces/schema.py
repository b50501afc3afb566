"""The canonical trace format "ktrace/1": its tables, columns and manifest, as data.

A trace is a directory with ``manifest.json`` and one Parquet file a table (``nodes.parquet`` ...). All times are
int64 microseconds from the trace's own zero, quantities are SI (cpu in millicores, memory in bytes) and null
means unknown: there are no sentinels. The documentation of the format is generated from the columns below.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa
from pydantic import BaseModel, ConfigDict, Field


class WorkloadKind(enum.IntEnum):
    """What submitted the pods; decides which Kubernetes object a replay creates."""

    JOB = 0
    TASKGROUP = 1
    SERVICE = 2
    ALLOC_SET = 3
    CRON = 4
    DAG = 5


class EndState(enum.IntEnum):
    """How the source says an attempt ended (RUNNING and PENDING: had not, when the source was taken)."""

    FINISH = 0
    FAIL = 1
    KILL = 2
    EVICT = 3
    LOST = 4
    TIMEOUT = 5
    NODE_FAIL = 6
    RUNNING = 7
    PENDING = 8


class PriorityClassKind(enum.IntEnum):
    """Coarse importance, comparable between sources whose numeric priorities are not."""

    BEST_EFFORT = 0
    BATCH = 1
    MID = 2
    PROD = 3
    MONITORING = 4


class QosClass(enum.IntEnum):
    """Kubernetes' QoS classes; other systems' labels stay in ``workloads.source_meta``."""

    BEST_EFFORT = 0
    BURSTABLE = 1
    GUARANTEED = 2


class NodeEventKind(enum.IntEnum):
    """What happened to a node."""

    ADD = 0
    REMOVE = 1
    UPDATE = 2
    CORDON = 3
    UNCORDON = 4
    NOT_READY = 5
    READY = 6
    ATTR_SET = 7
    ATTR_DEL = 8


class ConstraintOp(enum.IntEnum):
    """How a node's label must relate to a constraint's values."""

    EQ = 0
    NE = 1
    LT = 2
    GT = 3
    LE = 4
    GE = 5
    IN = 6
    NOTIN = 7
    EXISTS = 8
    NOTEXISTS = 9


class Quality(enum.IntFlag):
    """What an importer had to do to a pod's row; ``pods.quality`` is a set of these bits."""

    NO_SUBMIT = 1
    NO_END = 2
    REQUEST_IMPUTED = 4
    CLIPPED = 8
    DUPLICATE = 16
    TIME_INVERTED_FIXED = 32
    SYNTHESISED = 64
    RUN_UNDER_INTERFERENCE = 128


@dataclass(frozen=True)
class Column:
    """One column: its Arrow type, unit, meaning and the values it may hold.

    ``nullable=False`` columns must be present and complete; a nullable one may be left out of the file.
    ``minimum``/``maximum`` bound numbers, ``values`` bounds codes, ``unique`` forbids repeated non-null values.
    """

    name: str
    type: pa.DataType
    doc: str
    unit: str = ""
    nullable: bool = True
    minimum: int | None = None
    maximum: int | None = None
    values: type[enum.IntEnum] | None = None
    unique: bool = False


@dataclass(frozen=True)
class TableSchema:
    """One table: what a row is, its columns in order, and the column its rows are sorted by."""

    name: str
    doc: str
    columns: tuple[Column, ...]
    required: bool = False
    sorted_by: str | None = None

    def column(self, name: str) -> Column:
        """The column called ``name``; KeyError when the table has none."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    def arrow(self) -> pa.Schema:
        """The Arrow schema with all columns in canonical order."""
        return pa.schema([pa.field(c.name, c.type, nullable=c.nullable) for c in self.columns])


DICTIONARY = pa.dictionary(pa.int32(), pa.utf8())
EXTENDED = pa.list_(pa.struct([pa.field("name", pa.utf8()), pa.field("qty", pa.float64())]))
LABELS = pa.map_(pa.utf8(), pa.utf8())
TAINTS = pa.list_(pa.struct([pa.field("key", pa.utf8()), pa.field("value", pa.utf8()), pa.field("effect", pa.utf8())]))
NODE_FRACTION = pa.list_(
    pa.struct(
        [
            pa.field("platform", pa.utf8()),
            pa.field("cpu", pa.float64()),
            pa.field("mem", pa.float64()),
            pa.field("disk", pa.float64()),
            pa.field("net", pa.float64()),
        ]
    )
)
I64, I32, I16 = pa.int64(), pa.int32(), pa.int16()
F64, F32, U8, U16 = pa.float64(), pa.float32(), pa.uint8(), pa.uint16()


def _time(name: str, doc: str, *, nullable: bool = True) -> Column:
    return Column(name, I64, doc, "us", nullable=nullable, minimum=0)


NODES = TableSchema(
    "nodes",
    "One row per lifetime of a node, or of `count` identical anonymous nodes.",
    (
        Column("node_id", I32, "Dense number of the row, in first-seen order.", nullable=False, minimum=0, unique=True),
        Column("name", pa.utf8(), "Node name; a DNS subdomain.", nullable=False, unique=True),
        _time("t_add", "When the node joined; null: there from the start."),
        _time("t_remove", "When it left for good; null: never."),
        Column("cpu_milli", F64, "CPU that pods may request.", "millicores", nullable=False, minimum=0),
        Column("memory_b", I64, "Memory that pods may request.", "bytes", minimum=0),
        Column("disk_b", I64, "Local ephemeral storage that pods may request.", "bytes", minimum=0),
        Column("gpu_count", I16, "Whole GPUs.", "devices", nullable=False, minimum=0),
        Column("gpu_model", DICTIONARY, "Model of all its GPUs; null: none or unknown."),
        Column("gpu_mem_b", I64, "Memory of each GPU.", "bytes", minimum=0),
        Column("max_pods", I32, "Pod slots; null: the replay's default (110).", "pods", minimum=0),
        Column("extended", EXTENDED, "Further resources by Kubernetes resource name.", "units"),
        Column("labels", LABELS, "Further labels, beside those a replay derives from the other columns."),
        Column("taints", TAINTS, "Taints as in a Node's spec."),
        Column("zone", DICTIONARY, "Failure zone; becomes label topology.kubernetes.io/zone."),
        Column("rack", DICTIONARY, "Rack, switch or failure domain within a zone."),
        Column("partition", DICTIONARY, "Hard partition (virtual cluster, queue) the node belongs to."),
        Column("platform", DICTIONARY, "Hardware platform, where the source names one."),
        Column("count", I32, "How many identical nodes the row stands for.", "nodes", nullable=False, minimum=1),
    ),
    required=True,
)

NODE_EVENTS = TableSchema(
    "node_events",
    "What happened to nodes after they joined.",
    (
        _time("t", "When.", nullable=False),
        Column("node_id", I32, "Row of `nodes`.", nullable=False, minimum=0),
        Column("kind", U8, "What happened.", nullable=False, values=NodeEventKind),
        Column("cpu_milli", F64, "New CPU (UPDATE).", "millicores", minimum=0),
        Column("memory_b", I64, "New memory (UPDATE).", "bytes", minimum=0),
        Column("gpu_count", I16, "New number of GPUs (UPDATE).", "devices", minimum=0),
        Column("key", DICTIONARY, "Attribute (ATTR_SET, ATTR_DEL)."),
        Column("value", DICTIONARY, "Its new value (ATTR_SET)."),
        Column("synthetic", pa.bool_(), "Made up by the importer, not in the source.", nullable=False),
    ),
    sorted_by="t",
)

WORKLOADS = TableSchema(
    "workloads",
    "One row per submitted workload: a job, a service, a task group.",
    (
        Column("workload_id", I64, "Number of the workload.", nullable=False, minimum=0, unique=True),
        Column("name", pa.utf8(), "Its name; null: a replay calls it w-<workload_id>.", unique=True),
        Column("user", DICTIONARY, "Who submitted it."),
        Column("tenant", DICTIONARY, "Organisation or subscription of the user."),
        Column("queue", DICTIONARY, "Queue it was submitted to."),
        Column("app", DICTIONARY, "Application or logical name; repeated submissions of one thing share it."),
        Column("kind", U8, "What submitted the pods.", nullable=False, values=WorkloadKind),
        Column("parent_id", I64, "Workload this one belongs to.", minimum=0),
        _time("t_submit", "When it was submitted.", nullable=False),
        _time("t_end", "When it ended or was deleted."),
        Column("final_state", U8, "How it ended.", values=EndState),
        Column("priority", I32, "Numeric priority; higher goes first."),
        Column("priority_class", U8, "Coarse importance.", values=PriorityClassKind),
        Column("preemptible", pa.bool_(), "May be evicted for others."),
        Column("gang_min", I32, "Pods that must start together; 1: none.", "pods", nullable=False, minimum=1),
        Column("n_pods", I32, "Logical pods it has.", "pods", nullable=False, minimum=0),
        Column("max_per_node", I32, "Most of its pods on one node.", "pods", minimum=1),
        Column("max_per_rack", I32, "Most of its pods on one rack.", "pods", minimum=1),
        _time("deadline", "When it should be done."),
        Column("requested_runtime_us", I64, "The user's own estimate or limit of the run time.", "us", minimum=0),
        Column("deps", pa.list_(I64), "Workloads that must end first."),
        Column("model", DICTIONARY, "Program or network that runs, key into `profiles`."),
        Column("source_meta", DICTIONARY, "JSON object with what the source says and no column holds."),
    ),
    required=True,
    sorted_by="t_submit",
)

PODS = TableSchema(
    "pods",
    "One row per attempt of a logical pod; (workload_id, index) names the logical pod.",
    (
        Column("pod_id", I64, "Number of the row.", nullable=False, minimum=0, unique=True),
        Column("workload_id", I64, "Row of `workloads`.", nullable=False, minimum=0),
        Column("index", I32, "Index within the workload.", nullable=False, minimum=0),
        Column("role", DICTIONARY, "Role within the workload (worker, ps ...)."),
        Column("attempt", I16, "The how many-th try, from 0.", nullable=False, minimum=0),
        _time("t_submit", "When the pod (this attempt) came to be.", nullable=False),
        _time("t_eligible", "When it might be scheduled, if later than t_submit."),
        _time("t_sched", "When the source's scheduler placed it."),
        _time("t_start", "When it ran."),
        _time("t_end", "When it ended or was deleted."),
        Column("run_us", I64, "Service demand: how long it runs once started, apart from waits.", "us", minimum=0),
        Column("end_state", U8, "How the attempt ended.", values=EndState),
        Column("censor_left", pa.bool_(), "Was there before the trace began.", nullable=False),
        Column("censor_right", pa.bool_(), "Was there when the trace ended.", nullable=False),
        Column("cpu_milli", F64, "CPU request.", "millicores", minimum=0),
        Column("cpu_limit", F64, "CPU limit.", "millicores", minimum=0),
        Column("memory_b", I64, "Memory request.", "bytes", minimum=0),
        Column("memory_limit", I64, "Memory limit.", "bytes", minimum=0),
        Column("disk_b", I64, "Ephemeral storage request.", "bytes", minimum=0),
        Column("gpu_count", I16, "GPUs requested.", "devices", nullable=False, minimum=0),
        Column(
            "gpu_milli",
            I32,
            "Share of each GPU requested; 1000 is a whole one. Less than 1000 goes with gpu_count 1 only.",
            "thousandths of a device",
            nullable=False,
            minimum=0,
            maximum=1000,
        ),
        Column("gpu_models", pa.list_(pa.utf8()), "Models it may run on; null: any."),
        Column("extended", EXTENDED, "Further requests by Kubernetes resource name.", "units"),
        Column("node_id", I32, "Row of `nodes` the source placed it on.", minimum=0),
        Column("gpus", pa.list_(pa.int8()), "Devices the source gave it."),
        Column("priority", I32, "Numeric priority; null: the workload's."),
        Column("qos", U8, "Kubernetes QoS class.", values=QosClass),
        Column("affinity", DICTIONARY, "JSON of a Kubernetes Affinity."),
        Column("constraint_set", I32, "Rows of `constraints` its node has to satisfy.", minimum=0),
        Column("node_fraction", NODE_FRACTION, "Requests as fractions of a platform's node, one entry a platform."),
        Column("spec_ref", I32, "Row of `templates`: the rest of its Kubernetes spec.", minimum=0),
        Column("quality", U16, "Bits: " + ", ".join(f"{q.value} {q.name}" for q in Quality) + ".", nullable=False),
    ),
    required=True,
    sorted_by="t_submit",
)

CONSTRAINTS = TableSchema(
    "constraints",
    "Requirements on a node's labels; rows with one constraint_set hold together.",
    (
        Column("constraint_set", I32, "The set the row belongs to.", nullable=False, minimum=0),
        Column("key", DICTIONARY, "Label of the node.", nullable=False),
        Column("op", U8, "How the label relates to the values.", nullable=False, values=ConstraintOp),
        Column("values", pa.list_(pa.utf8()), "What it is compared with."),
        Column("hard", pa.bool_(), "Required; otherwise preferred.", nullable=False),
    ),
)

TEMPLATES = TableSchema(
    "templates",
    "Parts of Kubernetes pod specs that have no column: tolerations, spread constraints and the like.",
    (
        Column("spec_ref", I32, "Number of the template.", nullable=False, minimum=0, unique=True),
        Column("spec", pa.utf8(), "JSON of a partial PodSpec without containers.", nullable=False),
    ),
)

USAGE = TableSchema(
    "usage",
    "What nodes, pods or the cluster really used over windows of time.",
    (
        _time("t0", "Start of the window.", nullable=False),
        _time("t1", "End of the window.", nullable=False),
        Column("subject", U8, "0 node, 1 pod, 2 cluster.", nullable=False, minimum=0, maximum=2),
        Column("subject_id", I64, "node_id or pod_id.", nullable=False, minimum=0),
        *(
            Column(name, F32, doc, "as `unit` says")
            for name, doc in (
                ("cpu_mean", "Mean CPU."),
                ("cpu_max", "Largest CPU."),
                ("mem_mean", "Mean memory."),
                ("mem_max", "Largest memory."),
                ("gpu_mean", "Mean GPU utilisation."),
                ("gpu_mem", "GPU memory."),
                ("net_in", "Received."),
                ("net_out", "Sent."),
                ("disk", "Disk."),
            )
        ),
        Column("pct", pa.list_(F32), "Percentiles of CPU within the window."),
        Column("unit", U8, "0 absolute, 1 of the request, 2 of the node.", nullable=False, minimum=0, maximum=2),
    ),
    sorted_by="t0",
)

POD_EVENTS = TableSchema(
    "pod_events",
    "The source's own log of events, for what folding into attempts loses.",
    (
        _time("t", "When.", nullable=False),
        Column("seq", I32, "Order in the source.", nullable=False, minimum=0),
        Column("pod_id", I64, "Row of `pods`.", nullable=False, minimum=0),
        Column("kind", U8, "The source's event code.", nullable=False),
        Column("node_id", I32, "Row of `nodes`.", minimum=0),
        Column("cpu", F64, "CPU request from now on.", "millicores", minimum=0),
        Column("mem", F64, "Memory request from now on.", "bytes", minimum=0),
        Column("synthetic", pa.bool_(), "Made up by the importer.", nullable=False),
    ),
    sorted_by="t",
)

PROFILES = TableSchema(
    "profiles",
    "Throughput of a model on kinds and numbers of GPUs.",
    (
        Column("model", DICTIONARY, "As in `workloads.model`.", nullable=False),
        Column("gpu_model", DICTIONARY, "As in `nodes.gpu_model`.", nullable=False),
        Column("gpus", I16, "Number of GPUs.", "devices", nullable=False, minimum=1),
        Column("throughput", F64, "Steps a second.", "1/s", nullable=False, minimum=0),
    ),
)

TABLES: dict[str, TableSchema] = {
    t.name: t for t in (NODES, NODE_EVENTS, WORKLOADS, PODS, CONSTRAINTS, TEMPLATES, USAGE, POD_EVENTS, PROFILES)
}
REQUIRED = tuple(name for name, table in TABLES.items() if table.required)

ReplayMode = Literal["timestamp", "inflate", "snapshot"]


class SourceFile(BaseModel):
    """One file a trace was made from: ``name``, ``sha256`` and size in ``bytes``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: str
    bytes: int


class Manifest(BaseModel):
    """``manifest.json``: where the tables come from and how to read them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal["ktrace/1"] = Field(default="ktrace/1", description="Version of this format.")
    name: str = Field(description="Short name of the trace.")
    source: str = Field(description="Where the data comes from.")
    source_files: tuple[SourceFile, ...] = Field(default=(), description="The source's own files.")
    licence: str = Field(default="unknown", description="Terms of use of the data.")
    citation: str | None = Field(default=None, description="What to cite.")
    t_start_us: int = Field(default=0, description="First time in the trace.")
    t_end_us: int = Field(default=0, description="Last time in the trace.")
    epoch_unix_us: int | None = Field(default=None, description="Unix time of the trace's zero, where known.")
    tz: str | None = Field(default=None, description="Time zone of the source's cluster.")
    time_quality: Literal["exact", "shifted", "phase_unknown", "none"] = Field(
        default="exact", description="What times mean; none: the source has no times, arrival order is arbitrary."
    )
    cpu_unit: Literal["milli", "normalised"] = Field(default="milli", description="What the source counts CPU in.")
    cpu_scale: float = Field(default=1.0, description="What CPU of the source was multiplied by.")
    mem_unit: Literal["bytes", "normalised"] = Field(default="bytes", description="What the source counts memory in.")
    mem_scale: float = Field(default=1.0, description="What memory of the source was multiplied by.")
    replay_mode: ReplayMode = Field(default="timestamp", description="The mode a replay should use.")
    drops: dict[str, int] = Field(default_factory=dict, description="Rows of the source left out, by reason.")
    importer: str = Field(default="ksched", description="What read the source.")
    importer_version: str = Field(default="1", description="Its version.")
    generator: dict[str, Any] | None = Field(default=None, description="Configuration of a generated trace.")
    rows: dict[str, int] = Field(default_factory=dict, description="Rows per table.")
    content_hash: str | None = Field(default=None, description="sha256 of the tables in canonical form.")
