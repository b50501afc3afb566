"""What the plugins say would have to change for a pod to fit on a node: the numbers and names somebody needs."""

from __future__ import annotations

import pytest

from ksched.framework import Cycle
from ksched.framework.explain_manifests import explain_objects
from ksched.objects import KubeObject, read_manifests
from ksched.objects.gpu import GPU_INDEX_ANNOTATION
from ksched.tables import NodeView, PodView
from ksched.testing import make_node, make_pod, make_table
from ksched.testing.storage_factories import (
    DRIVER,
    claim_volume,
    make_claim,
    make_csi_node,
    make_storage_class,
    make_volume,
)
from ksched_plugins.gpu.gpu_share import GpuShare, GpuShareArgs
from ksched_plugins.kubernetes.node_name import NodeName

NODE = """
apiVersion: v1
kind: Node
metadata: {name: n, labels: {kubernetes.io/hostname: n, topology.kubernetes.io/zone: a, disk: hdd}}
spec: {%s}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "10"}}
---
apiVersion: v1
kind: Node
metadata: {name: m, labels: {kubernetes.io/hostname: m, topology.kubernetes.io/zone: b}}
status: {allocatable: {cpu: "4", memory: 8Gi, pods: "10"}}
"""
OTHER = """
---
apiVersion: v1
kind: Pod
metadata: {name: other%d, namespace: default, labels: {app: web}}
spec:
  nodeName: n
  containers: [{name: c, image: i, resources: {requests: {cpu: 3}}, ports: [{containerPort: 80, hostPort: %d}]}]
  %s
"""
POD = """
---
apiVersion: v1
kind: Pod
metadata: {name: pod, namespace: default, labels: {app: web}}
spec: {containers: [{name: c, image: i, %s}], %s}
"""
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
TERM = "[{topologyKey: topology.kubernetes.io/zone, labelSelector: {matchLabels: {app: %s}}}]"

CASES = {
    "resources that are short": (
        {"container": "resources: {requests: {cpu: 1500m, memory: 9Gi}}"},
        "NodeResourcesFit",
        [
            "cpu: 500m more; the pod wants 1500m, free are 1000m of 4000m (3000m requested by pods on the node)",
            "memory: 1Gi more; the pod wants 9Gi, more than the node's 8Gi: only a smaller request or a larger node "
            "helps",
        ],
    ),
    "taints": (
        {"node": "taints: [{key: gpu, value: t4, effect: NoSchedule}, {key: old, effect: NoExecute}]"},
        "TaintToleration",
        [
            "a toleration of gpu=t4:NoSchedule on the pod, or the node without this taint",
            "a toleration of old=:NoExecute on the pod, or the node without this taint",
        ],
    ),
    "a cordon": (
        {"node": "unschedulable: true"},
        "NodeUnschedulable",
        ["uncordon the node, or give the pod a toleration of node.kubernetes.io/unschedulable:NoSchedule"],
    ),
    "a node selector": (
        {"spec": "nodeSelector: {disk: ssd, rack: r1}"},
        "NodeAffinity",
        [
            "nodeSelector: the node needs label disk=ssd, it has disk=hdd",
            "nodeSelector: the node needs label rack=r1, it has none",
        ],
    ),
    "node affinity": (
        {
            "spec": "affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: "
            "[{matchExpressions: [{key: disk, operator: In, values: [ssd, nvme]}]}, "
            "{matchExpressions: [{key: rack, operator: Exists}]}]}}}"
        },
        "NodeAffinity",
        ["required node affinity: label disk In [ssd, nvme] (it has disk=hdd), or label rack Exists (it has none)"],
    ),
    "a host port": (
        {"container": "ports: [{containerPort: 1, hostPort: 8080}, {containerPort: 2, hostPort: 81}]"},
        "NodePorts",
        ["host port 8080/TCP on 0.0.0.0 must become free on the node"],
    ),
    "a zone that has too many": (
        {
            "spec": "topologySpreadConstraints: [{maxSkew: 1, topologyKey: topology.kubernetes.io/zone, "
            "whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {app: web}}}]"
        },
        "PodTopologySpread",
        [
            "topology.kubernetes.io/zone=a has 1 matching pods and may have at most 0 before one more comes "
            "(maxSkew 1, fewest in a domain 0): pods there must leave, or others come elsewhere"
        ],
    ),
    "a label to spread by": (
        {
            "spec": "topologySpreadConstraints: [{maxSkew: 1, topologyKey: rack, whenUnsatisfiable: DoNotSchedule, "
            "labelSelector: {matchLabels: {app: web}}}]"
        },
        "PodTopologySpread",
        ["the node needs label rack, by whose values the pod is spread"],
    ),
    "no pod to be near": (
        {"spec": f"affinity: {{podAffinity: {{{REQUIRED}: {TERM % 'db'}}}}}"},
        "InterPodAffinity",
        ["required affinity: no pod that all its terms mean is in topology.kubernetes.io/zone=a"],
    ),
    "a pod to be away from": (
        {"spec": f"affinity: {{podAntiAffinity: {{{REQUIRED}: {TERM % 'web'}}}}}"},
        "InterPodAffinity",
        ["required anti-affinity: 1 pod(s) it is to be kept from must leave topology.kubernetes.io/zone=a"],
    ),
    "a pod that wants to be alone": (
        {
            "other": f"affinity: {{podAntiAffinity: {{{REQUIRED}: {TERM % 'web'}}}}}",
        },
        "InterPodAffinity",
        ["1 pod(s) in topology.kubernetes.io/zone=a whose own required anti-affinity means the pod must leave"],
    ),
}


def cluster(node: str = "", other: str = "", container: str = "", spec: str = "") -> list[KubeObject]:
    return list(read_manifests(NODE % node + OTHER % (0, 8080, other) + POD % (container, spec)))


@pytest.mark.parametrize("case", CASES)
def test_the_plugin_says_what_would_have_to_change(case: str) -> None:
    given, plugin, expected = CASES[case]
    said = explain_objects(cluster(**given), "default/pod", fit_on=["n"]).obstacles["n"]
    assert {o.plugin: list(o.remedies) for o in said}[plugin] == expected


def test_devices_that_are_missing_are_counted() -> None:
    holder = make_pod("holder", gpu_milli=600, annotations={GPU_INDEX_ANNOTATION: "0"})
    table = make_table([make_node("n", gpus=2)], [(holder, "n")])
    pod = PodView(make_pod("pod", gpu_milli=2000))
    said = GpuShare(GpuShareArgs()).remedy(Cycle(table, pod, now=0, seed=0), pod, NodeView(table))
    assert said == ["1 more device(s) with 1000 milli free; free milli per device: 400, 1000"]


def test_the_name_of_the_only_node_is_told() -> None:
    table = make_table([make_node("n")])
    pod = PodView(make_pod("pod", node_name="m"))
    said = NodeName().remedy(Cycle(table, pod, now=0, seed=0), pod, NodeView(table))
    assert said == ["the pod's spec.nodeName is m"]


ZONE = "topology.kubernetes.io/zone"
EBS = {"awsElasticBlockStore": {"volumeID": "vol-1"}}
HERE = make_node("n", labels={ZONE: "a"})
VOLUMES: dict[str, tuple[list[KubeObject], str, list[str]]] = {
    "a volume of another zone": (
        [
            HERE,
            make_pod("pod", volumes=claim_volume("c")),
            make_claim("c", volume="v"),
            make_volume("v", claim="c", labels={ZONE: "b__c"}),
        ],
        "VolumeZone",
        [f"a volume of the pod can be used where {ZONE} is b or c; the node's is a"],
    ),
    "a disk somebody uses": (
        [
            HERE,
            make_pod("other", node_name="n", volumes=[{"name": "d", **EBS}]),
            make_pod("pod", volumes=[{"name": "d", **EBS}]),
        ],
        "VolumeRestrictions",
        ["pods on the node must give up the awsElasticBlockStore disk vol-1"],
    ),
    "a claim for one pod": (
        [
            HERE,
            make_pod("other", node_name="n", volumes=claim_volume("c")),
            make_pod("pod", volumes=claim_volume("c")),
            make_claim("c", volume="v", modes=["ReadWriteOncePod"]),
            make_volume("v", claim="c"),
        ],
        "VolumeRestrictions",
        ["the pod that uses the ReadWriteOncePod claim c must end"],
    ),
    "too many disks": (
        [
            make_node("n", resources={"attachable-volumes-aws-ebs": 1}),
            make_pod("other", node_name="n", volumes=[{"name": "d", "awsElasticBlockStore": {"volumeID": "vol-2"}}]),
            make_pod("pod", volumes=[{"name": "d", **EBS}]),
        ],
        "EBSLimits",
        ["1 of the awsElasticBlockStore disks on the node must go: with the pod's there would be 2, it takes 1"],
    ),
    "too many volumes of a driver": (
        [
            HERE,
            make_csi_node("n", {DRIVER: 1}),
            make_pod("other", node_name="n", volumes=claim_volume("c1")),
            make_pod("pod", volumes=claim_volume("c2")),
            make_claim("c1", volume="v1"),
            make_claim("c2", volume="v2"),
            make_volume("v1", claim="c1"),
            make_volume("v2", claim="c2"),
        ],
        "NodeVolumeLimits",
        [f"1 of the volumes of {DRIVER} on the node must go: with the pod's there would be 2, it takes 1"],
    ),
    "no volume to be found": (
        [
            HERE,
            make_pod("pod", volumes=claim_volume("c")),
            make_claim("c", storage_class="local"),
            make_storage_class("local", provisioner="kubernetes.io/no-provisioner"),
        ],
        "VolumeBinding",
        ["a volume for claim c that nodes like this can use"],
    ),
}


@pytest.mark.parametrize("case", VOLUMES)
def test_volumes_are_named_with_what_they_need(case: str) -> None:
    objects, plugin, expected = VOLUMES[case]
    said = explain_objects(objects, "default/pod", fit_on=["n"]).obstacles["n"]
    assert {o.plugin: list(o.remedies) for o in said}[plugin] == expected
