"""Listers: the objects beside nodes and pods that plugins read, by kind (upstream: client-go's listers and indexers).

Whoever owns the api-server's watches puts and removes; plugins read through ``cycle.objects``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import Any, TypeVar

from ksched.objects import KubeObject

K = TypeVar("K", bound=KubeObject)
Key = tuple[str, str]
"""(namespace, name) of an object; the namespace is "" for a cluster-scoped kind."""

IndexKey = Callable[[Any], Hashable]
_Kind = type[KubeObject]

_KEEP = 1 << 12
"""Changes remembered per kind; a reader further behind than that starts over."""


class Listers:
    """Objects by kind, namespace and name. Cluster-scoped objects are under namespace ""."""

    def __init__(self, objects: Iterable[KubeObject] = ()) -> None:
        self._kinds: dict[_Kind, dict[str, dict[str, KubeObject]]] = {}
        self._changes: dict[_Kind, _Changes] = {}
        self._indexes: dict[_Kind, dict[IndexKey, _Index]] = {}
        for obj in objects:
            self.put(obj)

    def put(self, obj: KubeObject) -> None:
        """Add an object or replace the one of the same kind, namespace and name."""
        cls, key = type(obj), key_of(obj)
        names = self._kinds.setdefault(cls, {}).setdefault(key[0], {})
        self._reindex(cls, key, names.get(key[1]), obj)
        names[key[1]] = obj
        self._changed(cls, key)

    def remove(self, obj: KubeObject) -> None:
        """Forget an object; one that is not there is ignored."""
        cls, key = type(obj), key_of(obj)
        gone = self._kinds.get(cls, {}).get(key[0], {}).pop(key[1], None)
        if gone is not None:
            self._reindex(cls, key, gone, None)
            self._changed(cls, key)

    def get(self, cls: type[K], namespace: str, name: str) -> K | None:
        """The object of this kind and name, None if there is none; ``namespace`` "" for a cluster-scoped kind."""
        found = self._kinds.get(cls, {}).get(namespace, {}).get(name)
        assert found is None or isinstance(found, cls)
        return found

    def list(self, cls: type[K], namespace: str | None = None) -> list[K]:
        """Objects of this kind in the order they came, of one namespace or of all."""
        spaces = self._kinds.get(cls, {})
        chosen = spaces.values() if namespace is None else (spaces.get(namespace, {}),)
        return [obj for names in chosen for obj in names.values() if isinstance(obj, cls)]

    def having(self, cls: type[K], index: Callable[[K], Hashable], value: Hashable) -> Iterable[K]:
        """Objects of this kind for which ``index(obj)`` is ``value``, in the order they came to be so.

        The index is made on first use and kept current from then on, so ``index`` must be one and the same function
        each time.
        """
        indexes = self._indexes.setdefault(cls, {})
        found = indexes.get(index)
        if found is None:
            found = indexes[index] = _Index(index)
            for obj in self.list(cls):
                found.change(key_of(obj), None, obj)
        return found.objects(value)  # type: ignore[return-value]

    def version(self, cls: _Kind) -> int:
        """Counts the changes to objects of this kind: what was derived from them holds while it stays the same."""
        changes = self._changes.get(cls)
        return changes.version if changes is not None else 0

    def changed_since(self, cls: _Kind, version: int) -> Iterable[Key] | None:
        """Distinct keys of the objects of this kind that changed after ``version``; None means any of them may have."""
        changes = self._changes.get(cls)
        return changes.since(version) if changes is not None else ()

    def _changed(self, cls: _Kind, key: Key) -> None:
        changes = self._changes.get(cls)
        if changes is None:
            changes = self._changes[cls] = _Changes()
        changes.note(key)

    def _reindex(self, cls: _Kind, key: Key, old: KubeObject | None, new: KubeObject | None) -> None:
        for index in self._indexes.get(cls, {}).values():
            index.change(key, old, new)


def key_of(obj: KubeObject) -> Key:
    """Under which namespace and name an object is kept."""
    return ((obj.namespace or "default") if obj.NAMESPACED else "", obj.name)


class _Changes:
    """The keys of one kind that changed, in order, with a bounded memory."""

    __slots__ = ("_keys", "version")

    def __init__(self) -> None:
        self._keys: list[Key] = []
        self.version = 0

    def note(self, key: Key) -> None:
        self.version += 1
        self._keys.append(key)
        if len(self._keys) > 2 * _KEEP:
            del self._keys[:_KEEP]

    def since(self, version: int) -> Iterable[Key] | None:
        behind = self.version - version
        if behind > len(self._keys):
            return None
        return dict.fromkeys(self._keys[len(self._keys) - behind :]) if behind else ()


class _Index:
    """The objects of one kind by what a function says of them."""

    __slots__ = ("_by", "_function")

    def __init__(self, function: IndexKey) -> None:
        self._function = function
        self._by: dict[Hashable, dict[Key, KubeObject]] = {}

    def change(self, key: Key, old: KubeObject | None, new: KubeObject | None) -> None:
        before = self._function(old) if old is not None else None
        if new is None or (old is not None and before != self._function(new)):
            entries = self._by[before]
            del entries[key]
            if not entries:
                del self._by[before]
        if new is not None:
            self._by.setdefault(self._function(new), {})[key] = new

    def objects(self, value: Hashable) -> Iterable[KubeObject]:
        return self._by.get(value, {}).values()
