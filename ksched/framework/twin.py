"""A second framework over the same state, for questions that must leave no trace.

The twin shares the table, the objects and the nominations, which are only read. What asking changes it has for itself:
caches, the place where the next search of nodes begins, and copies of the plugins with the state they are in.
"""

from __future__ import annotations

import copy
import gc
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from ksched.errors import PluginError
from ksched.framework.framework import Framework
from ksched.framework.profile import Profile

_NEVER_COPIED = (type, ModuleType, FunctionType, BuiltinFunctionType)


def twin(framework: Framework, profile: Profile | None = None) -> Framework:
    """A twin of ``framework``, or one that runs ``profile`` on its state.

    Plugins that both profiles run with the same arguments keep their state; others begin anew.
    """
    other = profile or framework.profile
    kept = {enabled.cls for enabled in framework.profile.plugins()}
    plugins = {
        plugin.name: copied(framework.plugins[plugin.name])
        if plugin.cls in kept and _args(other, plugin.name) == _args(framework.profile, plugin.name)
        else plugin.make(other.args.get(plugin.name))
        for plugin in other.plugins()
    }
    return Framework(
        other,
        framework.table,
        seed=framework.seed,
        tie_break=framework.tie_break,
        objects=framework.objects,
        nominator=framework.nominator,
        order=framework._order.copy(),
        plugins=plugins,
    )


def copied(plugin: Any) -> Any:
    """A copy of a plugin with state of its own; what belongs to the framework (tables, objects, pods) is shared."""
    memo = {id(shared): shared for shared in _shared(plugin)}
    try:
        return copy.deepcopy(plugin, memo)
    except Exception as error:
        raise PluginError(
            f"plugin {plugin.name}: its state cannot be copied: {type(error).__name__}: {error}",
            hint="explanations and what-ifs of a run ask a copy: give the plugin a __deepcopy__",
        ) from error


def _args(profile: Profile, name: str) -> dict[str, Any]:
    return dict(profile.args.get(name) or {})


def _shared(plugin: Any) -> Iterator[Any]:
    """The objects of ksched's own classes that the plugin's state leads to."""
    seen = {id(plugin)}
    ahead = [plugin]
    while ahead:
        for found in gc.get_referents(ahead.pop()):
            if id(found) in seen or isinstance(found, _NEVER_COPIED):
                continue
            seen.add(id(found))
            if type(found).__module__.partition(".")[0] == "ksched":
                yield found
            else:
                ahead.append(found)
