"""Scheduler extenders: webhooks that filter, prioritise and bind beside the plugins.

Upstream: pkg/scheduler/extender.go and k8s.io/kube-scheduler/extender/v1. An extender is asked by HTTP POST of JSON,
or, where its ``urlPrefix`` is ``python:module:function``, by calling ``function(verb, args)`` in this process with the
same JSON as Python values. What it answers is its own affair: a run with one is as repeatable as the extender is.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from ksched.errors import InputError
from ksched.framework.configuration import ExtenderSpec
from ksched.framework.status import Status
from ksched.objects import Node
from ksched.tables import PodView
from ksched.tables.arrays import Int64Array

EXTENDER = "Extender"
"""Named as the plugin where an extender rejected nodes: any event makes such a pod worth another try."""
_PYTHON = "python:"
_MAX_PRIORITY = 10
_MAX_SCORE = 100

Transport = Callable[[str, dict[str, Any]], Any]
"""``transport(verb, args)`` returns the parsed JSON answer or raises :class:`ExtenderError`."""


class ExtenderError(Exception):
    """The extender could not be asked, or answered nonsense."""


class Filtered(NamedTuple):
    """Names of the nodes that remain, and why others do not; nodes in neither are gone without a word."""

    names: frozenset[str]
    failed: Mapping[str, str]
    unresolvable: Mapping[str, str]


class Extender:
    """One configured extender."""

    def __init__(self, spec: ExtenderSpec) -> None:
        self.spec = spec
        self._managed = frozenset(resource.name for resource in spec.managed_resources)
        self._send = _transport(spec)

    def interested(self, pod: PodView) -> bool:
        """Whether it is asked about ``pod``: always, or if a container names one of its resources."""
        if not self._managed:
            return True
        containers = (*pod.spec.containers, *pod.spec.init_containers)
        named = (c.resources for c in containers if c.resources is not None)
        return any(not self._managed.isdisjoint({*r.requests, *r.limits}) for r in named)

    def filter(self, pod: PodView, nodes: Sequence[Node]) -> Filtered:
        """Which of ``nodes`` can run the pod."""
        answer = self._ask(self.spec.filter_verb, self._args(pod, nodes))
        if answer.get("error"):
            raise ExtenderError(str(answer["error"]))
        known = {node.metadata.name or "" for node in nodes}
        names = frozenset(_names(answer, by_name=self.spec.node_cache_capable))
        if not names <= known:
            stranger = min(names - known)
            raise ExtenderError(
                f"extender {self.spec.url_prefix} names node {stranger!r}, which it was not asked about"
            )
        return Filtered(
            names, dict(answer.get("failednodes") or {}), dict(answer.get("failedandunresolvablenodes") or {})
        )

    def prioritize(self, pod: PodView, nodes: Sequence[Node]) -> dict[str, int]:
        """Points per node to add to the totals: its 0..10 scaled to a plugin's 0..100, times its weight."""
        answer = self._send(self.spec.prioritize_verb, self._args(pod, nodes))
        if not isinstance(answer, list):
            raise ExtenderError(f"expected a list of hosts and scores, got {type(answer).__name__}")
        points: dict[str, int] = {}
        for entry in answer:
            fields = _lowered(entry)
            try:
                host, score = str(fields["host"]), int(fields["score"])
            except (KeyError, TypeError, ValueError):
                raise ExtenderError(f"expected a host and its score, got {entry!r}") from None
            points[host] = points.get(host, 0) + score * self.spec.weight * (_MAX_SCORE // _MAX_PRIORITY)
        return points

    def bind(self, pod: PodView, node_name: str) -> None:
        """Tell the extender to bind; it answers when it has."""
        args = {"PodName": pod.name, "PodNamespace": pod.namespace, "PodUID": pod.uid, "Node": node_name}
        answer = self._ask(self.spec.bind_verb, args)
        if answer.get("error"):
            raise ExtenderError(str(answer["error"]))

    def _args(self, pod: PodView, nodes: Sequence[Node]) -> dict[str, Any]:
        """ExtenderArgs; its Go struct has no JSON tags, so the keys are capitalised while the objects' are not."""
        args: dict[str, Any] = {"Pod": pod.pod.to_dict(), "Nodes": None, "NodeNames": None}
        if self.spec.node_cache_capable:
            args["NodeNames"] = [node.metadata.name for node in nodes]
        else:
            args["Nodes"] = {"metadata": {}, "items": [node.to_dict() for node in nodes]}
        return args

    def _ask(self, verb: str, args: dict[str, Any]) -> dict[str, Any]:
        return _lowered(self._send(verb, args))


def _names(answer: Mapping[str, Any], *, by_name: bool) -> list[str]:
    if by_name and answer.get("nodenames") is not None:
        return [str(name) for name in answer["nodenames"]]
    items = (answer.get("nodes") or {}).get("items") or ()
    return [str(item["metadata"]["name"]) for item in items]


def _lowered(answer: Any) -> dict[str, Any]:
    """An object's entries by lower-case key: Go's decoder does not mind the case."""
    if not isinstance(answer, Mapping):
        raise ExtenderError(f"expected a JSON object, got {type(answer).__name__}")
    return {str(key).lower(): value for key, value in answer.items()}


def _transport(spec: ExtenderSpec) -> Transport:
    if spec.url_prefix.startswith(_PYTHON):
        return _function(spec.url_prefix)
    return _HttpTransport(spec.url_prefix, spec.timeout_s)


def _function(prefix: str) -> Transport:
    reference = prefix.removeprefix(_PYTHON)
    module, _, name = reference.partition(":")
    try:
        found = getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"extender {reference!r} cannot be imported: {error}", hint="write urlPrefix: python:module:function"
        ) from None

    def call(verb: str, args: dict[str, Any]) -> Any:
        try:
            return found(verb, args)
        except Exception as error:
            raise ExtenderError(f"extender {reference} failed: {type(error).__name__}: {error}") from error

    return call


class _HttpTransport:
    """POSTs to ``prefix/verb``, each over a connection of its own."""

    def __init__(self, prefix: str, timeout_s: float) -> None:
        url = urlsplit(prefix)
        self._prefix = prefix
        self._host, self._port, self._path = url.hostname or "", url.port, url.path.rstrip("/")
        self._timeout_s = timeout_s

    def __call__(self, verb: str, args: dict[str, Any]) -> Any:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        try:
            connection.request("POST", f"{self._path}/{verb}", json.dumps(args), {"Content-Type": "application/json"})
            response = connection.getresponse()
            body = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise ExtenderError(f"extender {self._prefix} cannot be asked: {error}") from error
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise ExtenderError(f"extender {self._prefix} answered {verb} with code {response.status}")
        try:
            return json.loads(body)
        except ValueError as error:
            raise ExtenderError(f"extender {self._prefix} answered {verb} with no JSON: {error}") from None


class Extenders:
    """All extenders of a configuration, asked one after another."""

    def __init__(self, specs: Iterable[ExtenderSpec]) -> None:
        self._extenders = [Extender(spec) for spec in specs]

    def __bool__(self) -> bool:
        return bool(self._extenders)

    def narrow(self, pod: PodView, nodes: Sequence[Node]) -> list[Status | None]:
        """Of each of ``nodes``, all of which pass the filters, None or why it is out (upstream:
        findNodesThatPassExtenders). ExtenderError where one fails that is not ignorable."""
        out: list[Status | None] = [None] * len(nodes)
        for extender in self._extenders:
            left = [position for position, status in enumerate(out) if status is None]
            if not left or not extender.spec.filter_verb or not extender.interested(pod):
                continue
            try:
                said = extender.filter(pod, [nodes[position] for position in left])
            except ExtenderError:
                if not extender.spec.ignorable:
                    raise
                continue
            for position in left:
                name = nodes[position].metadata.name or ""
                if name not in said.names:
                    out[position] = _refusal(said.failed.get(name), said.unresolvable.get(name))
        return out

    def points(self, pod: PodView, nodes: Sequence[Node]) -> list[tuple[str, Int64Array]]:
        """(extender, int64[n] to add to the totals) of those that prioritise; one that fails adds nothing."""
        found = []
        for extender in self._extenders:
            if not extender.spec.prioritize_verb or not extender.interested(pod):
                continue
            try:
                given = extender.prioritize(pod, nodes)
            except ExtenderError:
                continue
            points = np.array([given.get(node.metadata.name or "", 0) for node in nodes], dtype=np.int64)
            found.append((extender.spec.url_prefix, points))
        return found

    def bind(self, pod: PodView, node_name: str) -> bool:
        """Whether an extender took the binding upon itself. ExtenderError if it failed and is not ignorable."""
        for extender in self._extenders:
            if not extender.spec.bind_verb or not extender.interested(pod):
                continue
            try:
                extender.bind(pod, node_name)
            except ExtenderError:
                if not extender.spec.ignorable:
                    raise
                continue
            return True
        return False


def _refusal(failed: str | None, unresolvable: str | None) -> Status:
    """A node that is gone without a word counts as unresolvable, like any node without a status."""
    if unresolvable is None and failed is not None:
        return Status.unschedulable(failed)
    return Status.unschedulable(*([unresolvable] if unresolvable else []), resolvable=False)
