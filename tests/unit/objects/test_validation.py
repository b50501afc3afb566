"""What the api-server refuses, and in which words."""

import time

import pytest

from ksched.errors import InputError
from ksched.objects import KINDS, default, parse, validate


def check(kind, fields):
    validate(default(parse({"kind": kind, **fields})))


def pod(container=None, **spec):
    containers = [{"name": "c", "image": "i", **(container or {})}]
    return "Pod", {"metadata": {"name": "p"}, "spec": {"containers": containers, **spec}}


def resources(requests=None, limits=None):
    return pod({"resources": {"requests": requests or {}, "limits": limits or {}}})


def meta(kind="Pod", **metadata):
    fields = pod()[1] if kind == "Pod" else {}
    return kind, {**fields, "metadata": {"name": "p", **metadata}}


def required_terms(*terms):
    node_affinity = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return pod(affinity={"nodeAffinity": node_affinity})


def expression(**requirement):
    return required_terms({"matchExpressions": [requirement]})


def pod_term(**term):
    return pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}})


def spread(**constraint):
    base = {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    return pod(topologySpreadConstraints=[{**base, **constraint}])


def node(**fields):
    return "Node", {"metadata": {"name": "n"}, **fields}


def template(restart=None, labels=None):
    spec = {"containers": [{"name": "c"}], **({"restartPolicy": restart} if restart else {})}
    return {"metadata": {"labels": {"a": "b"} if labels is None else labels}, "spec": spec}


def workload(kind, **spec):
    base = {"selector": {"matchLabels": {"a": "b"}}, "template": template()}
    return kind, {"metadata": {"name": "w"}, "spec": {**base, **spec}}


def job(**spec):
    return "Job", {"metadata": {"name": "j"}, "spec": {"template": template("Never"), **spec}}


def claim(**spec):
    base = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return "PersistentVolumeClaim", {"metadata": {"name": "c"}, "spec": {**base, **spec}}


HUGE = "9" * 30
VALID = [
    ("a plain pod", pod()),
    ("requests below limits", resources({"cpu": "1"}, {"cpu": "2"})),
    (
        "huge pages and extended resources",
        resources({"hugepages-2Mi": "2Mi", "a.b/c": "1"}, {"hugepages-2Mi": "2Mi", "a.b/c": "1"}),
    ),
    ("a pod named by the api-server", ("Pod", {**pod()[1], "metadata": {"generateName": "web-"}})),
    ("a toleration of everything", pod(tolerations=[{"operator": "Exists"}])),
    ("an empty toleration effect", pod(tolerations=[{"key": "a", "operator": "Exists", "effect": ""}])),
    ("Gt with an integer", expression(key="a", operator="Gt", values=["5"])),
    (
        "the same host port on other protocols",
        pod(
            {"ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 80, "hostPort": 80, "protocol": "UDP"}]}
        ),
    ),
    ("a mounted volume", pod({"volumeMounts": [{"name": "v", "mountPath": "/v"}]}, volumes=[{"name": "v"}])),
    (
        "a node with taints",
        node(spec={"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "a", "effect": "NoExecute"}]}),
    ),
    ("a deployment", workload("Deployment")),
    ("a job", job()),
    ("a claim", claim()),
    ("a headless service", ("Service", {"metadata": {"name": "s"}, "spec": {"clusterIP": "None"}})),
    ("a system priority class", ("PriorityClass", {"metadata": {"name": "system-x"}, "value": 2000001000})),
    ("a binding", ("Binding", {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}})),
]

INVALID = [
    # metadata
    ("no name", ("Pod", {**pod()[1], "metadata": {}}), "metadata.name: Required value"),
    ("an upper case name", meta(name="Web"), 'metadata.name: Invalid value: "Web": must be lower case'),
    ("a name that is too long", meta(name="a" * 254), "metadata.name: Invalid value"),
    ("a bad generateName", meta(name=None, generateName="A-"), 'metadata.generateName: Invalid value: "A-"'),
    ("a dot in a namespace's name", meta("Namespace", name="a.b"), 'metadata.name: Invalid value: "a.b"'),
    (
        "a digit before a service's name",
        ("Service", {"metadata": {"name": "1a"}, "spec": {"clusterIP": "None"}}),
        "metadata.name: Invalid value",
    ),
    ("a bad namespace", meta(namespace="A"), 'metadata.namespace: Invalid value: "A"'),
    ("a node in a namespace", meta("Node", namespace="x"), "metadata.namespace: Forbidden"),
    ("a bad label key", meta(labels={"a b": "c"}), 'metadata.labels: Invalid value: "a b"'),
    ("an empty label prefix", meta(labels={"/b": "c"}), "metadata.labels: Invalid value"),
    ("a bad label value", meta(labels={"a": "-"}), 'metadata.labels[a]: Invalid value: "-"'),
    ("a label value that is too long", meta(labels={"a": "x" * 64}), "metadata.labels[a]: Invalid value"),
    ("a bad annotation key", meta(annotations={"a/b/c": ""}), "metadata.annotations: Invalid value"),
    ("annotations that are too large", meta(annotations={"a": "x" * 262145}), "metadata.annotations: Invalid value"),
    (
        "an owner without uid",
        meta(ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": "x"}]),
        "metadata.ownerReferences[0].uid: Required value",
    ),
    (
        "two controllers",
        meta(ownerReferences=[{"apiVersion": "v1", "kind": "Pod", "name": "x", "uid": "1", "controller": True}] * 2),
        "metadata.ownerReferences: Invalid value",
    ),
    (
        "a time that is none",
        meta(creationTimestamp="yesterday"),
        'metadata.creationTimestamp: Invalid value: "yesterday"',
    ),
    # resources
    (
        "a negative quantity",
        resources({"cpu": "-1"}),
        'Pod "p" is invalid: spec.containers[0].resources.requests[cpu]: Invalid value: "-1": '
        "must be greater than or equal to 0",
    ),
    ("more than int64", resources({"memory": "1e400"}), "spec.containers[0].resources.requests[memory]: Invalid value"),
    ("more than arithmetic bears", resources({"cpu": HUGE}), "must be less than or equal to 72057594037927936m"),
    (
        "a request above its limit",
        resources({"cpu": "2"}, {"cpu": "1"}),
        "must be less than or equal to cpu limit of 1",
    ),
    (
        "an extended resource below its limit",
        resources({"a.b/c": "1"}, {"a.b/c": "2"}),
        "must be equal to a.b/c limit of 2",
    ),
    (
        "half an extended resource",
        resources({"a.b/c": "500m"}),
        'requests[a.b/c]: Invalid value: "500m": must be an integer',
    ),
    ("an unknown native resource", resources({"gpu": "1"}), "must be a standard resource type or fully qualified"),
    (
        "containers that are absurd together",
        (
            "Pod",
            {
                "metadata": {"name": "p"},
                "spec": {
                    "containers": [{"name": f"c{n}", "resources": {"requests": {"memory": "40Pi"}}} for n in range(2)]
                },
            },
        ),
        "request must be at most",
    ),
    ("negative overhead", pod(overhead={"cpu": "-1m"}), "spec.overhead[cpu]: Invalid value"),
    # containers
    ("no containers", ("Pod", {"metadata": {"name": "p"}}), "spec.containers: Required value"),
    ("a container without name", pod({"name": ""}), "spec.containers[0].name: Required value"),
    ("a bad container name", pod({"name": "A"}), 'spec.containers[0].name: Invalid value: "A"'),
    (
        "two containers of one name",
        pod(initContainers=[{"name": "c"}]),
        'spec.containers[0].name: Duplicate value: "c"',
    ),
    (
        "a restart policy of a plain container",
        pod({"restartPolicy": "Always"}),
        "spec.containers[0].restartPolicy: Forbidden",
    ),
    (
        "a restart policy no sidecar has",
        pod(initContainers=[{"name": "i", "restartPolicy": "Never"}]),
        'spec.initContainers[0].restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ),
    ("an unknown pull policy", pod({"imagePullPolicy": "Sometimes"}), "imagePullPolicy: Unsupported value"),
    ("a port beyond 65535", pod({"ports": [{"containerPort": 65536}]}), "ports[0].containerPort: Invalid value: 65536"),
    ("a port without number", pod({"ports": [{}]}), "ports[0].containerPort: Required value"),
    (
        "an unknown protocol",
        pod({"ports": [{"containerPort": 1, "protocol": "ICMP"}]}),
        'protocol: Unsupported value: "ICMP"',
    ),
    ("a host IP that is none", pod({"ports": [{"containerPort": 1, "hostIP": "x"}]}), "hostIP: Invalid value"),
    (
        "one host port twice",
        pod({"ports": [{"containerPort": n, "hostPort": 80} for n in (1, 2)]}),
        "hostPort: Duplicate value",
    ),
    (
        "another host port on the host network",
        pod({"ports": [{"containerPort": 1, "hostPort": 2}]}, hostNetwork=True),
        "hostPort: Invalid value: 2: must match containerPort",
    ),
    ("a bad variable name", pod({"env": [{"name": "1A"}]}), "env[0].name: Invalid value"),
    ("a probe without handler", pod({"livenessProbe": {}}), "livenessProbe: Required value"),
    ("a probe with two", pod({"livenessProbe": {"exec": {}, "grpc": {}}}), "livenessProbe: Forbidden"),
    (
        "a mount of no volume",
        pod({"volumeMounts": [{"name": "v", "mountPath": "/"}]}),
        'volumeMounts[0].name: Not found: "v"',
    ),
    (
        "two volumes of one name",
        pod(volumes=[{"name": "v"}, {"name": "v"}]),
        'spec.volumes[1].name: Duplicate value: "v"',
    ),
    (
        "a volume of two sources",
        pod(volumes=[{"name": "v", "emptyDir": {}, "hostPath": {}}]),
        "spec.volumes[0]: Forbidden",
    ),
    # pod
    ("an unknown restart policy", pod(restartPolicy="Maybe"), 'spec.restartPolicy: Unsupported value: "Maybe"'),
    (
        "a negative grace period",
        pod(terminationGracePeriodSeconds=-1),
        "spec.terminationGracePeriodSeconds: Invalid value: -1",
    ),
    ("a priority beyond int32", pod(priority=2**31), "spec.priority: Invalid value"),
    ("a bad node selector", pod(nodeSelector={"a": "b c"}), "spec.nodeSelector[a]: Invalid value"),
    ("gates on a bound pod", pod(schedulingGates=[{"name": "a"}], nodeName="n"), "spec.nodeName: Forbidden"),
    ("one gate twice", pod(schedulingGates=[{"name": "a"}] * 2), "spec.schedulingGates[1]: Duplicate value"),
    # affinity
    ("no terms", required_terms(), "nodeSelectorTerms: Required value"),
    (
        "an unknown operator",
        expression(key="a", operator="Near"),
        'matchExpressions[0].operator: Unsupported value: "Near"',
    ),
    ("In without values", expression(key="a", operator="In"), "matchExpressions[0].values: Required value"),
    (
        "Exists with values",
        expression(key="a", operator="Exists", values=["x"]),
        "matchExpressions[0].values: Forbidden",
    ),
    ("Gt with text", expression(key="a", operator="Gt", values=["x"]), "matchExpressions[0].values[0]: Invalid value"),
    (
        "Lt with two values",
        expression(key="a", operator="Lt", values=["1", "2"]),
        "matchExpressions[0].values: Required value",
    ),
    (
        "a field other than the name",
        required_terms({"matchFields": [{"key": "spec.x", "operator": "In", "values": ["a"]}]}),
        'matchFields[0].key: Unsupported value: "spec.x"',
    ),
    (
        "a weight of 0",
        pod(
            affinity={
                "nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "preference": {}}]}
            }
        ),
        "weight: Invalid value: 0: must be in the range 1-100",
    ),
    ("pod affinity without topology", pod_term(labelSelector={}), "topologyKey: Required value"),
    (
        "pod affinity with a bad selector",
        pod_term(topologyKey="z", labelSelector={"matchExpressions": [{"key": "a", "operator": "Gt"}]}),
        'labelSelector.matchExpressions[0].operator: Unsupported value: "Gt"',
    ),
    # tolerations
    ("no key without Exists", pod(tolerations=[{"value": "x"}]), "spec.tolerations[0].operator: Invalid value"),
    (
        "Exists with a value",
        pod(tolerations=[{"key": "a", "operator": "Exists", "value": "x"}]),
        "spec.tolerations[0].operator: Invalid",
    ),
    (
        "an unknown toleration operator",
        pod(tolerations=[{"key": "a", "operator": "In"}]),
        'operator: Unsupported value: "In"',
    ),
    (
        "an unknown effect",
        pod(tolerations=[{"key": "a", "operator": "Exists", "effect": "Never"}]),
        'effect: Unsupported value: "Never"',
    ),
    (
        "seconds without NoExecute",
        pod(tolerations=[{"key": "a", "operator": "Exists", "tolerationSeconds": 5}]),
        "must be NoExecute",
    ),
    # spread
    ("a skew of 0", spread(maxSkew=0), "spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0"),
    ("no topology key", spread(topologyKey=""), "topologySpreadConstraints[0].topologyKey: Required value"),
    ("an unknown action", spread(whenUnsatisfiable="Cry"), 'whenUnsatisfiable: Unsupported value: "Cry"'),
    (
        "minDomains on a soft constraint",
        spread(minDomains=2, whenUnsatisfiable="ScheduleAnyway"),
        "minDomains: Invalid value: 2",
    ),
    ("an unknown policy", spread(nodeTaintsPolicy="Maybe"), "nodeTaintsPolicy: Unsupported value"),
    ("label keys without selector", spread(matchLabelKeys=["a"]), "matchLabelKeys: Forbidden"),
    (
        "a constraint twice",
        pod(
            topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}] * 2
        ),
        "Constraints[1]: Duplicate value",
    ),
    # GPUs
    (
        "one and a half devices",
        resources({"alibabacloud.com/gpu-milli": "1500"}),
        "spec.containers: Forbidden: alibabacloud.com/gpu-milli: 1500 is neither",
    ),
    (
        "GPUs asked for in two ways",
        resources({"alibabacloud.com/gpu-milli": "500", "nvidia.com/gpu": "1"}),
        "spec.containers: Forbidden: a pod asks for GPUs in one way only",
    ),
    (
        "device indices that are none",
        meta(annotations={"alibabacloud.com/gpu-index": "0,1"}),
        "metadata.annotations[alibabacloud.com/gpu-index]: Forbidden",
    ),
    # nodes
    (
        "a negative capacity",
        node(status={"capacity": {"cpu": "-4"}, "allocatable": {}}),
        'status.capacity[cpu]: Invalid value: "-4"',
    ),
    ("half a pod", node(status={"allocatable": {"pods": "1.5"}}), "status.allocatable[pods]: Invalid value"),
    ("a taint without effect", node(spec={"taints": [{"key": "a"}]}), "spec.taints[0].effect: Required value"),
    (
        "an unknown taint effect",
        node(spec={"taints": [{"key": "a", "effect": "No"}]}),
        'spec.taints[0].effect: Unsupported value: "No"',
    ),
    (
        "a taint twice",
        node(spec={"taints": [{"key": "a", "effect": "NoSchedule"}] * 2}),
        "spec.taints[1]: Duplicate value",
    ),
    # workloads
    ("negative replicas", workload("Deployment", replicas=-1), "spec.replicas: Invalid value: -1"),
    ("no selector", workload("ReplicaSet", selector=None), "spec.selector: Required value"),
    ("an empty selector", workload("StatefulSet", selector={}), "spec.selector: Invalid value"),
    (
        "a selector that misses the template",
        workload("DaemonSet", template=template(labels={})),
        "spec.template.metadata.labels: Invalid",
    ),
    (
        "a deployment that ends",
        workload("Deployment", template=template("Never")),
        'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always"',
    ),
    (
        "a template without containers",
        workload("Deployment", template={"metadata": {"labels": {"a": "b"}}}),
        "spec.template.spec.containers: Required value",
    ),
    (
        "an unknown strategy",
        workload("Deployment", strategy={"type": "Slow"}),
        'spec.strategy.type: Unsupported value: "Slow"',
    ),
    (
        "no room to roll",
        workload("Deployment", strategy={"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
        "spec.strategy.rollingUpdate.maxUnavailable: Invalid value",
    ),
    (
        "a percentage that is none",
        workload("Deployment", strategy={"rollingUpdate": {"maxSurge": "many"}}),
        "maxSurge: Invalid value",
    ),
    (
        "a job that never ends",
        job(template=template()),
        'spec.template.spec.restartPolicy: Unsupported value: "Always"',
    ),
    (
        "an indexed job without completions",
        job(completionMode="Indexed", parallelism=2),
        "spec.completions: Required value",
    ),
    ("a negative back-off limit", job(backoffLimit=-1), "spec.backoffLimit: Invalid value: -1"),
    (
        "a schedule that is none",
        (
            "CronJob",
            {"metadata": {"name": "c"}, "spec": {"schedule": "often", "jobTemplate": {"spec": job()[1]["spec"]}}},
        ),
        'spec.schedule: Invalid value: "often"',
    ),
    # others
    ("a service without ports", ("Service", {"metadata": {"name": "s"}}), "spec.ports: Required value"),
    (
        "two service ports without names",
        ("Service", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}, {"port": 2, "name": "b"}]}}),
        "spec.ports[0].name: Required value",
    ),
    (
        "a user's priority of the system",
        ("PriorityClass", {"metadata": {"name": "x"}, "value": 1000000001}),
        "value: Forbidden",
    ),
    (
        "a budget with both bounds",
        ("PodDisruptionBudget", {"metadata": {"name": "x"}, "spec": {"minAvailable": 1, "maxUnavailable": 1}}),
        "cannot be both set",
    ),
    ("a claim of nothing", claim(resources={"requests": {"storage": "0"}}), "requests[storage]: Invalid value"),
    ("an unknown access mode", claim(accessModes=["Write"]), 'spec.accessModes[0]: Unsupported value: "Write"'),
    ("a class without provisioner", ("StorageClass", {"metadata": {"name": "x"}}), "provisioner: Required value"),
    (
        "an unknown binding mode",
        ("StorageClass", {"metadata": {"name": "x"}, "provisioner": "p", "volumeBindingMode": "Later"}),
        'volumeBindingMode: Unsupported value: "Later"',
    ),
    (
        "one driver twice",
        ("CSINode", {"metadata": {"name": "x"}, "spec": {"drivers": [{"name": "a"}] * 2}}),
        "drivers[1].name: Duplicate",
    ),
    ("a binding to nothing", ("Binding", {"metadata": {"name": "x"}}), "target.name: Required value"),
    (
        "a binding to a pod",
        ("Binding", {"metadata": {"name": "x"}, "target": {"kind": "Pod", "name": "p"}}),
        "target.kind: Unsupported",
    ),
]


@pytest.mark.parametrize("row", VALID, ids=[row[0] for row in VALID])
def test_valid(row):
    check(*row[1])


@pytest.mark.parametrize("row", INVALID, ids=[row[0] for row in INVALID])
def test_invalid(row):
    _, (kind, fields), message = row
    with pytest.raises(InputError) as error:
        check(kind, fields)
    assert message in str(error.value)
    assert str(error.value).startswith(f'{kind} "')


def test_each_invalid_row_breaks_one_rule_only():
    """So that a row cannot pass for another reason than the one it names."""
    several = set()
    for sentence, (kind, fields), _ in INVALID:
        with pytest.raises(InputError) as error:
            check(kind, fields)
        if "is invalid: [" in str(error.value):
            several.add(sentence)
    assert several == set()


def test_all_that_is_wrong_is_told_at_once():
    with pytest.raises(InputError) as error:
        check(*pod({"name": "A"}, restartPolicy="Maybe"))
    assert str(error.value).startswith('Pod "p" is invalid: [spec.containers[0].name: ')
    assert 'spec.restartPolicy: Unsupported value: "Maybe"' in str(error.value)


def test_a_long_list_of_errors_is_cut():
    with pytest.raises(InputError, match="and 20 more]") as error:
        check("Pod", {"metadata": {"name": "p"}, "spec": {"containers": [{"name": f"A{n}"} for n in range(30)]}})
    assert len(str(error.value)) < 5000


def test_hostile_names_are_judged_quickly():
    start = time.process_time()
    for text in ("a" * 200_000, "a-" * 100_000, "-" * 100_000, "a." * 100_000):
        with pytest.raises(InputError):
            check(*meta(name=text, labels={text: text}))
    assert time.process_time() - start < 5


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_needs_a_name(kind):
    with pytest.raises(InputError, match=r"metadata\.name: Required value"):
        validate(parse({"kind": kind}))
