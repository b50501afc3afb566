"""How an object is deleted: at once, after a grace period, or when its finalizers are gone.

Upstream: apiserver pkg/registry/rest/delete.go (BeforeDelete) and pkg/registry/generic/registry/store.go.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ksched.cluster.apiserver.errors import bad_request
from ksched.cluster.apiserver.registry import Resource
from ksched.cluster.clock import Clock
from ksched.objects.meta import ObjectMeta
from ksched.sim.kernel import SECOND

BACKGROUND = "Background"
FOREGROUND = "Foreground"
ORPHAN = "Orphan"
PROPAGATION_FINALIZERS = {FOREGROUND: "foregroundDeletion", ORPHAN: "orphan"}


class DeleteOptions(NamedTuple):
    """What a client may say with a deletion.

    ``uid`` is a precondition; ``grace_seconds`` overrides the pod's own; ``propagation`` says what becomes of the
    object's dependents: Background (the garbage collector deletes them afterwards), Foreground (before) or Orphan.
    """

    uid: str | None = None
    grace_seconds: int | None = None
    propagation: str = BACKGROUND


class Remove(NamedTuple):
    """A change's answer that means: take the object out of the store; ``last`` is what it last was."""

    last: Any


def begin_deletion(resource: Resource, current: Any, options: DeleteOptions, clock: Clock) -> Any:
    """The object marked for deletion, unchanged if there is nothing to mark, or ``Remove`` if it can go at once."""
    meta = current.metadata
    finalizers = _with_propagation(meta.finalizers, options.propagation)
    if resource.grace_seconds is None and not finalizers:
        return Remove(current)
    changes: dict[str, Any] = {}
    if meta.deletion_timestamp is None:
        grace = 0 if resource.grace_seconds is None else resource.grace_seconds(current, options.grace_seconds)
        changes = _marks(meta, grace, clock)
    elif resource.grace_seconds is not None:
        changes = _shortened(meta, options.grace_seconds, clock)
    if finalizers != meta.finalizers:
        changes["finalizers"] = finalizers
    if not changes:
        return current
    changes["resource_version"] = None
    return current.replaced(metadata=meta.replaced(**changes))


def ready_to_remove(obj: Any) -> bool:
    """True when the object is being deleted and neither a grace period nor a finalizer holds it."""
    meta = obj.metadata
    return meta.deletion_timestamp is not None and not meta.deletion_grace_period_seconds and not meta.finalizers


def _marks(meta: ObjectMeta, grace: int, clock: Clock) -> dict[str, Any]:
    deadline = clock.timestamp() if grace == 0 else clock.format(clock.kernel.now // SECOND + grace)
    marks: dict[str, Any] = {"deletion_timestamp": deadline, "deletion_grace_period_seconds": grace}
    if meta.generation:
        marks["generation"] = meta.generation + 1  # its controllers have to act differently now
    return marks


def _shortened(meta: ObjectMeta, grace: int | None, clock: Clock) -> dict[str, Any]:
    """A deletion under way can only be made shorter."""
    assert meta.deletion_timestamp is not None
    pending = meta.deletion_grace_period_seconds or 0
    if grace is None or grace >= pending:
        return {}
    deadline = clock.parse(meta.deletion_timestamp) // SECOND - pending + grace
    return {"deletion_timestamp": clock.format(deadline), "deletion_grace_period_seconds": grace}


def _with_propagation(finalizers: tuple[str, ...], propagation: str) -> tuple[str, ...]:
    if propagation not in (BACKGROUND, FOREGROUND, ORPHAN):
        raise bad_request(f"propagationPolicy must be Background, Foreground or Orphan, not {propagation!r}")
    wanted = PROPAGATION_FINALIZERS.get(propagation)
    if not finalizers and wanted is None:
        return finalizers
    kept = tuple(f for f in finalizers if f not in PROPAGATION_FINALIZERS.values() or f == wanted)
    return kept if wanted is None or wanted in kept else (*kept, wanted)
