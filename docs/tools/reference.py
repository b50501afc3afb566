"""The reference pages, made from the code: page path -> Markdown."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable

import typer
from model_keys import key_tables, keys_page, plain_docstring
from pydantic import BaseModel
from typer.cli import get_docs_for_click

import ksched
from ksched.cli.app import app
from ksched.experiments.cluster_options import ClusterOptions
from ksched.experiments.file import ExperimentKeys
from ksched.experiments.policy import PolicyFragment
from ksched.experiments.replay_options import ReplayOptions
from ksched.framework import protocols
from ksched.framework.configuration import ConfigurationSpec
from ksched.framework.registry import find, registered
from ksched.report import metrics
from ksched.report.table_schema import LISTING, RECORDED, REPORT, RUNS, TIMING, Table
from ksched.sim import delays
from ksched.traces import schema
from ksched.traces.generator_config import GeneratorConfig


def pages() -> dict[str, str]:
    """All generated pages, paths relative to ``docs/``."""
    return {f"reference/{name}.md": make() for name, make in PAGES.items()}


def experiment_file() -> str:
    from ksched.experiments import file

    return keys_page("Experiment file", plain_docstring(file.__doc__ or ""), ExperimentKeys)


def policy_fragment() -> str:
    from ksched.experiments import policy

    return keys_page("Policy fragment", plain_docstring(policy.__doc__ or ""), PolicyFragment)


def replay_options() -> str:
    said = "The keys of `replay` under a trace of an [experiment file](experiment-file.md)."
    return keys_page("Replay options", said, ReplayOptions)


def cluster_options() -> str:
    said = (
        "The keys of `cluster` in an [experiment file](experiment-file.md). A duration is a number with a unit, for "
        "example `5ms`, `1.5s` or `1h30m`; a delay may also be [drawn](delays.md)."
    )
    return keys_page("Cluster options", said, ClusterOptions)


def delay_kinds() -> str:
    parts = ["# Delays", plain_docstring(delays.__doc__ or "")]
    for kind in (delays.Constant, delays.Uniform, delays.Exponential, delays.LogNormal):
        name = kind.model_fields["kind"].default
        parts += [f"## {name}", key_tables(kind)]
    return "\n\n".join(parts)


def scheduler_configuration() -> str:
    from ksched.framework import configuration

    said = plain_docstring(configuration.__doc__ or "")
    return keys_page("KubeSchedulerConfiguration", said, ConfigurationSpec)


def trace_format() -> str:
    parts = [
        keys_page("Trace format", plain_docstring(schema.__doc__ or "") + "\n\n## `manifest.json`", schema.Manifest),
    ]
    for table in schema.TABLES.values():
        need = "Required." if table.required else "Optional."
        order = f" Sorted by `{table.sorted_by}`." if table.sorted_by else ""
        parts.append(f"## `{table.name}.parquet`\n\n{table.doc} {need}{order}")
        rows = [
            (f"`{c.name}`", f"`{c.type}`".replace("|", "\\|"), c.unit or "", "yes" if c.nullable else "no", _meaning(c))
            for c in table.columns
        ]
        parts.append(_markdown_table(["column", "type", "unit", "may be null", "meaning"], rows))
    return "\n\n".join(parts)


def _meaning(column: schema.Column) -> str:
    if column.values is None:
        return column.doc
    return f"{column.doc} {', '.join(f'{v.value} {v.name}' for v in column.values)}."


def trace_generator() -> str:
    from ksched.traces import generator_config

    return keys_page("Trace generator", plain_docstring(generator_config.__doc__ or ""), GeneratorConfig)


def result_tables() -> str:
    parts = [
        "# Result tables",
        "A result directory holds Parquet tables. Times are whole microseconds of virtual time, which begins at 0. "
        "[Read results in pandas](../how-to/read-results.md) shows how to get at them.",
        "## Tables of a run",
        "`DIR/runs/<run_id>/<table>.parquet`, and of all runs together `DIR/tables/<table>/`.",
        *(_columns(table) for table in RECORDED.values()),
        "## All runs",
        "`DIR/tables/runs.parquet`",
        *(_columns(table) for table in (RUNS, LISTING, TIMING)),
        "## Tables of a report",
        "`DIR/report/tables/<table>.parquet` and `.csv`.",
        *(_columns(table, prefix="report: ") for table in REPORT.values()),
    ]
    return "\n\n".join(parts)


def _columns(table: Table, prefix: str = "") -> str:
    rows = [(f"`{c.name}`", c.type, c.unit, c.meaning) for c in table.columns]
    heading = f"### {prefix}`{table.name}`\n\n{table.row}"
    return f"{heading}\n\n{_markdown_table(['column', 'type', 'unit', 'meaning'], rows)}"


def metric_list() -> str:
    rows = [
        (f"`{m.name}`", m.title, m.unit, "" if m.better == "none" else m.better, plain_docstring(m.meaning))
        for m in metrics.all_metrics().values()
    ]
    table = _markdown_table(["metric", "title", "unit", "better", "meaning"], rows)
    return f"# Metrics\n\n{plain_docstring(metrics.__doc__ or '')}\n\n{table}\n"


def plugin_list() -> str:
    parts = ["# Plugins", "Every plugin that ksched ships, by the name profiles and experiments use."]
    for name in registered():
        cls = find(name).cls
        points = ", ".join(point for point in protocols.POINTS if protocols.implements(cls, point))
        kept = " Node-local: its results are kept." if getattr(cls, "node_local", False) else ""
        parts += [f"## {name}", plain_docstring(inspect.getdoc(cls) or ""), f"Takes part in {points}.{kept}"]
        arguments: type[BaseModel] | None = getattr(cls, "Args", None)
        if arguments is not None:
            parts += ["Arguments:", key_tables(arguments, level=3, page_part=name)]
    return "\n\n".join(parts)


def commands() -> str:
    root = typer.main.get_command(app)
    context = typer.Context(root, info_name="ksched")
    return get_docs_for_click(obj=root, ctx=context, name="ksched", title="Command line")


def python_api() -> str:
    names = [name for name in ksched.__all__ if name != "__version__"]
    return "\n".join(
        [
            "# Python",
            "",
            "Everything the command line does. `import ksched` is cheap: a name is loaded when it is used.",
            "",
            *(_documented(f"ksched.{name}") for name in names),
            "## Reports",
            "",
            *(_documented(f"ksched.report.{name}", level=3) for name in ("Comparison", "Results", "Run", "RunTables")),
            *(_documented(f"ksched.report.{name}", level=3) for name in ("Metric", "metric", "write_report")),
            "## Statistics",
            "",
            *(_documented(f"ksched.report.statistics.{name}", level=3) for name in _statistics()),
        ]
    )


def _statistics() -> Iterable[str]:
    from ksched.report import statistics

    return [name for name in statistics.__all__ if callable(getattr(statistics, name))]


def plugin_contract() -> str:
    contract = [
        name
        for name, value in vars(protocols).items()
        if inspect.isclass(value) and value.__module__ == protocols.__name__
    ]
    return "\n".join(
        [
            "# Plugin contract",
            "",
            plain_docstring(protocols.__doc__ or ""),
            "",
            "## What a plugin reads",
            "",
            *(_documented(f"ksched.tables.{name}", level=3) for name in ("NodeView", "PodView")),
            *(_documented(f"ksched.framework.{name}", level=3) for name in ("Cycle", "Status")),
            "## What a plugin may have",
            "",
            *(_documented(f"ksched.framework.protocols.{name}", level=3) for name in contract),
        ]
    )


def _documented(name: str, level: int = 2) -> str:
    return f"::: {name}\n    options:\n      heading_level: {level}\n"


def _markdown_table(header: list[str], rows: Iterable[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(cells) + " |" for cells in ([*header], *([*row] for row in rows))]
    return "\n".join([lines[0], "|" + "---|" * len(header), *lines[1:]])


MODELS = (
    ExperimentKeys,
    PolicyFragment,
    ReplayOptions,
    ClusterOptions,
    ConfigurationSpec,
    schema.Manifest,
    GeneratorConfig,
)
"""What the files of a user are read with."""

PAGES: dict[str, Callable[[], str]] = {
    "commands": commands,
    "python": python_api,
    "plugin-contract": plugin_contract,
    "plugins": plugin_list,
    "metrics": metric_list,
    "experiment-file": experiment_file,
    "policy-fragment": policy_fragment,
    "replay-options": replay_options,
    "cluster-options": cluster_options,
    "delays": delay_kinds,
    "scheduler-configuration": scheduler_configuration,
    "trace-format": trace_format,
    "trace-generator": trace_generator,
    "result-tables": result_tables,
}
"""Page name -> what writes it."""
