"""Numbers and verdicts in plain words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from ksched.report.comparison import Comparison
from ksched.report.metrics import RESOURCE_NAMES

MINUS = "\N{MINUS SIGN}"
NOTHING = "\N{EN DASH}"
_TIME_UNITS = ((86_400.0 * 2, 86_400.0, "d"), (7_200.0, 3_600.0, "h"), (120.0, 60.0, "min"), (1.0, 1.0, "s"))


@dataclass(frozen=True)
class Scale:
    """How numbers of one row are written: divided by ``factor``, with ``digits`` decimals, followed by ``suffix``.

    All numbers of a row share one scale, so that they can be compared by eye.
    """

    factor: float
    digits: int
    suffix: str

    def plain(self, value: float) -> str:
        """1,931.4 or an en dash."""
        if math.isnan(value):
            return NOTHING
        text = f"{abs(value) / self.factor:,.{self.digits}f}"
        return f"{MINUS}{text}" if value < 0 and text.strip("0.,") else text

    def signed(self, value: float) -> str:
        """+1.3, or with a true minus sign; 0 has none."""
        text = self.plain(value)
        return f"+{text}" if value > 0 and text.strip("0.,") else text

    def value(self, value: float) -> str:
        """1,931.4 s"""
        return f"{self.plain(value)}{self.suffix}" if not math.isnan(value) else NOTHING

    def difference(self, value: float) -> str:
        """+1.3 s; of percentages in points, since "2 % more" of a percentage is ambiguous."""
        suffix = " points" if self.suffix == " %" else self.suffix
        return f"{self.signed(value)}{suffix}" if not math.isnan(value) else NOTHING

    def interval(self, low: float, high: float) -> str:
        """[−1.9, −0.7], or nothing when there is no interval."""
        return "" if math.isnan(low) else f"[{self.signed(low)}, {self.signed(high)}]"


def scale(unit: str, *magnitudes: float) -> Scale:
    """The scale for numbers of a unit around these magnitudes."""
    size = max((abs(m) for m in magnitudes if not math.isnan(m)), default=0.0)
    if unit == "s":
        if 0 < size < 1:
            return Scale(0.001, _digits(size / 0.001), " ms")
        factor, suffix = next(((f, s) for least, f, s in _TIME_UNITS if size >= least), (1.0, "s"))
        return Scale(factor, _digits(size / factor), f" {suffix}")
    if unit == "%":
        return Scale(1.0, 2 if size < 1 else 1, " %")
    if unit in ("pods", "nodes"):
        whole = all(m == round(m) for m in magnitudes if not math.isnan(m))
        return Scale(1.0, 0 if whole or size >= 1000 else 1, "")
    return Scale(1.0, _digits(size), f" {unit}" if unit else "")


def _digits(size: float) -> int:
    return 0 if size >= 1000 else 1 if size >= 10 else 2


def row_scale(row: Mapping[str, Any]) -> Scale:
    """The scale of one row of the comparison."""
    return scale(str(row["unit"]), row["value"], row["baseline"])


def p_text(p: float) -> str:
    """0.012, or < 0.001."""
    return NOTHING if math.isnan(p) else "< 0.001" if p < 0.001 else f"{p:.3f}"


def change(row: Mapping[str, Any]) -> str:
    """The difference as a reader wants it: relative where that is clear, else absolute; with its interval."""
    if row["unit"] == "%" or math.isnan(row["relative"]):
        lo, hi, diff, chosen = row["lo"], row["hi"], row["diff"], row_scale(row)
        if row["unit"] == "%":
            chosen = Scale(1.0, _fine_digits(diff, lo, hi), " %")
        text = chosen.difference(diff)
    else:
        lo, hi, diff = row["relative_lo"], row["relative_hi"], row["relative"]
        chosen = Scale(1.0, _fine_digits(diff, lo, hi), "")
        text = f"{chosen.signed(diff)} %"
    if diff != 0 and not chosen.plain(diff).strip(f"0.,{MINUS}"):
        text = text.replace(chosen.plain(diff), f"{'+' if diff > 0 else MINUS}<0.001", 1)
    interval = chosen.interval(lo, hi)
    return f"{text} {interval}" if interval else text


def _fine_digits(*numbers: float) -> int:
    """Decimals for percentages: enough that a small difference does not read as none."""
    size = max((abs(x) for x in numbers if not math.isnan(x)), default=0.0)
    return 1 if size >= 1 or size == 0 else 2 if size >= 0.1 else 3


_MORE_LESS = {
    "scheduled_pods": ("schedules {size} more pods", "schedules {size} fewer pods", "schedules as many pods"),
    "unscheduled_pods": ("leaves {size} more pods unscheduled", "leaves {size} fewer pods unscheduled", ""),
}
_LONGER = ("pending", "completion", "makespan")


def clause(row: Mapping[str, Any]) -> str:
    """One difference as a clause: "schedules 1.3 % fewer pods [−1.9, −0.7]"."""
    title = _title(row)
    if row["verdict"] == "equal":
        return _MORE_LESS.get(row["metric"], ("", "", ""))[2] or f"{title} is the same"
    if row["verdict"] == "undecided":
        if row["lo"] * row["hi"] > 0:
            return f"a difference in {title} does not survive the correction for many tests ({change(row)})"
        return f"no difference shown in {title} ({change(row)})"
    text = change(row)
    size, _, interval = text.partition(" [")
    size, interval = size.lstrip(f"+{MINUS}").replace("<", "under "), f" [{interval}" if interval else ""
    up = row["diff"] > 0
    if row["metric"] in _MORE_LESS:
        return _MORE_LESS[row["metric"]][0 if up else 1].format(size=size) + interval
    word = ("longer" if up else "shorter") if row["metric"].startswith(_LONGER) else ("higher" if up else "lower")
    return f"{title} is {size} {word}{interval}"


def _title(row: Mapping[str, Any]) -> str:
    return phrase(str(row["title"]), str(row["part"]))


def phrase(title: str, part: str) -> str:
    """A title as a noun in a sentence: "Imbalance, mean: cpu" becomes "mean imbalance of CPU"."""
    name = RESOURCE_NAMES.get(part, part)
    plain = title.removesuffix(f": {name}") if part else title
    noun, comma, kind = plain.partition(", ")
    noun = noun[0].lower() + noun[1:]
    text = f"{kind} {noun}" if comma else noun
    if not part:
        return text
    return f"{text} of {name}" if part in RESOURCE_NAMES else f"{text} ({part})"


def seeds_text(n: int) -> str:
    """10 seeds, or what one seed means."""
    return "1 seed, so no interval" if n == 1 else f"{n} seeds"


@dataclass(frozen=True)
class Column:
    """One of the few metrics that come first."""

    metric: str
    part: str
    title: str


HEADLINES = 6
"""How many of the headline metrics are shown at a glance."""


def headline_columns(comparison: Comparison) -> list[Column]:
    """The metrics a reader wants first, most important first; only those defined somewhere in this experiment."""
    timed = any(run.pending_time_meaningful for run in comparison.results.finished)
    when = "mean" if timed else "final"
    resources = _resources_by_pressure(comparison)
    wanted = [("scheduled_pods", ""), ("pending_p95", ""), ("completion_mean", "")]
    wanted += [(f"stranded_{when}", r) for r in resources[:1]]
    wanted += [(f"imbalance_{when}", r) for r in resources[:1]]
    wanted += [("pending_p50", ""), ("makespan", ""), ("nodes_used", "")]
    wanted += [(f"imbalance_{when}", r) for r in resources[1:]]
    wanted += [(f"stranded_{when}", r) for r in resources[1:]]
    defined = comparison.per_run.dropna(subset=["value"])
    present = set(zip(defined["metric"], defined["part"], strict=True))
    columns = [Column(m, p, comparison.metrics[m].label(p)) for m, p in wanted if (m, p) in present]
    # What is equal under all policies comes last, unless everything is.
    rows = comparison.frame[comparison.frame["verdict"] != "equal"]
    differing = set(zip(rows["metric"], rows["part"], strict=True))
    return sorted(columns, key=lambda c: c.metric != "scheduled_pods" and (c.metric, c.part) not in differing)


def _resources_by_pressure(comparison: Comparison) -> list[str]:
    """Resources, the most contended first (highest peak allocation of the baseline)."""
    rows = comparison.per_run
    peaks = rows[(rows["metric"] == "allocation_max") & (rows["policy"] == comparison.baseline)]
    means = peaks.groupby("part", sort=False)["value"].mean()
    return sorted((str(r) for r in means.index), key=lambda r: (-round(float(means[r]), 6), r))


def cell(comparison: Comparison, policy: str, workload: str, column: Column) -> dict[str, Any] | None:
    """The comparison row of one cell of a matrix, or None (the baseline itself, or not defined)."""
    return comparison.row(policy, workload, column.metric, column.part)


def mean_text(comparison: Comparison, policy: str, workload: str, column: Column) -> str:
    """A policy's own mean over its seeds, for cells that show values."""
    mean = comparison.mean(policy, workload, column.metric, column.part)
    return scale(comparison.metrics[column.metric].unit, mean).value(mean)


@dataclass(frozen=True)
class Statement:
    """One finding about one policy and its colour: better, worse, neutral, undecided, equal, untested."""

    text: str
    tone: str


def statements(comparison: Comparison, policy: str) -> list[Statement]:
    """What is to be said about a policy against the baseline, the most important first."""
    columns = headline_columns(comparison)[:HEADLINES]
    if len(comparison.workloads) > 1:
        return [s for c in columns[:4] if (s := _across(comparison, policy, c)) is not None]
    rows = [cell(comparison, policy, comparison.workloads[0], c) for c in columns]
    told = [row for row in rows if row is not None]
    head, rest = told[:1], told[1:]
    decided = [row for row in rest if row["verdict"] not in ("undecided", "equal")]
    quiet = [row for row in rest if row["verdict"] == "undecided"]
    found = [Statement(clause(row), _tone(row["verdict"])) for row in [*head, *decided]]
    if quiet:
        names = ", ".join(_title(row) for row in quiet)
        found.append(Statement(f"no difference shown in {names}", "undecided"))
    return found


def _tone(verdict: str) -> str:
    return "neutral" if verdict in ("higher", "lower") else verdict


def _across(comparison: Comparison, policy: str, column: Column) -> Statement | None:
    """One metric over many workloads, counted."""
    rows = comparison.frame
    mine = rows[(rows["policy"] == policy) & (rows["metric"] == column.metric) & (rows["part"] == column.part)]
    if not len(mine):
        return None
    counts = mine["verdict"].value_counts()
    words = {
        "better": "better on", "worse": "worse on", "higher": "higher on", "lower": "lower on",
        "undecided": "no difference shown on", "equal": "equal on", "untested": "untested on",
    }  # fmt: skip
    told = [f"{words[v]} {int(counts[v])}" for v in words if counts.get(v, 0)]
    one = {str(k): v for k, v in mine.iloc[0].items()}
    relative = one["unit"] != "%" and bool(mine["relative"].notna().all())
    median = float(mine["relative" if relative else "diff"].median())
    size = f"{Scale(1.0, 1, '').signed(median)} %" if relative else row_scale(one).difference(median)
    better, worse = int(counts.get("better", 0)), int(counts.get("worse", 0))
    tone = "better" if better and not worse else "worse" if worse and not better else "neutral"
    text = f"{_title(one)}: {', '.join(told)} of {len(mine)} workloads (median difference {size})"
    return Statement(text, tone if better or worse else "undecided")


def finding(comparison: Comparison) -> str:
    """The answer in one sentence."""
    if len(comparison.policies) < 2:
        return f"Only {comparison.policies[0]} has finished runs, so there is nothing to compare it with."
    if not len(comparison.frame):
        return f"No run of another policy has a finished run of {comparison.baseline} to be paired with."
    if cannot_separate(comparison):
        return "This experiment cannot tell its policies apart: every compared figure is the same under all of them."
    column = separating_column(comparison)
    if len(comparison.workloads) > 1:
        return _finding_across(comparison, column)
    found = [cell(comparison, p, comparison.workloads[0], column) for p in comparison.policies[1:]]
    rows = [row for row in found if row is not None]
    sign = -1 if comparison.metrics[column.metric].better == "lower" else 1
    best = max(rows, key=lambda row: sign * row["diff"])
    subject = f"{best['policy']} " if column.metric in _MORE_LESS else f"under {best['policy']}, "
    told = subject + clause(best)
    context = f"against {comparison.baseline}, {seeds_text(int(best['n']))}"
    if best["verdict"] in ("better", "untested", "higher", "lower") and sign * best["diff"] > 0:
        alone = "." if len(rows) == 1 else "; no other policy does better on this."
        return f"{told[0].upper()}{told[1:]} ({context}){alone}"
    if any(row["verdict"] in ("worse", "untested") for row in rows) and sign * best["diff"] <= 0:
        return f"No policy improves on {comparison.baseline} in {_title(best)} ({seeds_text(int(best['n']))})."
    return (
        f"No policy is shown to improve on {comparison.baseline} in {_title(best)}; nearest is {best['policy']}: "
        f"{change(best)} ({seeds_text(int(best['n']))})."
    )


def _finding_across(comparison: Comparison, column: Column) -> str:
    rows = comparison.frame
    mine = rows[(rows["metric"] == column.metric) & (rows["part"] == column.part)]
    wins = mine[mine["verdict"] == "better"].groupby("policy", sort=False).size()
    title = phrase(column.title, column.part)
    if not len(wins):
        return f"No policy is shown to improve on {comparison.baseline} in {title} on any of the workloads."
    best = max(wins.index, key=lambda policy: int(wins[policy]))
    lost = int(((mine["policy"] == best) & (mine["verdict"] == "worse")).sum())
    return (
        f"In {title}, {best} is better than {comparison.baseline} on {int(wins[best])} of "
        f"{len(comparison.workloads)} workloads and worse on {lost}; no other policy is better on more."
    )


def separating_column(comparison: Comparison) -> Column:
    """The first headline metric in which the policies differ at all."""
    columns = headline_columns(comparison)
    rows = comparison.frame
    for column in columns:
        mine = rows[(rows["metric"] == column.metric) & (rows["part"] == column.part)]
        if len(mine) and (mine["verdict"] != "equal").any():
            return column
    return columns[0]


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
    results = comparison.results
    done = len(results.finished)
    if results.failed:
        found.append(f"{len(results.failed)} of {results.planned} runs failed; they are listed below and left out.")
    if done + len(results.failed) < results.planned:
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


def unscheduled_table(comparison: Comparison, workload: str) -> pd.DataFrame:
    """Mean unscheduled pods by reason (rows) and policy (columns), the most frequent reason first."""
    rows = comparison.per_run
    mine = rows[(rows["workload"] == workload) & (rows["metric"] == "unscheduled_by_reason")]
    if not len(mine):
        return pd.DataFrame()
    # A reason that did not occur in a run counts 0 there, so the mean is over all runs of the policy.
    runs = rows[rows["workload"] == workload].groupby("policy", sort=False)["run_id"].nunique()
    totals = mine.groupby(["part", "policy"], sort=False)["value"].sum().unstack(fill_value=0)
    policies = [p for p in comparison.policies if p in runs.index]
    means = totals.reindex(columns=policies, fill_value=0.0).div(runs[policies], axis=1)
    means = means[means.sum(axis=1) > 0].sort_index()
    return means.loc[means.sum(axis=1).sort_values(ascending=False, kind="stable").index]


def ordered(values: Sequence[str], known: Sequence[str]) -> list[str]:
    """``values`` in the order of ``known``."""
    return [k for k in known if k in set(values)]
