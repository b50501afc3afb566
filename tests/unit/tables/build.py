"""Tables, and everything a view shows of one as plain values."""

from __future__ import annotations

from typing import Any

from ksched.tables import HostPort, NodeTable, NodeView, PodView
from ksched.testing.factories import make_node, make_pod

LABELS = ("kubernetes.io/hostname", "disktype", "topology.kubernetes.io/zone", "generation", "pool")
RESOURCES = (
    "cpu",
    "memory",
    "ephemeral-storage",
    "pods",
    "example.com/fpga",
    "alibabacloud.com/gpu-milli",
    "never/seen",
)
IMAGES = ("app:1", "web:2", "train:latest", "tiny:1")
PORTS = (80, 443)


def table_of(*nodes: Any) -> NodeTable:
    table = NodeTable()
    for node in nodes:
        table.add_node(make_node(node) if isinstance(node, str) else node)
    return table


def pod(name: str = "pod", **fields: Any) -> PodView:
    return PodView(make_pod(name, **fields))


def row_of(table: NodeTable, name: str) -> dict[str, Any]:
    """What a view of one row shows."""
    return shown(table)[name]


def shown(table: NodeTable) -> dict[str, dict[str, Any]]:
    """What a view of all rows shows, by node; device slots the node does not have are left out."""
    nodes = NodeView(table)
    columns: dict[str, Any] = {"unschedulable": nodes.unschedulable, "node": nodes.objects}
    for key in LABELS:
        columns[f"label {key}"] = nodes.label(key)
        columns[f"has {key}"] = nodes.per_label(key, lambda value: value is not None, bool)
    columns["taints"] = nodes.per_taints(lambda taints: [(t.key, t.value, t.effect) for t in taints].__repr__(), object)
    for resource in RESOURCES:
        columns[f"allocatable {resource}"] = nodes.allocatable(resource)
        columns[f"requested {resource}"] = nodes.requested(resource)
        columns[f"free {resource}"] = nodes.free(resource)
    for resource in ("cpu", "memory"):
        columns[f"nonzero {resource}"] = nodes.nonzero_requested(resource)
    for port in PORTS:
        columns[f"port {port}"] = nodes.port_conflicts([HostPort("0.0.0.0", "TCP", port)])
    columns["images"] = nodes.per_image_set(lambda names: ",".join(sorted(names)), object)
    devices = nodes.devices
    for name in ("count", "memory", "model", "milli_free", "largest_free", "wholly_free", "capacity"):
        columns[f"device {name}"] = getattr(devices, name)
    columns["device free"] = [row[:count] for row, count in zip(devices.free.tolist(), devices.count, strict=True)]
    columns["device state"] = [repr(state) for state in devices.states]
    columns["device holders"] = [{k: n for k, n in enumerate(row) if n} for row in devices.holders.tolist()]
    columns["pods"] = [[(p.pod.uid, p.devices) for p in table.pods_on(name)] for name in nodes.names.tolist()]
    return {
        name: {column: plain(values[row]) for column, values in columns.items()}
        for row, name in enumerate(nodes.names.tolist())
    }


def plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def images_of(table: NodeTable) -> dict[str, Any]:
    return {name: NodeView(table).image(name) for name in IMAGES}
