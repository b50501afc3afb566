"""The api-server: verbs on objects, stored in etcd with optimistic concurrency, observed through watch caches.

Every verb answers through ``then(result, error)``, exactly one of which is None. Clients reach it through
:class:`ksched.cluster.apiserver.client.Client`, which adds the way there and back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from ksched.cluster.apiserver import errors, subresources
from ksched.cluster.apiserver.admission import Admission, check
from ksched.cluster.apiserver.cacher import Cacher, Watcher, WatchEvent, committed
from ksched.cluster.apiserver.client import Client
from ksched.cluster.apiserver.compaction import Compactor
from ksched.cluster.apiserver.config import ApiServerConfig
from ksched.cluster.apiserver.deletion import DeleteOptions, Remove, begin_deletion, ready_to_remove
from ksched.cluster.apiserver.errors import ApiError
from ksched.cluster.apiserver.names import Names
from ksched.cluster.apiserver.registry import RESOURCES, Resource
from ksched.cluster.apiserver.selection import Selection
from ksched.cluster.apiserver.sizes import Sizes
from ksched.cluster.apiserver.subresources import Assignment
from ksched.cluster.clock import Clock
from ksched.cluster.etcd.errors import EtcdError
from ksched.cluster.etcd.ops import IfResponse, KeyValue, Range, RangeResponse, delete_if, maker, prefix_end, put_if
from ksched.cluster.etcd.server import Etcd
from ksched.objects.base import replacing
from ksched.objects.meta import KubeObject, ObjectMeta
from ksched.objects.pod import Pod
from ksched.sim.kernel import Kernel
from ksched.sim.streams import Streams

Then = Callable[[Any, ApiError | None], object]
Change = Callable[[Any], Any]
"""Makes the new object of the current one; returning it unchanged writes nothing. May raise ApiError."""

STATUS = "status"
_PODS = RESOURCES["Pod"]


_identified = replacing(ObjectMeta, "uid", "creation_timestamp", "resource_version")


class ObjectList(NamedTuple):
    """The answer of a list: objects in order of key, and the revision they are all true at."""

    items: list[Any]
    resource_version: str


class ApiServer:
    """See the module's text."""

    def __init__(
        self,
        kernel: Kernel,
        etcd: Etcd,
        clock: Clock,
        streams: Streams,
        config: ApiServerConfig | None = None,
    ) -> None:
        self.kernel = kernel
        self.etcd = etcd
        self.clock = clock
        self.config = config or ApiServerConfig()
        self.streams = streams
        self.sizes = Sizes()
        self._bound_specs = subresources.BoundSpecs(self.sizes)
        self._names = Names(streams)
        self._cachers: dict[str, Cacher] = {}
        for kind, resource in RESOURCES.items():
            cacher = self._cachers[kind] = Cacher(kernel, resource)
            prefix = resource.prefix
            etcd.watch(cacher.receive, prefix, prefix_end(prefix), start_revision=2)
        classes = self._cachers["PriorityClass"]
        everything = Selection("PriorityClass")
        self._admission = Admission(lambda: classes.list(everything), self.config.default_toleration_seconds)
        classes.on_change += (self._admission.forget,)
        self._compactor = Compactor(kernel, etcd, list(self._cachers.values()), self.config.compaction_interval)

    def client(self, user: str) -> Client:
        """A client of its own connection; ``user`` names it and its random streams."""
        return Client(self, user)

    def close(self) -> None:
        """Let go of everything (:meth:`ksched.cluster.cluster.Cluster.close`)."""
        for part in (*self._cachers.values(), self):
            vars(part).clear()

    # -- reading ----------------------------------------------------------------------------------------------

    def get(self, cls: type[KubeObject], namespace: str | None, name: str, then: Then) -> None:
        """The current object, read from etcd; 404 when there is none."""
        resource = RESOURCES[cls.KIND]

        def answer(response: RangeResponse | None, error: EtcdError | None) -> None:
            if response is None:
                then(None, _storage_error(error))
            elif response.kvs:
                then(_object_of(response.kvs[0]), None)
            else:
                then(None, errors.not_found(resource.qualified, name))

        self.etcd.submit(Range(resource.key(namespace, name)), answer)

    def list_cached(self, cls: type[KubeObject], selection: Selection, then: Then) -> None:
        """An ObjectList from the watch cache (resourceVersion=0), which may be behind."""
        cacher = self._cachers[RESOURCES[cls.KIND].kind]
        then(ObjectList(cacher.list(selection), str(cacher.revision)), None)

    def list(self, cls: type[KubeObject], selection: Selection, then: Then) -> None:
        """An ObjectList read from etcd."""
        resource = RESOURCES[cls.KIND]
        prefix = resource.prefix
        if selection.namespace is not None and resource.namespaced:
            prefix += selection.namespace.encode() + b"/"

        def answer(response: RangeResponse | None, error: EtcdError | None) -> None:
            if response is None:
                then(None, _storage_error(error))
                return
            found = [obj for obj in map(_object_of, response.kvs) if selection.matches(obj)]
            then(ObjectList(found, str(response.revision)), None)

        self.etcd.submit(Range(prefix, prefix_end(prefix)), answer)

    def watch(
        self,
        cls: type[KubeObject],
        selection: Selection,
        revision: int,
        send: Callable[[WatchEvent], object],
    ) -> Watcher:
        """Send every change after ``revision``. Raises ApiError 410 when that is too long ago."""
        return self._cachers[RESOURCES[cls.KIND].kind].watch(selection, revision, send)

    def unwatch(self, cls: type[KubeObject], watcher: Watcher) -> None:
        """End a watch."""
        self._cachers[cls.KIND].unwatch(watcher)

    # -- writing ----------------------------------------------------------------------------------------------

    def create(self, obj: KubeObject, then: Then) -> None:
        """Store a new object; 409 AlreadyExists when its name is taken, 422 when it is not valid."""
        try:
            resource = RESOURCES[obj.KIND]
            new = self._prepared(resource, obj)
        except ApiError as error:
            then(None, error)
            return
        meta = new.metadata
        name = meta.name
        key = resource.key(meta.namespace, name)

        def answer(response: IfResponse | None, error: EtcdError | None) -> None:
            if response is None:
                then(None, _storage_error(error))
            elif response.succeeded:
                then(committed(new, response.revision), None)
            else:
                then(None, errors.already_exists(resource.qualified, name))

        self.etcd.submit(put_if((key, new, 0, self.sizes.of(new))), answer)

    def update(self, obj: KubeObject, then: Then) -> None:
        """Replace an object, all but its status; 409 Conflict when ``obj`` carries an outdated resourceVersion."""
        self._update(obj, None, then)

    def update_status(self, obj: KubeObject, then: Then) -> None:
        """Replace an object's status; 409 Conflict as with :meth:`update`."""
        self._update(obj, STATUS, then)

    def _update(self, obj: KubeObject, subresource: str | None, then: Then) -> None:
        resource = RESOURCES[type(obj).KIND]
        meta = obj.metadata

        def change(current: Any) -> Any:
            if meta.resource_version and meta.resource_version != current.metadata.resource_version:
                raise errors.modified(resource.qualified, obj.name)
            if meta.uid and meta.uid != current.metadata.uid:
                raise errors.conflict(resource.qualified, obj.name, _uid_mismatch(meta.uid, current.metadata.uid))
            return obj

        self._write(resource, meta.namespace, obj.name, change, then, subresource)

    def patch(
        self,
        cls: type[KubeObject],
        namespace: str | None,
        name: str,
        change: Change,
        subresource: str | None,
        uid: str | None,
        then: Then,
    ) -> None:
        """Change an object whatever its revision; a patch is given as the function that applies it."""
        resource = RESOURCES[cls.KIND]

        def checked(current: Any) -> Any:
            if uid is not None and uid != current.metadata.uid:
                raise errors.conflict(resource.qualified, name, _uid_mismatch(uid, current.metadata.uid))
            return change(current)

        self._write(resource, namespace, name, checked, then, subresource)

    def delete(
        self, cls: type[KubeObject], namespace: str | None, name: str, options: DeleteOptions, then: Then
    ) -> None:
        """Delete an object, or begin to when it has a grace period or finalizers (registry Store.Delete)."""
        resource = RESOURCES[cls.KIND]

        def begin(current: Any) -> Any:
            if options.uid is not None and options.uid != current.metadata.uid:
                raise errors.conflict(resource.qualified, name, _uid_mismatch(options.uid, current.metadata.uid))
            return begin_deletion(resource, current, options, self.clock)

        def begun(result: Any, error: ApiError | None) -> None:
            if error is not None or not ready_to_remove(result):
                then(result, error)
                return
            uid = result.metadata.uid

            def remove(current: Any) -> Any:
                return Remove(current) if current.metadata.uid == uid else current

            def removed(last: Any, why: ApiError | None) -> None:
                # Somebody else may have removed it by now, which is as good.
                then(result if last is None else last, None if why is not None and why.is_not_found else why)

            self._modify(resource, namespace, name, remove, removed)

        self._modify(resource, namespace, name, begin, begun)

    def bind(self, namespace: str, name: str, wanted: Assignment, then: Then) -> None:
        """pods/binding: 409 when the pod has a node already, is another one by uid, or is being deleted."""
        change = partial(subresources.bound, name, wanted, self.clock, self._bound_specs)
        self._modify(_PODS, namespace, name, change, then)

    def scale(self, cls: type[KubeObject], namespace: str, name: str, replicas: int, then: Then) -> None:
        """The scale subresource: set ``spec.replicas``, whatever the revision."""
        if replicas < 0:
            then(
                None,
                errors.invalid("Scale", name, f"spec.replicas: Invalid value: {replicas}: must not be negative"),
            )
            return

        def scaled(obj: Any) -> Any:
            return obj.replaced(spec=obj.spec.replaced(replicas=replicas))

        self.patch(cls, namespace, name, scaled, None, None, then)

    def evict(self, namespace: str, name: str, options: DeleteOptions, then: Then) -> None:
        """pods/eviction: delete unless a disruption budget forbids it; then 429 TooManyRequests."""

        def budgeted(pod: Pod | None, error: ApiError | None) -> None:
            if pod is None:
                then(None, error)
                return
            budgets = self._cachers["PodDisruptionBudget"].list(Selection("PodDisruptionBudget", namespace))
            try:
                budget = subresources.budget_of(pod, budgets)
            except ApiError as refused:
                then(None, refused)
                return
            if budget is None:
                self.delete(Pod, namespace, name, options, then)
                return
            self._modify(
                RESOURCES["PodDisruptionBudget"],
                namespace,
                budget.name,
                subresources.take_disruption(name, self.clock),
                lambda taken, why: self.delete(Pod, namespace, name, options, then) if why is None else then(None, why),
            )

        self.get(Pod, namespace, name, budgeted)

    # -- how a write is done ----------------------------------------------------------------------------------

    def _prepared(self, resource: Resource, obj: KubeObject) -> Any:
        given = obj.metadata
        if given.resource_version:
            raise errors.bad_request("resourceVersion should not be set on objects to be created")
        uid, now = self._names.uid(), self.clock.timestamp()
        # The resourceVersion is known when it is committed.
        meta = _identified(given, {"uid": uid, "creation_timestamp": now, "resource_version": None})
        if given.namespace is None and resource.namespaced:
            meta.completed(namespace="default")
        if resource.has_generation:
            meta.completed(generation=1)
        if not given.name:
            meta.completed(name=self._generated_name(resource, meta))
        if given.deletion_timestamp is not None:
            meta.completed(deletion_timestamp=None, deletion_grace_period_seconds=None)
        admitted = self._admission.admit(obj, meta)
        return admitted if resource.prepare is None else resource.prepare(admitted)

    def _generated_name(self, resource: Resource, meta: ObjectMeta) -> str:
        if not meta.generate_name:
            raise errors.invalid(resource.kind, "", "metadata.name: Required value: name or generateName is required")
        taken = self._cachers[resource.kind].objects
        while True:
            name = self._names.generate(meta.generate_name)
            if resource.key(meta.namespace, name) not in taken:
                return name

    def _write(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        change: Change,
        then: Then,
        subresource: str | None,
    ) -> None:
        if resource.namespaced and not namespace:
            namespace = "default"

        def strategic(current: Any) -> Any:
            wanted = change(current)
            if wanted is current:
                return current
            if subresource == STATUS:
                return _with_status(resource, current, wanted)
            return _updated(resource, current, wanted)

        self._modify(resource, namespace, name, strategic, then)

    def _modify(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        change: Change,
        then: Then,
    ) -> None:
        """etcd3 store's GuaranteedUpdate: apply ``change`` to the newest object and write it if nobody came between.

        It starts from the watch cache, and reads etcd when that turns out to be behind. What ``change`` makes must be
        new as far as its metadata, and without resourceVersion (:func:`committed`).
        """
        key = resource.key(namespace, name)
        cacher = self._cachers[resource.kind]
        update = _update((self.etcd, self.sizes, cacher, key, name, change, then))
        cached = cacher.objects.get(key)
        if cached is None:
            update.read()
        else:
            update.attempt(cached, False)


class _Update(NamedTuple):
    """One read-modify-write under way."""

    etcd: Etcd
    sizes: Sizes
    cacher: Cacher
    key: bytes
    name: str
    change: Change
    then: Then

    def read(self) -> None:
        self.etcd.submit(Range(self.key), self._read_answer)

    def _read_answer(self, response: RangeResponse | None, error: EtcdError | None) -> None:
        if response is None:
            self.then(None, _storage_error(error))
        else:
            self._overtaken(response.kvs[0] if response.kvs else None)

    def attempt(self, current: Any, fresh: bool) -> None:
        etcd, sizes, _, key, _, change, then = self
        try:
            new = change(current)
        except ApiError as error:
            if fresh:
                then(None, error)
            else:
                self.read()
            return
        if new is current:
            if fresh:
                then(current, None)
            else:
                self.read()
            return
        revision = int(current.metadata.resource_version)
        if type(new) is Remove:
            etcd.submit(delete_if((key, revision)), partial(self._removed, new.last))
            return
        assert new.metadata.resource_version is None
        etcd.submit(put_if((key, new, revision, sizes.of(new))), partial(self._committed, new))

    def _overtaken(self, found: KeyValue | None) -> None:
        """Somebody wrote in between: try again on what they wrote."""
        if found is None:
            self.then(None, errors.not_found(self.cacher.resource.qualified, self.name))
        else:
            self.attempt(_object_of(found), True)

    def _committed(self, new: Any, response: IfResponse | None, error: EtcdError | None) -> None:
        if response is None:
            self.then(None, _storage_error(error))
        elif response.succeeded:
            self.then(committed(new, response.revision), None)
        else:
            self._overtaken(response.current)

    def _removed(self, last: Any, response: IfResponse | None, error: EtcdError | None) -> None:
        if response is None:
            self.then(None, _storage_error(error))
        elif response.succeeded:
            self.then(self.cacher.removed(last, response.revision), None)
        else:
            self._overtaken(response.current)


_update = maker(_Update)


def _object_of(kv: KeyValue) -> Any:
    return committed(kv.value, kv.mod_revision)


def _with_status(resource: Resource, current: Any, wanted: Any) -> Any:
    """The object an update of its status leads to: nothing else of ``wanted`` counts."""
    meta, annotations = current.metadata, current.metadata.annotations
    if resource.status_annotations:
        annotations = wanted.metadata.annotations
    if wanted.status == current.status and annotations == meta.annotations:
        return current
    return current.replaced(
        metadata=meta.replaced(annotations=annotations, resource_version=None), status=wanted.status
    )


def _updated(resource: Resource, current: Any, wanted: Any) -> Any:
    """The object an update leads to: system fields and status stay, generation counts (rest.BeforeUpdate)."""
    old, new = current.metadata, wanted.metadata
    spec_changed = getattr(wanted, "spec", None) != getattr(current, "spec", None)
    changes: dict[str, Any] = {}
    for field in _SYSTEM_FIELDS:
        kept = getattr(old, field)
        if getattr(new, field) != kept:
            changes[field] = kept
    counts = spec_changed or (resource.annotations_count and new.annotations != old.annotations)
    if resource.has_generation and counts:
        changes["generation"] = (old.generation or 0) + 1
    # Always copies: what is stored is completed in place, and the caller may still hold ``wanted``.
    wanted = wanted.replaced(metadata=new.replaced(**changes))
    if resource.has_status and wanted.status is not current.status:
        wanted = wanted.replaced(status=current.status)
    if spec_changed:
        check(wanted)
    if not wanted.metadata.finalizers and old.finalizers and ready_to_remove(wanted):
        return Remove(wanted)
    if wanted == current:
        return current
    wanted.metadata.completed(resource_version=None)
    return wanted


_SYSTEM_FIELDS = (
    "name",
    "namespace",
    "generate_name",
    "uid",
    "resource_version",
    "generation",
    "creation_timestamp",
    "deletion_timestamp",
    "deletion_grace_period_seconds",
)


def _storage_error(error: EtcdError | None) -> ApiError:
    if error is None:
        return ApiError(500, "InternalError", "no answer")
    return ApiError(500, "InternalError", error.message)


def _uid_mismatch(wanted: str | None, actual: str | None) -> str:
    return f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {actual}"
