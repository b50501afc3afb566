"""What the api-server fills in, kind by kind."""

import pytest

from ksched.objects import KINDS, default, default_template_spec, image_pull_policy, parse, pod_requests


def defaulted(kind, **fields):
    return default(parse({"kind": kind, "metadata": {"name": "x"}, **fields}))


def pod(**spec):
    return defaulted("Pod", spec={"containers": [{"name": "c", "image": "i"}], **spec})


def test_a_pod_with_nothing_said():
    assert pod().to_dict() == {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x", "namespace": "default"},
        "spec": {
            "containers": [
                {
                    "name": "c",
                    "image": "i",
                    "imagePullPolicy": "Always",
                    "terminationMessagePath": "/dev/termination-log",
                    "terminationMessagePolicy": "File",
                }
            ],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "securityContext": {},
            "schedulerName": "default-scheduler",
            "enableServiceLinks": True,
        },
    }


def test_what_is_said_is_kept():
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "dnsPolicy": "Default",
        "schedulerName": "mine",
        "enableServiceLinks": False,
        "securityContext": {"runAsUser": 1},
    }
    out = pod(**spec).to_dict()["spec"]
    assert {name: out[name] for name in spec} == spec


RESOURCES = [
    ("a limit alone becomes the request", {"limits": {"cpu": "1"}}, {"cpu": "1"}),
    (
        "per resource",
        {"limits": {"cpu": "1", "memory": "2"}, "requests": {"cpu": "500m"}},
        {"cpu": "500m", "memory": "2"},
    ),
    ("an explicit zero request stays", {"limits": {"cpu": "1"}, "requests": {"cpu": "0"}}, {"cpu": "0"}),
    (
        "quantities round up to thousandths",
        {"requests": {"cpu": "333333u", "memory": "0.1m"}},
        {"cpu": "334m", "memory": "1m"},
    ),
    ("what is a whole number of thousandths stays as written", {"requests": {"cpu": "100000u"}}, {"cpu": "100000u"}),
    ("a request alone makes no limit", {"requests": {"cpu": "1"}}, {"cpu": "1"}),
]


@pytest.mark.parametrize("row", RESOURCES, ids=[row[0] for row in RESOURCES])
@pytest.mark.parametrize("field", ["containers", "initContainers"])
def test_requests(row, field):
    _, resources, expected = row
    spec = {"containers": [{"name": "a"}]} | {field: [{"name": "c", "resources": resources}]}
    container = pod(**spec).to_dict()["spec"][field][0]
    assert container["resources"]["requests"] == expected
    assert container["resources"].get("limits") == resources.get("limits")


def test_overhead_is_rounded_too():
    assert pod(overhead={"cpu": "1.0001"}).to_dict()["spec"]["overhead"] == {"cpu": "1001m"}


PORTS = [
    ("the protocol is TCP", False, {"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"}),
    (
        "on the host network the port is a host port",
        True,
        {"containerPort": 80},
        {"containerPort": 80, "hostPort": 80, "protocol": "TCP"},
    ),
    (
        "an explicit host port stays",
        True,
        {"containerPort": 80, "hostPort": 81, "protocol": "UDP"},
        {"containerPort": 80, "hostPort": 81, "protocol": "UDP"},
    ),
]


@pytest.mark.parametrize("row", PORTS, ids=[row[0] for row in PORTS])
def test_ports(row):
    _, host_network, port, expected = row
    out = pod(hostNetwork=host_network, containers=[{"name": "c", "ports": [port]}]).to_dict()
    assert out["spec"]["containers"][0]["ports"] == [expected]


IMAGES = [
    ("nginx", "Always"),
    ("nginx:latest", "Always"),
    ("nginx:1.25", "IfNotPresent"),
    ("registry:5000/nginx", "Always"),
    ("registry:5000/nginx:2", "IfNotPresent"),
    ("nginx@sha256:abc", "IfNotPresent"),
    ("nginx:latest@sha256:abc", "Always"),
    ("", "Always"),
]


@pytest.mark.parametrize(("image", "policy"), IMAGES, ids=[row[0] or "no image" for row in IMAGES])
def test_pull_policy_follows_the_tag(image, policy):
    assert image_pull_policy(image) == policy


def test_probes():
    probe = pod(containers=[{"name": "c", "livenessProbe": {"httpGet": {"port": 80}, "timeoutSeconds": 0}}])
    assert probe.to_dict()["spec"]["containers"][0]["livenessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }


VOLUMES = [
    ("a volume without source is an empty directory", {}, {"emptyDir": {}}),
    (
        "rbd has a pool and a user",
        {"rbd": {"image": "i"}},
        {"rbd": {"image": "i", "pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"}},
    ),
    (
        "claims of ephemeral volumes are of files",
        {"ephemeral": {"volumeClaimTemplate": {"spec": {}}}},
        {"ephemeral": {"volumeClaimTemplate": {"spec": {"volumeMode": "Filesystem"}}}},
    ),
    ("other sources stay", {"hostPath": {"path": "/x"}}, {"hostPath": {"path": "/x"}}),
]


@pytest.mark.parametrize("row", VOLUMES, ids=[row[0] for row in VOLUMES])
def test_volumes(row):
    _, source, expected = row
    assert pod(volumes=[{"name": "v", **source}]).to_dict()["spec"]["volumes"] == [{"name": "v", **expected}]


def test_the_old_and_the_new_name_of_the_service_account_follow_each_other():
    for given in ({"serviceAccount": "a"}, {"serviceAccountName": "a"}):
        spec = pod(**given).spec
        assert (spec.service_account, spec.service_account_name) == ("a", "a")


def test_templates_do_not_yet_take_requests_from_limits_nor_host_ports():
    container = {"name": "c", "resources": {"limits": {"cpu": "1.0001"}}, "ports": [{"containerPort": 80}]}
    deployment = defaulted("Deployment", spec={"template": {"spec": {"hostNetwork": True, "containers": [container]}}})
    spec = deployment.spec.template.spec
    assert spec.to_dict()["containers"][0]["resources"] == {"limits": {"cpu": "1001m"}}
    assert spec.containers[0].ports[0].host_port is None
    assert spec.enable_service_links is None
    made = default(parse({"kind": "Pod", "metadata": {"name": "p"}}).replaced(spec=spec))
    assert pod_requests(made.spec) == {"cpu": 1001}
    assert made.spec.containers[0].ports[0].host_port == 80


KIND_ROWS = [
    (
        "Deployment",
        {"spec": {}},
        {
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}},
        },
    ),
    (
        "Deployment",
        {"spec": {"replicas": 0, "strategy": {"type": "Recreate"}}},
        {"replicas": 0, "strategy": {"type": "Recreate"}},
    ),
    ("ReplicaSet", {"spec": {}}, {"replicas": 1}),
    (
        "StatefulSet",
        {"spec": {}},
        {
            "replicas": 1,
            "revisionHistoryLimit": 10,
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        },
    ),
    (
        "DaemonSet",
        {"spec": {}},
        {
            "revisionHistoryLimit": 10,
            "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
        },
    ),
    (
        "Job",
        {"spec": {}},
        {
            "completions": 1,
            "parallelism": 1,
            "backoffLimit": 6,
            "completionMode": "NonIndexed",
            "suspend": False,
            "podReplacementPolicy": "TerminatingOrFailed",
        },
    ),
    ("Job", {"spec": {"completions": 5}}, {"completions": 5, "parallelism": 1}),
    ("Job", {"spec": {"backoffLimitPerIndex": 1}}, {"backoffLimit": 2147483647}),
    ("Job", {"spec": {"podFailurePolicy": {"rules": []}}}, {"podReplacementPolicy": "Failed"}),
    (
        "CronJob",
        {"spec": {"schedule": "@daily"}},
        {"concurrencyPolicy": "Allow", "suspend": False, "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1},
    ),
    (
        "Service",
        {"spec": {"ports": [{"port": 80}]}},
        {
            "type": "ClusterIP",
            "sessionAffinity": "None",
            "internalTrafficPolicy": "Cluster",
            "ports": [{"port": 80, "protocol": "TCP", "targetPort": 80}],
        },
    ),
    (
        "Service",
        {"spec": {"type": "LoadBalancer", "sessionAffinity": "ClientIP"}},
        {
            "externalTrafficPolicy": "Cluster",
            "allocateLoadBalancerNodePorts": True,
            "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
        },
    ),
    (
        "PersistentVolumeClaim",
        {"spec": {"resources": {"requests": {"storage": "1.0001"}}}},
        {"volumeMode": "Filesystem", "resources": {"requests": {"storage": "1001m"}}},
    ),
    (
        "PersistentVolume",
        {"spec": {"capacity": {"storage": "1Gi"}}},
        {"volumeMode": "Filesystem", "persistentVolumeReclaimPolicy": "Retain"},
    ),
    ("CSIDriver", {"spec": {}}, {"attachRequired": True, "volumeLifecycleModes": ["Persistent"]}),
]


@pytest.mark.parametrize(("kind", "fields", "expected"), KIND_ROWS, ids=[f"{r[0]} {r[1]['spec']}" for r in KIND_ROWS])
def test_specs_of_kinds(kind, fields, expected):
    spec = defaulted(kind, **fields).to_dict()["spec"]
    assert {name: spec.get(name) for name in expected} == expected


def test_only_one_of_completions_and_parallelism_leaves_a_work_queue():
    job = defaulted("Job", spec={"parallelism": 3})
    assert (job.spec.parallelism, job.spec.completions) == (3, None)


def test_jobs_and_replication_controllers_take_the_labels_of_their_template():
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {}}
    assert defaulted("Job", spec={"template": template}).metadata.labels == {"a": "b"}
    controller = defaulted("ReplicationController", spec={"template": template})
    assert controller.metadata.labels == controller.spec.selector == {"a": "b"}


TOP = [
    ("StorageClass", {"provisioner": "p"}, {"volumeBindingMode": "Immediate", "reclaimPolicy": "Delete"}),
    ("PriorityClass", {"value": 1}, {"preemptionPolicy": "PreemptLowerPriority"}),
    ("EndpointSlice", {"ports": [{"port": 1}]}, {"ports": [{"port": 1, "name": "", "protocol": "TCP"}]}),
    ("Namespace", {}, {"status": {"phase": "Active"}}),
]


@pytest.mark.parametrize(("kind", "fields", "expected"), TOP, ids=[row[0] for row in TOP])
def test_top_level_fields(kind, fields, expected):
    out = defaulted(kind, **fields).to_dict()
    assert {name: out.get(name) for name in expected} == expected


def test_a_namespace_carries_its_name_as_label_and_belongs_to_none():
    meta = defaulted("Namespace").metadata
    assert meta.labels == {"kubernetes.io/metadata.name": "x"}
    assert meta.namespace is None


NODES = [
    ("missing allocatable equals capacity", {"capacity": {"cpu": "4"}}, {"cpu": "4"}),
    ("an explicit allocatable stays", {"capacity": {"cpu": "4"}, "allocatable": {"cpu": "3"}}, {"cpu": "3"}),
    ("an explicitly empty one stays", {"capacity": {"cpu": "4"}, "allocatable": {}}, {}),
    ("null counts as missing", {"capacity": {"cpu": "4"}, "allocatable": None}, {"cpu": "4"}),
    ("both are rounded up", {"capacity": {"cpu": "0.0001"}}, {"cpu": "1m"}),
]


@pytest.mark.parametrize("row", NODES, ids=[row[0] for row in NODES])
def test_nodes(row):
    _, status, expected = row
    assert defaulted("Node", status=status).to_dict()["status"].get("allocatable", {}) == expected


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_defaulting_twice_gives_the_same_object(kind):
    template = {"spec": {"hostNetwork": True, "containers": [{"name": "c", "ports": [{"containerPort": 1}]}]}}
    spec = KINDS[kind].model_fields.get("spec")
    has_template = spec is not None and "template" in spec.annotation.model_fields
    fields = {"spec": {"template": template}} if has_template else {}
    once = defaulted(kind, **fields)
    assert default(once) is once


def test_defaulting_changes_no_object_in_place():
    original = parse({"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "c"}]}})
    before = original.to_dict()
    default(original)
    assert original.to_dict() == before


def test_pods_of_one_spec_share_the_defaulted_spec():
    first = parse({"kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [{"name": "c"}]}})
    second = first.replaced(metadata=first.metadata.replaced(name="y"))
    assert default(first).spec is default(second).spec
    assert default_template_spec(first.spec) is default_template_spec(first.spec)
