"""Policy fragments, translated into genuine KubeSchedulerConfiguration v1.

A fragment is a ``profile`` file, or ``plugins`` and ``pluginConfig`` of one profile inline, or the short form
``score: {FreeMemory: 5, NodeResourcesFit: 1}`` (exactly these plugins score), ``filter: [GpuShare]`` (more plugins that
filter), ``disable: [ImageLocality]``. ``args`` and ``configuration`` go with each of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt

from ksched.errors import InputError, nearest
from ksched.experiments.document import read_document
from ksched.framework import SchedulerConfiguration, load_configuration

API_VERSION = "kubescheduler.config.k8s.io/v1"
KIND = "KubeSchedulerConfiguration"
SCHEDULER_NAME = "default-scheduler"
_SHORT_FORM = ("score", "filter", "disable")


class PolicyFragment(BaseModel):
    """The keys of a policy in an experiment file."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True, frozen=True)

    profile: str | None = Field(None, description="a KubeSchedulerConfiguration file, relative to the experiment file")
    plugins: dict[str, Any] | None = Field(None, description="`plugins` of a profile, in upstream's own form")
    plugin_config: list[Any] | None = Field(None, alias="pluginConfig", description="`pluginConfig` of a profile")
    score: dict[str, NonNegativeInt] | None = Field(
        None, description="exactly these plugins score, with these weights; weight 0 leaves one out"
    )
    filter: list[str] | None = Field(None, description="plugins enabled beside the default ones, without their scores")
    disable: list[str] | None = Field(None, description="plugins switched off at every extension point")
    args: dict[str, dict[str, Any]] = Field({}, description="plugin -> its arguments, over those of the profile")
    configuration: dict[str, Any] = Field({}, description="keys of the whole scheduler configuration")


@dataclass(frozen=True)
class SchedulerSource:
    """A KubeSchedulerConfiguration mapping, the folder its plugin files are relative to, and its name in errors."""

    data: dict[str, Any]
    base: Path
    where: str

    def load(self) -> SchedulerConfiguration:
        """The checked configuration; InputError for whatever is wrong with it."""
        return load_configuration(self.data, base=self.base, where=self.where)


def scheduler_source(fragment: PolicyFragment, folder: Path, *, where: str) -> SchedulerSource:
    """The genuine configuration a fragment stands for. ``folder`` is what its paths are relative to."""
    _check_form(fragment, where)
    base = folder
    if fragment.profile is not None:
        path = folder / fragment.profile
        data, base, where = _profile_file(path, where), path.resolve().parent, str(path)
    else:
        profile: dict[str, Any] = {"schedulerName": SCHEDULER_NAME}
        if fragment.plugins is not None or _is_short(fragment):
            profile["plugins"] = fragment.plugins if fragment.plugins is not None else _short_form(fragment)
        if fragment.plugin_config:
            profile["pluginConfig"] = fragment.plugin_config
        data = {"apiVersion": API_VERSION, "kind": KIND, "profiles": [profile]}
    data = {**data, **fragment.configuration}
    if fragment.args:
        data["profiles"] = [_with_args(profile, fragment.args) for profile in data["profiles"]]
    return SchedulerSource(data, base, where)


def _is_short(fragment: PolicyFragment) -> bool:
    return any(getattr(fragment, key) is not None for key in _SHORT_FORM)


def _check_form(fragment: PolicyFragment, where: str) -> None:
    inline = fragment.plugins is not None or fragment.plugin_config is not None
    if sum([fragment.profile is not None, inline, _is_short(fragment)]) > 1:
        raise InputError(
            "a policy is a 'profile' file, or inline 'plugins' and 'pluginConfig', or the short form "
            "'score', 'filter', 'disable', not a mixture",
            where=where,
            hint="'args' and 'configuration' go with each of them",
        )
    for key in ("apiVersion", "kind", "profiles"):
        if key in fragment.configuration:
            raise InputError(f"{key!r} does not belong under 'configuration'", where=where)


def _short_form(fragment: PolicyFragment) -> dict[str, Any]:
    """``plugins`` of a profile for the short form.

    Named plugins are enabled through multiPoint, so that one that scores may also prepare (PreScore) and one that
    filters may also reserve; the Score point alone says whose scores count.
    """
    # Upstream reads weight 0 as 1; in a sweep over weights 0 has to mean none.
    score = None if fragment.score is None else {name: weight for name, weight in fragment.score.items() if weight}
    extra = fragment.filter or []
    named = dict.fromkeys([*(score or ()), *extra])
    plugins: dict[str, Any] = {"multiPoint": {"enabled": [{"name": name} for name in named]}}
    if fragment.disable:
        plugins["multiPoint"]["disabled"] = [{"name": name} for name in fragment.disable]
    if score is not None:
        plugins["score"] = {
            "disabled": [{"name": "*"}],
            "enabled": [{"name": name, "weight": weight} for name, weight in score.items()],
        }
    elif extra:
        plugins["score"] = {"disabled": [{"name": name} for name in extra]}
    return plugins


def _profile_file(path: Path, where: str) -> dict[str, Any]:
    if not path.is_file():
        guess = nearest(path.name, [p.name for p in path.parent.glob("*.yaml")])
        raise InputError(
            f"there is no profile file {path}", where=where, hint=f"did you mean {guess!r}?" if guess else None
        )
    document = read_document(path)
    profiles = document.data.get("profiles") if isinstance(document.data, dict) else None
    if not isinstance(profiles, list) or not profiles or not all(isinstance(p, dict) for p in profiles):
        raise InputError("a KubeSchedulerConfiguration has a list 'profiles'", where=str(path))
    return dict(document.data)


def _with_args(profile: dict[str, Any], args: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """A fragment's arguments laid over those of the profile, plugin by plugin and key by key."""
    written = profile.get("pluginConfig") or []
    entries = {entry["name"]: dict(entry) for entry in written if isinstance(entry, dict) and "name" in entry}
    for name, extra in args.items():
        entry = entries.setdefault(name, {"name": name})
        entry["args"] = {**(entry.get("args") or {}), **extra}
    return {**profile, "pluginConfig": list(entries.values())}


def canonical_policy(configuration: SchedulerConfiguration) -> dict[str, Any]:
    """The effective configuration with plugins called by their own names, wherever their files are."""
    effective = configuration.effective()
    for profile, entry in zip(configuration.profiles, effective["profiles"], strict=True):
        names = {plugin.reference: plugin.name for plugin in profile.plugins()}
        for plugin_set in entry["plugins"].values():
            for plugin in plugin_set["enabled"]:
                plugin["name"] = names.get(plugin["name"], plugin["name"])
    return effective
