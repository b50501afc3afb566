"""From configuration to profiles: which plugins run at which point, in which order, with which weight and arguments.

The merge of defaults and file and the expansion of ``multiPoint`` follow upstream's mergePluginSet
(pkg/scheduler/apis/config/v1/default_plugins.go) and expandMultiPointPlugins (framework/runtime/framework.go).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from ksched.errors import InputError, nearest
from ksched.framework import configuration, registry
from ksched.framework.configuration import (
    ConfigurationSpec,
    ExtenderSpec,
    PluginEntry,
    Plugins,
    PluginSet,
    ProfileSpec,
)
from ksched.framework.extender_transport import extender_hashes
from ksched.framework.plugin_sources import read_source
from ksched.framework.protocols import POINTS, implements
from ksched.framework.registry import PluginClass

EVERYTHING = "*"


@dataclass(frozen=True, slots=True)
class Enabled:
    """A plugin enabled at a point."""

    plugin: PluginClass
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Profile:
    """A scheduler: plugins per extension point in running order, and their arguments."""

    scheduler_name: str
    percentage_of_nodes_to_score: int
    points: Mapping[str, tuple[Enabled, ...]]
    args: Mapping[str, Mapping[str, Any]]
    where: str | None = None
    extenders: tuple[ExtenderSpec, ...] = ()
    """Asked beside the plugins; the same for all profiles of a configuration."""

    def plugins(self) -> list[PluginClass]:
        """Every plugin of the profile once, sorted by name."""
        by_name = {enabled.plugin.name: enabled.plugin for point in self.points.values() for enabled in point}
        return [by_name[name] for name in sorted(by_name)]

    def instances(self) -> dict[str, Any]:
        """One new instance per plugin by name; InputError if arguments are wrong."""
        return {
            plugin.name: plugin.make(self.args.get(plugin.name), where=self._where_args(plugin.name))
            for plugin in self.plugins()
        }

    def _where_args(self, plugin: str) -> str:
        return f"{self.where or self.scheduler_name}: pluginConfig args of {plugin}"

    def effective(self) -> dict[str, Any]:
        """The profile as a KubeSchedulerConfiguration entry with nothing left implicit."""
        plugins: dict[str, Any] = {}
        for point, entries in self.points.items():
            enabled = [
                {"name": entry.plugin.reference} | ({"weight": entry.weight} if point == "score" else {})
                for entry in entries
            ]
            plugins[point] = {"enabled": enabled, "disabled": [{"name": EVERYTHING}]}
        return {
            "schedulerName": self.scheduler_name,
            "percentageOfNodesToScore": self.percentage_of_nodes_to_score,
            "plugins": plugins,
            "pluginConfig": [
                {"name": plugin.name, "args": _args_of(plugin, self.args.get(plugin.name))}
                for plugin in self.plugins()
                if hasattr(plugin.cls, "Args")
            ],
        }


def _args_of(plugin: PluginClass, args: Mapping[str, Any] | None) -> dict[str, Any]:
    model = plugin.cls.Args  # type: ignore[attr-defined]
    validated = model.model_validate(dict(args or {}))
    dumped = validated.model_dump(mode="json", by_alias=True)
    assert isinstance(dumped, dict)
    return dumped


@dataclass(frozen=True, slots=True)
class SchedulerConfiguration:
    """A checked configuration: profiles and the queue's back-off."""

    profiles: tuple[Profile, ...]
    pod_initial_backoff_seconds: int = 1
    pod_max_backoff_seconds: int = 10

    def profile(self, scheduler_name: str) -> Profile | None:
        """The profile that places pods with this schedulerName."""
        return next((p for p in self.profiles if p.scheduler_name == scheduler_name), None)

    def effective(self) -> dict[str, Any]:
        """The configuration with all defaults spelled out, ready for YAML."""
        return {
            "apiVersion": configuration.API_VERSION,
            "kind": configuration.KIND,
            "podInitialBackoffSeconds": self.pod_initial_backoff_seconds,
            "podMaxBackoffSeconds": self.pod_max_backoff_seconds,
            "profiles": [profile.effective() for profile in self.profiles],
            **self._effective_extenders(),
        }

    def _effective_extenders(self) -> dict[str, Any]:
        extenders = self.profiles[0].extenders
        dumped = [extender.model_dump(mode="json", by_alias=True, exclude_none=True) for extender in extenders]
        return {"extenders": dumped} if dumped else {}

    def source_hashes(self) -> dict[str, str]:
        """Plugin, or ``urlPrefix`` of a Python extender -> sha256 of its source file: part of a run's identity."""
        read = cache(read_source)
        plugins = {plugin.name: plugin.source_hash(read) for profile in self.profiles for plugin in profile.plugins()}
        return plugins | extender_hashes(self.profiles[0].extenders)


@lru_cache(maxsize=1)
def _default_plugins() -> Plugins:
    text = resources.files("ksched.framework").joinpath("default_profile.yaml").read_text(encoding="utf-8")
    return Plugins.model_validate(yaml.safe_load(text))


def default_configuration() -> SchedulerConfiguration:
    """kube-scheduler's default profile, all nodes scored."""
    return load_configuration({})


def load_configuration(
    source: Path | str | Mapping[str, Any], *, where: str | None = None, base: Path | None = None
) -> SchedulerConfiguration:
    """Read and check a configuration from a file or parsed mapping.

    Plugin files in it are relative to the file (or to ``base``). Plugins are found and their arguments validated here,
    so that every mistake is reported before anything runs. Raises InputError.
    """
    if isinstance(source, (str, Path)):
        path = Path(source)
        spec, where, base = configuration.read(path), where or str(path), base or path.parent
    else:
        spec = configuration.parse(dict(source), where=where)
    profiles = tuple(_profile(profile, spec, base, where) for profile in spec.profiles)
    for profile in profiles:
        profile.instances()
    return SchedulerConfiguration(profiles, spec.pod_initial_backoff_seconds, spec.pod_max_backoff_seconds)


def _profile(spec: ProfileSpec, whole: ConfigurationSpec, base: Path | None, where: str | None) -> Profile:
    found: dict[str, PluginClass] = {}

    def find(name: str) -> PluginClass:
        if name not in found:
            found[name] = registry.find(name, base=base, where=where)
        return found[name]

    sets = {point: spec.plugins.at(point) for point in (*POINTS, "multiPoint")}
    multi = _merge(_default_plugins().multi_point, sets["multiPoint"])
    points = {point: _expand(point, multi, sets[point], find, where) for point in POINTS}
    known = {plugin.name for plugin in found.values()} | set(found)
    _check_disabled(sets, known, where)
    profile = Profile(
        spec.scheduler_name,
        whole.percentage_of_nodes_to_score
        if spec.percentage_of_nodes_to_score is None
        else spec.percentage_of_nodes_to_score,
        points,
        _without_ignored(_args(spec, found, where), whole.extenders),
        where,
        whole.extenders,
    )
    _check_names(profile, where)
    for point in ("queueSort", "bind"):
        if not profile.points[point]:
            raise InputError(f"profile {spec.scheduler_name!r} has no {point} plugin", where=where)
    if len(profile.points["queueSort"]) > 1:
        raise InputError(f"profile {spec.scheduler_name!r} has more than one queueSort plugin", where=where)
    return profile


def _check_names(profile: Profile, where: str | None) -> None:
    """One name, one plugin: there is one instance per name."""
    known: dict[str, PluginClass] = {}
    for enabled in (entry for point in profile.points.values() for entry in point):
        plugin = enabled.plugin
        other = known.setdefault(plugin.name, plugin)
        if other.cls is not plugin.cls:
            raise InputError(
                f"two plugins have the name {plugin.name!r}: {other.reference} and {plugin.reference}",
                where=where,
                hint="rename one, or disable the other at multiPoint",
            )


def _merge(defaults: PluginSet, custom: PluginSet) -> PluginSet:
    """Defaults that are not disabled, replaced in place by the file's entry of that name; then the file's others."""
    disabled = {entry.name for entry in custom.disabled}
    last = {entry.name: position for position, entry in enumerate(custom.enabled)}
    enabled: list[PluginEntry] = []
    replacing: set[int] = set()
    if EVERYTHING not in disabled:
        for entry in defaults.enabled:
            if entry.name in disabled:
                continue
            position = last.get(entry.name)
            if position is not None:
                replacing.add(position)
            enabled.append(entry if position is None else custom.enabled[position])
    # A plugin the file names twice is here twice, and refused when the points are expanded.
    enabled += [entry for position, entry in enumerate(custom.enabled) if position not in replacing]
    return PluginSet(enabled=tuple(enabled), disabled=custom.disabled)


def _expand(point: str, multi: PluginSet, own: PluginSet, find: Any, where: str | None) -> tuple[Enabled, ...]:
    """Plugins of one point: those of multiPoint that the point configures itself, the rest of multiPoint, the rest."""
    explicit: dict[str, Enabled] = {}
    for entry in own.enabled:
        plugin = find(entry.name)
        if not implements(plugin.cls, point):
            raise InputError(f"plugin {entry.name} does not implement {point}", where=where)
        if plugin.name in explicit:
            raise InputError(f"plugin {entry.name} is enabled twice at {point}", where=where)
        explicit[plugin.name] = Enabled(plugin, entry.weight or 1)
    disabled = {entry.name for entry in own.disabled}
    overriding: set[str] = set()
    expanded: dict[str, Enabled] = {}
    if EVERYTHING not in disabled:
        for entry in multi.enabled:
            plugin = find(entry.name)
            if not implements(plugin.cls, point) or disabled & {entry.name, plugin.name}:
                continue
            if plugin.name in explicit:
                overriding.add(plugin.name)
            elif plugin.name in expanded:
                raise InputError(f"plugin {entry.name} is enabled twice at multiPoint", where=where)
            else:
                expanded[plugin.name] = Enabled(plugin, entry.weight or 1)
    first = [enabled for name, enabled in explicit.items() if name in overriding]
    last = [enabled for name, enabled in explicit.items() if name not in overriding]
    return (*first, *expanded.values(), *last)


def _check_disabled(sets: Mapping[str, PluginSet], known: set[str], where: str | None) -> None:
    """Disabling what does not exist is a typo, not a wish."""
    for point, plugin_set in sets.items():
        for entry in plugin_set.disabled:
            if entry.name in known or entry.name == EVERYTHING or entry.name in registry.registered():
                continue
            if any(entry.name == default.name for default in _default_plugins().multi_point.enabled):
                continue
            guess = nearest(entry.name, [*known, *registry.registered()])
            raise InputError(
                f"{point}.disabled names unknown plugin {entry.name!r}"
                + (f"; did you mean {guess!r}?" if guess else ""),
                where=where,
            )


def _without_ignored(args: dict[str, dict[str, Any]], extenders: Iterable[ExtenderSpec]) -> dict[str, dict[str, Any]]:
    """NodeResourcesFit does not look at resources of which an extender says so (upstream: scheduler.New)."""
    ignored = [r.name for extender in extenders for r in extender.managed_resources if r.ignored_by_scheduler]
    if ignored:
        fit = args.setdefault("NodeResourcesFit", {})
        fit["ignoredResources"] = [*fit.get("ignoredResources", ()), *ignored]
    return args


def _args(spec: ProfileSpec, found: Mapping[str, PluginClass], where: str | None) -> dict[str, dict[str, Any]]:
    by_reference = {reference: plugin.name for reference, plugin in found.items()}
    names = set(by_reference.values())
    args: dict[str, dict[str, Any]] = {}
    for entry in spec.plugin_config:
        name = by_reference.get(entry.name, entry.name)
        if name in args:
            raise InputError(f"pluginConfig names {entry.name!r} twice", where=where)
        if name not in names and name not in registry.registered():
            guess = nearest(entry.name, [*names, *registry.registered()])
            raise InputError(
                f"pluginConfig is for {entry.name!r}, which the profile does not enable"
                + (f"; did you mean {guess!r}?" if guess else ""),
                where=where,
            )
        args[name] = dict(entry.args)
    return args
