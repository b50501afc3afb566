"""What a reader must know before believing the figures."""

from __future__ import annotations

import math
from collections.abc import Mapping

from ksched.report import statistics
from ksched.report.comparison import SIGNIFICANT, Comparison
from ksched.report.diagnosis import what_varies
from ksched.report.headlines import Column, ordered
from ksched.report.metrics import RESOURCE_NAMES
from ksched.report.numbers import listed, row_scale, scale


def cannot_separate(comparison: Comparison, workload: str | None = None) -> bool:
    """True when every compared figure (of a workload) is equal under all policies in every pair."""
    rows = comparison.frame if workload is None else comparison.frame[comparison.frame["workload"] == workload]
    return bool(len(rows)) and bool((rows["verdict"] == "equal").all())


def warnings(comparison: Comparison) -> list[str]:
    """What a reader must know before believing the figures; each a paragraph."""
    found = []
    if cannot_separate(comparison):
        found.append(
            "The workload cannot separate these policies. Every figure is equal in every pair; a longer, a denser or "
            "an inflated replay (replay mode inflate) is needed before anything can be said about them."
        )
    else:
        tied = [w for w in comparison.workloads if cannot_separate(comparison, w)]
        if tied:
            found.append(f"These workloads cannot separate the policies, all figures are equal: {', '.join(tied)}.")
        found += _same_outcome(comparison)
    found += _replication(comparison)
    if comparison.failed_metrics:
        names = listed(list(comparison.failed_metrics))
        found.append(f"Left out because they failed on a run: the metrics {names}; see below for what they said.")
    results = comparison.results
    done = len(results.finished)
    if results.failed:
        found.append(f"{len(results.failed)} of {results.planned} runs failed; they are listed below and left out.")
    if results.stopped:
        found.append(results.stopped)
    elif done + len(results.failed) < results.planned:
        missing = results.planned - done - len(results.failed)
        found.append(f"{missing} of {results.planned} planned runs have not finished; this report covers {done}.")
    return found


def _same_outcome(comparison: Comparison) -> list[str]:
    """Policies that place differently while everything fits: said, because ties in outcome are easily overread."""
    rows = comparison.frame
    outcome = rows[rows["metric"].isin(["scheduled_pods", "pending_mean", "completion_mean"])]
    peaks = comparison.per_run[comparison.per_run["metric"] == "allocation_max"].dropna(subset=["value"])
    if not len(outcome) or not (outcome["verdict"] == "equal").all() or not len(peaks):
        return []
    return [
        "The policies schedule the same pods at the same times; they differ only in where these land. The highest "
        f"allocation reached is {peaks['value'].max():.0f} % of any resource, so there is little for a policy to win."
    ]


def _replication(comparison: Comparison) -> list[str]:
    notes = comparison.frame["note"].astype(str)
    decided = comparison.frame[comparison.frame["diff"] != 0]
    single = bool(len(notes)) and bool((comparison.frame["n"] == 1).all())
    if single:
        return ["One seed only: differences are shown, but without replicates nothing says whether they are chance."]
    if len(decided) and decided["note"].astype(str).str.startswith("no replication").all():
        return [
            "No replication: the seed changes nothing here, every replicate is the same run. The differences are exact "
            "for this one workload; how they generalise to another cannot be said, so there are no intervals."
        ]
    return []


def what_seeds_vary(comparison: Comparison) -> str:
    """What the seeds vary, found by comparing the runs of the baseline with each other."""
    if len(comparison.seeds) < 2:
        return "There is one seed, so nothing shows how much of a difference is chance."
    told: dict[str, list[str]] = {}
    for workload, prints in comparison.fingerprints.items():
        changing, constant = what_varies(prints)
        if len(prints) < 2:
            text = "the baseline has fewer than two finished runs"
        elif not changing:
            text = "nothing: all runs of the baseline are the same run"
        else:
            text = listed(changing) + (f"; the same for all seeds: {listed(constant)}" if constant else "")
        told.setdefault(text, []).append(workload)
    if len(told) == 1:
        return f"From seed to seed changes {next(iter(told))}."
    return " ".join(f"On {', '.join(where)} changes {text}." for text, where in told.items())


def what_seeds_can_show(comparison: Comparison, workload: str, column: Column) -> list[str]:
    """How small a difference the present seeds show, and how many one percent needs; a sentence a policy."""
    told = []
    for policy in comparison.policies[1:]:
        row = comparison.row(policy, workload, column.metric, column.part)
        pairs = comparison.pairs
        mine = pairs[
            (pairs["policy"] == policy)
            & (pairs["workload"] == workload)
            & (pairs["metric"] == column.metric)
            & (pairs["part"] == column.part)
        ]
        if row is None or not len(mine):
            continue
        tests = comparison.frame[
            (comparison.frame["policy"] == policy)
            & (comparison.frame["workload"] == workload)
            & comparison.frame["p_holm"].notna()
            & (comparison.frame["verdict"] != "equal")
        ]
        alpha = SIGNIFICANT / max(1, len(tests))
        note = statistics.power_note(mine["value"].to_numpy(), mine["baseline"].to_numpy(), alpha=alpha)
        if note.note or note.needed is None:
            continue
        detectable = f"{row_scale(row).value(note.detectable)} ({note.detectable_percent:.2g} % of the baseline)"
        told.append(
            f"{policy}: {note.n} seeds show a difference of {detectable} in four of five cases, after the correction; "
            f"to see a difference of 1 % about {note.needed:,} seeds are needed, cautiously {note.needed_cautious:,}."
        )
    return told


def horizon(comparison: Comparison) -> str:
    """When runs end, and what that means for times."""
    rows = comparison.censoring
    if not any(run.pending_time_meaningful for run in comparison.results.finished):
        return (
            "No pod ends in this replay and time has no meaning in it, so pending and completion times are not "
            "reported. Means weigh every arrived pod alike."
        )
    shown = scale("s", rows["horizon_s"].max())
    shortest, longest = float(rows["horizon_s"].min()), float(rows["horizon_s"].max())
    span = shown.value(longest) if shortest == longest else f"{shown.plain(shortest)} to {shown.value(longest)}"
    return (
        f"Runs end after {span} of simulated time. The pending time of a pod that was never scheduled is "
        "right-censored: it is in no percentile. A policy's own percentiles are over the pods it scheduled; "
        "differences are over the pods that both policies of a pair scheduled (completion times: finished), so that "
        "a policy gains nothing by leaving slow pods out."
    )


CENSORING = ("pods created", "never scheduled", "their share of the demand", "scheduled, not finished at the end")


def censoring_table(comparison: Comparison) -> list[tuple[str, list[str]]]:
    """(policy, cells under CENSORING): which pods are missing from the times, means over all runs."""
    numbers = comparison.censoring.drop(columns=["workload", "seed"])
    means = numbers.groupby("policy", sort=False).mean()
    found = []
    for policy in ordered(list(means.index), comparison.policies):
        mean = dict(zip(map(str, means.columns), means.loc[[policy]].to_numpy(dtype=float)[0].tolist(), strict=True))
        counts = scale("pods", mean["created"], mean["never_scheduled"], mean["unfinished"])
        waiting = mean["unfinished"] - mean["never_scheduled"]
        cells = [counts.plain(mean["created"]), counts.plain(mean["never_scheduled"]), _shares(mean)]
        found.append((policy, [*cells, counts.plain(max(waiting, 0.0))]))
    return found


def _shares(mean: Mapping[str, float]) -> str:
    """Never scheduled pods by what they asked for, since a few of them may be the largest."""
    shares = {name: mean[f"never_scheduled_{key}"] for key, name in RESOURCE_NAMES.items()}
    return ", ".join(f"{100 * share:.1f} % {name}" for name, share in shares.items() if not math.isnan(share))


def different_pods(comparison: Comparison) -> list[str]:
    """Policies that schedule or finish other pods than the baseline: how many, a sentence a policy."""
    told = []
    for policy in comparison.policies[1:]:
        mine = comparison.overlap[comparison.overlap["policy"] == policy]
        if not len(mine):
            continue
        for word in ("scheduled", "finished"):
            here, there = (float(mine[f"{word}_{where}_only"].mean()) for where in ("here", "there"))
            if here or there:
                counts = scale("pods", here, there)
                told.append(
                    f"{policy}: {counts.plain(here)} pods a run are {word} under it and not under "
                    f"{comparison.baseline}, {counts.plain(there)} the other way round."
                )
    return told
