"""Makes the claims of generic ephemeral volumes (pkg/controller/volume/ephemeral/controller.go)."""

from __future__ import annotations

from typing import Any

from ksched.cluster.controllers.context import Context
from ksched.cluster.controllers.pods import controller_reference
from ksched.cluster.controllers.steps import Steps, call
from ksched.cluster.controllers.workqueue import WorkQueue
from ksched.objects.meta import ObjectMeta
from ksched.objects.pod import Pod
from ksched.objects.storage import PersistentVolumeClaim
from ksched.objects.volumes import Volume


class EphemeralVolumeController:
    """Keys are (namespace, name) of pods with ephemeral volumes. The claims go with the pod that owns them."""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._pods = context.informer(Pod)
        self._claims = context.informer(PersistentVolumeClaim)
        self.queue = WorkQueue(context.kernel, self.sync, context.config)
        self._pods.add_handler(self._pod_added)
        self._claims.add_handler(on_delete=self._claim_deleted)

    def _pod_added(self, pod: Pod) -> None:
        if pod.spec.volumes and any(volume.ephemeral is not None for volume in pod.spec.volumes):
            self.queue.add((pod.namespace, pod.name))

    def _claim_deleted(self, claim: PersistentVolumeClaim) -> None:
        owner = claim.metadata.controller
        if owner is not None and owner.kind == Pod.KIND:
            self.queue.add((claim.namespace, owner.name or ""))

    def sync(self, key: tuple[str, str]) -> Steps:
        """Create the claims the pod lacks."""
        pod = self._pods.get(*key)
        if pod is None or pod.metadata.deletion_timestamp is not None:
            return
        for volume in pod.spec.volumes:
            claim = _claim_for(pod, volume)
            if claim is None or self._claims.get(pod.namespace, claim.name) is not None:
                continue
            _, error = yield call(self._client.create, claim)
            if error is not None and error.reason != "AlreadyExists":
                raise error


def _claim_for(pod: Pod, volume: Volume) -> Any:
    """The claim of one volume, None if it is not ephemeral."""
    template = volume.ephemeral.volume_claim_template if volume.ephemeral is not None else None
    if template is None or template.spec is None:
        return None
    meta = template.metadata or ObjectMeta()
    metadata = ObjectMeta(
        name=f"{pod.name}-{volume.name}",
        namespace=pod.namespace,
        labels=meta.labels,
        annotations=meta.annotations,
        owner_references=(controller_reference(pod),),
    )
    return PersistentVolumeClaim(metadata=metadata, spec=template.spec)
