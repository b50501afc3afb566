"""Write the report of a result directory: the page, its tables and its figures, all or nothing."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ksched.errors import InputError
from ksched.report.comparison import Comparison, compare
from ksched.report.metrics import Metric
from ksched.report.results import open_results

MOST_WORKLOADS_AS_SVG = 20
"""Figures of the first so many workloads are written as SVG; the page has them all."""


def write_report(
    directory: Path | str,
    *,
    baseline: str | Mapping[str, str] | None = None,
    metrics: Iterable[Metric] = (),
    comparison: Comparison | None = None,
    figures: bool = True,
) -> Path:
    """Write DIR/report: ``index.html``, ``tables/*.parquet`` and ``.csv``, ``figures/*.svg``. Returns the page's path.

    The whole folder appears at once and replaces an older one; the same results give the same bytes. ``comparison``
    may be passed when it has been made already; ``figures=False`` leaves the SVG files out.
    """
    directory = Path(directory)
    if comparison is None:
        comparison = compare(open_results(directory), baseline=baseline, metrics=metrics)
    with _replacing(directory / "report") as folder:
        _write_tables(folder / "tables", comparison)
        _write_page(folder, comparison, figures=figures)
    return directory / "report" / "index.html"


def report_tables(comparison: Comparison) -> dict[str, pd.DataFrame]:
    """The tables that go with the report, by file name."""
    return {
        "comparison": comparison.frame,
        "summary": comparison.summary(),
        "per_run": comparison.per_run,
        "overlap": comparison.overlap,
        "censoring": comparison.censoring,
        "runs": comparison.results.runs,
    }


def _write_tables(folder: Path, comparison: Comparison) -> None:
    folder.mkdir(parents=True)
    for name, frame in report_tables(comparison).items():
        table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        pq.write_table(table, folder / f"{name}.parquet", compression="zstd")
        frame.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")


def _write_page(folder: Path, comparison: Comparison, *, figures: bool) -> None:
    from ksched.report import charts, html

    drawn = {"": charts.overview_figures(comparison)}
    drawn |= {workload: charts.workload_figures(comparison, workload) for workload in comparison.workloads}
    (folder / "index.html").write_text(html.render(comparison, drawn), encoding="utf-8", newline="\n")
    if not figures:
        return
    (folder / "figures").mkdir()
    many = len(comparison.workloads) > 1
    for position, workload in enumerate(("", *comparison.workloads[:MOST_WORKLOADS_AS_SVG])):
        # The position keeps two workloads apart whose names differ only in characters no file name can have.
        prefix = f"{position:02d}-{_file_name(workload)}-" if many and workload else ""
        for figure in drawn[workload]:
            path = folder / "figures" / f"{prefix}{figure.name}.svg"
            path.write_text(figure.svg(), encoding="utf-8", newline="\n")


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
