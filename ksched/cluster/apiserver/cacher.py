"""The api-server's watch cache: one etcd watch per kind, fanned out to any number of clients.

Holds the current objects and a window of recent changes (apiserver pkg/storage/cacher). Watches that fix the kind's
index field (``spec.nodeName`` of pods) are found by that field's value before and after a change, so a write costs
as much as there are watchers interested in it, however many kubelets there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ksched.cluster.apiserver.errors import ApiError, gone
from ksched.cluster.apiserver.registry import Resource
from ksched.cluster.apiserver.selection import Selection
from ksched.cluster.etcd.ops import WatchBatch
from ksched.objects.base import replacing
from ksched.objects.meta import KubeObject, ObjectMeta
from ksched.sim.kernel import SECOND, Kernel

ADDED = "ADDED"
MODIFIED = "MODIFIED"
DELETED = "DELETED"
ERROR = "ERROR"

# Changes younger than this stay in the window (cacher's eventFreshDuration); the bounds are upstream's too.
_FRESH = 75 * SECOND
_MIN_WINDOW = 100
_MAX_WINDOW = 100 * 1024

_revised = replacing(ObjectMeta, "resource_version")
_with_metadata = replacing(KubeObject, "metadata")


class WatchEvent:
    """What a watcher is told; for ERROR ``object`` is the ApiError that ends the watch."""

    __slots__ = ("object", "type")

    def __init__(self, type_: str, obj: Any) -> None:
        self.type = type_
        self.object = obj


def committed(obj: Any, revision: int) -> Any:
    """An object given to etcd, now that it is known at which revision it was written.

    It goes there with a resourceVersion set to None and with metadata nobody else holds, and has not been seen by
    anybody before it is committed, so it can be completed in place.
    """
    metadata = obj.metadata.__dict__
    if metadata["resource_version"] is None:
        metadata["resource_version"] = str(revision)
    return obj


def at_revision(obj: Any, revision: int) -> Any:
    """A copy of ``obj`` that carries ``revision`` as its resourceVersion."""
    return _with_metadata(obj, {"metadata": _revised(obj.metadata, {"resource_version": str(revision)})})


class _Change(WatchEvent):
    """What one revision did to one object, and the event it is to somebody who watches everything.

    :meth:`Cacher.receive` fills it in, which costs less than an ``__init__`` of so many fields.
    """

    __slots__ = ("_gone", "new", "old", "revision", "time")
    __init__ = object.__init__

    revision: int
    time: int
    old: Any
    new: Any
    _gone: WatchEvent | None

    @property
    def gone(self) -> WatchEvent:
        """What those see for whom the object has gone: its old state, at this revision."""
        if self.new is None:
            return self
        if self._gone is None:
            self._gone = WatchEvent(DELETED, at_revision(self.old, self.revision))
        return self._gone


class Watcher:
    """One client's watch. ``notice`` passes a change on as this watch sees it."""

    __slots__ = ("by_index_alone", "id", "index_value", "notice", "send")

    def __init__(self, watcher_id: int, selection: Selection, send: Callable[[WatchEvent], object]) -> None:
        self.id = watcher_id
        self.send = send
        self.notice: Callable[[_Change], object] = send if selection.everything else _selective(selection, send)
        self.index_value: str | None = None
        # With nothing but the index field to match, being found by it is the match.
        self.by_index_alone = False


def _selective(selection: Selection, send: Callable[[WatchEvent], object]) -> Callable[[_Change], object]:
    """Passes changes on as a watch of some objects sees them: one that starts to match is added, and so on."""
    matches = selection.matches

    def notice(change: _Change) -> None:
        old, new = change.old, change.new
        was = old is not None and matches(old)
        if new is not None and matches(new):
            send(change if was or old is None else WatchEvent(ADDED, new))
        elif was:
            send(change.gone)

    return notice


_NOBODY: dict[int, Watcher] = {}


class Cacher:
    """Current objects, recent changes and watchers of one kind."""

    def __init__(self, kernel: Kernel, resource: Resource) -> None:
        self.resource = resource
        self.revision = 1
        self.objects: dict[bytes, Any] = {}
        self.on_change: tuple[Callable[[], object], ...] = ()
        self._kernel = kernel
        self._window: deque[_Change] = deque()
        self._look_back_at = _MIN_WINDOW  # the length of the window at which it is looked at next
        self._forgotten = 1  # the last revision that may have left the window
        self._everyone: dict[int, Watcher] = {}
        self._by_index: dict[str, dict[int, Watcher]] = {}
        # Kept from the first time somebody asks by the index field.
        self._objects_by_index: dict[str, dict[bytes, Any]] | None = None
        self._next_id = 0

    # -- reading ----------------------------------------------------------------------------------------------

    def list(self, selection: Selection) -> list[Any]:
        """The objects selected, in order of key."""
        value = self._index_value(selection)
        objects = self.objects if value is None else self._indexed().get(value, {})
        return [objects[key] for key in sorted(objects) if selection.matches(objects[key])]

    def removed(self, obj: Any, revision: int) -> Any:
        """``obj`` as the answer to its removal, which became ``revision``, has it: as watchers see it, too."""
        newest = self._window[-1] if self._window else None
        if newest is not None and newest.revision == revision and newest.old is obj:
            gone: Any = newest.gone.object
            return gone
        return at_revision(obj, revision)

    def watch(self, selection: Selection, revision: int, send: Callable[[WatchEvent], object]) -> Watcher:
        """Send every change after ``revision``, those in the window at once. ApiError 410 if it reaches too far."""
        self._forget_old()
        if revision < self._forgotten:
            raise gone(revision, self._forgotten)
        self._next_id += 1
        watcher = Watcher(self._next_id, selection, send)
        watcher.index_value = self._index_value(selection)
        watcher.by_index_alone = watcher.index_value is not None and selection.is_one_field
        if self._window and self._window[-1].revision > revision:
            for change in self._window:
                if change.revision > revision:
                    watcher.notice(change)
        if watcher.index_value is None:
            self._everyone[watcher.id] = watcher
        else:
            self._indexed()
            self._by_index.setdefault(watcher.index_value, {})[watcher.id] = watcher
        return watcher

    def unwatch(self, watcher: Watcher) -> None:
        """End a watch."""
        if watcher.index_value is None:
            self._everyone.pop(watcher.id, None)
            return
        group = self._by_index.get(watcher.index_value, {})
        group.pop(watcher.id, None)
        if not group:
            self._by_index.pop(watcher.index_value, None)

    def expire(self, revision: int) -> None:
        """Forget the changes up to ``revision``: etcd has compacted them."""
        self._forget_old()
        while self._window and self._window[0].revision <= revision:
            self._window.popleft()
        self._forgotten = max(self._forgotten, min(revision, self.revision))

    # -- what etcd tells --------------------------------------------------------------------------------------

    def receive(self, batch: WatchBatch) -> None:
        """Take in one revision's changes and tell the watchers."""
        if batch.canceled:
            self._fail(gone(self.revision, batch.compact_revision))
            return
        objects, window, revision = self.objects, self._window, batch.revision
        for key, value, _, _, version, _, _ in batch.kvs:
            change = _Change()
            change.revision = revision
            change.time = self._kernel.now
            change._gone = None
            change.old = old = objects.get(key)
            if version:
                change.type = ADDED if old is None else MODIFIED
                change.object = change.new = objects[key] = value
                metadata = value.metadata.__dict__
                if metadata["resource_version"] is None:  # as in committed(), without a call for each
                    metadata["resource_version"] = str(revision)
            else:
                change.type = DELETED
                change.object = at_revision(objects.pop(key), revision)
                change.new = None
            window.append(change)
            for watcher in self._everyone.values():
                watcher.notice(change)
            if self._objects_by_index is not None:
                self._apply_indexed(key, change, self._objects_by_index)
        self.revision = revision
        if len(window) > self._look_back_at:
            self._forget_old()
        for notify in self.on_change:
            notify()

    def _apply_indexed(self, key: bytes, change: _Change, index: dict[str, dict[bytes, Any]]) -> None:
        getter = self.resource.index
        assert getter is not None
        before = (getter(change.old) or "") if change.old is not None else None
        after = (getter(change.new) or "") if change.new is not None else None
        if before is not None and before != after:
            group = index[before]
            del group[key]
            if not group:
                del index[before]
            for watcher in self._by_index.get(before, _NOBODY).values():
                if watcher.by_index_alone:
                    watcher.send(change.gone)
                else:
                    watcher.notice(change)
        if after is not None:
            index.setdefault(after, {})[key] = change.new
            for watcher in self._by_index.get(after, _NOBODY).values():
                if watcher.by_index_alone:
                    watcher.send(change if before == after else WatchEvent(ADDED, change.new))
                else:
                    watcher.notice(change)

    def _forget_old(self) -> None:
        """Let the window shrink to what it has to hold after the newest change.

        What has to go goes whenever this is done, so it is done for many changes at once, and before anybody asks.
        """
        window = self._window
        stale = window[-1].time - _FRESH if window else 0
        while len(window) > _MIN_WINDOW and (window[0].time < stale or len(window) > _MAX_WINDOW):
            self._forgotten = window.popleft().revision
        self._look_back_at = len(window) + _MIN_WINDOW

    def _fail(self, error: ApiError) -> None:
        watchers = [*self._everyone.values()]
        for value in sorted(self._by_index):
            watchers.extend(self._by_index[value].values())
        self._everyone, self._by_index = {}, {}
        for watcher in watchers:
            watcher.send(WatchEvent(ERROR, error))

    def _indexed(self) -> dict[str, dict[bytes, Any]]:
        """The objects by the value of the index field."""
        index = self._objects_by_index
        if index is None:
            getter = self.resource.index
            assert getter is not None
            index = self._objects_by_index = {}
            for key, obj in self.objects.items():
                index.setdefault(getter(obj) or "", {})[key] = obj
        return index

    def _index_value(self, selection: Selection) -> str | None:
        if self.resource.index_field is None or selection.fields is None:
            return None
        return selection.fields.exact(self.resource.index_field)
