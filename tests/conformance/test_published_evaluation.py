"""experiments/fgd-atc23 against the values published with the paper, which are no part of ksched.

``$KSCHED_DATA`` holds the trace's files and, in ``fgd/expected``, the paper's ``analysis_*_discrete.csv``.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import pytest

from ksched.experiments import run_experiment
from ksched.report.exports import write_exports

FOLDER = Path(__file__).parents[2] / "experiments" / "fgd-atc23"
PUBLISHED = Path(os.environ.get("KSCHED_DATA", "")) / "fgd" / "expected"

pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif("KSCHED_DATA" not in os.environ, reason="KSCHED_DATA is not set: no real traces here"),
    pytest.mark.skipif(not PUBLISHED.is_dir(), reason="there are no published values in $KSCHED_DATA/fgd/expected"),
]

ONE = ["openb_pod_list_default", "05-BestFit", "42"]
MORE = [
    ["openb_pod_list_default", "06-FGD", "42"],
    ["openb_pod_list_gpuspec33", "06-FGD", "43"],
    ["openb_pod_list_gpushare100", "02-DotProd", "45"],
    ["openb_pod_list_multigpu50", "03-GpuClustering", "46"],
    ["openb_pod_list_cpu250", "04-GpuPacking", "47"],
]


@pytest.mark.parametrize(
    ("workload", "policy", "seed"), [ONE, *(pytest.param(*cell, marks=pytest.mark.slow) for cell in MORE)]
)
def test_a_run_gives_the_published_digits(workload: str, policy: str, seed: str, tmp_path: Path) -> None:
    only = [f"workload={workload}", f"policy={policy}", f"seed={seed}"]
    sweep = run_experiment(FOLDER / "experiment.yaml", tmp_path, only=only, jobs=1, progress=False)
    assert not sweep.result.failed
    write_exports(sweep.directory)
    compare = runpy.run_path(str(FOLDER / "compare_published.py"), run_name="compare_published")["compare"]
    ((where, agreement),) = compare(tmp_path, PUBLISHED).items()
    assert where == (workload, policy)
    assert agreement.runs == 1
    assert agreement.differing == []
    assert agreement.cells == 3 * 131 + 1
