"""The written report: whole, offline, small, the same bytes every time, and its charts say what the tables say."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from ksched.errors import InputError, PluginError
from ksched.report import Comparison, charts, compare, comparison_table, html, open_results, series, write_report

from .fabricated import Effect, Plan, fabricate


@pytest.fixture(scope="module")
def written(timed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("written") / "results"
    shutil.copytree(timed, directory)
    write_report(directory)
    return directory


def digests(directory: Path) -> dict[str, str]:
    files = sorted(p for p in (directory / "report").rglob("*") if p.is_file())
    return {str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_page_tables_and_figures_are_there(written: Path) -> None:
    names = set(digests(written))
    tables = {"comparison", "summary", "pairs", "per_run", "overlap", "censoring", "runs"}
    tables |= {"divergence", "divergence_scores"}
    assert {f"report/tables/{t}.{e}" for t in tables for e in ("parquet", "csv")} <= names
    figures = {"differences", "allocated", "imbalance", "stranded", "pending", "nodes", "unscheduled"}
    assert {n for n in names if "figures" in n} == {f"report/figures/{f}.{e}" for f in figures for e in ("svg", "pdf")}
    assert [p.name for p in written.iterdir() if "report" in p.name] == ["report"]


def test_repetition_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    """In another directory, in another process, with another hash seed."""
    first = digests(written)
    other = tmp_path / "elsewhere"
    shutil.copytree(written, other)
    code = f"import ksched.report as r; r.write_report({str(other)!r})"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONHASHSEED": "7"}, timeout=120)
    assert digests(other) == first
    assert [p.name for p in other.iterdir() if "report" in p.name] == ["report"]


def test_a_figure_does_not_depend_on_what_was_drawn_before(found: Comparison) -> None:
    drawn = figure(found, "unscheduled")
    assert drawn.svg() == drawn.svg()
    assert charts.pdf(drawn.svg()) == charts.pdf(drawn.svg())
    assert figure(found, "unscheduled").spec == drawn.spec


def test_the_page_needs_no_network_and_is_small(written: Path) -> None:
    page = (written / "report" / "index.html").read_text()
    assert len(page.encode()) < 5_000_000
    assert page.count("vegaEmbed=") == 1, "the chart library is embedded once"
    page = re.sub(r"(<script[^>]*>).*?</script>", r"\1", page, flags=re.S)
    assert re.findall(r"<(?:link|img|iframe|script)[^>]*\b(?:src|href)=", page) == []
    assert "@import" not in page and "default-src 'none'" in page


def test_the_page_says_what_a_reader_needs(written: Path) -> None:
    page = (written / "report" / "index.html").read_text().replace("\u00a0", " ")
    for text in [
        "Does more weight on free memory schedule more pods?",
        "Each policy against default",
        "1 of 20 runs failed",
        "the plugin BestFit returned NaN for node n-3",
        "demo, seed 44: no finished run of best-fit",
        "Insufficient memory",
        "right-censored",
        "From seed to seed changes the times at which pods arrive",
        "ksched report DIR",
        "ab12ab12ab12ab12",
        "schedules as many pods",
    ]:
        assert text in page, text
    assert "nan" not in re.sub(r"<script.*", "", page, flags=re.S).replace("NaN for node", "").lower().split()


def test_names_of_users_cannot_break_the_page(tmp_path: Path) -> None:
    hostile = "</script><b>x"
    fabricate(
        tmp_path, Plan({"default": Effect(), hostile.replace("/", "|"): Effect(fail=0.1)}, pods=60, question=hostile)
    )
    page = write_report(tmp_path, figures=False).read_text()
    assert "&lt;/script&gt;&lt;b&gt;x" in page
    assert "<b>x" not in page
    assert page.count("</script>") == 3


def test_a_policy_named_like_a_number_stays_a_name(tmp_path: Path) -> None:
    fabricate(tmp_path, Plan({"1": Effect(), "25": Effect(fail=0.1)}, pods=60, seeds=(1, 2, 3)))
    comparison = compare(open_results(tmp_path))
    for figure in charts.workload_figures(comparison, "demo"):
        assert figure.spec["data"]["format"]["parse"]["policy"] == "string"


def data_of(figure: charts.Figure) -> pd.DataFrame:
    (text,) = figure.spec["datasets"].values()
    return pd.read_csv(io.StringIO(text), dtype={"policy": str})


def figure(comparison: Comparison, name: str, workload: str = "demo") -> charts.Figure:
    return next(f for f in charts.workload_figures(comparison, workload) if f.name == name)


def test_the_forest_plot_holds_the_rows_of_the_comparison(found: Comparison) -> None:
    drawn = data_of(figure(found, "differences"))
    rows = found.frame[found.frame["metric"] == "pending_p99"].set_index("policy")
    panel = drawn[drawn["panel"] == "Pending time, p99, s"].set_index("policy")
    for policy in ("free-memory", "best-fit"):
        assert panel.loc[policy, ["diff", "lo", "hi"]].tolist() == pytest.approx(
            rows.loc[policy, ["diff", "lo", "hi"]].tolist(), rel=1e-4
        )


def test_allocation_over_time_holds_the_bin_means_of_the_samples(found: Comparison, timed: Path) -> None:
    drawn = data_of(figure(found, "allocated"))
    mine = drawn[(drawn["policy"] == "default") & (drawn["resource"] == "CPU")]
    assert len(mine) == series.MOST_POINTS
    results = open_results(timed)
    # The mean over time of the drawn curve is the metric, up to the cut where the first seed ends.
    ends = [run.t_end_us for run in results.finished]
    spread = (max(ends) - min(ends)) / max(ends)
    metric = (
        found.summary().query("policy == 'default' and metric == 'allocation_mean' and part == 'cpu'")["mean"].item()
    )
    assert mine["allocated"].mean() == pytest.approx(metric, abs=1 + 100 * spread)
    assert (mine["allocated_lo"] <= mine["allocated"]).all() and (mine["allocated"] <= mine["allocated_hi"]).all()


def test_bin_means_of_a_step_function() -> None:
    means = series._bin_means(np.array([0.0, 2.0, 3.0]), np.array([1.0, 5.0, 3.0]), np.array([0.0, 2.0, 4.0, 6.0]))
    assert means.tolist() == [1.0, 4.0, 3.0]


def test_pending_curves_end_at_the_share_of_scheduled_pods(found: Comparison) -> None:
    drawn = data_of(figure(found, "pending"))
    last = drawn.groupby("policy")["share"].last()
    summary = found.summary()
    scheduled = summary[summary["metric"] == "scheduled_pods"].set_index("policy")["mean"]
    for policy in found.policies:
        assert last[policy] == pytest.approx(100 * scheduled[policy] / 400, rel=1e-3)
    assert drawn.groupby("policy")["share"].apply(lambda share: share.is_monotonic_increasing).all()


def test_failure_bars_are_means_over_seeds(found: Comparison) -> None:
    drawn = data_of(figure(found, "unscheduled"))
    summary = found.summary()
    unscheduled = summary[summary["metric"] == "unscheduled_pods"].set_index("policy")["mean"]
    assert drawn.groupby("policy")["pods"].sum().to_dict() == pytest.approx(unscheduled.to_dict(), rel=1e-3)


def test_an_inflated_replay_is_drawn_over_arrived_demand(found_inflated: Comparison) -> None:
    comparison = found_inflated
    drawn = data_of(figure(comparison, "imbalance", "busy"))
    assert set(drawn["resource"]) == {"CPU", "Memory"}
    assert drawn.loc[drawn["resource"] == "CPU", "x"].max() == pytest.approx(130, rel=1e-3)
    assert [f.name for f in charts.all_figures(comparison)[""]] == ["matrix", "differences", "load"]
    assert "pending" not in {f.name for f in charts.workload_figures(comparison, "busy")}


def test_many_workloads_become_a_matrix_and_folded_sections(found_inflated: Comparison) -> None:
    comparison = found_inflated
    page = html.render(comparison, charts.all_figures(comparison))
    assert "Workloads and policies" in page
    assert page.count('<details class="workload"') == 2
    specs = json.loads(re.search(r'id="chart-specs">(.*?)</script>', page, re.S)[1])
    assert {"figure-0-differences", "figure-1-allocated", "figure-2-allocated"} <= set(specs)


def embedded(page: str) -> dict[str, dict]:
    """Chart specs as a browser finds them in the page."""
    return json.loads(re.search(r'id="chart-specs">(.*?)</script>', page, re.S)[1])


def frame_of(spec: dict) -> pd.DataFrame:
    (text,) = spec["datasets"].values()
    return pd.read_csv(io.StringIO(text), dtype={"policy": str})


def test_the_charts_in_the_page_say_what_the_tables_beside_it_say(written: Path) -> None:
    specs = embedded((written / "report" / "index.html").read_text())
    tables = {path.stem: pd.read_parquet(path) for path in (written / "report" / "tables").glob("*.parquet")}
    table = tables["comparison"]
    drawn = frame_of(specs["figure-1-differences"])
    for row in drawn.itertuples():
        title = row.panel.removesuffix(", s").removesuffix(", points").removesuffix(", pods")
        said = table[(table["policy"] == row.policy) & (table["title"].isin([title, row.panel]))].iloc[0]
        assert (row.diff, row.verdict) == (pytest.approx(said["diff"], rel=1e-4), said["verdict"])
        if row.interval != "none":
            assert (row.lo, row.hi) == pytest.approx((said["lo"], said["hi"]), rel=1e-4)
    summary = tables["summary"]
    bars = frame_of(specs["figure-1-unscheduled"]).groupby("policy")["pods"].sum()
    missed = summary[summary["metric"] == "unscheduled_pods"].set_index("policy")["mean"]
    assert bars.to_dict() == pytest.approx(missed.to_dict(), rel=1e-3)


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """Three policies on six workloads; "good" is best everywhere."""
    effects = {"default": Effect(fail=0.2), "good": Effect(placement=1), "middle": Effect(fail=0.1, placement=2)}
    plan = Plan(effects, traces=[f"w{i}" for i in range(6)], seeds=(1, 2, 3), pods=120, samples=40, mode="inflate")
    return compare(open_results(fabricate(tmp_path_factory.mktemp("grid"), plan)))


def test_a_grid_is_a_matrix_ranks_and_a_forest_that_agree_with_the_table(grid: Comparison) -> None:
    figures = charts.all_figures(grid)
    page = html.render(grid, figures)
    assert page.index("Workloads and policies") < page.index("Workload by workload")
    assert page.count('<details class="workload"') == 6 and '<details class="workload" open' not in page
    specs = embedded(page)
    assert [f.name for f in figures[""]] == ["matrix", "ranks", "differences", "load"]
    cells = frame_of(specs["figure-0-matrix"])
    assert len(cells) == 2 * 6
    for cell in cells.itertuples():
        said = grid.row(cell.policy, cell.workload, "scheduled_pods")
        assert cell.difference == pytest.approx(said["relative"], rel=1e-4) and cell.verdict == said["verdict"]
        assert cell.text.endswith("*") == (said["p_holm"] < 0.05)
    ranks = frame_of(specs["figure-0-ranks"]).set_index("policy")
    assert ranks["rank"].to_dict() == {"good": 1.0, "middle": 2.0, "default": 3.0}
    assert (ranks["hi"] - ranks["lo"]).iloc[0] == pytest.approx(2.343 * (3 * 4 / (6 * 6)) ** 0.5, rel=1e-3)
    assert "Nemenyi" in page and "Demšar 2006" in page


def test_the_advantage_by_load_is_the_difference_of_the_curves(grid: Comparison) -> None:
    drawn = data_of(next(f for f in charts.all_figures(grid)[""] if f.name == "load"))
    last = drawn[(drawn["policy"] == "good") & (drawn["resource"] == "CPU")].iloc[-1]
    gains = []
    for workload in grid.workloads:
        curve = series.progress(grid, workload).query("resource == 'cpu'")
        at = [np.interp(last["x"], c["x"], c["allocated"]) for _, c in curve.groupby("policy", sort=False)]
        gains.append(at[1] - at[0])
    assert (last["gain"], last["lo"], last["hi"]) == pytest.approx((np.mean(gains), min(gains), max(gains)), rel=1e-3)


@pytest.mark.slow
def test_a_large_grid_stays_small_and_folded(tmp_path: Path) -> None:
    effects = {f"p{i}": Effect(fail=0.01 * i, placement=i) for i in range(6)}
    plan = Plan(effects, traces=[f"workload-{i:02d}" for i in range(17)], seeds=(1,), pods=30, samples=30)
    comparison = compare(open_results(fabricate(tmp_path, plan)))
    page = write_report(tmp_path, comparison=comparison, figures=False)
    assert page.stat().st_size < 5_000_000
    assert page.read_text().count('<details class="workload"') == 17


def test_workloads_beyond_the_budget_are_drawn_in_files_only(grid: Comparison, monkeypatch: pytest.MonkeyPatch) -> None:
    figures = charts.all_figures(grid)
    first = sum(len(json.dumps(f.spec)) for w in ("", "w0", "w1") for f in figures[w])
    monkeypatch.setattr(html, "SPEC_BUDGET", first)
    page = html.render(grid, figures)
    drawn = {name.split("-")[1] for name in embedded(page)}
    assert drawn == {"0", "1", "2"} and page.count("the curves of this one are left out") == 4


def test_a_failing_metric_is_named_and_the_rest_is_written(
    timed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from ksched.cli.report import report

    directory = tmp_path / "results"
    shutil.copytree(timed, directory)
    mine = tmp_path / "mine.py"
    mine.write_text("def broken(run):\n    raise ValueError('no')\n\ndef fine(run):\n    return len(run.pods)\n")
    with pytest.raises(PluginError, match="metric 'broken' failed: ValueError: no"):
        report(directory, metric=[f"{mine}:broken", f"{mine}:fine"], figures=False)
    page = (directory / "report" / "index.html").read_text()
    assert "metric &#39;broken&#39; failed: ValueError: no" in page
    assert "fine" in set(pd.read_parquet(directory / "report" / "tables" / "summary.parquet")["metric"])
    assert "report:" in capsys.readouterr().out


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_the_terminal_table_fits(found: Comparison, found_inflated: Comparison, width: int) -> None:
    for comparison in (found, found_inflated):
        console = Console(width=width, record=True, file=io.StringIO(), color_system=None)
        console.print(comparison_table(comparison, width=width))
        text = console.export_text()
        assert max(len(line.rstrip()) for line in text.splitlines()) <= width
        assert "Scheduled pods" in text and "baseline" in text and "free-memory" in text
        if width == 100:
            assert len(re.findall(r"\[[^\]\n]*$", text, re.M)) == 0, "no interval is broken across lines"


def test_an_unwritable_directory_is_one_message(tmp_path: Path) -> None:
    fabricate(tmp_path, Plan({"a": Effect(), "b": Effect()}, pods=30, seeds=(1,)))
    (tmp_path / "report").write_text("a file where the report should be")
    before = sorted(p.name for p in tmp_path.iterdir())
    # A file of that name is replaced like an older report would be; a vanished parent cannot be.
    assert write_report(tmp_path, figures=False).exists()
    comparison = compare(open_results(tmp_path))
    with pytest.raises(InputError, match="cannot write the report"):
        write_report(tmp_path / "gone", comparison=comparison)
    assert sorted(p.name for p in tmp_path.iterdir()) == before


def test_importing_the_report_loads_no_chart_or_statistics_library() -> None:
    code = (
        "import sys, ksched.report, ksched.cli.report; ksched.report.Results; "
        "print([m for m in ('altair', 'scipy', 'vl_convert', 'jinja2') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]"


def test_the_command_prints_the_table_and_writes_the_page(
    timed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from ksched.cli.report import report

    monkeypatch.setenv("COLUMNS", "100")
    directory = tmp_path / "results"
    shutil.copytree(timed, directory)
    report(directory, baseline="best-fit", figures=False)
    out = capsys.readouterr().out
    assert "against best-fit" in out or "improve on best-fit" in out or "improves on best-fit" in out
    assert str(directory / "report" / "index.html") in out.replace("\n", "")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_a_browser_without_network_draws_every_chart(written: Path, tmp_path: Path) -> None:
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
    options += ["--disable-component-update", f"--user-data-dir={tmp_path}", "--enable-logging=stderr", "--v=0"]
    options += ["--virtual-time-budget=8000", "--window-size=1300,3000", "--dump-dom"]
    page = written / "report" / "index.html"
    done = subprocess.run(["chromium", *options, page.as_uri()], capture_output=True, text=True, timeout=120)
    assert "CONSOLE" not in done.stderr
    assert done.stdout.count('class="marks"') == page.read_text().count('class="chart"') == 7
