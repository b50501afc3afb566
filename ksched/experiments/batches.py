"""Seeds in batches until there are enough, for experiments whose number of seeds follows from their results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from ksched.experiments.file import SEED
from ksched.experiments.plan import Plan
from ksched.experiments.runner import SweepResult
from ksched.experiments.sweep import Sweep

FIRST = 10
"""Seeds of the first batch: a rule that may stop earlier stops on luck (see ksched.report.statistics.stopping)."""
STEP = 5
"""Seeds of every further batch."""


def run_in_batches(plan: Plan, run: Callable[[Plan], Sweep], enough: Callable[[Path, Sequence[str]], bool]) -> Sweep:
    """Run the seeds that ``plan`` selects, in the order of the file, until ``enough`` or until a batch has failures.

    ``run`` runs a plan (run_plan with its options). ``enough`` is asked after every batch with the result directory and
    the seeds so far, and must look at nothing else: then the same experiment stops at the same seed however often it
    was interrupted.
    """
    known = plan.experiment.axis_values[SEED]
    wanted = {spec.axes[SEED] for spec in plan.selected if SEED in spec.axes}
    seeds = [seed for seed in known if seed in wanted]
    done: list[str] = []
    count = FIRST
    while True:
        # A run to which the seed makes no difference belongs to every batch.
        chosen = tuple(s for s in plan.selected if SEED not in s.axes or s.axes[SEED] in seeds[:count])
        sweep = run(replace(plan, selected=chosen))
        done += sweep.result.done
        if sweep.result.failed or enough(sweep.directory, seeds[:count]) or count >= len(seeds):
            return _whole(sweep, done)
        count += STEP


def _whole(sweep: Sweep, done: list[str]) -> Sweep:
    """The last batch, which holds the ones before it, as one sweep."""
    before = set(done)
    kept = [run_id for run_id in sweep.result.kept if run_id not in before]
    return Sweep(sweep.directory, sweep.plan, SweepResult(done, kept, sweep.result.failed))
