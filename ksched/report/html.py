"""The report as one HTML page that opens without a network: styles, scripts, data and charts are all inside."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from ksched.report import cautions, charts, words
from ksched.report.comparison import SIGNIFICANT, Comparison
from ksched.report.departures import Departure
from ksched.report.headlines import HEADLINES, Column, cell, heading, headline_columns, mean_text, separating_column
from ksched.report.numbers import NOTHING, Scale, change, p_text, row_scale, scale
from ksched.report.results import Run
from ksched.report.series import unscheduled_table

MOST_DETAIL_ROWS = 3000
"""Rows of detail tables in the page; a larger experiment has them in its table files only."""
MOST_TABLE_CELLS = 6000
"""Cells of all tables of metrics; in a larger experiment those of a workload show its headline metrics only."""
SPEC_BUDGET = 2_500_000
"""Characters of chart specifications in the page; workloads beyond it are drawn in files only."""
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


def render(
    comparison: Comparison, figures: Mapping[str, Sequence[charts.Figure]], departed: Sequence[Departure] = ()
) -> str:
    """The page. ``figures``: workload -> its figures; those under "" are about all workloads. ``departed``: where
    each policy first departs from the baseline."""
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
    figures = _within_budget(figures)
    specs = {
        _figure_id(comparison, workload, figure): figure.spec for workload, some in figures.items() for figure in some
    }
    return environment.get_template("report.html.j2").render(
        name=comparison.results.name,
        question=comparison.results.question,
        finding=words.finding(comparison),
        context=_context(comparison),
        warnings=cautions.warnings(comparison),
        baseline=comparison.baseline,
        verdicts=[(p, _pairs_text(comparison, p), words.statements(comparison, p)) for p in comparison.policies[1:]],
        matrices=_grid_matrices(comparison) if many else [_headline_matrix(comparison)],
        overview=[(_figure_id(comparison, "", f), f) for f in figures.get("", ())],
        workloads=[_workload(comparison, w, figures.get(w), departed, details) for w in comparison.workloads],
        many=many,
        details=details,
        seeds=cautions.what_seeds_vary(comparison),
        power=_power(comparison),
        horizon=cautions.horizon(comparison),
        censoring_columns=cautions.CENSORING,
        censoring=cautions.censoring_table(comparison),
        different_pods=cautions.different_pods(comparison),
        failed_metrics=[str(error.message) for error in comparison.failed_metrics.values()],
        unpaired=comparison.unpaired,
        metrics=[m for m in comparison.metrics.values() if (comparison.per_run["metric"] == m.name).any()],
        failed=comparison.results.failed,
        runs=[_run_row(run) for run in comparison.results.finished],
        provenance=_provenance(comparison),
        significant=SIGNIFICANT,
        family=words.family_text(comparison),
        themes=_script_json({"light": charts.theme(dark=False), "dark": charts.theme(dark=True)}),
        specs=_script_json(specs),
        bundle=_bundle(),
    )


def _within_budget(figures: Mapping[str, Sequence[charts.Figure]]) -> dict[str, Sequence[charts.Figure]]:
    """As many workloads as the page can carry, in their order; all or none of the figures of one."""
    kept, used = {}, 0
    for workload, some in figures.items():
        used += sum(len(_script_json(figure.spec)) for figure in some)
        if used > SPEC_BUDGET:
            break
        kept[workload] = some
    return kept


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
    return f"{text}; {scale('%', share).plain(share)} % of pods on another node"


def _headline_matrix(comparison: Comparison) -> Matrix:
    """One workload: policies down, headline metrics across."""
    columns = headline_columns(comparison)[:HEADLINES]
    workload = comparison.workloads[0]
    rows = [(p, [_cell(comparison, p, workload, c) for c in columns]) for p in comparison.policies]
    return Matrix("", [heading(comparison, c) for c in columns], rows, {}, "policy")


def _grid_matrices(comparison: Comparison) -> list[Matrix]:
    """Many workloads: workloads down, policies across, one matrix for each of the first headline metrics."""
    matrices = []
    first = separating_column(comparison)
    columns = [first, *(c for c in headline_columns(comparison)[:HEADLINES] if c != first)]
    for column in columns[:5]:
        rows = [(w, [_cell(comparison, p, w, column) for p in comparison.policies]) for w in comparison.workloads]
        matrices.append(Matrix(heading(comparison, column), comparison.policies, rows, {}, "workload"))
    return matrices


def _cell(comparison: Comparison, policy: str, workload: str, column: Column) -> Cell:
    own = mean_text(comparison, policy, workload, column)
    row = cell(comparison, policy, workload, column)
    if policy == comparison.baseline:
        return Cell(own, "baseline")
    if row is None:
        return Cell(own)
    if row["verdict"] == "equal":
        return Cell(own, "equal", "equal")
    return Cell(own, change(row), str(row["verdict"]), _hint(row))


def _hint(row: Mapping[str, Any]) -> str:
    said = f"p = {p_text(row['p_holm'])}" if not math.isnan(row["p_holm"]) else ""
    if row["verdict"] == "exploratory":
        said = f"exploratory, p = {p_text(row['p'])} uncorrected"
    parts = [said, str(row["note"])]
    return "; ".join(part for part in parts if part)


def _power(comparison: Comparison) -> tuple[str, list[str]]:
    """(metric, sentences) of the metric and the first workload that the verdict is about."""
    column = separating_column(comparison)
    workload = comparison.workloads[0]
    where = f" on {workload}" if len(comparison.workloads) > 1 else ""
    return f"{column.title}{where}", cautions.what_seeds_can_show(comparison, workload, column)


def _workload(
    comparison: Comparison,
    workload: str,
    figures: Sequence[charts.Figure] | None,
    departed: Sequence[Departure],
    details: bool,
) -> dict[str, Any]:
    position = comparison.workloads.index(workload)
    missed = unscheduled_table(comparison, workload)
    return {
        "id": f"workload-{position + 1}",
        "name": workload,
        "open": len(comparison.workloads) <= MOST_OPEN_WORKLOADS,
        "tied": cautions.cannot_separate(comparison, workload),
        "table": _metric_table(comparison, workload),
        "detail": _detail_rows(comparison, workload) if details else [],
        "figures": [(_figure_id(comparison, workload, f), f) for f in figures or ()],
        "undrawn": figures is None,
        "departures": [(one.sentence, _score_tables(one)) for one in departed if one.workload == workload],
        "missed_columns": [str(c) for c in missed.columns],
        "missed": [
            (str(reason), [scale("pods", *row).plain(float(v)) for v in row])
            for reason, row in zip(missed.index, missed.to_numpy().tolist(), strict=True)
        ],
    }


def _score_tables(one: Departure) -> list[Matrix]:
    """What the policy and the baseline said about the nodes that mattered, a table each."""
    tables = []
    for side, judge, chosen in (
        ("policy", one.policy, one.entry["node"]),
        ("baseline", one.baseline, one.entry["baseline_node"]),
    ):
        said = {row["node"]: row[side] for row in one.entry["rows"]}
        plugins = list(dict.fromkeys(plugin for verdict in said.values() for plugin in verdict["scores"]))
        rows = [(node, _score_cells(verdict, plugins, node == chosen)) for node, verdict in said.items()]
        if rows:
            tables.append(Matrix(f"Scores under {judge}", [*plugins, "total"], rows, {}, "node"))
    return tables


def _score_cells(verdict: Mapping[str, Any], plugins: Sequence[str], chosen: bool) -> list[Cell]:
    """Points by plugin, below each the normalised score and its weight; a rejected node has its reason instead."""
    if verdict["total"] is None:
        reason = verdict["reason"] or ("not looked at" if not verdict["looked_at"] else "rejected")
        return [*(Cell(NOTHING) for _ in plugins), Cell(NOTHING, reason)]
    cells = []
    for plugin in plugins:
        score = verdict["scores"].get(plugin)
        if score is None:
            cells.append(Cell(NOTHING))
        else:
            parts = f"{score['normalized']} × {score['weight']}"
            cells.append(Cell(f"{score['points']:,}", parts, hint=f"raw score {score['raw']:g}"))
    return [*cells, Cell(f"{verdict['total']:,}", "chosen" if chosen else "", "chosen" if chosen else "")]


def _metric_table(comparison: Comparison, workload: str) -> Matrix:
    """Every metric of one workload: metrics down, policies across. Reasons have a table of their own."""
    defined = comparison.per_run[comparison.per_run["workload"] == workload].dropna(subset=["value"])
    headlines = {(c.metric, c.part) for c in headline_columns(comparison)}
    whole = len(comparison.per_run) / max(1, len(comparison.seeds)) <= MOST_TABLE_CELLS
    rows, hints = [], {}
    for metric, part in defined[["metric", "part"]].drop_duplicates().itertuples(index=False):
        if metric == "unscheduled_by_reason" or not (whole or (metric, part) in headlines):
            continue
        about = comparison.metrics[metric]
        column = Column(metric, part, about.label(part))
        title = f"{column.title} (primary)" if (metric, part) in comparison.primary else column.title
        rows.append((title, [_cell(comparison, p, workload, column) for p in comparison.policies]))
        hints[title] = about.meaning
    return Matrix("", comparison.policies, rows, hints, "metric")


def _detail_rows(comparison: Comparison, workload: str) -> list[list[str]]:
    rows = []
    for record in comparison.frame[comparison.frame["workload"] == workload].to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        chosen = row_scale(row)
        relative = Scale(1.0, 2 if abs(row["relative"]) < 1 else 1, "")
        rows.append(
            [
                row["policy"],
                row["title"],
                chosen.value(row["value"]),
                chosen.value(row["baseline"]),
                chosen.difference(row["diff"]),
                chosen.interval(row["lo"], row["hi"]),
                f"{relative.signed(row['relative'])} %" if not math.isnan(row["relative"]) else NOTHING,
                relative.interval(row["relative_lo"], row["relative_hi"]),
                _size(row["effect"]),
                _size(row["rank_biserial"]),
                p_text(row["p"]),
                p_text(row["p_wilcoxon"]),
                p_text(row["p_permutation"]),
                p_text(row["p_holm"]),
                str(row["n"]),
                row["verdict"],
                row["note"],
            ]
        )
    return rows


def _size(effect: float) -> str:
    return NOTHING if math.isnan(effect) else Scale(1.0, 2, "").signed(effect)


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
