"""Every shipped plugin keeps the plugin contract, with its default arguments and with telling ones."""

from __future__ import annotations

from typing import Any

import pytest

from ksched.framework.registry import registered
from ksched.testing import PluginCheck, node_affinity, plugin_checks, term

VARIANTS: list[tuple[str, dict[str, Any]]] = [
    ("NodeResourcesFit", {"scoringStrategy": {"type": "MostAllocated"}, "ignoredResourceGroups": ["example.com"]}),
    (
        "NodeResourcesFit",
        {
            "scoringStrategy": {
                "type": "RequestedToCapacityRatio",
                "resources": [{"name": "cpu", "weight": 2}, {"name": "example.com/fpga", "weight": 1}],
                "requestedToCapacityRatio": {
                    "shape": [{"utilization": 0, "score": 10}, {"utilization": 70, "score": 3}]
                },
            }
        },
    ),
    (
        "NodeResourcesBalancedAllocation",
        {"resources": [{"name": "cpu"}, {"name": "memory"}, {"name": "example.com/fpga"}]},
    ),
    (
        "NodeAffinity",
        {"addedAffinity": node_affinity(term("disktype Exists"), preferred=[(9, term("pool Exists"))])["nodeAffinity"]},
    ),
    ("InterPodAffinity", {"hardPodAffinityWeight": 50, "ignorePreferredTermsOfExistingPods": True}),
    (
        "PodTopologySpread",
        {
            "defaultingType": "List",
            "defaultConstraints": [
                {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
            ],
        },
    ),
    ("GpuShare", {"deviceSelection": "worst_fit"}),
    ("RequireLabel", {"key": "pool", "value": None}),
    ("BestFit", {"resources": {"gpu": 2, "memory": 1}}),
]

CHECKS = [
    pytest.param(check, id=f"{name}{'-with-args' if args else ''}-{check}")
    for name, args in [*((name, {}) for name in registered()), *VARIANTS]
    for check in plugin_checks(name, args)
]


@pytest.mark.parametrize("check", CHECKS)
def test_shipped_plugins_keep_the_contract(check: PluginCheck) -> None:
    check()


def test_the_shipped_plugins_are_installed() -> None:
    assert {"NodeResourcesFit", "GpuShare", "BestFit", "RequireLabel"} <= set(registered())
