"""The report as one HTML page that opens without a network: styles, scripts, data and charts are all inside."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ksched.report import charts, words
from ksched.report.comparison import SIGNIFICANT, Comparison
from ksched.report.diagnosis import what_varies
from ksched.report.results import Run

MOST_DETAIL_ROWS = 3000
"""Rows of detail tables in the page; a larger experiment has them in its table files only."""
MOST_OPEN_WORKLOADS = 1


@dataclass(frozen=True)
class Cell:
    """One cell of a matrix: main text, a smaller second line, and its tone (a verdict)."""

    text: str
    small: str = ""
    tone: str = ""
    hint: str = ""


@dataclass(frozen=True)
class Matrix:
    """A table of cells with row and column headers; ``hints`` explain the rows."""

    title: str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    hints: Mapping[str, str]
    corner: str = ""


def render(comparison: Comparison, figures: Mapping[str, Sequence[charts.Figure]]) -> str:
    """The page. ``figures``: workload -> its figures; those under "" are about all workloads."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ksched.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["unbroken"] = _unbroken
    many = len(comparison.workloads) > 1
    details = len(comparison.frame) <= MOST_DETAIL_ROWS
    specs = {
        _figure_id(comparison, workload, figure): figure.spec for workload, some in figures.items() for figure in some
    }
    return environment.get_template("report.html.j2").render(
        name=comparison.results.name,
        question=comparison.results.question,
        finding=words.finding(comparison),
        context=_context(comparison),
        warnings=words.warnings(comparison),
        baseline=comparison.baseline,
        verdicts=[(p, _pairs_text(comparison, p), words.statements(comparison, p)) for p in comparison.policies[1:]],
        matrices=_grid_matrices(comparison) if many else [_headline_matrix(comparison)],
        overview=[(_figure_id(comparison, "", f), f) for f in figures.get("", ())],
        workloads=[_workload(comparison, w, figures.get(w, ()), details) for w in comparison.workloads],
        many=many,
        details=details,
        seeds=_seed_text(comparison),
        censoring=_censoring_text(comparison),
        unpaired=comparison.unpaired,
        metrics=[m for m in comparison.metrics.values() if (comparison.per_run["metric"] == m.name).any()],
        failed=comparison.results.failed,
        runs=[_run_row(run) for run in comparison.results.finished],
        provenance=_provenance(comparison),
        significant=SIGNIFICANT,
        themes=_script_json({"light": charts.theme(dark=False), "dark": charts.theme(dark=True)}),
        specs=_script_json(specs),
        bundle=_bundle(),
    )


def _unbroken(text: str) -> str:
    """Numbers stay with their units and intervals in one line."""
    text = re.sub(r"\[[^\]]*\]", lambda match: match[0].replace(" ", "\u00a0"), text)
    return re.sub(r"(?<=[0-9]) (?=(%|points|pods|ms|s|min|h|d)\b|%)", "\u00a0", text)


@cache
def _bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script."""
    import vl_convert

    script = str(vl_convert.javascript_bundle())  # type: ignore[call-arg]  # its stub has no default
    if "</script" in script.lower():
        # Would end the inline script early; inside JavaScript strings a backslash before the slash means nothing.
        script = script.replace("</", "<\\/")
    return script


def _script_json(value: Any) -> str:
    """JSON that is safe inside a script element."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _figure_id(comparison: Comparison, workload: str, figure: charts.Figure) -> str:
    place = comparison.workloads.index(workload) + 1 if workload else 0
    return f"figure-{place}-{figure.name}"


def _context(comparison: Comparison) -> list[tuple[str, str]]:
    results = comparison.results
    few = len(comparison.workloads) < 4
    facts = [
        ("baseline", comparison.baseline),
        ("policies", str(len(comparison.policies))),
        ("workloads", ", ".join(comparison.workloads[:3]) if few else str(len(comparison.workloads))),
        ("seeds", str(max(1, len(comparison.seeds)))),
        ("runs", f"{len(results.finished)} of {results.planned} finished"),
    ]
    modes = sorted({str(run.trace.get("mode")) for run in results.finished if run.trace.get("mode")})
    if modes:
        facts.append(("replay", ", ".join(modes)))
    return facts


def _pairs_text(comparison: Comparison, policy: str) -> str:
    n = comparison.frame.loc[comparison.frame["policy"] == policy, "n"]
    text = words.seeds_text(int(n.max())) if len(n) else "not compared"
    overlap = comparison.overlap[comparison.overlap["policy"] == policy]
    common, moved = int(overlap["common"].sum()), int(overlap["moved"].sum())
    if common == 0:
        return text
    if moved == 0:
        return f"{text}; every pod on the same node"
    share = 100 * moved / common
    return f"{text}; {words.scale('%', share).plain(share)} % of pods on another node"


def _headline_matrix(comparison: Comparison) -> Matrix:
    """One workload: policies down, headline metrics across."""
    columns = words.headline_columns(comparison)[: words.HEADLINES]
    workload = comparison.workloads[0]
    rows = [(p, [_cell(comparison, p, workload, c) for c in columns]) for p in comparison.policies]
    return Matrix("", [c.title for c in columns], rows, {}, "policy")


def _grid_matrices(comparison: Comparison) -> list[Matrix]:
    """Many workloads: workloads down, policies across, one matrix for each of the first headline metrics."""
    matrices = []
    first = words.separating_column(comparison)
    columns = [first, *(c for c in words.headline_columns(comparison)[: words.HEADLINES] if c != first)]
    for column in columns[:5]:
        rows = [(w, [_cell(comparison, p, w, column) for p in comparison.policies]) for w in comparison.workloads]
        matrices.append(Matrix(column.title, comparison.policies, rows, {}, "workload"))
    return matrices


def _cell(comparison: Comparison, policy: str, workload: str, column: words.Column) -> Cell:
    own = words.mean_text(comparison, policy, workload, column)
    row = words.cell(comparison, policy, workload, column)
    if policy == comparison.baseline:
        return Cell(own, "baseline")
    if row is None:
        return Cell(own)
    if row["verdict"] == "equal":
        return Cell(own, "equal", "equal")
    return Cell(own, words.change(row), str(row["verdict"]), _hint(row))


def _hint(row: Mapping[str, Any]) -> str:
    parts = [f"p = {words.p_text(row['p_holm'])}" if not math.isnan(row["p_holm"]) else "", str(row["note"])]
    return "; ".join(part for part in parts if part)


def _workload(comparison: Comparison, workload: str, figures: Sequence[charts.Figure], details: bool) -> dict[str, Any]:
    position = comparison.workloads.index(workload)
    missed = words.unscheduled_table(comparison, workload)
    return {
        "id": f"workload-{position + 1}",
        "name": workload,
        "open": len(comparison.workloads) <= MOST_OPEN_WORKLOADS,
        "tied": words.cannot_separate(comparison, workload),
        "table": _metric_table(comparison, workload),
        "detail": _detail_rows(comparison, workload) if details else [],
        "figures": [(_figure_id(comparison, workload, f), f) for f in figures],
        "missed_columns": [str(c) for c in missed.columns],
        "missed": [
            (str(reason), [words.scale("pods", *row).plain(float(v)) for v in row])
            for reason, row in zip(missed.index, missed.to_numpy().tolist(), strict=True)
        ],
    }


def _metric_table(comparison: Comparison, workload: str) -> Matrix:
    """Every metric of one workload: metrics down, policies across. Reasons have a table of their own."""
    defined = comparison.per_run[comparison.per_run["workload"] == workload].dropna(subset=["value"])
    rows, hints = [], {}
    for metric, part in defined[["metric", "part"]].drop_duplicates().itertuples(index=False):
        if metric == "unscheduled_by_reason":
            continue
        about = comparison.metrics[metric]
        column = words.Column(metric, part, about.label(part))
        rows.append((column.title, [_cell(comparison, p, workload, column) for p in comparison.policies]))
        hints[column.title] = about.meaning
    return Matrix("", comparison.policies, rows, hints, "metric")


def _detail_rows(comparison: Comparison, workload: str) -> list[list[str]]:
    rows = []
    for record in comparison.frame[comparison.frame["workload"] == workload].to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        chosen = words.row_scale(row)
        relative = words.Scale(1.0, 2 if abs(row["relative"]) < 1 else 1, "")
        rows.append(
            [
                row["policy"],
                row["title"],
                chosen.value(row["value"]),
                chosen.value(row["baseline"]),
                chosen.difference(row["diff"]),
                chosen.interval(row["lo"], row["hi"]),
                f"{relative.signed(row['relative'])} %" if not math.isnan(row["relative"]) else words.NOTHING,
                words.NOTHING if math.isnan(row["effect"]) else words.Scale(1.0, 2, "").signed(row["effect"]),
                words.p_text(row["p"]),
                words.p_text(row["p_wilcoxon"]),
                words.p_text(row["p_holm"]),
                str(row["n"]),
                row["verdict"],
                row["note"],
            ]
        )
    return rows


def _seed_text(comparison: Comparison) -> str:
    """What the seeds vary, found by comparing the runs of the baseline with each other."""
    if len(comparison.seeds) < 2:
        return "There is one seed, so nothing shows how much of a difference is chance."
    told: dict[str, list[str]] = {}
    for workload, prints in comparison.fingerprints.items():
        changing, constant = what_varies(prints)
        if len(prints) < 2:
            text = "the baseline has fewer than two finished runs"
        elif not changing:
            text = "nothing: all runs of the baseline are the same run"
        else:
            text = _list(changing) + (f"; the same for all seeds: {_list(constant)}" if constant else "")
        told.setdefault(text, []).append(workload)
    if len(told) == 1:
        return f"From seed to seed changes {next(iter(told))}."
    return " ".join(f"On {', '.join(where)} changes {text}." for text, where in told.items())


def _list(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"


def _censoring_text(comparison: Comparison) -> list[str]:
    """Horizon and censoring, in sentences with numbers."""
    rows = comparison.censoring
    timed = any(run.pending_time_meaningful for run in comparison.results.finished)
    if not timed:
        return [
            "No pod ends in this replay and time has no meaning in it, so pending and completion times are not "
            "reported. Means weigh every arrived pod alike."
        ]
    horizon = words.scale("s", rows["horizon_s"].max())
    shortest, longest = float(rows["horizon_s"].min()), float(rows["horizon_s"].max())
    span = horizon.value(longest) if shortest == longest else f"{horizon.plain(shortest)} to {horizon.value(longest)}"
    found = [f"Runs end after {span} of simulated time."]
    totals = rows.groupby("policy", sort=False)[["created", "never_scheduled", "unfinished"]].mean()
    for policy in words.ordered(list(totals.index), comparison.policies):
        created, never, unfinished = totals.loc[[policy]].to_numpy(dtype=float)[0].tolist()
        counts = words.scale("pods", created, never, unfinished)
        found.append(
            f"{policy}: of {counts.plain(created)} pods a run, {counts.plain(never)} were never scheduled (their "
            "pending time is right-censored, they are in no percentile) and "
            f"{counts.plain(unfinished)} had not finished at the end."
        )
    found.append(
        "A policy's own percentiles are over the pods it scheduled; differences are over the pods that both policies "
        "of a pair scheduled (completion times: finished), so that a policy gains nothing by leaving slow pods out."
    )
    return found


def _run_row(run: Run) -> list[str]:
    return [run.run_id, *(f"{name}={value}" for name, value in run.axes.items())]


def _provenance(comparison: Comparison) -> list[tuple[str, str]]:
    results = comparison.results
    traces = {
        f"{run.trace.get('name', '?')} ({run.trace.get('mode', '?')}), "
        f"content {str(run.trace.get('content_hash', '?'))[:16]}"
        for run in results.finished
    }
    versions = {_version(run) for run in results.finished}
    facts = [("ksched that ran it", "; ".join(sorted(versions)))]
    facts += [("trace", text) for text in sorted(traces)]
    facts.append(("result schema", str(results.finished[0].facts["schema_version"])))
    notes = dict.fromkeys(note for run in results.finished for note in run.notes)
    facts += [("note of the runs", note) for note in list(notes)[:20]]
    if results.stale:
        facts.append(("left out", f"{results.stale} older runs in this directory that the plan no longer lists"))
    facts.append(("write this report again", "ksched report DIR"))
    facts.append(("run everything again", "ksched compare experiment.yaml -o DIR"))
    return facts


def _version(run: Run) -> str:
    ran = run.facts.get("ksched") or run.facts.get("ksched_version")
    if isinstance(ran, Mapping):
        return f"{ran.get('version', '?')}, source {str(ran.get('source', '?'))[:16]}"
    return str(ran or "not recorded")
