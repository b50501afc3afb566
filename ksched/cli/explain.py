"""``ksched explain``: per node and plugin, why a pod goes where it goes."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ksched.cli.recorded_run import DataFolder, ExperimentFile
from ksched.errors import InputError

if TYPE_CHECKING:
    from ksched.framework.explanation import Explanation

_OUTPUTS = ("table", "json")
_NODES_LISTED = 10


def explain(
    results: Annotated[
        Path | None, typer.Argument(help="A result directory, or the folder of one run in it.", show_default=False)
    ] = None,
    manifests: Annotated[
        list[Path] | None,
        typer.Option(
            "-f",
            "--filename",
            help="Instead of results: manifests with nodes, pods and the pod to explain; repeatable.",
            show_default=False,
        ),
    ] = None,
    pod: Annotated[str, typer.Option(metavar="NS/NAME", help="The pod; without a namespace, default.")] = "",
    profile: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="With -f: a KubeSchedulerConfiguration; else the default profile."),
    ] = None,
    seed: Annotated[int, typer.Option(help="With -f: seed of the tie-break.")] = 0,
    run: Annotated[str | None, typer.Option(metavar="ID", help="Which run: its id, or how that begins.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="AXIS=VALUE", help="Which run; of several seeds, the first.")
    ] = None,
    attempt: Annotated[int | None, typer.Option(min=1, help="Which attempt.", show_default="the last")] = None,
    experiment: ExperimentFile = None,
    data: DataFolder = None,
    node: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Show only this node, and what keeps the pod from it; repeatable.", show_default=False
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="List at most this many nodes at a time.")] = _NODES_LISTED,
    output: Annotated[str, typer.Option("-o", "--output", metavar="|".join(_OUTPUTS))] = "table",
) -> None:
    """Say which filter rejected which node and why, and what every plugin scored the others.

    About a pod of a recorded run (ksched explain RESULTS --pod ...) or in a cluster from manifests (ksched explain -f
    FILE --pod ...).
    """
    if output not in _OUTPUTS:
        raise InputError(f"unknown output {output!r}", where="--output", hint=f"write {' or '.join(_OUTPUTS)}")
    if (results is None) == (not manifests):
        raise InputError("give a result directory or manifests with -f, one of them", where="ksched explain")
    if not pod:
        raise InputError("which pod?", where="--pod", hint="for example --pod default/web-0")
    if results is not None:
        from ksched.experiments.session import explain_run

        if profile is not None:
            raise InputError("a recorded run has its own profile", where="--profile", hint="it goes with -f only")
        said = explain_run(
            results,
            pod,
            run,
            attempt=attempt,
            only=only or (),
            experiment=experiment,
            data=data,
            fit_on=node or (),
        )
    else:
        said = _of_manifests(manifests or [], pod, profile, seed, node or [])
    wanted = frozenset(node or said.nodes)
    if output == "json":
        typer.echo(json.dumps(as_json(said, wanted), indent=2))
        return
    from ksched.cli.explain_text import print_explanation

    print_explanation(said, wanted, limit=limit, seed=seed if results is None else None)


def _of_manifests(manifests: list[Path], pod: str, profile: Path | None, seed: int, nodes: list[str]) -> Explanation:
    from ksched.framework import default_configuration, load_configuration
    from ksched.framework.explain_manifests import explain_objects
    from ksched.objects import read_manifests

    configuration = default_configuration() if profile is None else load_configuration(profile)
    objects = [obj for path in manifests for obj in read_manifests(path)]
    return explain_objects(objects, pod, configuration, seed=seed, fit_on=nodes)


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
        "obstacles": {name: [asdict(each) for each in found] for name, found in said.obstacles.items()},
        "lookedAt": int(said.looked_at.sum()),
        "skippedFilters": sorted(said.pre_filter.skipped),
        "skippedScores": sorted(said.skipped_scores),
        "notes": list(said.notes),
    }
