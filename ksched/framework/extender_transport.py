"""How an extender is asked: over HTTP, or as a Python function.

By HTTP POST of JSON, or, where its ``urlPrefix`` is ``python:module:function``, by calling ``function(verb, args)`` in
this process with the same JSON as Python values. The source of such a function is part of a run's identity; what stands
behind a URL cannot be.
"""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from ksched.errors import InputError
from ksched.framework import registry
from ksched.framework.configuration import ExtenderSpec

_PYTHON = "python:"

Transport = Callable[[str, dict[str, Any]], Any]
"""``transport(verb, args)`` returns the parsed JSON answer or raises :class:`ExtenderError`."""


class ExtenderError(Exception):
    """The extender could not be asked, or answered nonsense."""


def transport(spec: ExtenderSpec) -> Transport:
    """How to ask this extender; InputError if it is a function that cannot be imported."""
    if spec.url_prefix.startswith(_PYTHON):
        return _function(spec.url_prefix)
    return _HttpTransport(spec.url_prefix, spec.timeout_s)


def _imported(prefix: str) -> Any:
    reference = prefix.removeprefix(_PYTHON)
    module, _, name = reference.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise InputError(
            f"extender {reference!r} cannot be imported: {error}", hint="write urlPrefix: python:module:function"
        ) from None


def _function(prefix: str) -> Transport:
    found, reference = _imported(prefix), prefix.removeprefix(_PYTHON)

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


def extender_hashes(specs: Iterable[ExtenderSpec]) -> dict[str, str]:
    """``urlPrefix`` -> sha256 of the source file, for extenders that are Python functions."""
    prefixes = sorted(spec.url_prefix for spec in specs if spec.url_prefix.startswith(_PYTHON))
    return {prefix: registry.source_hash(_imported(prefix), f"extender {prefix}") for prefix in prefixes}
