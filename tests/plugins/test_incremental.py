"""Incremental equals recomputed: a framework that watched a cluster change decides as one that never saw it before."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksched.errors import PluginError
from ksched.framework import Framework, Profile, TieBreak, default_configuration, load_configuration
from ksched.framework.decisions import Decision
from ksched.framework.protocols import implements
from ksched.framework.registry import find, registered
from ksched.objects import Pod
from ksched.tables import PodView
from ksched.testing.clusters import World
from ksched.testing.strategies import Drawn, choosers, pods, worlds

EVENTS = 6
JUDGING = [name for name in registered() if implements(find(name).cls, "filter") or implements(find(name).cls, "score")]


@lru_cache
def alone(plugin: str) -> Profile:
    """A profile in which ``plugin`` alone judges nodes."""
    enabled = [{"name": name} for name in ("PrioritySort", plugin, "DefaultBinder")]
    plugins = {"multiPoint": {"disabled": [{"name": "*"}], "enabled": enabled}}
    return load_configuration({"profiles": [{"plugins": plugins}]}).profiles[0]


@lru_cache
def together() -> Profile:
    """The default profile with a cached and an uncached policy beside it."""
    enabled = [{"name": "GpuShare"}, {"name": "RequireLabel"}, {"name": "BestFit", "weight": 3}]
    return load_configuration({"profiles": [{"plugins": {"multiPoint": {"enabled": enabled}}}]}).profiles[0]


def seen(decision: Decision) -> dict[str, Any]:
    return {
        "outcome": decision.outcome,
        "node": decision.node,
        "score": decision.score,
        "feasible": decision.feasible,
        "tied": decision.tied,
        "top": decision.top,
        "rejections": decision.rejections,
    }


def decide(framework: Framework, pod: PodView) -> dict[str, Any]:
    """The decision; where a policy breaks the contract, the error, which must be the same too."""
    try:
        with np.errstate(divide="ignore"):
            return seen(framework.schedule(pod, top=3))
    except PluginError as error:
        return {"error": str(error)}


def check(profile: Profile, world: World, incoming: list[Pod], choose: Drawn) -> None:
    views = [PodView(pod) for pod in incoming]
    table = world.table()
    watching = Framework(profile, table, seed=3)
    for _ in range(EVENTS):
        for view in views:
            assert decide(watching, view) == decide(Framework(profile, world.table(), seed=3), view)
        world.change(choose, table, odd=False)


@pytest.mark.parametrize("plugin", JUDGING)
@settings(max_examples=20, deadline=None)
@given(world=worlds(odd=False), incoming=st.lists(pods(), min_size=1, max_size=2), choose=choosers())
def test_each_plugin_alone(plugin: str, world: World, incoming: list[Pod], choose: Drawn) -> None:
    check(alone(plugin), world.usable(), incoming, choose)


@settings(max_examples=60, deadline=None)
@given(world=worlds(), incoming=st.lists(pods(), min_size=1, max_size=3), choose=choosers())
def test_all_of_the_default_profile(world: World, incoming: list[Pod], choose: Drawn) -> None:
    check(default_configuration().profiles[0], world, incoming, choose)


@settings(max_examples=40, deadline=None)
@given(world=worlds(), incoming=st.lists(pods(), min_size=1, max_size=3), choose=choosers())
def test_cached_and_uncached_plugins_together(world: World, incoming: list[Pod], choose: Drawn) -> None:
    check(together(), world, incoming, choose)


@settings(max_examples=40, deadline=None)
@given(world=worlds(), incoming=pods())
def test_the_order_of_nodes_changes_nothing_when_ties_go_to_the_lowest_name(world: World, incoming: Pod) -> None:
    profile, view = default_configuration().profiles[0], PodView(incoming)
    straight = Framework(profile, world.table(), tie_break=TieBreak.NAME).schedule(view)
    turned = Framework(profile, world.table(list(world.nodes)[::-1]), tie_break=TieBreak.NAME).schedule(view)
    assert (straight.node, straight.score, straight.feasible) == (turned.node, turned.score, turned.feasible)
    assert straight.rejections == turned.rejections
