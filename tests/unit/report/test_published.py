"""Published load curves beside ours: what agrees, what is drawn, and files that cannot be used."""

from __future__ import annotations

import gzip
import sys
from pathlib import Path

import pandas as pd
import pytest

from ksched.cli import main
from ksched.errors import InputError
from ksched.report import compare, open_results, write_report
from ksched.report.exports import write_exports
from ksched.report.load_curves import FILES
from ksched.report.published import PERCENTS, Published, compare_with, read, same
from ksched.report.results import Results


@pytest.fixture
def folder(load_curves: Results, tmp_path: Path) -> Path:
    """Our own files as if somebody had published them, one of them gzipped."""
    published = tmp_path / "published"
    published.mkdir()
    for file in write_exports(load_curves.directory):
        (published / file.name).write_bytes(file.read_bytes())
    packed = published / FILES[1]
    (published / f"{packed.name}.gz").write_bytes(gzip.compress(packed.read_bytes()))
    packed.unlink()
    return published


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode())


def compared(results: Results, folder: Path) -> Published:
    return compare_with(compare(open_results(results.directory)), folder)


def test_what_was_published_as_it_came_out_here_agrees_in_every_cell(load_curves: Results, folder: Path) -> None:
    found = compared(load_curves, folder)
    assert found.agreement[["policy", "runs", "cells", "equal", "largest"]].values.tolist() == [
        [policy, 2, 262, 262, 0.0] for policy in ("01-A", "02-B") for _ in FILES
    ]
    assert found.sentence() == "Cells equal as printed, of 1,572 in the 4 runs published: all of 01-A, 02-B."
    means = found.means.dropna()
    assert (means["ours"] == means["published"]).all()


def test_a_cell_that_differs_is_counted_and_its_difference_told(load_curves: Results, folder: Path) -> None:
    edit(folder / FILES[0], ",50.0,", ",48.5,")
    found = compared(load_curves, folder)
    row = found.agreement.iloc[0]
    assert (row["policy"], row["cells"], row["equal"], row["largest"]) == ("01-A", 262, 261, 1.5)
    assert found.sentence().endswith("all of 02-B; 01-A 785 of 786 (largest difference 1.5).")
    half = found.means[(found.means["policy"] == "01-A") & (found.means["percent"] == 50)].iloc[0]
    assert (half["ours"], half["published"]) == (50.0, 49.25)  # of two seeds


def test_only_runs_that_both_have_are_compared(load_curves: Results, folder: Path) -> None:
    for file in (FILES[0], FILES[2]):
        edit(folder / file, "demo,02-B,1.3,43", "demo,02-B,1.3,99")
    found = compared(load_curves, folder)
    assert found.agreement.groupby("policy")["runs"].max().to_dict() == {"01-A": 2, "02-B": 1}
    assert found.left_out() == "Not published: 1 of 02-B."


def test_runs_of_one_side_only_are_told_by_policy(load_curves: Results, folder: Path) -> None:
    assert compared(load_curves, folder).left_out() == ""
    names = [path for file in FILES for path in folder.glob(f"{file}*")]
    for path in names:
        text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        renamed = text.replace(b"demo,02-B", b"demo,03-C")
        path.write_bytes(gzip.compress(renamed) if path.suffix == ".gz" else renamed)
    found = compared(load_curves, folder)
    assert found.left_out() == "Not published: 2 of 02-B. Published but not in these results: 2 runs."
    assert found.sentence() == "Cells equal as printed, of 786 in the 2 runs published: all of 01-A."


def test_a_cell_only_one_side_has_is_told_as_that(load_curves: Results, folder: Path) -> None:
    edit(folder / FILES[0], ",50.0,", ",,")
    found = compared(load_curves, folder)
    assert found.agreement.iloc[0][["equal", "one_sided", "largest"]].tolist() == [261, 1, 0.0]
    assert found.sentence().endswith("01-A 785 of 786 (1 empty on one side only).")


def test_a_run_that_is_published_twice_is_refused_with_its_line(folder: Path) -> None:
    edit(folder / FILES[0], "demo,01-A,1.3,43", "demo,01-A,1.3,42")
    with pytest.raises(InputError, match=r"discrete.csv:\d: the run demo, 01-A, 1.3, 42 is in this file twice"):
        read(folder, FILES[0])


def test_files_of_other_runs_are_refused(load_curves: Results, folder: Path) -> None:
    for file in (FILES[0], FILES[2]):
        path = folder / file
        path.write_bytes(path.read_bytes().replace(b"demo,", b"other,"))
    with pytest.raises(InputError, match="none of these runs"):
        compared(load_curves, folder)


def test_cells_are_the_same_as_printed_but_for_the_last_digits_of_a_sum() -> None:
    assert same("1.0", "1.0") and same("", "") and same("33.33333333333333", "33.333333333333336")
    assert not same("1.0", "") and not same("1.0", "1.01")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("sc_policy", "policy", "discrete.csv:1: the column 'sc_policy' is missing"),
        (",130", "", "discrete.csv:1: the column '130' is missing"),
        (",50.0,", ",fifty,", "discrete.csv:2: column 50: 'fifty' is not a finite number"),
        (",50.0,", ",nan,", "discrete.csv:2: column 50: 'nan' is not a finite number"),
        (",50.0,", ",", "discrete.csv:2: this line has not as many cells as the first"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_line(folder: Path, old: str, new: str, said: str) -> None:
    edit(folder / FILES[0], old, new)
    with pytest.raises(InputError) as error:
        read(folder, FILES[0], PERCENTS)
    assert said in str(error.value)


def test_a_cut_archive_a_missing_and_an_empty_file_are_told(folder: Path, tmp_path: Path) -> None:
    packed = folder / f"{FILES[1]}.gz"
    packed.write_bytes(packed.read_bytes()[:-20])
    with pytest.raises(InputError, match="cannot read this file"):
        read(folder, FILES[1])
    with pytest.raises(InputError, match="there is no analysis_allo_discrete"):
        read(tmp_path / "nowhere", FILES[0])
    header = (folder / FILES[0]).read_bytes().split(b"\r\n")[0]
    (folder / FILES[0]).write_bytes(header)
    with pytest.raises(InputError, match="the file has no rows"):
        read(folder, FILES[0])


def test_the_report_has_the_curves_and_a_table_and_without_the_files_is_what_it_was(
    load_curves: Results, folder: Path
) -> None:
    comparison = compare(open_results(load_curves.directory))
    page = write_report(load_curves.directory, comparison=comparison, figures=False)
    plain = page.read_text()
    assert "Published values beside ours" not in plain and not (page.parent / "tables/published.csv").exists()
    published = compare_with(comparison, folder)
    write_report(load_curves.directory, comparison=comparison, published=published, figures=False)
    assert "Published values beside ours" in page.read_text()
    assert "all of 01-A, 02-B" in page.read_text()
    assert len(pd.read_csv(page.parent / "tables/published.csv")) == 6
    write_report(load_curves.directory, comparison=comparison, figures=False)
    assert page.read_text() == plain


def test_the_command_says_what_agrees_and_refuses_a_folder_without_files(
    load_curves: Results, folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["ksched", "report", str(load_curves.directory), "--no-figures", "--published"]
    monkeypatch.setattr(sys, "argv", [*words, str(folder)])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 0
    assert "1,572 in the 4 runs published: all of 01-A, 02-B" in " ".join(capfd.readouterr().out.split())
    monkeypatch.setattr(sys, "argv", [*words, str(folder / "nowhere")])
    with pytest.raises(SystemExit) as refused:
        main()
    said = capfd.readouterr()
    assert refused.value.code == 2 and not said.out
    assert "error: " in said.err and f"there is no {FILES[0]}" in said.err and "Traceback" not in said.err
