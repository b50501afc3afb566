"""What all models share: immutability, cheap copies, JSON names, lossless output."""

import json
import subprocess
import sys

import pytest
from pydantic import ValidationError

from ksched.objects import (
    KINDS,
    IdentityCache,
    KubeModel,
    KubeObject,
    ObjectMeta,
    Pod,
    PodSpec,
    Quantity,
    digest,
    intern_spec,
)
from ksched.objects import __all__ as exported
from ksched.objects.base import forget_results, json_names, replacing


def test_models_cannot_be_changed():
    meta = ObjectMeta(name="a")
    with pytest.raises(ValidationError):
        meta.name = "b"


def test_replaced_copies_one_level_and_shares_the_rest():
    pod = Pod(metadata=ObjectMeta(name="a", labels={"x": "1"}), spec=PodSpec(node_name="n"))
    bound = pod.replaced(spec=pod.spec.replaced(node_name="m"))
    assert (pod.spec.node_name, bound.spec.node_name) == ("n", "m")
    assert bound.metadata is pod.metadata
    assert bound.to_dict()["spec"] == {"nodeName": "m"}


def test_what_is_replaced_counts_as_set():
    assert ObjectMeta().replaced(name="a").to_dict() == {"name": "a"}
    assert ObjectMeta(name="a").to_dict() == {"name": "a"}


def test_replacing_an_unknown_field_is_an_error():
    with pytest.raises(TypeError, match="no field nodename"):
        PodSpec().replaced(nodename="n")


def test_replacing_declared_once_does_as_replaced():
    rename = replacing(ObjectMeta, "name", "uid")
    for meta in (ObjectMeta(), ObjectMeta(name="a"), ObjectMeta.model_validate({"name": "a", "color": "red"})):
        copy = rename(meta, {"name": "b", "uid": "u"})
        assert copy == meta.replaced(name="b", uid="u")
        assert copy.to_dict() == meta.to_dict() | {"name": "b", "uid": "u"}
        assert rename(copy, {"name": "c", "uid": "v"}).to_dict() == meta.to_dict() | {"name": "c", "uid": "v"}
    with pytest.raises(ValidationError):
        copy.name = "d"


def test_replacing_declared_for_a_base_keeps_the_class():
    pod = replacing(KubeObject, "metadata")(Pod(), {"metadata": ObjectMeta(name="a")})
    assert type(pod) is Pod
    assert pod.name == "a"


def test_replacing_declared_for_an_unknown_field_is_an_error():
    with pytest.raises(TypeError, match="PodSpec has no field nodename"):
        replacing(PodSpec, "nodename")


def test_a_copy_equals_its_original_and_keeps_unknown_fields():
    meta = ObjectMeta.model_validate({"name": "a", "color": "red"})
    assert meta.replaced(name="a") == meta
    assert meta.replaced(name="b").to_dict() == {"name": "b", "color": "red"}


def test_equality_goes_by_content_and_models_have_no_hash():
    assert ObjectMeta(name="a") == ObjectMeta(name="a") != ObjectMeta(name="b")
    with pytest.raises(TypeError):
        hash(ObjectMeta())


def test_absent_lists_and_maps_are_empty_and_absent_scalars_none():
    pod = Pod()
    assert pod.metadata.labels == {} and pod.spec.containers == () and pod.spec.tolerations == ()
    assert pod.spec.node_name is None and pod.spec.affinity is None
    assert pod.to_dict() == {"apiVersion": "v1", "kind": "Pod"}


IRREGULAR = [
    ("PodStatus", "pod_ip", "podIP"),
    ("PodStatus", "host_ips", "hostIPs"),
    ("PodSpec", "host_pid", "hostPID"),
    ("PodSpec", "set_hostname_as_fqdn", "setHostnameAsFQDN"),
    ("ContainerPort", "host_ip", "hostIP"),
    ("ServiceSpec", "cluster_ips", "clusterIPs"),
    ("ServiceSpec", "external_ips", "externalIPs"),
    ("NodeSpec", "provider_id", "providerID"),
    ("NodeSystemInfo", "system_uuid", "systemUUID"),
    ("PodSpec", "scheduler_name", "schedulerName"),
    ("ServiceSpec", "load_balancer_ip", "loadBalancerIP"),
]


@pytest.mark.parametrize(("model", "attribute", "name"), IRREGULAR, ids=[row[2] for row in IRREGULAR])
def test_json_names(model, attribute, name):
    import ksched.objects as objects

    assert dict(json_names(getattr(objects, model)))[attribute] == name


def test_every_kind_knows_its_names():
    for kind, cls in KINDS.items():
        assert cls.KIND == kind == cls().kind
        assert cls().api_version == cls.API_VERSION
        assert cls.PLURAL.startswith(kind.lower()[:-1])
        assert cls().to_dict() == {"apiVersion": cls.API_VERSION, "kind": kind}


def test_everything_exported_exists():
    import ksched.objects as objects

    assert all(hasattr(objects, name) for name in exported)
    assert all(issubclass(cls, KubeModel) for cls in KINDS.values())


def test_equal_specs_are_interned_to_one_instance():
    first = PodSpec(node_selector={"a": "1", "b": "2"})
    second = PodSpec(node_selector={"b": "2", "a": "1"})
    other = PodSpec(node_selector={"a": "1"})
    assert intern_spec(first) is intern_spec(second) is intern_spec(first)
    assert intern_spec(other) is not intern_spec(first)
    assert digest(first) == digest(second) != digest(other)


def test_an_identity_cache_is_bounded_and_keeps_keys_alive():
    cache = IdentityCache(maxsize=4)
    keys = [object() for _ in range(9)]
    for number, key in enumerate(keys):
        cache.put(key, number)
    assert len(cache) <= 4
    assert cache.get(keys[-1]) == 8
    assert cache.get(keys[0]) is None


def test_a_process_can_forget_what_it_found_by_identity():
    cache, key = IdentityCache(), object()
    cache.put(key, 1)
    forget_results()
    assert cache.get(key) is None


def test_quantities_stand_in_models_as_written():
    spec = PodSpec.model_validate({"containers": [{"resources": {"requests": {"cpu": 1, "memory": "1.50Gi"}}}]})
    requests = spec.containers[0].resources.requests
    assert requests["cpu"] == Quantity.parse("1000m")
    assert json.loads(json.dumps(spec.to_dict())) == {
        "containers": [{"resources": {"requests": {"cpu": 1, "memory": "1.50Gi"}}}]
    }


def test_importing_builds_no_models_before_they_are_needed():
    """Import time is what every command pays; building all schemas would double it."""
    code = "import ksched.objects as o; print(o.Pod.__pydantic_complete__, o.Deployment.__pydantic_complete__)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["False", "False"]
