"""A local copy of some of the cluster's objects, kept up to date by a watch (client-go's shared informer)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ksched.cluster.apiserver.cacher import DELETED, ERROR, WatchEvent
from ksched.cluster.apiserver.errors import ApiError
from ksched.cluster.apiserver.selection import Selection
from ksched.objects.meta import KubeObject

if TYPE_CHECKING:
    from ksched.cluster.apiserver.client import Client, Watch

K = TypeVar("K", bound=KubeObject)
Key = tuple[str, str]
"""(namespace, name); the namespace of a cluster-scoped object is ""."""


class Informer(Generic[K]):
    """``store`` maps (namespace, name) to the object; handlers are called after it has been brought up to date.

    It lists, then watches from the list's revision; when the watch breaks off because history was compacted (410)
    it lists again and reports the differences. ``synced`` is True once the first list is in.
    """

    def __init__(self, client: Client, cls: type[K], selection: Selection) -> None:
        self.cls = cls
        self.store: dict[Key, K] = {}
        self.synced = False
        self.stopped = False
        self._client = client
        self._selection = selection
        self._on_add: list[Callable[[K], object]] = []
        self._on_update: list[Callable[[K, K], object]] = []
        self._on_delete: list[Callable[[K], object]] = []
        self._watch: Watch | None = None

    def add_handler(
        self,
        on_add: Callable[[K], object] | None = None,
        on_update: Callable[[K, K], object] | None = None,
        on_delete: Callable[[K], object] | None = None,
    ) -> None:
        """Call ``on_add(obj)``, ``on_update(old, new)`` and ``on_delete(last)``.

        A late handler gets what is there already as added.
        """
        if on_add is not None:
            self._on_add.append(on_add)
            for obj in self.list():
                on_add(obj)
        if on_update is not None:
            self._on_update.append(on_update)
        if on_delete is not None:
            self._on_delete.append(on_delete)

    def get(self, namespace: str | None, name: str) -> K | None:
        """The object as this informer knows it, or None."""
        return self.store.get((namespace or "", name))

    def list(self) -> list[K]:
        """All objects, in the order they became known."""
        return list(self.store.values())

    def start(self) -> None:
        """List and begin to watch; ``Client.informer`` does this."""
        self._client.list_selected(self.cls, self._selection, self._listed)

    def stop(self) -> None:
        """Watch no more. The store stays as it is."""
        self.stopped = True
        if self._watch is not None:
            self._watch.stop()
            self._watch = None

    def _listed(self, result: Any, error: ApiError | None) -> None:
        if self.stopped:
            return
        if error is not None:
            raise RuntimeError(f"listing {self.cls.KIND} for {self._client.user} failed: {error}")
        self._watch = self._client.watch(
            self.cls, self._receive, resource_version=result.resource_version, selection=self._selection
        )
        self._replace(result.items)
        self.synced = True

    def _receive(self, events: Sequence[WatchEvent]) -> None:
        store = self.store
        for event in events:
            obj = event.object
            if event.type == ERROR:
                self.start()
                return
            meta = obj.metadata
            key = (meta.namespace or "", meta.name)
            if event.type == DELETED:
                if store.pop(key, None) is not None:
                    for gone in self._on_delete:
                        gone(obj)
                continue
            old = store.get(key)
            store[key] = obj
            if old is None:
                for added in self._on_add:
                    added(obj)
            else:
                for updated in self._on_update:
                    updated(old, obj)
            if self.stopped:
                return

    def _replace(self, items: Sequence[K]) -> None:
        listed = {(obj.namespace, obj.name): obj for obj in items}
        for key in [key for key in self.store if key not in listed]:
            gone = self.store.pop(key)
            for on_delete in self._on_delete:
                on_delete(gone)
        for key, obj in listed.items():
            old = self.store.get(key)
            if old is not None and old.metadata.resource_version == obj.metadata.resource_version:
                continue
            self.store[key] = obj
            if old is None:
                for on_add in self._on_add:
                    on_add(obj)
            elif old.metadata.uid != obj.metadata.uid:
                # Deleted and created again while nobody watched.
                for on_delete in self._on_delete:
                    on_delete(old)
                for on_add in self._on_add:
                    on_add(obj)
            else:
                for on_update in self._on_update:
                    on_update(old, obj)
