"""Helpers for testing plugins: the contract as tests, and small clusters in one line."""

from ksched.testing.check import PluginCheck, PluginContractError, check_plugin, plugin_checks
from ksched.testing.factories import make_node, make_pod, make_table, node_affinity, term
from ksched.testing.probe import Answer, ask

__all__ = [
    "Answer",
    "PluginCheck",
    "PluginContractError",
    "ask",
    "check_plugin",
    "make_node",
    "make_pod",
    "make_table",
    "node_affinity",
    "plugin_checks",
    "term",
]
