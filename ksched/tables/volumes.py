"""Volumes the pods on nodes use: claims, and disks named in the pod itself.

Few pods use any, so sparse maps beat columns. What a claim stands for is not known here: that is a matter of the claim,
the volume and the storage class, which change without the pod.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any, NamedTuple

from ksched.objects.volumes import Volume
from ksched.tables.changes import ChangeLog

CLAIM = "persistentVolumeClaim"
EBS = "awsElasticBlockStore"
GCE_PD = "gcePersistentDisk"
AZURE_DISK = "azureDisk"
CINDER = "cinder"
ISCSI = "iscsi"
RBD = "rbd"
AZURE_FILE = "azureFile"
VSPHERE = "vsphereVolume"
PORTWORX = "portworxVolume"


class VolumeUse(NamedTuple):
    """One volume of a pod: its kind of ``source``, what identifies it within that kind, and how it is used.

    A claim is identified by (namespace, name). ``detail`` is ``read_only`` for disks that may be shared for reading,
    with the monitors before it for RBD.
    """

    source: str
    identity: Hashable
    detail: Hashable = None


def relevant_volumes(volumes: Iterable[Volume]) -> tuple[Volume, ...]:
    """Those volumes of a pod a scheduler has to look into."""
    return tuple(v for v in volumes if v.persistent_volume_claim or v.ephemeral or _disk_use(v) is not None)


def volume_uses(volumes: Iterable[Volume], namespace: str, pod_name: str) -> tuple[VolumeUse, ...]:
    """The uses of a pod's relevant volumes, in order."""
    return tuple(_use(volume, namespace, pod_name) for volume in volumes)


def claim_name(volume: Volume, pod_name: str) -> str | None:
    """The claim a volume stands for, None if for none (upstream: ephemeral.VolumeClaimName)."""
    if volume.persistent_volume_claim is not None:
        return volume.persistent_volume_claim.claim_name or ""
    return f"{pod_name}-{volume.name}" if volume.ephemeral is not None else None


def _use(volume: Volume, namespace: str, pod_name: str) -> VolumeUse:
    name = claim_name(volume, pod_name)
    use = VolumeUse(CLAIM, (namespace, name)) if name is not None else _disk_use(volume)
    assert use is not None
    return use


def _disk_use(volume: Volume) -> VolumeUse | None:
    for field, describe in _DISKS.items():
        source = getattr(volume, field)
        if source is not None:
            return describe(source)
    return None


def _other(kind: str) -> Callable[[Any], VolumeUse]:
    """A source nobody looks into further: only that there is one counts."""
    return lambda source: VolumeUse(kind, None)


_DISKS: Mapping[str, Callable[[Any], VolumeUse]] = {
    "aws_elastic_block_store": lambda disk: VolumeUse(EBS, disk.volume_id or ""),
    "gce_persistent_disk": lambda disk: VolumeUse(GCE_PD, disk.pd_name or "", bool(disk.read_only)),
    "azure_disk": lambda disk: VolumeUse(AZURE_DISK, disk.disk_name or "", disk.disk_uri or ""),
    "cinder": lambda disk: VolumeUse(CINDER, disk.get("volumeID", "")),
    "iscsi": lambda disk: VolumeUse(ISCSI, disk.iqn or "", bool(disk.read_only)),
    # The api-server's default pool is "rbd".
    "rbd": lambda disk: VolumeUse(RBD, (disk.pool or "rbd", disk.image or ""), (disk.monitors, bool(disk.read_only))),
    "azure_file": _other(AZURE_FILE),
    "vsphere_volume": _other(VSPHERE),
    "portworx_volume": _other(PORTWORX),
}


Users = Mapping[Hashable, Mapping[int, int]]
"""detail -> row -> number of uses."""


class VolumeColumns:
    """Which rows use which volumes.

    ``log`` names the rows where a use came or went. Unlike the other logs it tells of what happens in any fork, so
    that whoever follows it is right inside one too.
    """

    def __init__(self) -> None:
        self.log = ChangeLog()
        self._on: dict[int, dict[VolumeUse, int]] = {}
        self._users: dict[tuple[str, Hashable], dict[Hashable, dict[int, int]]] = {}

    def hold(self, row: int, uses: Iterable[VolumeUse], sign: int) -> None:
        """A pod on ``row`` begins (sign +1) or ends (-1) its ``uses``."""
        on_row = self._on.setdefault(row, {})
        for use in uses:
            _count(on_row, use, sign)
            by_detail = self._users.setdefault(use[:2], {})
            rows = by_detail.setdefault(use.detail, {})
            _count(rows, row, sign)
            if not rows:
                del by_detail[use.detail]
                if not by_detail:
                    del self._users[use[:2]]
        if not on_row:
            del self._on[row]
        self.log.touch(row)

    def users(self, source: str, identity: Hashable) -> Users:
        """Who uses one volume: how, on which rows, how often."""
        return self._users.get((source, identity), _NOBODY)

    def on(self, row: int) -> Iterable[VolumeUse]:
        """The distinct uses on a row, in the order they came."""
        return self._on.get(row, {})

    def rows(self) -> list[int]:
        """Rows with any use, ascending."""
        return sorted(self._on)

    def delete_row(self, row: int) -> None:
        """Forget ``row`` and move the rows behind it up."""
        self._on = {r - (r > row): uses for r, uses in self._on.items() if r != row}
        for by_detail in self._users.values():
            for detail, rows in by_detail.items():
                by_detail[detail] = {r - (r > row): count for r, count in rows.items() if r != row}


_NOBODY: Users = {}


def _count(counts: dict[Any, int], key: Any, sign: int) -> None:
    count = counts.get(key, 0) + sign
    if count:
        counts[key] = count
    else:
        counts.pop(key, None)
