"""The reference is whole: every key, column, command and public name has its place, and nothing else has."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer
import yaml
from model_keys import plain_docstring, said, sections
from pydantic import BaseModel, Field
from reference import MODELS, PAGES, pages

import ksched
from ksched.cli.app import app
from ksched.framework.registry import find, registered
from ksched.report import write_report
from ksched.report.metrics import all_metrics
from ksched.report.table_schema import LISTING, RECORDED, REPORT, RUNS, TIMING, Table
from ksched.traces import schema, write_trace
from ksched.traces.generate import generate
from ksched.traces.generator_config import GeneratorConfig

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = {name: find(name).cls.Args for name in registered() if getattr(find(name).cls, "Args", None)}
AXES = ["policy", "seed", "trace"]
EXPERIMENT = """
name: columns
probes: [fragmentation]
baseline: {policy: default}
axes:
  policy: {default: {}, best-fit: {score: {BestFit: 1}}}
  seed: [1, 2]
trace: {path: trace, replay: {mode: timestamp, expand: pods}}
"""
_IS: dict[str, Callable[[pa.DataType], bool]] = {
    "integer": pa.types.is_integer,
    "number": pa.types.is_floating,
    "text": lambda kind: pa.types.is_string(kind) or pa.types.is_dictionary(kind),
    "yes or no": pa.types.is_boolean,
    "list": pa.types.is_list,
}


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a small experiment, timed plugin by plugin, with its report."""
    folder = tmp_path_factory.mktemp("columns")
    write_trace(generate(GeneratorConfig(seed=1, pods=40, nodes=6)), folder / "trace")
    (folder / "experiment.yaml").write_text(EXPERIMENT)
    directory = folder / "results"
    ksched.run_experiment(folder / "experiment.yaml", directory, jobs=1, progress=False, profile_plugins=True)
    ksched.divergences(directory)
    write_report(directory, figures=False)
    return directory


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    return pages()


def expanded(table: Table) -> list[str]:
    """The columns a table of the experiment has by its description."""
    return [name for column in table.names for name in (AXES if column == "<axis>" else [column])]


def nav_pages(entries: Any) -> list[str]:
    if isinstance(entries, str):
        return [entries]
    nested = entries.values() if isinstance(entries, dict) else entries
    return [page for entry in nested for page in nav_pages(entry)]


@pytest.mark.parametrize("name", RECORDED)
def test_every_recorded_column_is_described_with_its_type(results: Path, name: str) -> None:
    for path in sorted(results.glob(f"runs/*/{name}.parquet")):
        written = pq.read_schema(path)
        assert written.names == RECORDED[name].names
        for column in RECORDED[name].columns:
            assert _IS[column.type](written.field(column.name).type), column


def test_every_recorded_table_is_described(results: Path) -> None:
    assert {path.stem for path in results.glob("runs/*/*.parquet")} == set(RECORDED)


def test_every_column_of_the_lists_of_runs_is_described(results: Path) -> None:
    assert pq.read_schema(results / "tables" / "runs.parquet").names == expanded(RUNS)
    assert list(ksched.results(results).columns) == expanded(LISTING)
    assert list(ksched.timing(results).columns) == expanded(TIMING)


def test_every_column_of_a_report_is_described(results: Path) -> None:
    tables = {path.stem: pq.read_schema(path).names for path in (results / "report" / "tables").glob("*.parquet")}
    assert tables == {name: expanded(table) for name, table in REPORT.items()}


@pytest.mark.parametrize("model", [*MODELS, *ARGUMENTS.values()], ids=lambda model: model.__name__)
def test_every_key_of_every_file_has_a_meaning(model: type[BaseModel]) -> None:
    assert [key for section in sections(model) for key in section.undocumented()] == []


def test_a_key_without_a_meaning_is_found() -> None:
    class Inner(BaseModel):
        """``told``: in the docstring."""

        told: int = 0
        silent: int = 0

    class Outer(BaseModel):
        inner: list[Inner] = []
        described: int = Field(0, description="here")

    assert [section.path for section in sections(Outer)] == ["", "inner[]"]
    assert [key for section in sections(Outer) for key in section.undocumented()] == ["inner[].silent"]


def test_a_docstring_is_split_into_what_it_says_of_keys_and_the_rest() -> None:
    class Options(BaseModel):
        """Some options.

        ``a`` and ``b``: both sides, see ``c``. ``c``: alone; or
        not. More about all.
        """

    rest, meanings = said(Options)
    assert rest == "Some options."
    assert meanings == {
        "a": "both sides, see ``c``.",
        "b": "both sides, see ``c``.",
        "c": "alone; or not. More about all.",
    }


def test_marks_of_restructured_text_become_markdown() -> None:
    text = "See :func:`~ksched.a.run` and ``x``::\n\n        y = 1\n\n    Done."
    assert plain_docstring(text) == "See `run` and `x`:\n\n    y = 1\n\nDone."


def test_every_key_stands_on_its_page(generated: dict[str, str]) -> None:
    text = "".join(generated.values())
    for model in [*MODELS, *ARGUMENTS.values()]:
        for section in sections(model):
            assert f"`{section.path}`" in text, section


def test_every_command_stands_on_its_page(generated: dict[str, str]) -> None:
    page = generated["reference/commands.md"]
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for full in [name, *(f"{name} {inner}" for inner in getattr(command, "commands", {}))]:
            assert f"`ksched {full}`" in page


def test_every_public_name_plugin_metric_and_trace_column_stands_on_its_page(generated: dict[str, str]) -> None:
    for name in set(ksched.__all__) - {"__version__"}:
        assert f"::: ksched.{name}\n" in generated["reference/python.md"]
    for name in registered():
        assert f"## {name}\n" in generated["reference/plugins.md"]
    for name in all_metrics():
        assert f"`{name}`" in generated["reference/metrics.md"]
    for table in schema.TABLES.values():
        for column in table.columns:
            assert f"| `{column.name}` |" in generated["reference/trace-format.md"]


def test_every_page_is_in_the_navigation() -> None:
    nav = nav_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    docs = ROOT / "docs"
    written = {str(path.relative_to(docs)) for kind in ("md", "ipynb") for path in docs.rglob(f"*.{kind}")}
    assert set(nav) == written | {f"reference/{name}.md" for name in PAGES}
    assert len(nav) == len(set(nav))
