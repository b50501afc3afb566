"""``ksched explain``: per node and plugin, why a pod goes where it goes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ksched.errors import InputError, nearest

if TYPE_CHECKING:
    from ksched.framework.explain import Explanation

_OUTPUTS = ("table", "json")
_NODES_LISTED = 10


def explain(
    manifests: Annotated[
        list[Path], typer.Option("-f", "--filename", help="Manifests: nodes, pods and the pod to explain; repeatable.")
    ],
    pod: Annotated[str, typer.Option(metavar="NS/NAME", help="The pod; without a namespace, default.")],
    profile: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A KubeSchedulerConfiguration; else the default profile.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the tie-break.")] = 0,
    node: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Show only this node; repeatable.", show_default=False)
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="List at most this many nodes at a time.")] = _NODES_LISTED,
    output: Annotated[str, typer.Option("-o", "--output", metavar="|".join(_OUTPUTS))] = "table",
) -> None:
    """Say which filter rejected which node and why, and what every plugin scored the others."""
    from ksched.framework import default_configuration, load_configuration
    from ksched.framework.explain import explain_objects
    from ksched.objects import read_manifests

    if output not in _OUTPUTS:
        raise InputError(f"unknown output {output!r}", where="--output", hint=f"write {' or '.join(_OUTPUTS)}")
    configuration = default_configuration() if profile is None else load_configuration(profile)
    objects = [obj for path in manifests for obj in read_manifests(path)]
    said = explain_objects(objects, pod, configuration, seed=seed)
    wanted = _wanted(said, node)
    if output == "json":
        typer.echo(json.dumps(as_json(said, wanted), indent=2))
        return
    from ksched.cli.explain_text import print_explanation

    print_explanation(said, wanted, limit=limit, seed=seed)


def _wanted(said: Explanation, names: list[str] | None) -> frozenset[str]:
    """The nodes to show; all of them unless some are named."""
    for name in names or ():
        if name not in said.nodes:
            guess = nearest(name, said.nodes)
            raise InputError(
                f"there is no node {name!r} in the manifests",
                where="--node",
                hint=f"did you mean {guess!r}?" if guess else None,
            )
    return frozenset(names or said.nodes)


def as_json(said: Explanation, wanted: frozenset[str]) -> dict[str, Any]:
    """An explanation as plain data, with the rejections and scores of the ``wanted`` nodes."""
    decision = said.decision
    rejections = said.rejections().to_dict("records")
    scores: dict[str, dict[str, Any]] = {}
    for row in said.score_table().to_dict("records"):
        cell = {key: row[key] for key in ("raw", "normalized", "weight", "points")}
        scores.setdefault(row["node"], {})[row["plugin"]] = cell
    ranking = said.ranking()
    return {
        "pod": said.pod.key,
        "nodes": len(said.nodes),
        "feasible": decision.feasible,
        "node": decision.node,
        "total": decision.score,
        "tied": decision.tied,
        "message": decision.message() if decision.node is None else None,
        "rejections": [row for row in rejections if row["node"] in wanted],
        "scores": [
            {"node": name, "total": total, "plugins": scores.get(name, {})}
            for name, total in zip(ranking["node"].tolist(), ranking["total"].tolist(), strict=True)
            if name in wanted
        ],
        "skippedFilters": sorted(said.pre_filter.skipped),
        "skippedScores": sorted(said.skipped_scores),
        "notes": list(said.notes),
    }
