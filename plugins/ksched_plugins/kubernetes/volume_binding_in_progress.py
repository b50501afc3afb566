"""The volumes of one pod while they are being bound: what the api-server was told, and whether it came true.

Upstream: pkg/scheduler/framework/plugins/volumebinding/binder.go (bindAPIUpdate, checkBindings, v1.30).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from ksched.framework import Api, Status
from ksched.framework.listers import Listers
from ksched.objects.storage import PersistentVolume, PersistentVolumeClaim
from ksched.objects.volume_claims import SELECTED_NODE, fully_bound

Reaches = Callable[[PersistentVolume], bool]


class BindingInProgress:
    """The api calls of one PreBind, one after another, and the looks at what came of them."""

    POLL_SECONDS: ClassVar[float] = 1.0

    def __init__(
        self,
        bindings: Sequence[tuple[PersistentVolume, PersistentVolumeClaim]],
        provisions: Sequence[PersistentVolumeClaim],
        node_name: str,
        timeout: int,
    ) -> None:
        self._bindings = list(bindings)
        self._provisions = list(provisions)
        self._node = node_name
        self._left = timeout
        self._written: list[Any] = []
        self._error: str | None = None

    def start(self, api: Api) -> None:
        """Write the volumes, then the claims; the first error ends it."""
        objects = [*(volume for volume, _ in self._bindings), *self._provisions]

        def write_next() -> None:
            if len(self._written) < len(objects):
                api.update(objects[len(self._written)], written)

        def written(result: Any, error: str | None) -> None:
            if error is not None:
                self._error = error
            else:
                self._written.append(result)
                write_next()

        write_next()

    def check(self, objects: Listers, reaches: Reaches) -> Status | None:
        """None when everything is bound, WAIT to look again, an error if the pod must be scheduled anew."""
        if self._error is not None:
            return Status.error(self._error)
        if len(self._written) == len(self._bindings) + len(self._provisions):
            wrong = self._look(objects, reaches)
            if wrong is None:
                return None
            if wrong:
                return Status.error(f"binding volumes: {wrong}")
        self._left -= 1
        if self._left <= 0:
            return Status.error("binding volumes: context deadline exceeded")
        return Status.wait(self.POLL_SECONDS)

    def _look(self, objects: Listers, reaches: Reaches) -> str | None:
        """None when all is bound, "" when not yet, else why it never will be."""
        volumes = self._written[: len(self._bindings)]
        for written, (_, claim) in zip(volumes, self._bindings, strict=True):
            answer = self._look_at_volume(written, claim, objects, reaches)
            if answer is not None:
                return answer
        for written in self._written[len(self._bindings) :]:
            answer = self._look_at_claim(written, objects, reaches)
            if answer is not None:
                return answer
        return None

    def _look_at_volume(
        self, written: PersistentVolume, claim: PersistentVolumeClaim, objects: Listers, reaches: Reaches
    ) -> str | None:
        volume = objects.get(PersistentVolume, "", written.name)
        current = objects.get(PersistentVolumeClaim, claim.namespace, claim.name)
        if volume is None or current is None:
            return f"failed to check binding: could not find v1.PersistentVolume{'Claim' if volume else ''}"
        if _older(volume, written):
            return ""
        if not reaches(volume):
            return f'pv "{volume.name}" node affinity doesn\'t match node "{self._node}": no matching NodeSelectorTerms'
        if volume.spec.claim_ref is None or not volume.spec.claim_ref.uid:
            return f'ClaimRef got reset for pv "{volume.name}"'
        return None if fully_bound(current) else ""

    def _look_at_claim(self, written: PersistentVolumeClaim, objects: Listers, reaches: Reaches) -> str | None:
        claim = objects.get(PersistentVolumeClaim, written.namespace, written.name)
        if claim is None:
            return "failed to check provisioning pvc: could not find v1.PersistentVolumeClaim"
        if _older(claim, written):
            return ""
        if claim.metadata.annotations.get(SELECTED_NODE) != self._node:
            return f'provisioning failed for PVC "{claim.name}"'
        if claim.spec.volume_name:
            volume = objects.get(PersistentVolume, "", claim.spec.volume_name)
            if volume is None:
                return ""
            if not reaches(volume):
                return (
                    f'pv "{volume.name}" node affinity doesn\'t match node "{self._node}": '
                    "no matching NodeSelectorTerms"
                )
        return None if fully_bound(claim) else ""


def _older(seen: Any, written: Any) -> bool:
    """Whether what the watch showed is from before our write."""
    return int(seen.metadata.resource_version or 0) < int(written.metadata.resource_version or 0)
