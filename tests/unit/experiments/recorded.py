"""A recorded experiment that is small but has retries, a policy with state of its own, and policies that part."""

from __future__ import annotations

from pathlib import Path

from ksched.experiments.sweep import run_experiment

from .small import GIB, S, experiment_file, make_trace

MOODY = '''
import numpy as np

class Moody:
    """Prefers another node every time it is asked: whoever asks once more changes what comes after."""

    name = "Moody"

    def __init__(self):
        self.asked = 0

    def score(self, cycle, pod, nodes):
        self.asked += 1
        return (nodes.rows + self.asked) % 3 * 50
'''
POLICIES = {
    "default": {},
    "free": {"score": {"FreeMemory": 5, "NodeResourcesFit": 1}},
    "moody": {"score": {"moody.py:Moody": 1}},
}
NODES = [{"cpu_milli": 2000.0, "memory_b": size * GIB} for size in (8, 16, 12)]
PODS = [
    {
        "t_submit": i * S // 3,
        "run_us": (4 + i % 5) * S,
        "cpu_milli": 600.0 + 150 * (i % 4),
        "memory_b": (1 + i % 3) * GIB,
    }
    for i in range(12)
]


def record(folder: Path, **keys: object) -> Path:
    """The experiment file ``experiment.yaml`` in ``folder`` and its results in ``out``, which is returned."""
    make_trace(folder, PODS, NODES)
    (folder / "moody.py").write_text(MOODY)
    path = experiment_file(folder, **{"axes": {"policy": POLICIES, "seed": [1, 2]}, **keys})
    sweep = run_experiment(path, folder / "out", jobs=1, progress=False)
    assert not sweep.result.failed, sweep.result.failed
    return folder / "out"
