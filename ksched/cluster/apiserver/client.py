"""A component's connection to the api-server: asynchronous calls with callbacks, and informers.

Each call takes the ``request`` delay to get there and the ``response`` delay back, and always answers later, never
inside the call. As with the real thing nothing orders a response against the watch events of the same write: a
component must bear to see either first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ksched.cluster.apiserver.cacher import Watcher, WatchEvent
from ksched.cluster.apiserver.deletion import BACKGROUND, DeleteOptions
from ksched.cluster.apiserver.errors import ApiError
from ksched.cluster.apiserver.informer import Informer
from ksched.cluster.apiserver.selection import Selection
from ksched.cluster.apiserver.subresources import assignment
from ksched.cluster.priorities import DELIVERY
from ksched.objects.meta import KubeObject, LabelSelector
from ksched.sim.channels import Channel, Pipe
from ksched.sim.delays import Sampler

if TYPE_CHECKING:
    from ksched.cluster.apiserver.server import ApiServer

K = TypeVar("K", bound=KubeObject)
Then = Callable[[Any, ApiError | None], object]
"""Called as ``then(result, error)``; exactly one of the two is None."""


class Watch:
    """An open watch; ``stop()`` closes it and drops what is on its way."""

    __slots__ = ("_close", "_pipe", "open")

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._close: Callable[[], object] | None = None
        self.open = True

    def stop(self) -> None:
        self.open = False
        self._pipe.close()
        if self._close is not None:
            self._close()
            self._close = None


class Client:
    """Calls of one user. Results are shared, immutable objects; errors are :class:`ApiError`."""

    def __init__(self, api: ApiServer, user: str) -> None:
        self.user = user
        self.api = api
        kernel, streams, config = api.kernel, api.streams, api.config
        request = Sampler(config.request, streams, f"client/{user}/request")
        self._requests = Channel(kernel, request, priority=DELIVERY, inline=True)
        # The api-server's verbs, as they are reached from here.
        self._verbs: ApiServer | Any = api if self._requests.is_instant else _Distant(api, self._requests)
        self._responses = Channel(
            kernel, Sampler(config.response, streams, f"client/{user}/response"), priority=DELIVERY
        )
        self._watch_delay = Sampler(config.watch, streams, f"client/{user}/watch")

    # -- calls ------------------------------------------------------------------------------------------------

    def create(self, obj: K, then: Then | None = None) -> None:
        """Create an object; answers with it as stored. 409 AlreadyExists, 422 Invalid, 403 Forbidden."""
        self._verbs.create(obj, self._reply(then))

    def get(self, cls: type[KubeObject], namespace: str | None, name: str, then: Then) -> None:
        """Read one object; 404 NotFound."""
        self._verbs.get(cls, namespace, name, self._reply(then))

    def list(
        self,
        cls: type[KubeObject],
        then: Then,
        namespace: str | None = None,
        label_selector: LabelSelector | Mapping[str, str] | None = None,
        field_selector: str | None = None,
        *,
        cached: bool = False,
    ) -> None:
        """Read many; answers with an ObjectList (``items``, ``resource_version``).

        ``cached`` is resourceVersion=0: from the api-server's watch cache, which may be behind.
        """
        selection = Selection(cls.KIND, namespace, label_selector, field_selector)
        verb = self._verbs.list_cached if cached else self._verbs.list
        verb(cls, selection, self._reply(then))

    def update(self, obj: K, then: Then | None = None) -> None:
        """Replace an object, all but its status. 409 Conflict if ``obj`` has an outdated resourceVersion."""
        self._verbs.update(obj, self._reply(then))

    def update_status(self, obj: K, then: Then | None = None) -> None:
        """Replace an object's status and nothing else. 409 Conflict as with :meth:`update`."""
        self._verbs.update_status(obj, self._reply(then))

    def patch(
        self,
        cls: type[K],
        namespace: str | None,
        name: str,
        change: Callable[[K], K],
        then: Then | None = None,
        *,
        subresource: str | None = None,
        uid: str | None = None,
    ) -> None:
        """Apply ``change`` to whatever the object is when the request gets there.

        ``change`` stands for a patch document: it must be a pure function of the object it is given.
        ``subresource="status"`` patches the status alone; ``uid`` is a precondition.
        """
        self._verbs.patch(cls, namespace, name, change, subresource, uid, self._reply(then))

    def delete(
        self,
        cls: type[KubeObject],
        namespace: str | None,
        name: str,
        then: Then | None = None,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
        propagation: str = BACKGROUND,
    ) -> None:
        """Delete, or begin to. Answers with the object as it now is or last was; 404, or 409 for another uid."""
        options = DeleteOptions(uid, grace_seconds, propagation)
        self._verbs.delete(cls, namespace, name, options, self._reply(then))

    def bind(
        self,
        namespace: str,
        name: str,
        node: str,
        then: Then | None = None,
        *,
        uid: str | None = None,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Post a Binding: assign a pod to a node. ``uid`` is a precondition; annotations are merged. 409 Conflict."""
        self._verbs.bind(namespace, name, assignment((node, uid, annotations)), self._reply(then))

    def scale(self, cls: type[KubeObject], namespace: str, name: str, replicas: int, then: Then | None = None) -> None:
        """Set ``spec.replicas`` through the scale subresource."""
        self._verbs.scale(cls, namespace, name, replicas, self._reply(then))

    def evict(
        self,
        namespace: str,
        name: str,
        then: Then | None = None,
        *,
        uid: str | None = None,
        grace_seconds: int | None = None,
    ) -> None:
        """Delete a pod if its disruption budget lets it go; 429 TooManyRequests otherwise."""
        options = DeleteOptions(uid, grace_seconds)
        self._verbs.evict(namespace, name, options, self._reply(then))

    # -- watching ---------------------------------------------------------------------------------------------

    def watch(
        self,
        cls: type[KubeObject],
        receive: Callable[[Sequence[WatchEvent]], object],
        *,
        resource_version: str,
        selection: Selection | None = None,
    ) -> Watch:
        """Receive every change after ``resource_version``, in order. Ends with an ERROR event when 410 Gone."""
        pipe = Pipe(self.api.kernel, self._watch_delay, receive)
        watch = Watch(pipe)
        wanted = selection or Selection(cls.KIND)

        def register() -> None:
            if not watch.open:
                return
            try:
                watcher: Watcher = self.api.watch(cls, wanted, int(resource_version), pipe.send)
            except ApiError as error:
                pipe.send(WatchEvent("ERROR", error))
            else:
                watch._close = lambda: self.api.unwatch(cls, watcher)

        self._requests.send(register)
        return watch

    def informer(
        self,
        cls: type[K],
        *,
        namespace: str | None = None,
        field_selector: str | None = None,
        label_selector: LabelSelector | Mapping[str, str] | None = None,
        on_add: Callable[[K], object] | None = None,
        on_update: Callable[[K, K], object] | None = None,
        on_delete: Callable[[K], object] | None = None,
    ) -> Informer[K]:
        """A local copy of the selected objects, kept up to date; see :class:`Informer`. It starts at once."""
        selection = Selection(cls.KIND, namespace, label_selector, field_selector)
        informer: Informer[K] = Informer(self, cls, selection)
        informer.add_handler(on_add, on_update, on_delete)
        informer.start()
        return informer

    def _reply(self, then: Then | None) -> Then:
        """What the api-server is to call: an answer goes to ``then`` over the way back."""
        return _ignore if then is None else partial(self._responses.send, then)

    def list_selected(self, cls: type[KubeObject], selection: Selection, then: Then) -> None:
        """What an informer starts from: the selected objects out of the watch cache."""
        self._verbs.list_cached(cls, selection, self._reply(then))


class _Distant:
    """An api-server to which requests take time. Has all of its verbs that answer through ``then``."""

    def __init__(self, api: ApiServer, requests: Channel) -> None:
        self._api = api
        self._requests = requests

    def __getattr__(self, verb: str) -> Callable[..., object]:
        return partial(self._requests.send, getattr(self._api, verb))


def _ignore(result: Any, error: ApiError | None) -> None:
    """The answer to a call nobody waits for."""
