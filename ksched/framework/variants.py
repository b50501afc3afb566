"""Profiles made from profiles: other weights, other arguments, one plugin more. For trying things out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ksched.errors import InputError, nearest
from ksched.framework import registry
from ksched.framework.profile import Enabled, Profile
from ksched.framework.protocols import POINTS, implements
from ksched.framework.registry import PluginClass


def with_weights(profile: Profile, weights: Mapping[str, int]) -> Profile:
    """``profile`` with these Score weights. 0 takes a plugin out; one that did not score yet is found by its name.

    Raises InputError for an unknown plugin, one that does not score, or a weight that is no whole number >= 0.
    """
    for name, weight in weights.items():
        if type(weight) is not int or weight < 0:
            raise InputError(f"the weight of {name} is a whole number of at least 0, not {weight!r}")
        scoring = profile.points["score"]
        entry = next((e for e in scoring if name in (e.plugin.name, e.plugin.reference)), None)
        if entry is None:
            profile = with_plugin(profile, name, weight=weight, points=("preScore", "score"))
        else:
            others = (replace(e, weight=weight) if e is entry else e for e in scoring)
            profile = _at(profile, {"score": tuple(e for e in others if e.weight)})
    return profile


def with_plugin(
    profile: Profile, plugin: type | str, *, weight: int = 1, points: tuple[str, ...] = tuple(POINTS)
) -> Profile:
    """``profile`` with ``plugin``, a class or a reference, enabled last at those of ``points`` that it implements.

    It takes the place of a plugin of the same name. Weight 0 leaves it out of Score.
    """
    found = registry.of_class(plugin) if isinstance(plugin, type) else registry.find(plugin)
    if "score" in points and points != tuple(POINTS) and not implements(found.cls, "score"):
        raise InputError(f"plugin {found.name} does not score, so it has no weight")
    changed = {}
    for point in points:
        if implements(found.cls, point) and point not in ("queueSort", "bind"):
            entries = tuple(e for e in profile.points[point] if e.plugin.name != found.name)
            new = () if point == "score" and not weight else (Enabled(found, weight),)
            changed[point] = (*entries, *new)
    return _at(_without_others(profile, found), changed)


def with_args(profile: Profile, args: Mapping[str, Mapping[str, Any]]) -> Profile:
    """``profile`` with these arguments laid over those it has, plugin by plugin and key by key."""
    known = [plugin.name for plugin in profile.plugins()]
    merged = {name: dict(given) for name, given in profile.args.items()}
    for name, more in args.items():
        if name not in known:
            guess = nearest(name, known)
            hint = f"did you mean {guess!r}?" if guess else f"plugins: {', '.join(known)}"
            raise InputError(f"the profile has no plugin {name!r}", hint=hint)
        merged[name] = {**merged.get(name, {}), **more}
    return replace(profile, args=merged)


def _at(profile: Profile, changed: Mapping[str, tuple[Enabled, ...]]) -> Profile:
    return replace(profile, points={**profile.points, **changed})


def _without_others(profile: Profile, found: PluginClass) -> Profile:
    """One name, one plugin: another class of this name leaves all points."""
    return _at(
        profile,
        {
            point: tuple(e for e in entries if e.plugin.name != found.name or e.plugin.cls is found.cls)
            for point, entries in profile.points.items()
        },
    )
