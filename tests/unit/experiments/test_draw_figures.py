"""experiments/fgd-atc23/draw_figures.py on made-up curves."""

from __future__ import annotations

import csv
import gzip
import runpy
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ksched.errors import InputError

FOLDER = Path(__file__).parents[3] / "experiments" / "fgd-atc23"
Cell = tuple[str, str, int]


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    monkeypatch.syspath_prepend(FOLDER)
    return SimpleNamespace(**runpy.run_path(str(FOLDER / "draw_figures.py"), run_name="draw_figures"))


def curves(folder: Path, cells: Iterable[Cell], last: int = 130, shift: float = 0.0, *, gzipped: bool = False) -> Path:
    """Files in which a run allocates what arrives up to 90 + its seed, and nothing is known beyond ``last``."""
    folder.mkdir()
    for name in ("allo", "frag", "frag_ratio"):
        path = folder / f"analysis_{name}_discrete.csv{'.gz' if gzipped else ''}"
        with gzip.open(path, "wt", newline="") if gzipped else path.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["workload", "sc_policy", "tune", "seed", *range(131)])
            for workload, policy, seed in cells:
                values = [min(x, 90 + seed) + shift if x <= last else "" for x in range(131)]
                writer.writerow([workload, policy, 1.3, seed, *values])
    return folder


DEFAULT, CPU50 = "openb_pod_list_default", "openb_pod_list_cpu050"
CELLS = [(workload, policy, seed) for workload in (CPU50, DEFAULT) for policy in ("A", "B") for seed in (1, 3)]


def test_values_are_averaged_over_seeds_with_one_standard_deviation(script: SimpleNamespace, tmp_path: Path) -> None:
    found = script.over_seeds(script.load(curves(tmp_path / "ours", CELLS), None))
    (row,) = found[
        (found["file"] == script.ALLOCATION)
        & (found["workload"] == DEFAULT)
        & (found["policy"] == "A")
        & (found["percent"] == 100)
    ].to_dict("records")
    assert (row["mean"], row["seeds"], row["source"]) == (92.0, 2, "ksched")
    assert (row["lo"], row["hi"]) == pytest.approx((92 - 2**0.5, 92 + 2**0.5))


def test_only_published_runs_that_are_in_the_results_are_drawn(script: SimpleNamespace, tmp_path: Path) -> None:
    ours = curves(tmp_path / "ours", CELLS[:1])
    published = curves(tmp_path / "published", CELLS, shift=0.5, gzipped=True)
    values = script.load(ours, published)
    theirs = values[values["source"] == "published"]
    assert set(zip(theirs["workload"], theirs["policy"], theirs["seed"], strict=True)) == {(CPU50, "A", "1")}
    assert theirs.loc[(theirs["file"] == script.FRAGMENTS) & (theirs["percent"] == 130), "value"].tolist() == [91.5]


def test_figures_show_every_workload_and_then_all_of_them_at_full_demand(
    script: SimpleNamespace, tmp_path: Path
) -> None:
    published = curves(tmp_path / "published", CELLS)
    drawn = script.figures(script.load(curves(tmp_path / "ours", CELLS), published))
    assert [figure.name for figure in drawn] == ["load-default", "load-cpu050", "unallocated"]
    assert "published" in drawn[0].caption
    bars = [row for rows in drawn[-1].spec["datasets"].values() for row in rows]
    assert {(row["name"], row["source"], row["mean"]) for row in bars} == {
        (name, source, 8.0) for name in ("default", "cpu050") for source in ("ksched", "published")
    }


def test_what_demand_never_reached_is_left_out(script: SimpleNamespace, tmp_path: Path) -> None:
    (figure,) = script.figures(script.load(curves(tmp_path / "ours", CELLS[:1], last=60), None))
    assert figure.name == "load-cpu050"
    assert len(figure.spec["concat"]) == 3  # nothing near saturation


def test_figures_are_written_as_svg_and_pdf(script: SimpleNamespace, tmp_path: Path) -> None:
    ours = curves(tmp_path / "ours", CELLS[:1], last=60)
    assert script.main([str(ours), "-o", str(tmp_path / "figures")]) == 0
    svg, pdf = (tmp_path / "figures" / f"load-cpu050.{kind}" for kind in ("svg", "pdf"))
    assert "arrived demand" in svg.read_text()
    assert pdf.read_bytes().startswith(b"%PDF")


def test_families_share_a_row_while_there_is_room(script: SimpleNamespace) -> None:
    names = ["default", "cpu050", "cpu100", "cpu200", "cpu250", "gpushare40", "gpushare100"]
    workloads = sorted((f"openb_pod_list_{name}" for name in reversed(names)), key=script.family_and_degree)
    assert script._rows(workloads) == [names[:5], names[5:]]


def test_missing_files_and_strangers_are_named(
    script: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ours = curves(tmp_path / "ours", CELLS[:1])
    assert script.main([str(tmp_path), "-o", str(tmp_path / "figures")]) == 2
    assert "analysis_allo_discrete.csv" in capsys.readouterr().err
    with pytest.raises(InputError, match="none of these runs"):
        script.load(ours, curves(tmp_path / "published", CELLS[1:]))
    with pytest.raises(InputError, match="no rows"):
        script.load(curves(tmp_path / "empty", []), None)
    assert not (tmp_path / "figures").exists()
