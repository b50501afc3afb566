"""``ksched plugins``: what is installed, and whether a plugin keeps the contract."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ksched.errors import InputError

app = typer.Typer(help="Scheduling plugins: list what is installed, check your own.", no_args_is_help=True)

_OUTPUTS = ("text", "json")


@app.command("list")
def list_plugins(
    output: Annotated[str, typer.Option("-o", "--output", metavar="|".join(_OUTPUTS))] = "text",
) -> None:
    """Plugins that a profile can name: the extension points they implement, their arguments, what they do."""
    if output not in _OUTPUTS:
        raise InputError(f"unknown output {output!r}", where="--output", hint=f"write {' or '.join(_OUTPUTS)}")
    plugins = _installed()
    if output == "json":
        typer.echo(json.dumps(plugins, indent=2))
    else:
        _print(plugins)


@app.command()
def check(
    plugin: Annotated[str, typer.Argument(help="An installed name, module:Class or path/to/file.py:Class.")],
    args: Annotated[str, typer.Option(metavar="JSON", help="The plugin's arguments, as in pluginConfig.")] = "{}",
) -> None:
    """Test a plugin against the contract; exit code 2 lists every clause it breaks."""
    from ksched.framework import registry
    from ksched.testing import check_plugin, plugin_checks

    found = registry.find(plugin, base=Path.cwd())
    arguments = _arguments(args)
    found.make(arguments, where="--args")
    check_plugin(found.cls, arguments)
    typer.echo(f"{found.name} keeps the contract: {len(plugin_checks(found.cls, arguments))} clauses checked")


def _installed() -> list[dict[str, Any]]:
    """What there is to say of every installed plugin, sorted by package and name."""
    from ksched.framework import registry
    from ksched.framework.protocols import POINTS, implements

    plugins = []
    for name in registry.registered():
        cls = registry.find(name).cls
        model = getattr(cls, "Args", None)
        plugins.append(
            {
                "name": name,
                "package": cls.__module__.rpartition(".")[0] or cls.__module__,
                "points": [point for point in POINTS if implements(cls, point)],
                "args": [field.alias or key for key, field in model.model_fields.items()] if model else [],
                "summary": " ".join((cls.__doc__ or "").strip().partition("\n\n")[0].split()).replace("``", ""),
            }
        )
    return sorted(plugins, key=lambda plugin: (plugin["package"], plugin["name"]))


def _print(plugins: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console = Console(highlight=False)
    package = None
    for plugin in plugins:
        if plugin["package"] != package:
            package = plugin["package"]
            console.print(Text(package, style="dim"))
        line = Text.assemble((plugin["name"], "bold"), "  ", ", ".join(plugin["points"]))
        if plugin["args"]:
            line.append(f"  args: {', '.join(plugin['args'])}", style="dim")
        console.print(Padding(line, (0, 0, 0, 2), expand=False))
        console.print(Padding(Text(plugin["summary"]), (0, 0, 0, 6), expand=False))


def _arguments(text: str) -> dict[str, Any]:
    try:
        arguments = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error}", where="--args") from None
    if not isinstance(arguments, dict):
        raise InputError("expected a JSON object", where="--args", hint='for example: --args \'{"key": "disktype"}\'')
    return arguments
