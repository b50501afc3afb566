"""Finding plugin classes: by entry point, by ``module:Class`` or by ``path/to/file.py:Class``."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel, ValidationError

from ksched.errors import InputError, KschedError, PluginError, invalid, nearest
from ksched.framework.plugin_sources import Read, read_source, source_digest
from ksched.framework.protocols import POINTS, implements

ENTRY_POINT_GROUP = "ksched.plugins"


@dataclass(frozen=True, slots=True)
class PluginClass:
    """A plugin class that was found, and where."""

    name: str
    cls: type
    reference: str
    """How it was named: an entry point, ``module:Class`` or ``file.py:Class``."""

    def source_hash(self, read: Read = read_source) -> str:
        """sha256 of the source the class consists of: an edited policy is another policy."""
        return source_hash(self.cls, f"plugin {self.name}", where=self.reference, read=read)

    def make(self, args: Mapping[str, Any] | None, *, where: str | None = None) -> Any:
        """An instance with validated ``args``; InputError names what is wrong with them."""
        model = getattr(self.cls, "Args", None)
        if model is None:
            if args:
                raise InputError(f"plugin {self.name} takes no arguments, got {', '.join(sorted(args))}", where=where)
            return self._instance()
        try:
            validated = model.model_validate(dict(args or {}))
        except ValidationError as error:
            raise invalid(error, model, where=where or f"args of {self.name}") from None
        return self._instance(validated)

    def _instance(self, *args: Any) -> Any:
        try:
            return self.cls(*args)
        except KschedError:
            raise
        except Exception as error:
            raise PluginError(
                f"plugin {self.name}: making it raised {type(error).__name__}: {error}",
                where=self.reference,
                hint="a plugin with an Args model is made with these, any other without arguments",
            ) from error


def source_hash(found: Any, what: str, *, where: str | None = None, read: Read = read_source) -> str:
    """sha256 of the source a class or function consists of (:mod:`ksched.framework.plugin_sources`).

    InputError calls it ``what``.
    """
    module = sys.modules.get(getattr(found, "__module__", ""))
    file = getattr(module, "__file__", None)
    if module is None or file is None or read(Path(file)) is None:
        raise InputError(
            f"{what} has no source file to identify it by", where=where, hint="define it in a module or a .py file"
        )
    return source_digest(module.__name__, Path(file), read)


@lru_cache(maxsize=1)
def _entry_points() -> dict[str, importlib.metadata.EntryPoint]:
    return {point.name: point for point in importlib.metadata.entry_points(group=ENTRY_POINT_GROUP)}


def registered() -> list[str]:
    """Names of all plugins installed through the entry point group ``ksched.plugins``, sorted."""
    return sorted(_entry_points())


def find(reference: str, *, base: Path | None = None, where: str | None = None) -> PluginClass:
    """The plugin class behind ``reference``; relative files are looked up in ``base`` (default: here)."""
    if ":" in reference:
        target, _, attribute = reference.rpartition(":")
        module = _load_file(target, base, where) if target.endswith(".py") else _import(target, where)
        cls = getattr(module, attribute, None)
        if not isinstance(cls, type):
            classes = [key for key, value in vars(module).items() if isinstance(value, type)]
            guess = nearest(attribute, classes)
            raise InputError(
                f"{target} has no class {attribute!r}" + (f"; did you mean {guess!r}?" if guess else ""),
                where=where,
            )
    else:
        point = _entry_points().get(reference)
        if point is None:
            guess = nearest(reference, registered())
            raise InputError(
                f"unknown plugin {reference!r}" + (f"; did you mean {guess!r}?" if guess else ""),
                where=where,
                hint="`ksched plugins list` shows what is installed; a plugin of your own is named "
                "module:Class or path/to/file.py:Class",
            )
        try:
            cls = point.load()
        except Exception as error:
            raise InputError(
                f"plugin {reference!r} ({point.value}) cannot be imported: {type(error).__name__}: {error}",
                where=where,
            ) from error
    return PluginClass(_checked_name(cls, reference, where), cls, reference)


def of_class(cls: type) -> PluginClass:
    """A plugin class somebody holds in hand, checked as if it had been found."""
    reference = f"{cls.__module__}:{cls.__qualname__}"
    return PluginClass(_checked_name(cls, reference, None), cls, reference)


def _checked_name(cls: type, reference: str, where: str | None) -> str:
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or not name:
        raise InputError(f"plugin class {reference} has no name", where=where, hint='give it one: name = "MyPolicy"')
    args = getattr(cls, "Args", None)
    if args is not None and not (isinstance(args, type) and issubclass(args, BaseModel)):
        raise InputError(f"Args of plugin {name} ({reference}) is not a pydantic model", where=where)
    if not any(implements(cls, point) for point in POINTS):
        raise InputError(
            f"plugin {name} ({reference}) implements no extension point",
            where=where,
            hint="write at least one of: " + ", ".join(POINTS.values()),
        )
    return name


def _import(name: str, where: str | None) -> ModuleType:
    try:
        return importlib.import_module(name)
    except Exception as error:
        raise InputError(
            f"cannot import plugin module {name!r}: {type(error).__name__}: {error}", where=where
        ) from error


def _load_file(target: str, base: Path | None, where: str | None) -> ModuleType:
    path = (base or Path.cwd()) / target
    path = path.resolve()
    if not path.is_file():
        raise InputError(f"plugin file {target!r} does not exist", where=where, hint=f"looked for {path}")
    # The name depends on the content: an edited file is loaded anew, and classes stay importable for pickling.
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    # No dot in it: pickle would import the package before the dot, which does not exist.
    name = f"ksched_user_plugin_{path.stem}_{digest}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        line = getattr(error, "lineno", None)
        place = f"{path}:{line}" if line else str(path)
        raise InputError(f"plugin file cannot be loaded: {type(error).__name__}: {error}", where=place) from error
    return module
