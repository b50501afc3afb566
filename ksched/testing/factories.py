"""Nodes and pods in one line, for tests.

They go through the same parsing and defaulting as a manifest, so a test cannot build what a user could not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ksched.objects import Node, Pod, default, parse
from ksched.objects.gpu import GPU_MILLI, MODEL_LABEL
from ksched.tables import NodeTable, PodView

Amount = str | int | float


def make_node(
    name: str,
    *,
    cpu: Amount | None = 4,
    memory: Amount | None = "16Gi",
    pods: Amount | None = 110,
    gpus: int = 0,
    gpu_model: str = "T4",
    labels: Mapping[str, str] | None = None,
    taints: Iterable[str] = (),
    unschedulable: bool = False,
    images: Mapping[str, int] | None = None,
    resources: Mapping[str, Amount] | None = None,
) -> Node:
    """A Node with this allocatable; None leaves a resource out.

    ``taints`` as kubectl writes them ("key=value:NoSchedule", "key:NoExecute"), ``images`` name -> bytes, ``gpus``
    whole devices of ``gpu_model``, ``resources`` whatever else is allocatable.
    """
    amounts: dict[str, Amount | None] = {"cpu": cpu, "memory": memory, "pods": pods, **(resources or {})}
    all_labels = {"kubernetes.io/hostname": name, **(labels or {})}
    if gpus:
        amounts[GPU_MILLI] = 1000 * gpus
        all_labels.setdefault(MODEL_LABEL, gpu_model)
    status: dict[str, Any] = {"allocatable": {r: str(a) for r, a in amounts.items() if a is not None}}
    if images:
        status["images"] = [{"names": [image], "sizeBytes": size} for image, size in images.items()]
    spec: dict[str, Any] = {}
    if taints:
        spec["taints"] = [_taint(text) for text in taints]
    if unschedulable:
        spec["unschedulable"] = True
    metadata = {"name": name, "labels": all_labels}
    node = _parse({"apiVersion": "v1", "kind": "Node", "metadata": metadata, "spec": spec, "status": status})
    assert isinstance(node, Node)
    return node


def make_pod(
    name: str = "pod",
    *,
    namespace: str = "default",
    cpu: Amount | None = None,
    memory: Amount | None = None,
    gpu_milli: int | None = None,
    requests: Mapping[str, Amount] | None = None,
    labels: Mapping[str, str] | None = None,
    annotations: Mapping[str, str] | None = None,
    tolerations: Iterable[str] = (),
    node_selector: Mapping[str, str] | None = None,
    affinity: Mapping[str, Any] | None = None,
    host_ports: Iterable[int] = (),
    images: Iterable[str] = ("app:1",),
    priority: int | None = None,
    node_name: str | None = None,
    **spec: Any,
) -> Pod:
    """A Pod whose first container asks for these resources; None asks for none.

    ``tolerations`` as "key=value:Effect", "key:Effect" (operator Exists), either without ":Effect" for all effects, or
    "*" for everything; ``affinity`` and any further ``spec`` field (camelCase) as in a manifest.
    """
    asked = {"cpu": cpu, "memory": memory, GPU_MILLI: gpu_milli, **(requests or {})}
    containers: list[dict[str, Any]] = [{"name": f"c{i}", "image": image} for i, image in enumerate(images)]
    containers[0]["resources"] = {"requests": {r: str(a) for r, a in asked.items() if a is not None}}
    ports = [{"containerPort": port, "hostPort": port} for port in host_ports]
    if ports:
        containers[0]["ports"] = ports
    optional = {
        "tolerations": [_toleration(text) for text in tolerations],
        "nodeSelector": dict(node_selector or {}),
        "affinity": affinity,
        "priority": priority,
        "nodeName": node_name,
    }
    body = {"containers": containers, **{k: v for k, v in optional.items() if v not in (None, [], {})}, **spec}
    metadata = {
        "name": name,
        "namespace": namespace,
        "uid": f"{namespace}/{name}",
        "labels": dict(labels or {}),
        "annotations": dict(annotations or {}),
    }
    pod = _parse({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": body})
    assert isinstance(pod, Pod)
    return pod


def make_table(nodes: Iterable[Node], placed: Iterable[tuple[Pod, str]] = ()) -> NodeTable:
    """A table of ``nodes`` with ``placed`` pods on the nodes named beside them."""
    table = NodeTable()
    for node in nodes:
        table.add_node(node)
    for pod, node_name in placed:
        table.add_pod(PodView(pod), node_name)
    return table


def node_affinity(
    *required: Mapping[str, Any], preferred: Iterable[tuple[int, Mapping[str, Any]]] = ()
) -> dict[str, Any]:
    """An ``affinity`` of node selector terms: ``required`` ones are ORed, ``preferred`` are (weight, term)."""
    rules: dict[str, Any] = {}
    if required:
        rules["requiredDuringSchedulingIgnoredDuringExecution"] = {
            "nodeSelectorTerms": [dict(term) for term in required]
        }
    weighted = [{"weight": weight, "preference": dict(term)} for weight, term in preferred]
    if weighted:
        rules["preferredDuringSchedulingIgnoredDuringExecution"] = weighted
    return {"nodeAffinity": rules}


def term(*expressions: str, fields: Iterable[str] = ()) -> dict[str, Any]:
    """A node selector term of requirements written "key In a,b", "key NotIn a", "key Exists", "key Gt 3"."""
    out: dict[str, Any] = {}
    if expressions:
        out["matchExpressions"] = [_requirement(text) for text in expressions]
    wanted = [_requirement(text) for text in fields]
    if wanted:
        out["matchFields"] = wanted
    return out


def _requirement(text: str) -> dict[str, Any]:
    key, operator, *values = text.split(" ", 2)
    requirement: dict[str, Any] = {"key": key, "operator": operator}
    if values:
        requirement["values"] = values[0].split(",")
    return requirement


def _taint(text: str) -> dict[str, str]:
    pair, _, effect = text.rpartition(":")
    key, _, value = pair.partition("=")
    return {"key": key, "effect": effect} | ({"value": value} if value else {})


def _toleration(text: str) -> dict[str, str]:
    if text == "*":
        return {"operator": "Exists"}
    pair, _, effect = text.partition(":")
    key, equals, value = pair.partition("=")
    toleration = {"key": key, "operator": "Equal" if equals else "Exists"}
    if equals:
        toleration["value"] = value
    return toleration | ({"effect": effect} if effect else {})


def _parse(manifest: Mapping[str, Any]) -> Any:
    return default(parse(manifest, where="make"))
