"""ksched: a scheduler research framework for Kubernetes.

Write a policy over a table of nodes, replay a workload trace through a model of a cluster, compare policies. The names
here are the public Python interface; everything the command line does is a few lines with them.
"""

from __future__ import annotations

import importlib
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ksched.experiments import run_experiment as run_experiment
    from ksched.experiments.diff import diff as diff
    from ksched.experiments.divergence import divergences as divergences
    from ksched.experiments.session import RunSession as RunSession
    from ksched.experiments.session import explain_run as explain_run
    from ksched.experiments.session import open_run as open_run
    from ksched.experiments.session import start_run as start_run
    from ksched.experiments.session import start_trace as start_trace
    from ksched.experiments.timing import timing as timing
    from ksched.framework import Framework as Framework
    from ksched.framework import Status as Status
    from ksched.framework import load_configuration as load_configuration
    from ksched.framework.explain_manifests import explain_objects as explain  # noqa: F401
    from ksched.objects import read_manifests as read_manifests
    from ksched.report import compare as compare
    from ksched.report import open_results as open_results
    from ksched.report.runs import results as results
    from ksched.tables import NodeTable as NodeTable
    from ksched.testing import check_plugin as check_plugin
    from ksched.traces import load_trace as load_trace

__version__ = _version("ksched")

_PUBLIC = {
    "Framework": "ksched.framework:Framework",
    "NodeTable": "ksched.tables:NodeTable",
    "RunSession": "ksched.experiments.session:RunSession",
    "Status": "ksched.framework:Status",
    "check_plugin": "ksched.testing:check_plugin",
    "compare": "ksched.report:compare",
    "diff": "ksched.experiments.diff:diff",
    "divergences": "ksched.experiments.divergence:divergences",
    "explain": "ksched.framework.explain_manifests:explain_objects",
    "explain_run": "ksched.experiments.session:explain_run",
    "load_configuration": "ksched.framework:load_configuration",
    "load_trace": "ksched.traces:load_trace",
    "open_results": "ksched.report:open_results",
    "open_run": "ksched.experiments.session:open_run",
    "read_manifests": "ksched.objects:read_manifests",
    "results": "ksched.report.runs:results",
    "run_experiment": "ksched.experiments:run_experiment",
    "start_run": "ksched.experiments.session:start_run",
    "start_trace": "ksched.experiments.session:start_trace",
    "timing": "ksched.experiments.timing:timing",
}

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used, so that a worker loads only what it needs."""
    if name not in _PUBLIC:
        raise AttributeError(f"module 'ksched' has no attribute {name!r}")
    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(importlib.import_module(module), attribute)
