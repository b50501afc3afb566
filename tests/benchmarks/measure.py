"""Measures everything docs/performance.md shows, and rewrites the page and its plot.

    python tests/benchmarks/measure.py               about four minutes on a quiet machine
    python tests/benchmarks/measure.py --only-page   draw and write from the figures there are
    python tests/benchmarks/measure.py --to FILE     measure into another file and leave the page alone

Figures are CPU time, the best of several passes over everything: what else the machine does can only make them worse,
and it rarely lasts for all passes. They are kept in figures.json; before.json holds those the page compares them with.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np

import page
from hot_spots import shares
from measuring import BATCH, ScenarioRun, cpu_seconds, seconds_per_decision
from node_count import CASES, NodeCountRun
from preemption_basic import full_framework, preempt_all
from scheduler_perf import SCENARIOS, SIZES

NODE_COUNTS = (1000, 2000, 5000, 10_000)
PREEMPTORS = {500: 400, 1000: 800, 5000: 2000}
PASSES = 3
PROFILED = 1000
"""Decisions under the profiler, with the largest number of nodes."""


def measured() -> dict[str, Any]:
    """Decisions per second by scenario and nodes, microseconds per decision by case and nodes, shares by scenario."""
    passes = [_one_pass() for _ in range(PASSES)]
    best = {key: min(seconds[key] for seconds in passes) for key in passes[0]}
    scenarios: dict[str, dict[str, int]] = {}
    node_count: dict[str, dict[str, float]] = {}
    for (name, nodes), seconds in best.items():
        if name in CASES:
            node_count.setdefault(name, {})[str(nodes)] = round(1e6 * seconds, 1)
        else:
            # Three significant digits: more is noise.
            scenarios.setdefault(name, {})[str(nodes)] = int(float(f"{1 / seconds:.3g}"))
    return {
        "machine": {"cpu": _cpu(), "python": platform.python_version(), "numpy": np.__version__},
        "decisions_per_second": scenarios,
        "microseconds": node_count,
        "time_goes": _time_goes(),
    }


def _one_pass() -> dict[tuple[str, int], float]:
    """CPU seconds per decision of every scenario and case at every size."""
    found: dict[tuple[str, int], float] = {}
    for scenario in SCENARIOS:
        for nodes in SIZES:
            found[scenario.name, nodes] = seconds_per_decision(scenario, nodes)
            print(f"{scenario.name}, {nodes} nodes: {1 / found[scenario.name, nodes]:.0f}/s", flush=True)
    for nodes in SIZES:
        found["PreemptionBasic", nodes] = _seconds_per_preemption(nodes)
    for case in CASES:
        for nodes in NODE_COUNTS:
            found[case, nodes] = NodeCountRun(case, nodes).seconds_per_decision()
    return found


def _seconds_per_preemption(nodes: int) -> float:
    framework = full_framework(nodes)
    pods = PREEMPTORS[nodes]
    return cpu_seconds(lambda: preempt_all(framework, pods)) / pods


def _time_goes() -> dict[str, dict[str, float]]:
    found = {}
    for scenario in SCENARIOS:
        run = ScenarioRun(scenario, max(SIZES))
        pods = [pod for _ in range(PROFILED // BATCH) for pod in run.batch()]
        found[scenario.name] = shares(lambda run=run, pods=pods: run.decide(pods))
    framework = full_framework(max(SIZES))
    found["PreemptionBasic"] = shares(lambda: preempt_all(framework, PROFILED))
    return {
        name: {module: round(share, 3) for module, share in parts.items() if share >= page.SMALLEST_SHARE}
        for name, parts in found.items()
    }


def _cpu() -> str:
    """The processor's name, where Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only-page", action="store_true")
    parser.add_argument("--to", type=Path, default=page.FIGURES, metavar="FILE")
    args = parser.parse_args()
    if not args.only_page:
        args.to.write_text(json.dumps(measured(), indent=2) + "\n", encoding="utf-8")
    if args.to == page.FIGURES:
        page.write()


if __name__ == "__main__":
    main()
