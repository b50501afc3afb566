"""Who belongs to whom: a controller adopts orphans its selector matches and releases what it matches no longer.

Upstream: pkg/controller/controller_ref_manager.go.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

from ksched.cluster.apiserver.client import Client
from ksched.cluster.controllers.pods import controller_reference
from ksched.cluster.controllers.steps import Call, call
from ksched.objects.meta import KubeObject
from ksched.objects.selectors import LabelSelectorMatcher


def claim(
    client: Client,
    owner: KubeObject,
    selector: LabelSelectorMatcher,
    owned: Sequence[Any],
    orphans: Sequence[Any],
) -> Generator[Call | Sequence[Call], Any, list[Any]]:
    """The objects that are ``owner``'s, after adopting and releasing (a sync step, to be ``yield from``-ed)."""
    mine = []
    deleting = owner.metadata.deletion_timestamp is not None
    reference = None
    for obj in owned:
        if selector.matches(obj.metadata.labels):
            mine.append(obj)
        elif not deleting:
            _, error = yield _patch_owners(
                client, obj, lambda refs: tuple(r for r in refs if r.uid != owner.metadata.uid)
            )
            if error is not None and not error.is_not_found and error.code != 409:
                raise error
    if deleting:
        return mine
    for obj in orphans:
        if obj.metadata.deletion_timestamp is not None or not selector.matches(obj.metadata.labels):
            continue
        # The owner itself is read afresh before it adopts: it may have been deleted and made anew meanwhile.
        current, error = yield call(client.get, type(owner), owner.namespace, owner.name)
        if error is not None or current.metadata.uid != owner.metadata.uid or current.metadata.deletion_timestamp:
            break
        reference = reference or controller_reference(owner)
        adopted, error = yield _patch_owners(client, obj, lambda refs, ref=reference: (*refs, ref))
        if error is None:
            mine.append(adopted)
        elif not error.is_not_found and error.code != 409:
            raise error
    return mine


def _patch_owners(client: Client, obj: Any, change: Any) -> Call:
    def apply(current: Any) -> Any:
        meta = current.metadata
        return current.replaced(metadata=meta.replaced(owner_references=change(meta.owner_references)))

    return call(client.patch, type(obj), obj.namespace, obj.name, apply, uid=obj.metadata.uid)
