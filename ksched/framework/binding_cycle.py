"""The binding cycle: what the plugins of a profile do about one pod once a node is chosen.

Called by whoever owns time and the api-server. Upstream: pkg/scheduler/schedule_one.go bindingCycle and
framework/runtime/framework.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ksched.errors import PluginError
from ksched.framework.cycle import Cycle
from ksched.framework.extender_transport import ExtenderError
from ksched.framework.extenders import Extenders
from ksched.framework.invoke import always_skips, guarded
from ksched.framework.profile import Profile
from ksched.framework.protocols import Handle
from ksched.framework.status import Code, Status
from ksched.tables import Memo, PodView, SpecInfo

Asked = Memo[SpecInfo, tuple[Any, ...]]
"""Who need be asked at some point, by spec: what concerns volumes alone concerns few pods."""

_MAX_PERMIT_WAIT_S = 15 * 60
"""A Permit plugin cannot hold a pod longer than this (upstream: maxTimeout)."""


class BindingCycle:
    """Reserve, Permit, PreBind, Bind and PostBind of one profile, in its order. ``plugins`` by name."""

    def __init__(self, profile: Profile, plugins: Mapping[str, Any] | None = None) -> None:
        self.profile = profile
        self.plugins: dict[str, Any] = dict(plugins) if plugins is not None else profile.instances()
        self._at: dict[str, list[Any]] = {
            point: [self.plugins[enabled.plugin.name] for enabled in listed] for point, listed in profile.points.items()
        }
        """Plugins by extension point."""
        self.permits, self.post_binds = bool(self._at["permit"]), bool(self._at["postBind"])
        """Whether there is anybody to ask at these points, where most profiles have no plugin."""
        self._reserving: Asked = Memo()
        self._pre_binding: Asked = Memo()
        self._extenders = Extenders(profile.extenders)
        self._extending = bool(self._extenders)

    def asked(self, point: str, pod: PodView) -> tuple[Any, ...]:
        """The plugins of a point that do not skip pods of this spec."""
        return tuple(plugin for plugin in self._at[point] if not always_skips(plugin, point, pod))

    def reserve(self, cycle: Cycle, pod: PodView, node_name: str) -> Status | None:
        """Run Reserve; on a failure all plugins are told to undo it, as upstream does, and the failure is returned."""
        plugins = self._reserving.get(pod.info)
        if plugins is None:
            plugins = self._reserving[pod.info] = self.asked("reserve", pod)
        for plugin in plugins:
            cycle.plugin = plugin.name
            said = guarded(plugin, "reserve", cycle, pod, node_name)
            if said is not None and (status := failure(plugin, "reserve", said)) is not None:
                self.unreserve(cycle, pod, node_name)
                return status
        return None

    def unreserve(self, cycle: Cycle, pod: PodView, node_name: str) -> None:
        """Undo Reserve in reverse order; a plugin may be asked to undo what it never did."""
        for plugin in reversed(self._at["reserve"]):
            if hasattr(plugin, "unreserve"):
                cycle.plugin = plugin.name
                guarded(plugin, "unreserve", cycle, pod, node_name)

    def permit(self, cycle: Cycle, pod: PodView, node_name: str) -> Status | None:
        """None: go on. A WAIT status carries the shortest timeout asked for, at most upstream's 15 minutes.

        Anything else rejects the pod. ``cycle.waits`` tells who waits how long.
        """
        waiting: Status | None = None
        for plugin in self._at["permit"]:
            cycle.plugin = plugin.name
            said = guarded(plugin, "permit", cycle, pod, node_name)
            status = None if said is None else failure(plugin, "permit", said)
            if status is None:
                continue
            if status.code is not Code.WAIT:
                return status
            timeout_s = cycle.waits[plugin.name] = min(status.timeout_s, _MAX_PERMIT_WAIT_S)
            if waiting is None or timeout_s < waiting.timeout_s:
                waiting = replace(status, timeout_s=timeout_s)
        return waiting

    def pre_bind(self, cycle: Cycle, pod: PodView, node_name: str) -> Status | None:
        """Run PreBind; the first failure ends it.

        WAIT: a plugin is not done; call this again in ``timeout_s`` seconds, and it goes on with that plugin.
        """
        plugins = self._pre_binding.get(pod.info)
        if plugins is None:
            plugins = self._pre_binding[pod.info] = self.asked("preBind", pod)
        for plugin in plugins[cycle.pre_bound :]:
            cycle.plugin = plugin.name
            said = guarded(plugin, "pre_bind", cycle, pod, node_name)
            if said is not None and (status := failure(plugin, "pre_bind", said)) is not None:
                return status
            cycle.pre_bound += 1
        return None

    def bind(self, cycle: Cycle, pod: PodView, node_name: str, handle: Handle) -> Status | None:
        """Let an extender or else the first Bind plugin that does not skip bind the pod through ``handle``."""
        try:
            taken = self._extending and self._extenders.bind(pod, node_name)
        except ExtenderError as error:
            return Status.error(str(error))
        if taken:
            # The real one posts the Binding itself; nobody outside can reach the modelled api-server.
            handle.bind(pod, node_name)
            return None
        for plugin in self._at["bind"]:
            cycle.plugin = plugin.name
            said = guarded(plugin, "bind", cycle, pod, node_name, handle)
            status = None if said is None else failure(plugin, "bind", said)
            if status is None or status.code is not Code.SKIP:
                return status
        return Status.error("no bind plugin took the pod")

    def post_bind(self, cycle: Cycle, pod: PodView, node_name: str) -> None:
        """Tell PostBind plugins."""
        for plugin in self._at["postBind"]:
            cycle.plugin = plugin.name
            guarded(plugin, "post_bind", cycle, pod, node_name)


def failure(plugin: Any, method: str, status: Any) -> Status | None:
    """The status a plugin returned, None for success."""
    if status is None or (isinstance(status, Status) and status.code is Code.SUCCESS):
        return None
    if not isinstance(status, Status):
        raise PluginError(
            f"plugin {plugin.name}: {method} returned {type(status).__name__}", hint="return None or a Status"
        )
    return status.by(plugin.name)
