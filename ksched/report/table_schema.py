"""What every column of a result directory means: name, type, unit. The reference pages are made from this.

A name in angle brackets, ``<axis>``, stands for one column per axis of the experiment. The tests hold this against what
runs and reports write. It is here because nothing in this package is part of a run's identity: words change no result.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from ksched.result_directory import RUN_COLUMNS

ColumnType = Literal["integer", "number", "text", "yes or no", "list"]
TIME = "us of virtual time"


class Column(NamedTuple):
    """One column. ``unit`` is empty where a value has none."""

    name: str
    type: ColumnType
    meaning: str
    unit: str = ""


class Table(NamedTuple):
    """One table: what a row is, and its columns in the order they are written."""

    name: str
    row: str
    columns: tuple[Column, ...]

    @property
    def names(self) -> list[str]:
        """The columns' names, in order."""
        return [column.name for column in self.columns]


def _time(name: str, meaning: str) -> Column:
    return Column(name, "integer", meaning, TIME)


PODS = Table(
    "pods",
    "One row a pod, in order of creation.",
    (
        Column("pod", "text", "Namespace and name."),
        Column("workload", "text", "Job, service or other owner that the trace names; if there is none, the pod."),
        Column("index", "integer", "Which of its workload's pods it is, from 0."),
        Column("incarnation", "integer", "How often a pod of this workload and index was created before."),
        _time("t_create_us", "When the api-server had it."),
        _time("t_scheduled_us", "When it was bound to a node; null: never."),
        _time("t_running_us", "When its kubelet reported it running; null: never."),
        _time("t_finished_us", "When its last container ended; null: it did not end by itself."),
        _time("t_deleted_us", "When it was gone from the api-server; null: it was still there at the end."),
        Column("node", "text", "The node it was bound to; null: none."),
        Column(
            "outcome",
            "text",
            "scheduled; unschedulable (tried, no node); pending (not tried yet); gated; preempted; failed (bound, then "
            "its containers failed or the node refused it).",
        ),
        Column("reason", "text", "Why it is unschedulable or failed, in one phrase that can be counted; else null."),
        Column("attempts", "integer", "How often the scheduler tried to place it."),
        Column("cpu_milli", "integer", "CPU request.", "millicores"),
        Column("memory_b", "integer", "Memory request.", "bytes"),
        Column("gpu_milli", "integer", "GPU request, summed over devices.", "thousandths of a device"),
        Column("gpu_count", "integer", "GPU devices it takes a share of.", "devices"),
        Column("priority", "integer", "Numeric priority; higher goes first."),
        Column("censored", "yes or no", "It still lived when the run ended, in a run where pods end."),
    ),
)

NODES = Table(
    "nodes",
    "One row per lifetime of a node, in order of joining.",
    (
        Column("node", "text", "Name."),
        _time("t_add_us", "When it joined."),
        _time("t_remove_us", "When it left; null: never."),
        Column("cpu_milli", "integer", "Allocatable CPU.", "millicores"),
        Column("memory_b", "integer", "Allocatable memory.", "bytes"),
        Column("pods", "integer", "Pod slots.", "pods"),
        Column("gpu_count", "integer", "GPU devices.", "devices"),
        Column("gpu_model", "text", "Model of its GPUs; empty: none or unknown."),
        Column("zone", "text", "Label topology.kubernetes.io/zone; empty: none."),
        Column("final_cpu_milli", "integer", "CPU requested by its pods at the end.", "millicores"),
        Column("final_memory_b", "integer", "Memory requested by its pods at the end.", "bytes"),
        Column("final_pods", "integer", "Pods on it at the end.", "pods"),
        Column("final_gpu_milli", "integer", "GPU requested by its pods at the end.", "thousandths of a device"),
    ),
)

DECISIONS = Table(
    "decisions",
    "One row per attempt to place a pod, in order.",
    (
        Column("seq", "integer", "Number of the decision, from 0."),
        _time("t_us", "When it was made."),
        Column("pod", "text", "Namespace and name."),
        Column("workload", "text", "As in `pods`."),
        Column("attempt", "integer", "Which attempt to place this pod, from 1."),
        Column("result", "text", "scheduled, unschedulable or error."),
        Column("node", "text", "The node chosen; null: none."),
        Column("evaluated", "integer", "Nodes the filters looked at.", "nodes"),
        Column("feasible", "integer", "Nodes that passed every filter.", "nodes"),
        Column("score", "integer", "Total of the chosen node; null where nothing was scored.", "points"),
        Column("tied", "integer", "Nodes that shared the best total, the chosen one included.", "nodes"),
        Column("top", "list", "The best nodes, each with `total` and `scores`: plugin to weighted points."),
        Column("rejections", "list", "`plugin`, `reason` and number of `nodes` it was the first to reject."),
        Column("nominated_node", "text", "Where preemption makes room for the pod; null: it does not."),
        Column("victims", "list", "Pods (namespace and name) that are evicted for that."),
    ),
)

_STATES = {
    "arrived": "Demand that has arrived so far",
    "allocated": "Demand of the pods that have a node",
    "imbalance": "Standard deviation over nodes of their allocated share",
    "stranded": "Capacity that is free on nodes where the trace's expected pod does not fit",
}
_RESOURCES = {"cpu": "CPU", "memory": "memory", "gpu": "GPU"}

_ARRIVED = "Pods created so far; where times mean nothing (inflate, snapshot) those the scheduler tried to place."

SAMPLES = Table(
    "samples",
    "The state of the cluster at some moments of the run.",
    (
        Column("seq", "integer", "Number of the sample, from 0."),
        _time("t_us", "When it was taken."),
        Column("arrived_pods", "integer", _ARRIVED, "pods"),
        Column("pending_pods", "integer", "Pods that exist and have no node.", "pods"),
        Column("running_pods", "integer", "Pods that have a node and have not ended.", "pods"),
        Column("scheduled_pods", "integer", "Pods that ever got a node.", "pods"),
        Column("failed_pods", "integer", "Pods given up after an attempt that failed (inflated replay).", "pods"),
        *(
            Column(f"{state}_{resource}", "number", f"{meaning}: {word}.", "share of the cluster's capacity")
            for state, meaning in _STATES.items()
            for resource, word in _RESOURCES.items()
        ),
    ),
)

EVENTS = Table(
    "events",
    "One row per event that was told of an object, in order of the first time.",
    (
        _time("t_us", "When it was told first."),
        Column("kind", "text", "Kind of the object, for example Pod."),
        Column("object", "text", "Namespace and name of the object."),
        Column("reason", "text", "For example FailedScheduling."),
        Column("message", "text", "kube-scheduler's sentence."),
        Column("count", "integer", "How often it was told."),
    ),
)


def _idle(bucket: str, meaning: str) -> Column:
    return Column(bucket, "number", meaning, "idle thousandths of a device")


FRAGMENTATION = Table(
    "fragmentation",
    "One row an arrival (in other modes: a sample), where the experiment asks for `probes: [fragmentation]`. The idle "
    "GPU of the cluster by what the workload's usual pods find it to be, weighted by how usual they are.",
    (
        Column("seq", "integer", "Number of the row, from 0."),
        Column("arrived_pods", "integer", _ARRIVED, "pods"),
        Column("arrived_gpu_milli", "integer", "Their GPU requests, failed ones included.", "thousandths of a device"),
        Column("used", "number", "GPU allocated.", "thousandths of a device"),
        _idle("q1_lack_both", "Neither enough GPU nor enough cpu for the usual pod."),
        _idle("q2_lack_gpu", "Enough cpu, but devices too full for it."),
        _idle("q4_lack_cpu", "Enough GPU, but not enough cpu."),
        _idle("xl_satisfied", "Beside a pod without GPUs that fits."),
        _idle("xr_lack_cpu", "Beside a pod without GPUs that does not fit."),
        _idle("no_access", "Of a model the usual pod may not use."),
        _idle("q3_satisfied", "Usable: no fragment."),
    ),
)

RECORDED: dict[str, Table] = {table.name: table for table in (PODS, NODES, DECISIONS, SAMPLES, EVENTS, FRAGMENTATION)}
"""The tables of one run."""

RUNS = Table(
    "runs",
    "One row a cell of the experiment's grid; joins the other tables under `tables/` by `run`.",
    (
        Column("<axis>", "text", "The value's name on this axis."),
        Column("run", "text", "The run, as the partitions under `tables/` call it."),
        Column("run_id", "text", "The run's id: the name of its folder under `runs/`."),
        Column("status", "text", "done, failed or missing."),
    ),
)

_LISTED = {
    "run_id": Column("run_id", "text", "The run's id."),
    "status": Column("status", "text", "done, failed, missing, or stale (today's experiment file does not need it)."),
    "n_pods": Column("n_pods", "integer", "Rows of `pods`.", "pods"),
    "n_decisions": Column("n_decisions", "integer", "Rows of `decisions`."),
    "t_end_s": Column("t_end_s", "number", "When the run ended.", "s of virtual time"),
    "wall_s": Column("wall_s", "number", "How long it took.", "s of wall clock"),
    "cpu_s": Column("cpu_s", "number", "CPU time of its process.", "s"),
    "max_rss_mib": Column("max_rss_mib", "number", "Peak memory of its process.", "MiB"),
    "error": Column("error", "text", "The error's first line if it failed."),
}

LISTING = Table(
    "ksched.results(DIR)",
    "One row a run; also what `ksched results DIR` shows.",
    (Column("<axis>", "text", "The value's name on this axis."), *(_LISTED[name] for name in RUN_COLUMNS)),
)

TIMING = Table(
    "ksched.timing(DIR)",
    "One row per run, plugin and extension point of runs made with `--profile-plugins`.",
    (
        Column("<axis>", "text", "The value's name on this axis."),
        Column("run_id", "text", "The run's id."),
        Column("profile", "text", "The profile's schedulerName."),
        Column("plugin", "text", "The plugin."),
        Column("point", "text", "Extension point, as KubeSchedulerConfiguration names it."),
        Column("calls", "integer", "How often it was called."),
        Column("seconds", "number", "Time in it, without what other plugins took inside.", "s of wall clock"),
        Column("rows", "integer", "Nodes it was asked about, summed over calls.", "nodes"),
        Column("rows_needed", "integer", "Results that decisions needed, where results are kept.", "nodes"),
        Column("rows_computed", "integer", "Results that had to be computed.", "nodes"),
        Column("reused", "number", "Share of the needed results that was not computed again.", "0 to 1"),
    ),
)

_POLICY = Column("policy", "text", "The compared values of the run, joined.")
_WORKLOAD = Column("workload", "text", "All other axes but the seed, joined.")
_SEED = Column("seed", "text", "The seed of the pair.")
_METRIC = Column("metric", "text", "The metric's name.")
_PART = Column("part", "text", "Resource or reason; empty for a metric without parts.")

REPORT: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "comparison",
            "One row per policy, workload, metric and part: the policy against the baseline.",
            (
                _POLICY,
                _WORKLOAD,
                _METRIC,
                _PART,
                Column("title", "text", "The metric's title."),
                Column("unit", "text", "Unit of value, baseline, diff, lo and hi."),
                Column("better", "text", "higher, lower or none: which direction is an improvement."),
                Column("value", "number", "The policy's mean over the pairs.", "`unit`"),
                Column("baseline", "number", "The baseline's mean over the same pairs.", "`unit`"),
                Column("diff", "number", "Mean paired difference.", "`unit`"),
                Column("lo", "number", "Lower end of its 95 % interval.", "`unit`"),
                Column("hi", "number", "Upper end of its 95 % interval.", "`unit`"),
                Column("relative", "number", "diff over the baseline's mean.", "%"),
                Column("relative_lo", "number", "Lower end of its 95 % interval (Fieller).", "%"),
                Column("relative_hi", "number", "Upper end of its 95 % interval (Fieller).", "%"),
                Column("effect", "number", "Hedges' g of the paired differences.", "standard deviations"),
                Column("rank_biserial", "number", "Matched-pairs rank-biserial correlation.", "-1 to 1"),
                Column("p", "number", "p of the paired t test.", "0 to 1"),
                Column("p_wilcoxon", "number", "p of Wilcoxon's signed-rank test.", "0 to 1"),
                Column("p_permutation", "number", "p of the sign-flip permutation test.", "0 to 1"),
                Column("p_holm", "number", "p corrected over the primary metrics (Holm); else not a number.", "0 to 1"),
                Column("n", "integer", "Pairs.", "pairs"),
                Column("method", "text", "How the interval was made."),
                Column("family", "text", "primary: tested with the metrics the experiment is about; else secondary."),
                Column("verdict", "text", "better, worse, higher, lower, undecided, equal, untested or exploratory."),
                Column("note", "text", "What to know before quoting the row."),
            ),
        ),
        Table(
            "summary",
            "One row per policy, workload, metric and part: each policy by itself, the baseline too.",
            (
                _POLICY,
                _WORKLOAD,
                _METRIC,
                _PART,
                Column("n", "integer", "Runs in which the metric is defined.", "runs"),
                Column("mean", "number", "Mean over runs.", "of the metric"),
                Column("sd", "number", "Standard deviation over runs; null for one run.", "of the metric"),
                Column("min", "number", "Smallest.", "of the metric"),
                Column("max", "number", "Largest.", "of the metric"),
            ),
        ),
        Table(
            "pairs",
            "One row per pair of runs, metric and part.",
            (
                _POLICY,
                _WORKLOAD,
                _SEED,
                _METRIC,
                _PART,
                Column("value", "number", "The policy's.", "of the metric"),
                Column("baseline", "number", "The baseline's.", "of the metric"),
                Column("diff", "number", "Their difference.", "of the metric"),
            ),
        ),
        Table(
            "per_run",
            "One row per run, metric and part.",
            (
                _POLICY,
                _WORKLOAD,
                _SEED,
                Column("run_id", "text", "The run's id."),
                _METRIC,
                _PART,
                Column("value", "number", "The metric's value; null: not defined for this run.", "of the metric"),
            ),
        ),
        Table(
            "overlap",
            "One row per pair of runs: how differently they placed the pods they share.",
            (
                _POLICY,
                _WORKLOAD,
                _SEED,
                Column("common", "integer", "Pods scheduled in both runs.", "pods"),
                Column("moved", "integer", "Those that are on another node than under the baseline.", "pods"),
                Column("scheduled_here_only", "integer", "Scheduled by the policy alone.", "pods"),
                Column("scheduled_there_only", "integer", "Scheduled by the baseline alone.", "pods"),
                Column("finished_here_only", "integer", "Finished under the policy alone.", "pods"),
                Column("finished_there_only", "integer", "Finished under the baseline alone.", "pods"),
            ),
        ),
        Table(
            "censoring",
            "One row a run: what it did not get to see.",
            (
                _POLICY,
                _WORKLOAD,
                _SEED,
                Column("created", "integer", "Pods.", "pods"),
                Column("never_scheduled", "integer", "Pods that never got a node.", "pods"),
                Column("unfinished", "integer", "Pods that still lived at the end.", "pods"),
                Column("horizon_s", "number", "When the run ended.", "s of virtual time"),
                Column("never_scheduled_cpu", "number", "Share of the CPU demand that never got a node.", "0 to 1"),
                Column("never_scheduled_memory", "number", "The same for memory.", "0 to 1"),
                Column("never_scheduled_gpu", "number", "The same for GPUs.", "0 to 1"),
            ),
        ),
        Table(
            "runs",
            "One row a run, failed ones included.",
            (
                Column("<axis>", "text", "The value's name on this axis."),
                Column("run_id", "text", "The run's id."),
                Column("status", "text", "finished or failed."),
                Column("trace_hash", "text", "sha256 of the trace's content."),
                Column("t_end_s", "number", "When the run ended.", "s of virtual time"),
            ),
        ),
        Table(
            "divergence",
            "One row per policy and workload: its first decision that differs from the baseline's.",
            (
                _POLICY,
                Column("baseline", "text", "The baseline."),
                _WORKLOAD,
                _SEED,
                Column("decision", "integer", "Its `seq`; null: they never part."),
                Column("time_s", "number", "When.", "s of virtual time"),
                Column("pod", "text", "The pod about which they differ."),
                Column("attempt", "integer", "Which attempt to place it."),
                Column("node", "text", "The policy's choice; null: none."),
                Column("baseline_node", "text", "The baseline's choice; null: none."),
            ),
        ),
        Table(
            "divergence_scores",
            "At that decision, one row per node, judge and plugin.",
            (
                _POLICY,
                _WORKLOAD,
                Column("node", "text", "The node judged."),
                Column("judge", "text", "Who says so: the policy or the baseline."),
                Column("plugin", "text", "The plugin; null where the node was rejected."),
                Column("raw", "number", "What the plugin returned."),
                Column("normalized", "integer", "The same after normalisation.", "0 to 100"),
                Column("weight", "integer", "Its weight."),
                Column("points", "integer", "normalized times weight.", "points"),
                Column("total", "integer", "Sum over plugins; null where the node was rejected.", "points"),
                Column("reason", "text", "Which filter rejected the node and why; empty if none did."),
            ),
        ),
    )
}
"""The tables of a report, by the name of their file under ``report/tables/``."""
