"""Effective requests: sums, init maxima, sidecars, overhead, and the scoring defaults."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksched.objects import Container, PodSpec, ResourceRequirements, amount, amounts, pod_nonzero_requests, pod_requests
from ksched.objects.quantity import Quantity

MI = 1024 * 1024
DEFAULT = {"cpu": 100, "memory": 200 * MI}


def box(sidecar=False, **requests):
    named = {name.replace("_", "/"): value for name, value in requests.items()}
    return Container(
        name="c",
        resources=ResourceRequirements(requests=named),
        **({"restart_policy": "Always"} if sidecar else {}),
    )


def spec(containers, init=(), **overhead):
    return PodSpec(containers=tuple(containers), init_containers=tuple(init), overhead=overhead)


REQUESTS = [
    ("an empty pod asks for nothing", spec([box()]), {}),
    ("containers add up", spec([box(cpu="100m"), box(cpu="1", memory="1Gi")]), {"cpu": 1100, "memory": 2**30}),
    (
        "the largest init container counts, not their sum",
        spec([box(cpu="1")], [box(cpu="3"), box(cpu="2")]),
        {"cpu": 3000},
    ),
    (
        "per resource the larger of init and containers",
        spec([box(cpu="1", memory="5")], [box(cpu="3", memory="1")]),
        {"cpu": 3000, "memory": 5},
    ),
    ("a sidecar adds to the containers", spec([box(cpu="1")], [box(sidecar=True, cpu="2")]), {"cpu": 3000}),
    (
        "a later init container runs beside the sidecars before it",
        spec([box(cpu="1")], [box(sidecar=True, cpu="2"), box(cpu="4")]),
        {"cpu": 6000},
    ),
    (
        "an earlier init container does not",
        spec([box(cpu="1")], [box(cpu="4"), box(sidecar=True, cpu="2")]),
        {"cpu": 4000},
    ),
    (
        "overhead comes on top of all",
        spec([box(cpu="1")], [box(cpu="3")], cpu="250m", memory="1"),
        {"cpu": 3250, "memory": 1},
    ),
    ("extended resources count in units", spec([box(example_com="2"), box(example_com="1")]), {"example/com": 3}),
    ("an explicit zero is a key", spec([box(cpu="0")]), {"cpu": 0}),
    ("sums are rounded once, at the end", spec([box(memory="500m"), box(memory="500m")]), {"memory": 1}),
]


@pytest.mark.parametrize("row", REQUESTS, ids=[row[0] for row in REQUESTS])
def test_effective_requests(row):
    _, pod_spec, expected = row
    assert pod_requests(pod_spec) == expected


NONZERO = [
    # sentence, spec, as an incoming pod, as a pod on a node
    ("each container without requests gets the defaults", spec([box(), box()]), (200, 400 * MI), (200, 400 * MI)),
    ("only the missing resource is filled in", spec([box(cpu="1")]), (1000, 200 * MI), (1000, 200 * MI)),
    ("an explicit zero stays", spec([box(cpu="0", memory="0")]), (0, 0), (0, 0)),
    (
        "init containers get the defaults too",
        spec([box(cpu="0", memory="0")], [box()]),
        (100, 200 * MI),
        (100, 200 * MI),
    ),
    (
        "sidecars add for an incoming pod only",
        spec([box(cpu="1", memory="0")], [box(sidecar=True, cpu="2", memory="0")]),
        (3000, 0),
        (2000, 0),
    ),
    (
        "a sidecar without requests is filled in once it is added",
        spec([box(cpu="0", memory="0")], [box(sidecar=True), box()]),
        (200, 400 * MI),
        (100, 200 * MI),
    ),
    (
        "on a node defaults apply to the cumulated init requests",
        spec([box(cpu="0", memory="0")], [box(sidecar=True, cpu="1"), box(memory="5")]),
        (1100, 200 * MI + 5),
        (1000, 200 * MI),
    ),
    ("overhead is added", spec([box()], cpu="1", memory="1"), (1100, 200 * MI + 1), (1100, 200 * MI + 1)),
]


@pytest.mark.parametrize("row", NONZERO, ids=[row[0] for row in NONZERO])
def test_nonzero_requests(row):
    _, pod_spec, incoming, on_node = row
    assert pod_nonzero_requests(pod_spec) == dict(zip(("cpu", "memory"), incoming, strict=True))
    assert pod_nonzero_requests(pod_spec, sidecars=False) == dict(zip(("cpu", "memory"), on_node, strict=True))


def test_amounts_are_milli_for_cpu_and_units_for_the_rest():
    assert amount("cpu", Quantity.parse("1500u")) == 2
    assert amount("memory", Quantity.parse("1500m")) == 2
    assert amounts({"memory": Quantity.parse("1Ki"), "cpu": Quantity.parse("2")}) == {"cpu": 2000, "memory": 1024}


def test_equal_specs_share_nothing_but_the_result_is_remembered_per_spec():
    pod_spec = spec([box(cpu="1")])
    assert pod_requests(pod_spec) is pod_requests(pod_spec)


requests = st.dictionaries(st.sampled_from(["cpu", "memory"]), st.integers(0, 5000).map(lambda m: f"{m}m"))
containers = st.lists(st.tuples(requests, st.booleans()), max_size=4)


@given(st.lists(requests, min_size=1, max_size=3), containers)
def test_the_effective_request_is_the_peak_over_the_life_of_the_pod(main, init):
    """Oracle: play the start of the pod step by step and take the maximum of what runs at once."""
    pod_spec = spec([box(**r) for r in main], [box(sidecar=sidecar, **r) for r, sidecar in init])
    for resource in ("cpu", "memory"):

        def milli(entry, resource=resource):
            return int(entry.get(resource, "0m")[:-1])

        running, peak = 0, 0
        for entry, sidecar in init:
            peak = max(peak, running + milli(entry))
            running += milli(entry) if sidecar else 0
        peak = max(peak, running + sum(milli(entry) for entry in main))
        expected = peak if resource == "cpu" else -(-peak // 1000)
        assert pod_requests(pod_spec).get(resource, 0) == expected


@given(st.lists(requests, min_size=1, max_size=3), containers)
def test_nonzero_requests_never_fall_below_the_real_ones_for_an_incoming_pod(main, init):
    pod_spec = spec([box(**r) for r in main], [box(sidecar=sidecar, **r) for r, sidecar in init])
    real, scored = pod_requests(pod_spec), pod_nonzero_requests(pod_spec)
    assert all(scored[name] >= real.get(name, 0) for name in ("cpu", "memory"))
