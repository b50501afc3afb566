"""GPU requests, devices and device indices."""

import pytest

from ksched.errors import InputError
from ksched.objects import GpuRequest, NodeDevices, device_indices, format_indices, gpu_request, node_devices, parse
from ksched.objects.gpu import GPU_MILLI, parse_indices


def pod(annotations=None, **requests):
    named = {"milli": GPU_MILLI, "nvidia": "nvidia.com/gpu", "amd": "amd.com/gpu", "cpu": "cpu"}
    return parse(
        {
            "kind": "Pod",
            "metadata": {"name": "p", "annotations": annotations or {}},
            "spec": {
                "containers": [{"name": "c", "resources": {"requests": {named[k]: v for k, v in requests.items()}}}]
            },
        }
    )


REQUESTS = [
    ("no GPU", {"cpu": "1"}, None),
    ("zero is no GPU", {"nvidia": "0"}, None),
    ("a share of one device", {"milli": "470"}, GpuRequest(1, 470)),
    ("one whole device", {"milli": "1000"}, GpuRequest(1, 1000)),
    ("several whole devices", {"milli": "8k"}, GpuRequest(8, 1000)),
    ("whole devices by the device plugin", {"nvidia": "2"}, GpuRequest(2, 1000)),
    ("also AMD's", {"amd": "1"}, GpuRequest(1, 1000)),
]


@pytest.mark.parametrize("row", REQUESTS, ids=[row[0] for row in REQUESTS])
def test_gpu_request(row):
    _, requests, expected = row
    assert gpu_request(pod(**requests).spec) == expected


def test_the_total_of_a_request():
    assert GpuRequest(8, 1000).total_milli == 8000


@pytest.mark.parametrize(
    "requests", [{"milli": "1500"}, {"milli": "500", "nvidia": "1"}], ids=["one and a half", "both"]
)
def test_impossible_gpu_requests_are_input_errors(requests):
    with pytest.raises(InputError, match="gpu"):
        gpu_request(pod(**requests).spec)


def node(labels=None, **allocatable):
    return parse(
        {
            "kind": "Node",
            "metadata": {"name": "n", "labels": labels or {}},
            "status": {"allocatable": allocatable},
        }
    )


NODES = [
    ("a node without GPUs", node(cpu="8"), NodeDevices(0, "", 0)),
    (
        "thousandths make devices",
        node({"alibabacloud.com/gpu-card-model": "T4"}, **{GPU_MILLI: "2000"}),
        NodeDevices(2, "T4", 0),
    ),
    (
        "whole devices, with NVIDIA's labels",
        node({"nvidia.com/gpu.product": "A100", "nvidia.com/gpu.memory": "40960"}, **{"nvidia.com/gpu": "4"}),
        NodeDevices(4, "A100", 40 * 2**30),
    ),
    (
        "memory in Alibaba's label",
        node({"alibabacloud.com/gpu-card-memory": "16Gi"}, **{GPU_MILLI: "1k"}),
        NodeDevices(1, "", 16 * 2**30),
    ),
    ("a label without devices means nothing", node({"nvidia.com/gpu.product": "A100"}), NodeDevices(0, "", 0)),
]


@pytest.mark.parametrize("row", NODES, ids=[row[0] for row in NODES])
def test_node_devices(row):
    _, a_node, expected = row
    assert node_devices(a_node) == expected


def test_device_indices_are_joined_by_hyphens():
    assert device_indices(pod({"alibabacloud.com/gpu-index": "3-0"})) == (0, 3)
    assert device_indices(pod()) == ()
    assert format_indices((3, 0)) == "0-3"
    assert parse_indices(format_indices(range(8))) == tuple(range(8))


@pytest.mark.parametrize("text", ["a", "0,1", "-1", "1-", "0-0", "99999"])
def test_malformed_indices_are_input_errors_naming_the_pod(text):
    with pytest.raises(InputError, match=r"default/p.*gpu-index"):
        device_indices(pod({"alibabacloud.com/gpu-index": text}))
