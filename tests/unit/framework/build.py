"""A framework from plugin classes, without a file; tables and pods in one line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ksched.framework import Framework, Profile, Status, TieBreak
from ksched.framework.profile import Enabled
from ksched.framework.protocols import POINTS, implements
from ksched.framework.registry import PluginClass
from ksched.objects import Node
from ksched.tables import NodeTable, PodView
from ksched.testing.factories import make_node, make_pod


class Order:
    """Sorts by arrival and binds nothing: the two points every profile needs."""

    name = "Order"

    def queue_sort_key(self, pod, queued_at):
        return queued_at

    def bind(self, cycle, pod, node_name, handle):
        handle.bind(pod, node_name)


def profile(
    *classes: type,
    weights: Mapping[str, int] | None = None,
    percentage: int = 100,
    args: Mapping[str, Mapping[str, Any]] | None = None,
) -> Profile:
    """A profile of ``classes`` in this order, enabled wherever they implement a point."""
    found = [PluginClass(cls.name, cls, f"{cls.__module__}:{cls.__qualname__}") for cls in (*classes, Order)]
    points = {
        point: tuple(Enabled(p, (weights or {}).get(p.name, 1)) for p in found if implements(p.cls, point))
        for point in POINTS
    }
    return Profile("default-scheduler", percentage, points, args or {})


def framework(
    table: NodeTable,
    *classes: type,
    weights: Mapping[str, int] | None = None,
    percentage: int = 100,
    seed: int = 0,
    tie_break: TieBreak = TieBreak.NAME,
) -> Framework:
    return Framework(profile(*classes, weights=weights, percentage=percentage), table, seed=seed, tie_break=tie_break)


def table_of(nodes: Iterable[Node | str]) -> NodeTable:
    table = NodeTable()
    for node in nodes:
        table.add_node(make_node(node) if isinstance(node, str) else node)
    return table


def pod(name: str = "pod", **fields: Any) -> PodView:
    return PodView(make_pod(name, **fields))


def filtering(result, *, name: str = "F", local: bool = True) -> type:
    """A Filter that returns ``result(pod, nodes)``."""

    class Filtering:
        node_local = local

        def filter(self, cycle, pod, nodes):
            return result(pod, nodes)

    Filtering.name = name
    return Filtering


def scoring(result, *, name: str = "S", local: bool = True, normalizer=None, normalize=None) -> type:
    """A Score that returns ``result(pod, nodes)``."""

    class Scoring:
        node_local = local

        def score(self, cycle, pod, nodes):
            return result(pod, nodes)

    Scoring.name = name
    if normalizer is not None:
        Scoring.normalizer = normalizer
    if normalize is not None:
        Scoring.normalize_score = lambda self, cycle, pod, scores: normalize(scores)
    return Scoring


def pre_filtering(answer, *, name: str = "P", local: bool = True) -> type:
    """A PreFilter that returns ``answer(pod)``, with a Filter that rejects every node if it is run."""

    class PreFiltering:
        node_local = local

        def pre_filter(self, cycle, pod):
            return answer(pod)

        def filter(self, cycle, pod, nodes):
            return {f"{name} ran": nodes.names != ""}

    PreFiltering.name = name
    return PreFiltering


SKIP = Status.skip()
