"""Write the report of a result directory: the page, its tables and its figures, all or nothing."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ksched.errors import InputError
from ksched.report.comparison import Comparison, compare
from ksched.report.departures import Departure, departures, departures_table, scores_table
from ksched.report.metrics import Function, Metric
from ksched.report.opening import open_results
from ksched.report.published import Published

MOST_WORKLOADS_AS_FILES = 20
"""Figures of the first so many workloads are written as files; the page has them all."""


def write_report(
    directory: Path | str,
    *,
    baseline: str | Mapping[str, str] | None = None,
    metrics: Iterable[Metric | Function] = (),
    comparison: Comparison | None = None,
    divergence: Sequence[Mapping[str, Any]] | None = None,
    published: Published | None = None,
    figures: bool = True,
) -> Path:
    """Write DIR/report: ``index.html``, ``tables/*.parquet`` and ``.csv``, ``figures/*.svg`` and ``.pdf``. Returns the
    page's path.

    The whole folder appears at once and replaces an older one; the same results give the same bytes. ``comparison``
    may be passed when it has been made already, ``divergence`` the first departures from another baseline than that
    of divergence.json, ``published`` published load curves to show beside ours; ``figures=False`` leaves the figures'
    files out.
    """
    directory = Path(directory)
    if comparison is None:
        comparison = compare(open_results(directory), baseline=baseline, metrics=metrics)
    departed = departures(comparison, divergence)
    with _replacing(directory / "report") as folder:
        tables = report_tables(comparison, departed)
        if published is not None:
            tables["published"] = published.agreement
        _write_tables(folder / "tables", tables)
        _write_page(folder, comparison, departed, published, figures=figures)
    return directory / "report" / "index.html"


def report_tables(comparison: Comparison, departed: Sequence[Departure] = ()) -> dict[str, pd.DataFrame]:
    """The tables that go with the report, by file name."""
    return {
        "comparison": comparison.frame,
        "summary": comparison.summary(),
        "pairs": comparison.pairs,
        "per_run": comparison.per_run,
        "overlap": comparison.overlap,
        "censoring": comparison.censoring,
        "runs": comparison.results.runs,
        "divergence": departures_table(departed),
        "divergence_scores": scores_table(departed),
    }


def _write_tables(folder: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    folder.mkdir(parents=True)
    for name, frame in tables.items():
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
        frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


def _write_page(
    folder: Path,
    comparison: Comparison,
    departed: Sequence[Departure],
    published: Published | None,
    *,
    figures: bool,
) -> None:
    from ksched.report import charts, html

    drawn = charts.all_figures(comparison)
    if published is not None:
        for workload in comparison.workloads:
            drawn[workload] += charts.published_curves(comparison, published, workload)
    page = html.render(comparison, drawn, departed)
    (folder / "index.html").write_text(page, encoding="utf-8", newline="\n")
    if not figures:
        return
    (folder / "figures").mkdir()
    many = len(comparison.workloads) > 1
    for position, workload in enumerate(("", *comparison.workloads[:MOST_WORKLOADS_AS_FILES])):
        # The position keeps two workloads apart whose names differ only in characters no file name can have.
        prefix = f"{position:02d}-{_file_name(workload)}-" if many and workload else ""
        for figure in drawn[workload]:
            svg = figure.svg()
            path = folder / "figures" / f"{prefix}{figure.name}.svg"
            path.write_text(svg, encoding="utf-8", newline="\n")
            path.with_suffix(".pdf").write_bytes(charts.pdf(svg))


def _file_name(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.") or "workload"


@contextmanager
def _replacing(target: Path) -> Iterator[Path]:
    """A fresh folder that takes the place of ``target`` when the block succeeds and vanishes when it does not."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    old = target.with_name(f".{target.name}.{os.getpid()}.old")
    try:
        _remove(fresh)
        fresh.mkdir()
        yield fresh
        if target.exists():
            os.rename(target, old)
        os.rename(fresh, target)
    except OSError as error:
        raise InputError(
            f"cannot write the report: {error.strerror or error}",
            where=str(error.filename or target),
            hint="the results are untouched; make the directory writable and run ksched report again",
        ) from error
    finally:
        _remove(fresh)
        _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
