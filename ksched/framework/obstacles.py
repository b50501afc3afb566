"""What would have to change for a pod to fit on one node: every filter that rejects it, and what would help."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ksched.errors import InputError, PluginError, nearest
from ksched.framework.invoke import guarded
from ksched.framework.status import Code, Status
from ksched.tables import NodeView

if TYPE_CHECKING:
    from ksched.framework.explain import Asking

NOMINATED = "nominated pods"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """One plugin that keeps the pod from a node: its reasons, and what would have to change, in sentences.

    ``resolvable``: evicting pods from the node could help. ``remedies`` are the reasons again where the plugin says
    nothing better.
    """

    plugin: str
    reasons: tuple[str, ...]
    resolvable: bool
    remedies: tuple[str, ...]


def find_obstacles(
    asking: Asking, blocked: Mapping[int, Status], names: Iterable[str]
) -> dict[str, tuple[Obstacle, ...]]:
    """For each named node, in the order of the filters, who rejects the pod there. InputError for an unknown node."""
    found = {}
    for name in names:
        row = asking.table.index.get(name)
        if row is None:
            guess = nearest(name, asking.names)
            raise InputError(f"there is no node {name!r}", hint=f"did you mean {guess!r}?" if guess else None)
        found[name] = tuple(_on(asking, blocked, row))
    return found


def _on(asking: Asking, blocked: Mapping[int, Status], row: int) -> Iterable[Obstacle]:
    if asking.outcome.status is not None:
        yield _plain(asking.outcome.status, "filters were not asked, because PreFilter rejects the pod on every node")
        return
    if not asking.considered[row]:
        reason = "left out of the search by PreFilter"
        yield Obstacle("PreFilter", (reason,), False, (reason,))
    rejected = False
    for name, statuses in asking.statuses.items():
        status = statuses[row]
        if status is not None:
            rejected = True
            yield _by_plugin(asking, asking.framework.plugins.get(name), status, row)
    if row in blocked and not rejected:
        yield _nominated(asking, blocked[row], row)


def _plain(status: Status, *more: str) -> Obstacle:
    return Obstacle(status.plugin, status.reasons, status.code is Code.UNSCHEDULABLE, (*status.reasons, *more))


def _by_plugin(asking: Asking, plugin: Any, status: Status, row: int) -> Obstacle:
    if not hasattr(plugin, "remedy"):
        return _plain(status)
    node = NodeView(asking.table, np.array([row], dtype=np.intp))
    said = guarded(plugin, "remedy", *asking.ask(plugin), node)
    if isinstance(said, str) or not all(isinstance(sentence, str) for sentence in said):
        raise PluginError(f"plugin {plugin.name}: remedy returned {said!r}", hint="return a list of sentences")
    remedies = tuple(said) or status.reasons
    return Obstacle(status.plugin, status.reasons, status.code is Code.UNSCHEDULABLE, remedies)


def _nominated(asking: Asking, status: Status, row: int) -> Obstacle:
    """The node would do if it were not for pods that are about to come."""
    what_if = asking.framework.what_if(asking.entry, asking.cycle, asking.pod, asking.outcome)
    rivals = ", ".join(pod.key for pod in what_if.rivals(row))
    remedy = f"room on the node is kept for {rivals}: it would have to go elsewhere, or the pod have a higher priority"
    return Obstacle(status.plugin, tuple(f"{NOMINATED}: {reason}" for reason in status.reasons), True, (remedy,))
