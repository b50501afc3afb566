"""Deletes what has lost its owner (pkg/controller/garbagecollector).

Keeps, from the informers, which objects name which owners. When an owner goes, its dependents are looked at: one that
has no owner left is deleted. An owner deleted in the foreground waits for its dependents, one deleted with Orphan is
taken out of their references first.
"""

from __future__ import annotations

from typing import Any

from ksched.cluster.apiserver.deletion import BACKGROUND, FOREGROUND, ORPHAN, PROPAGATION_FINALIZERS
from ksched.cluster.controllers.context import Context
from ksched.cluster.controllers.steps import Call, Steps, call
from ksched.cluster.controllers.workqueue import WorkQueue
from ksched.objects.meta import KubeObject, OwnerReference
from ksched.objects.pod import Pod
from ksched.objects.storage import PersistentVolumeClaim
from ksched.objects.workloads import DaemonSet, Deployment, Job, ReplicaSet, StatefulSet

MONITORED: tuple[type[KubeObject], ...] = (
    Pod,
    ReplicaSet,
    Job,
    Deployment,
    StatefulSet,
    DaemonSet,
    PersistentVolumeClaim,
)
_KINDS: dict[str, type[KubeObject]] = {cls.KIND: cls for cls in MONITORED}
_FOREGROUND = PROPAGATION_FINALIZERS[FOREGROUND]
_ORPHAN = PROPAGATION_FINALIZERS[ORPHAN]


class GarbageCollector:
    """Keys are (kind, namespace, name, uid) of dependents and owners to look at."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._known: dict[str, Any] = {}  # objects that own, are owned, or might be asked for, by uid
        self._dependents: dict[str, dict[str, Any]] = {}  # by owner uid
        self.queue = WorkQueue(context.kernel, self.sync, context.config, context.config.garbage_collector_workers)
        for cls in MONITORED:
            context.informer(cls).add_handler(self._added, self._updated, self._deleted)

    # -- the graph --------------------------------------------------------------------------------------------

    def _added(self, obj: Any) -> None:
        meta = obj.metadata
        if not isinstance(obj, Pod):
            self._known[meta.uid] = obj
        for reference in meta.owner_references:
            self._dependents.setdefault(reference.uid or "", {})[meta.uid] = obj
            if reference.uid not in self._known:
                self.queue.add(_key(obj))  # its owner may have gone before it came
        if meta.finalizers:
            self._look_at_deletion(obj)

    def _updated(self, old: Any, new: Any) -> None:
        meta = new.metadata
        if not isinstance(new, Pod):
            self._known[meta.uid] = new
        if old.metadata.owner_references is not meta.owner_references:
            self._unlink(old)
        for reference in meta.owner_references:
            self._dependents.setdefault(reference.uid or "", {})[meta.uid] = new
        if meta.finalizers:
            self._look_at_deletion(new)

    def _deleted(self, obj: Any) -> None:
        meta = obj.metadata
        self._known.pop(meta.uid, None)
        self._unlink(obj)
        for dependent in self._dependents.pop(meta.uid, {}).values():
            self.queue.add(_key(dependent))
        for reference in meta.owner_references:
            owner = self._known.get(reference.uid)
            if owner is not None and _FOREGROUND in owner.metadata.finalizers:
                self.queue.add(_key(owner))  # it may have waited for this one

    def _unlink(self, obj: Any) -> None:
        for reference in obj.metadata.owner_references:
            group = self._dependents.get(reference.uid or "")
            if group is not None:
                group.pop(obj.metadata.uid, None)
                if not group:
                    del self._dependents[reference.uid or ""]

    def _look_at_deletion(self, obj: Any) -> None:
        meta = obj.metadata
        if meta.deletion_timestamp is not None and (_FOREGROUND in meta.finalizers or _ORPHAN in meta.finalizers):
            self.queue.add(_key(obj))

    # -- sync -------------------------------------------------------------------------------------------------

    def sync(self, key: tuple[str, str, str, str]) -> Steps:
        """Look at one object: release or delete its dependents if it is going, delete it if its owners are gone."""
        kind, namespace, name, uid = key
        cls = _KINDS[kind]
        current, error = yield call(self._client.get, cls, namespace, name)
        if error is not None:
            if error.is_not_found:
                return
            raise error
        meta = current.metadata
        if meta.uid != uid:
            return
        if meta.deletion_timestamp is not None:
            if _ORPHAN in meta.finalizers:
                yield from self._orphan_dependents(current)
            elif _FOREGROUND in meta.finalizers:
                yield from self._delete_dependents(current)
            return
        if meta.owner_references:
            yield from self._delete_if_ownerless(current)

    def _delete_if_ownerless(self, obj: Any) -> Any:
        meta = obj.metadata
        solid: list[OwnerReference] = []
        waiting: list[OwnerReference] = []
        for reference in meta.owner_references:
            if reference.kind not in _KINDS:
                solid.append(reference)  # nothing is known here of such owners, so nothing is done for them
                continue
            owner = yield from self._owner(obj.namespace, reference)
            if owner is None:
                continue
            going = owner.metadata.deletion_timestamp is not None and _FOREGROUND in owner.metadata.finalizers
            (waiting if going else solid).append(reference)
        if solid:
            if len(solid) < len(meta.owner_references):
                kept = {reference.uid for reference in solid}
                _, error = yield _without_owners(self._client, obj, lambda r: r.uid in kept)
                _raise_unless_gone(error)
            return
        # With a foreground owner waiting, dependents of its dependents go first too.
        has_dependents = bool(self._dependents.get(meta.uid))
        if waiting and has_dependents:
            propagation = FOREGROUND
        elif _ORPHAN in meta.finalizers:
            propagation = ORPHAN
        elif _FOREGROUND in meta.finalizers:
            propagation = FOREGROUND
        else:
            propagation = BACKGROUND
        _, error = yield call(
            self._client.delete, type(obj), obj.namespace, obj.name, uid=meta.uid, propagation=propagation
        )
        _raise_unless_gone(error)

    def _owner(self, namespace: str, reference: OwnerReference) -> Any:
        """The owner as the api-server has it now, None when it is gone."""
        cls = _KINDS[reference.kind or ""]
        owner, error = yield call(self._client.get, cls, namespace, reference.name or "")
        if error is not None and not error.is_not_found:
            raise error
        return owner if owner is not None and owner.metadata.uid == reference.uid else None

    def _delete_dependents(self, owner: Any) -> Any:
        dependents = list(self._dependents.get(owner.metadata.uid, {}).values())
        blocking = [
            d
            for d in dependents
            if any(r.uid == owner.metadata.uid and r.block_owner_deletion for r in d.metadata.owner_references)
        ]
        if not blocking:
            _, error = yield _without_finalizer(self._client, owner, _FOREGROUND)
            _raise_unless_gone(error)
        for dependent in dependents:
            if dependent.metadata.deletion_timestamp is None:
                self.queue.add(_key(dependent))

    def _orphan_dependents(self, owner: Any) -> Any:
        uid = owner.metadata.uid
        dependents = list(self._dependents.get(uid, {}).values())
        answers = yield [_without_owners(self._client, d, lambda r: r.uid != uid) for d in dependents]
        for _, error in answers:
            _raise_unless_gone(error)
        _, error = yield _without_finalizer(self._client, owner, _ORPHAN)
        _raise_unless_gone(error)


def _key(obj: Any) -> tuple[str, str, str, str]:
    return obj.KIND, obj.namespace, obj.name, obj.metadata.uid or ""


def _raise_unless_gone(error: Any) -> None:
    # 409 with a uid precondition: another object by the same name, so ours is gone.
    if error is not None and not error.is_not_found and error.code != 409:
        raise error


def _without_owners(client: Any, obj: Any, keep: Any) -> Call:
    def change(current: Any) -> Any:
        references = tuple(r for r in current.metadata.owner_references if keep(r))
        if references == current.metadata.owner_references:
            return current
        return current.replaced(metadata=current.metadata.replaced(owner_references=references))

    return call(client.patch, type(obj), obj.namespace, obj.name, change, uid=obj.metadata.uid)


def _without_finalizer(client: Any, obj: Any, finalizer: str) -> Call:
    def change(current: Any) -> Any:
        finalizers = tuple(f for f in current.metadata.finalizers if f != finalizer)
        if finalizers == current.metadata.finalizers:
            return current
        return current.replaced(metadata=current.metadata.replaced(finalizers=finalizers))

    return call(client.patch, type(obj), obj.namespace, obj.name, change, uid=obj.metadata.uid)
