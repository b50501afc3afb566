"""How many volumes each node has attached, by the limit they count against.

Kept current row by row: a pod that comes or goes touches its row, a claim that changes the rows of its users. So a
decision costs nothing for the volumes that are already there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol

import numpy as np

from ksched.framework.listers import Key, Listers
from ksched.objects import KubeObject
from ksched.objects.storage import CSINode, PersistentVolume, PersistentVolumeClaim, StorageClass
from ksched.tables import NodeView
from ksched.tables.arrays import Int32Array
from ksched.tables.volumes import CLAIM, VolumeColumns, VolumeUse


class Attached(NamedTuple):
    """A volume as it counts: against which ``limit``, and the ``name`` that tells it from others."""

    limit: str
    name: str


class Resolver(Protocol):
    """What a use of a volume counts as on a node with these migrated plugins, None if it does not count."""

    def __call__(self, use: VolumeUse, objects: Listers, node: CSINode | None) -> Attached | None: ...


_RESOLVED_BY: tuple[type[KubeObject], ...] = (PersistentVolumeClaim, PersistentVolume, StorageClass, CSINode)


class AttachedVolumes:
    """Counts of distinct attached volumes per row and limit, for one way to ``resolve`` uses into volumes."""

    def __init__(self, resolve: Resolver) -> None:
        self._resolve = resolve
        self._source: tuple[VolumeColumns | None, Listers | None] = (None, None)
        self._position = -1
        self._versions: dict[type[KubeObject], int] = dict.fromkeys(_RESOLVED_BY, -1)
        self._on: dict[int, frozenset[Attached]] = {}
        self._counts: dict[str, Int32Array] = {}
        self._rows: dict[Attached, set[int]] = {}

    def refresh(self, cluster: NodeView, objects: Listers) -> None:
        """Bring the counts up to date with ``cluster`` (all nodes) and the ``objects``."""
        volumes = cluster.volumes
        rows = self._touched(volumes, objects, cluster)
        self._source = (volumes, objects)
        self._position = volumes.log.position
        self._versions = {cls: objects.version(cls) for cls in self._versions}
        if rows is None:
            self._on, self._counts, self._rows = {}, {}, {}
            rows = volumes.rows()
        names = cluster.names
        for row in rows:
            node = objects.get(CSINode, "", str(names[row]))
            found = (self._resolve(use, objects, node) for use in volumes.on(row))
            self._set(row, frozenset(a for a in found if a is not None), len(names))

    def count(self, limit: str, n: int) -> Int32Array:
        """Distinct volumes attached that count against ``limit``, int32[n]."""
        counts = self._counts.get(limit)
        return counts if counts is not None else np.zeros(n, dtype=np.int32)

    def rows_with(self, volume: Attached) -> Iterable[int]:
        """Rows that have a volume attached."""
        return self._rows.get(volume, ())

    def _touched(self, volumes: VolumeColumns, objects: Listers, cluster: NodeView) -> Iterable[int] | None:
        """Rows whose volumes may count differently now, None for all."""
        if self._source[0] is not volumes or self._source[1] is not objects:
            return None
        logged = volumes.log.since(self._position)
        changed = {cls: objects.changed_since(cls, version) for cls, version in self._versions.items()}
        if logged is None or any(keys is None for keys in changed.values()) or list(changed[StorageClass] or ()):
            return None
        rows = dict.fromkeys(logged.tolist())
        claims = dict.fromkeys(changed[PersistentVolumeClaim] or ())
        for _, name in changed[PersistentVolume] or ():
            claims |= dict.fromkeys(_users_of(objects, name))
        for claim in claims:
            rows |= dict.fromkeys(row for users in volumes.users(CLAIM, claim).values() for row in users)
        found = (cluster.row_of(name) for _, name in changed[CSINode] or ())
        return rows | dict.fromkeys(row for row in found if row is not None)

    def _set(self, row: int, attached: frozenset[Attached], n: int) -> None:
        before = self._on.get(row, _NONE)
        for volume in before - attached:
            self._counts[volume.limit][row] -= 1
            self._rows[volume].discard(row)
            if not self._rows[volume]:
                del self._rows[volume]
        for volume in attached - before:
            counts = self._counts.get(volume.limit)
            if counts is None:
                counts = self._counts[volume.limit] = np.zeros(n, dtype=np.int32)
            counts[row] += 1
            self._rows.setdefault(volume, set()).add(row)
        if attached:
            self._on[row] = attached
        else:
            self._on.pop(row, None)


_NONE: frozenset[Attached] = frozenset()


def volume_name(claim: PersistentVolumeClaim) -> str | None:
    """The index of claims by the volume they name."""
    return claim.spec.volume_name


def _users_of(objects: Listers, name: str) -> Iterable[Key]:
    claims = objects.having(PersistentVolumeClaim, volume_name, name)
    return [(claim.namespace or "default", claim.name) for claim in claims]
