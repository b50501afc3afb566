"""``ksched traces``: list, look at, check, convert and generate workload traces."""

from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ksched.errors import InputError, nearest

app = typer.Typer(help="Workload traces: list, look at, check, convert, generate.", no_args_is_help=True)

TraceName = Annotated[
    str, typer.Argument(metavar="TRACE", help="A directory, the name of a shipped trace, or openb:LIST[@all].")
]
Data = Annotated[
    Path | None, typer.Option("--data", metavar="DIR", help="Folder with raw public traces [env KSCHED_DATA].")
]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="DIR", help="Where to write the trace.")]
Force = Annotated[bool, typer.Option("--force", help="Replace the trace in a directory that is not empty.")]

SEVERITY_STYLE = {"error": "bold red", "warning": "yellow", "info": "dim"}


@app.command("list")
def list_traces(data: Data = None) -> None:
    """Traces that can be named: those that ship with ksched, and public ones found in the data folder."""
    from ksched.traces import available_traces

    table = Table("name", "what", "where", box=None, header_style="bold")
    for source in available_traces(data):
        table.add_row(source.name, source.description, str(source.where))
    Console().print(table)


@app.command()
def info(trace: TraceName, data: Data = None) -> None:
    """What a trace is and holds: provenance, rows, capacity, demand, span."""
    from ksched.traces import load_trace
    from ksched.traces.load import RESOURCES, capacities, requests

    loaded = load_trace(trace, data=data)
    manifest = loaded.manifest
    table = Table(show_header=False, box=None)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    rows: dict[str, Any] = {
        "name": manifest.name,
        "source": manifest.source,
        "licence": manifest.licence,
        "cite": manifest.citation,
        "content hash": loaded.content_hash,
        "rows": ", ".join(f"{name} {part.num_rows:,}" for name, part in loaded.tables().items()),
        "span": f"{(manifest.t_end_us - manifest.t_start_us) / 3_600e6:,.1f} h (times: {manifest.time_quality})",
        "replay mode": manifest.replay_mode,
    }
    capacity, demand = capacities(loaded), requests(loaded)
    for resource in RESOURCES:
        scale, unit = {"cpu": (1000, "cores"), "memory": (1 << 30, "GiB"), "gpu": (1000, "GPUs")}[resource]
        have, asked = capacity[resource] / scale, float(demand[resource].sum()) / scale
        rows[resource] = f"capacity {have:,.0f} {unit}, all pods together ask for {asked:,.0f}"
    for name, value in rows.items():
        if value is not None:
            table.add_row(name, escape(str(value)))
    Console().print(table)


@app.command()
def check(
    trace: TraceName,
    data: Data = None,
    strict: Annotated[bool, typer.Option("--strict", help="Exit 1 when there are warnings or errors.")] = False,
) -> None:
    """What does not add up in a trace: load against capacity, pods that fit nowhere, times, duplicates, tails."""
    from ksched.traces import load_trace
    from ksched.traces.check import check as find

    loaded = load_trace(trace, data=data)
    with _status(f"checking {loaded.name}"):
        findings = find(loaded)
    table = Table("severity", "code", "finding", title=f"{loaded.name}: {len(findings)} findings", box=None)
    for finding in findings:
        style = SEVERITY_STYLE[finding.severity]
        table.add_row(f"[{style}]{finding.severity}[/]", finding.code, escape(finding.message))
    Console().print(table)
    if strict and any(finding.severity != "info" for finding in findings):
        raise typer.Exit(1)


@app.command()
def convert(
    source: Annotated[str, typer.Argument(metavar="FORMAT", help="Format of the raw files: openb.")],
    output: Output,
    data: Data = None,
    pod_list: Annotated[str, typer.Option("--list", help="Which pod list.")] = "default",
    nodes: Annotated[str, typer.Option("--nodes", help="Which node list: gpu or all.")] = "gpu",
    force: Force = False,
) -> None:
    """Convert the raw files of a public trace into ksched's format."""
    from ksched.traces import write_trace
    from ksched.traces.openb import read_openb
    from ksched.traces.sources import data_folder

    if source != "openb":
        close = nearest(source, ["openb"])
        raise InputError(f"unknown format {source!r}", hint="did you mean openb?" if close else "known: openb")
    with _status(f"reading openb {pod_list}"):
        manifest = write_trace(read_openb(data_folder(data), pod_list, nodes), output, force=force)
    _report(output, manifest.rows, manifest.content_hash)


@app.command()
def generate(
    output: Output,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML with generator settings.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all draws.")] = None,
    pods: Annotated[int | None, typer.Option(help="Number of pods.")] = None,
    nodes: Annotated[int | None, typer.Option(help="Number of nodes, shared out over the pools.")] = None,
    load: Annotated[
        float | None, typer.Option(help="Largest fraction of cpu, memory and GPUs demanded at once.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the trace; default: the directory's.")] = None,
    force: Force = False,
) -> None:
    """Generate a trace: classes of work, users with repeated templates, bursts, heavy tails, pools of nodes."""
    from ksched.traces import write_trace
    from ksched.traces.generate import generate as make

    settings = _read_settings(config) if config else {}
    if load is not None:
        settings["load"] = {"cpu": load, "memory": load, "gpu": load}
    for key, value in {"seed": seed, "pods": pods, "nodes": nodes, "name": name}.items():
        if value is not None:
            settings[key] = value
    settings.setdefault("name", output.resolve().name)
    chosen = _validated(settings, str(config) if config else "options")
    with _status(f"generating {chosen.pods:,} pods"):
        manifest = write_trace(make(chosen), output, force=force)
    _report(output, manifest.rows, manifest.content_hash)


def _read_settings(path: Path) -> dict[str, Any]:
    from ksched.objects.yaml_text import load_documents, read_text

    documents = load_documents(read_text(path, "generator settings"), where=str(path))
    if not documents:
        return {}
    if len(documents) > 1 or not isinstance(documents[0].data, dict):
        raise InputError("expected a mapping of generator settings", where=str(path))
    return documents[0].data


def _validated(settings: dict[str, Any], where: str) -> Any:
    from ksched.traces.generator_config import GeneratorConfig, Pool, Replicas, Shape, Taint, WorkClass

    try:
        return GeneratorConfig.model_validate(settings)
    except ValidationError as error:
        fault = error.errors()[0]
        place = ".".join(str(part) for part in fault["loc"]) or "settings"
        if fault["type"] != "extra_forbidden":
            raise InputError(f"{place}: {fault['msg']}", where=where) from None
        models = (GeneratorConfig, Pool, Shape, WorkClass, Replicas, Taint)
        close = nearest(str(fault["loc"][-1]), [key for model in models for key in model.model_fields])
        hint = f"did you mean {close}?" if close else None
        raise InputError(f"unknown key {place}", where=where, hint=hint) from None


def _status(text: str) -> Any:
    return Console(stderr=True).status(text)


def _report(output: Path, rows: dict[str, int], content_hash: str | None) -> None:
    listed = ", ".join(f"{count:,} {name}" for name, count in rows.items())
    Console(soft_wrap=True).print(f"{output}: {listed}; content hash {content_hash}", highlight=False)
