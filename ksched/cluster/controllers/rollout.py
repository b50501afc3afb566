"""The arithmetic of a rolling update (pkg/controller/deployment/util/deployment_util.go)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence

from ksched.cluster.apiserver.names import ALPHABET
from ksched.objects.meta import ObjectMeta
from ksched.objects.pod import PodTemplateSpec
from ksched.objects.workloads import Deployment, ReplicaSet

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"
DESIRED_REPLICAS = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS = "deployment.kubernetes.io/max-replicas"
_HASH_LENGTH = 10


def template_hash(template: PodTemplateSpec, collisions: int) -> str:
    """A short text that differs between templates; ``collisions`` makes it differ for the same one."""
    text = json.dumps(template.to_dict(), sort_keys=True, separators=(",", ":")) + f"/{collisions}"
    digest = hashlib.blake2b(text.encode(), digest_size=_HASH_LENGTH).digest()
    return "".join(ALPHABET[byte % len(ALPHABET)] for byte in digest)


def same_template(left: PodTemplateSpec, right: PodTemplateSpec) -> bool:
    """Whether two templates make the same pods, their hash labels apart."""
    if left.spec != right.spec:
        return False
    a, b = left.metadata, right.metadata
    return _without_hash(a) == _without_hash(b) and a.annotations == b.annotations and a.finalizers == b.finalizers


def _without_hash(meta: ObjectMeta) -> dict[str, str]:
    return {key: value for key, value in meta.labels.items() if key != HASH_LABEL}


def resolve(value: int | str | None, total: int, *, up: bool, default: int | str) -> int:
    """An absolute number out of one or a percentage of ``total``, rounded ``up`` or down."""
    value = default if value is None else value
    if isinstance(value, int):
        return value
    percent = int(value.removesuffix("%"))
    return -(-percent * total // 100) if up else percent * total // 100


def surge_and_unavailable(deployment: Deployment) -> tuple[int, int]:
    """(maxSurge, maxUnavailable) in pods; never both zero."""
    strategy = deployment.spec.strategy
    replicas = deployment.spec.replicas or 0
    if strategy is not None and strategy.type == "Recreate":
        return 0, replicas
    update = strategy.rolling_update if strategy is not None else None
    surge = resolve(update.max_surge if update else None, replicas, up=True, default="25%")
    unavailable = resolve(update.max_unavailable if update else None, replicas, up=False, default="25%")
    if surge == 0 and unavailable == 0:
        unavailable = 1
    return surge, min(unavailable, replicas) if replicas else unavailable


def total(sets: Sequence[ReplicaSet]) -> int:
    """Pods that ``sets`` are told to have."""
    return sum(replica_set.spec.replicas or 0 for replica_set in sets)


def actual(sets: Sequence[ReplicaSet]) -> int:
    """Pods that ``sets`` have."""
    return sum(replica_set.status.replicas or 0 for replica_set in sets)


def available(sets: Sequence[ReplicaSet]) -> int:
    """Pods of ``sets`` that are available."""
    return sum(replica_set.status.available_replicas or 0 for replica_set in sets)


def new_set_size(deployment: Deployment, sets: Sequence[ReplicaSet], current: int) -> int:
    """How many pods the newest ReplicaSet may have, being at ``current``."""
    wanted = deployment.spec.replicas or 0
    strategy = deployment.spec.strategy
    if strategy is not None and strategy.type == "Recreate":
        return wanted
    surge, _ = surge_and_unavailable(deployment)
    room = wanted + surge - total(sets)
    if room <= 0:
        return current
    return current + min(room, wanted - current)


def proportions(deployment: Deployment, sets: Sequence[ReplicaSet]) -> list[int]:
    """New sizes when a deployment is scaled in the middle of a rollout: each set grows or shrinks by its share.

    Larger sets first; what rounding leaves over goes to the largest (sync.go, scale).
    """
    surge, _ = surge_and_unavailable(deployment)
    wanted = deployment.spec.replicas or 0
    allowed = wanted + surge if wanted > 0 else 0
    to_add = allowed - total(sets)
    order = sorted(
        range(len(sets)),
        key=lambda i: (-(sets[i].spec.replicas or 0), sets[i].metadata.creation_timestamp or "", sets[i].name),
    )
    sizes = [replica_set.spec.replicas or 0 for replica_set in sets]
    added = 0
    for i in order:
        size = sizes[i]
        if to_add == 0 or size == 0:
            continue
        before = int(sets[i].metadata.annotations.get(MAX_REPLICAS, str(allowed))) or allowed or 1
        share = int(size * allowed / before + 0.5) - size
        left = to_add - added
        share = min(share, left) if to_add > 0 else max(share, left)
        sizes[i] = size + share
        added += share
    if order and to_add != added:
        sizes[order[0]] = max(sizes[order[0]] + to_add - added, 0)
    return sizes
