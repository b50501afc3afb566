"""Which events are worth another try, per plugin.

Derived from upstream's EventsToRegister and Test_isSchedulableAfter... of each plugin. In v1.30 NodeAffinity,
NodeResourcesFit, NodeUnschedulable and PodTopologySpread have hints; those of NodePorts, TaintToleration and of claims
are later versions'.
"""

from __future__ import annotations

from typing import Any

import pytest

from ksched.framework import Action, ClusterEvent, registry
from ksched.framework.events import (
    CSI_DRIVER,
    CSI_NODE,
    CSI_STORAGE_CAPACITY,
    NODE,
    PERSISTENT_VOLUME,
    PERSISTENT_VOLUME_CLAIM,
    POD,
    STORAGE_CLASS,
)
from ksched.tables import PodView
from ksched.testing.factories import make_node, make_pod, node_affinity, term

ADD, DELETE, UPDATE, LABEL = Action.ADD, Action.DELETE, Action.UPDATE, Action.UPDATE_NODE_LABEL

EVENTS: dict[str, set[tuple[str, Action]]] = {
    "SchedulingGates": set(),
    "NodeName": {(NODE, ADD | UPDATE)},
    "NodeUnschedulable": {(NODE, ADD | UPDATE)},
    "TaintToleration": {(NODE, ADD | UPDATE)},
    "NodeAffinity": {(NODE, ADD | UPDATE)},
    "NodePorts": {(POD, DELETE), (NODE, ADD | UPDATE)},
    "NodeResourcesFit": {(POD, DELETE), (NODE, ADD | UPDATE)},
    "InterPodAffinity": {(POD, Action.ALL), (NODE, ADD | LABEL)},
    "PodTopologySpread": {(POD, Action.ALL), (NODE, ADD | DELETE | LABEL)},
    "VolumeRestrictions": {(POD, DELETE), (NODE, ADD), (PERSISTENT_VOLUME_CLAIM, ADD | UPDATE)},
    "EBSLimits": {(NODE, ADD), (POD, DELETE)},
    "GCEPDLimits": {(NODE, ADD), (POD, DELETE)},
    "AzureDiskLimits": {(NODE, ADD), (POD, DELETE)},
    "NodeVolumeLimits": {(CSI_NODE, ADD), (POD, DELETE)},
    "VolumeZone": {
        (STORAGE_CLASS, ADD),
        (NODE, ADD | LABEL),
        (PERSISTENT_VOLUME_CLAIM, ADD),
        (PERSISTENT_VOLUME, ADD | UPDATE),
    },
    "VolumeBinding": {
        (STORAGE_CLASS, ADD | UPDATE),
        (PERSISTENT_VOLUME_CLAIM, ADD | UPDATE),
        (PERSISTENT_VOLUME, ADD | UPDATE),
        (NODE, ADD | LABEL),
        (CSI_NODE, ADD | UPDATE),
        (CSI_DRIVER, ADD | UPDATE),
        (CSI_STORAGE_CAPACITY, ADD | UPDATE),
    },
}


def made(plugin: str, args: dict[str, Any] | None = None) -> Any:
    return registry.find(plugin).make(args)


@pytest.mark.parametrize("plugin", EVENTS)
def test_a_plugin_registers_for_upstreams_events(plugin: str) -> None:
    registered = {(e.event.resource, e.event.action) for e in made(plugin).events_to_register()}
    # That new nodes may come tainted is the queue's affair, for all plugins alike.
    assert {(kind, action & ~Action.UPDATE_NODE_TAINT if kind == NODE else action) for kind, action in registered} == {
        (kind, action & ~Action.UPDATE_NODE_TAINT if kind == NODE else action) for kind, action in EVENTS[plugin]
    }


SSD, HDD = make_node("n", labels={"disk": "ssd"}), make_node("n", labels={"disk": "hdd"})
TAINTED = make_node("n", taints=["k=v:NoSchedule"])
SOFT = make_node("n", taints=["k=v:PreferNoSchedule"])
CORDONED, PLAIN = make_node("n", unschedulable=True), make_node("n")
LARGE = make_node("n", cpu=16)
WANTS_SSD = make_pod(affinity=node_affinity(term("disk In ssd")))

NODES: list[tuple[str, str, Any, Any, Any, bool]] = [
    ("a new node that matches", "NodeAffinity", WANTS_SSD, None, SSD, True),
    ("a new node that does not match", "NodeAffinity", WANTS_SSD, None, HDD, False),
    ("a node that begins to match", "NodeAffinity", WANTS_SSD, HDD, SSD, True),
    ("a node that matched before", "NodeAffinity", WANTS_SSD, SSD, SSD, False),
    ("a node selector counts", "NodeAffinity", make_pod(node_selector={"disk": "ssd"}), None, HDD, False),
    ("a new node without taints", "TaintToleration", make_pod(), None, PLAIN, True),
    ("a new node with a taint", "TaintToleration", make_pod(), None, TAINTED, False),
    ("a node whose taint goes", "TaintToleration", make_pod(), TAINTED, PLAIN, True),
    ("a node whose taint turns soft", "TaintToleration", make_pod(), TAINTED, SOFT, True),
    ("a node that was tolerable before", "TaintToleration", make_pod(), PLAIN, SSD, False),
    ("a tolerated taint", "TaintToleration", make_pod(tolerations=["k"]), None, TAINTED, True),
    ("a new node", "NodeUnschedulable", make_pod(), None, PLAIN, True),
    ("a new cordoned node", "NodeUnschedulable", make_pod(), None, CORDONED, False),
    ("an uncordoned node", "NodeUnschedulable", make_pod(), CORDONED, PLAIN, True),
    ("a node that was not cordoned", "NodeUnschedulable", make_pod(), PLAIN, SSD, False),
    ("a new node that is large enough", "NodeResourcesFit", make_pod(cpu=10), None, LARGE, True),
    ("a new node that is too small", "NodeResourcesFit", make_pod(cpu=10), None, PLAIN, False),
    ("a node without the resource", "NodeResourcesFit", make_pod(requests={"a.b/c": 1}), None, LARGE, False),
    ("a node without pod slots", "NodeResourcesFit", make_pod(), None, make_node("n", pods=None), False),
]


def hint(plugin: str, event: ClusterEvent, pod: Any, old: Any, new: Any) -> bool:
    registered = [e for e in made(plugin).events_to_register() if e.event.matches(event)]
    return any(e.hint is None or e.hint(PodView(pod), old, new) for e in registered)


@pytest.mark.parametrize(("sentence", "plugin", "pod", "old", "new", "worth"), NODES, ids=[r[0] for r in NODES])
def test_of_nodes(sentence: str, plugin: str, pod: Any, old: Any, new: Any, worth: bool) -> None:
    event = ClusterEvent(NODE, ADD if old is None else LABEL)
    assert hint(plugin, event, pod, old, new) is worth


def on(node: str | None, **fields: Any) -> Any:
    return make_pod("gone", node_name=node, **fields)


PODS: list[tuple[str, str, Any, Any, bool]] = [
    ("a pod that was on a node", "NodeResourcesFit", make_pod(cpu=1), on("n"), True),
    ("a pod that waited too", "NodeResourcesFit", make_pod(cpu=1), on(None), False),
    ("a pod that held the port", "NodePorts", make_pod(host_ports=[80]), on("n", host_ports=[80]), True),
    ("a pod that held another port", "NodePorts", make_pod(host_ports=[80]), on("n", host_ports=[81]), False),
    ("a pod that only wanted the port", "NodePorts", make_pod(host_ports=[80]), on(None, host_ports=[80]), False),
]


@pytest.mark.parametrize(("sentence", "plugin", "pod", "gone", "worth"), PODS, ids=[r[0] for r in PODS])
def test_of_pods_that_leave(sentence: str, plugin: str, pod: Any, gone: Any, worth: bool) -> None:
    assert hint(plugin, ClusterEvent(POD, DELETE), pod, gone, None) is worth


@pytest.mark.parametrize("action", [ADD, DELETE, UPDATE], ids=["comes", "goes", "changes"])
def test_for_inter_pod_affinity_any_pod_is_worth_a_try_since_v1_30_has_no_hint_for_it(action: Action) -> None:
    rule = [{"topologyKey": "zone", "labelSelector": {"matchLabels": {"app": "web"}}}]
    wants_web = make_pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": rule}})
    stranger = on("n", labels={"app": "other"})
    old, new = (None if action is ADD else stranger), (None if action is DELETE else stranger)
    assert hint("InterPodAffinity", ClusterEvent(POD, action), wants_web, old, new) is True
