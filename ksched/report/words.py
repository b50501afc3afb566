"""Findings, verdicts and warnings in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ksched.report.cautions import cannot_separate
from ksched.report.comparison import Comparison
from ksched.report.headlines import HEADLINES, Column, cell, headline_columns, mean_text, separating_column
from ksched.report.leaders import Leaders, leaders, ranks
from ksched.report.metrics import RESOURCE_NAMES
from ksched.report.numbers import MINUS, Scale, change, listed, row_scale

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
    if row["verdict"] == "exploratory" and not row["lo"] * row["hi"] > 0:
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
    decided = [row for row in rest if row["verdict"] not in ("undecided", "exploratory", "equal")]
    quiet = [row for row in rest if row["verdict"] in ("undecided", "exploratory")]
    found = [Statement(clause(row), _tone(row["verdict"])) for row in [*head, *decided]]
    # An interval beside zero that the correction for many tests overrules is not the same as no sign of a difference.
    for tested, beside_zero, text in (
        (True, True, "differences that do not survive the correction for many tests: {}"),
        (False, True, "differences in exploratory metrics, not corrected for many tests: {}"),
        (None, False, "no difference shown in {}"),
    ):
        names = [
            _title(row)
            for row in quiet
            if (row["lo"] * row["hi"] > 0) == beside_zero and tested in (None, row["verdict"] == "undecided")
        ]
        if names:
            found.append(Statement(text.format(", ".join(names)), "undecided"))
    return found


def _tone(verdict: str) -> str:
    return "neutral" if verdict in ("higher", "lower") else verdict


def _across(comparison: Comparison, policy: str, column: Column) -> Statement | None:
    """One metric over many workloads, counted."""
    rows = comparison.frame
    mine = rows[(rows["policy"] == policy) & (rows["metric"] == column.metric) & (rows["part"] == column.part)]
    if not len(mine):
        return None
    beside_zero = (mine["verdict"] == "undecided") & (mine["lo"] * mine["hi"] > 0)
    counts = mine["verdict"].where(~beside_zero, "overruled").value_counts()
    words = {
        "better": "better on",
        "worse": "worse on",
        "higher": "higher on",
        "lower": "lower on",
        "overruled": "not established after correction on",
        "undecided": "no difference shown on",
        "exploratory": "exploratory on",
        "equal": "equal on",
        "untested": "untested on",
    }
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
    workload = comparison.workloads[0]
    ahead = leaders(comparison, workload, column)
    if ahead is None:  # a property, not a merit
        rows = [cell(comparison, p, workload, column) for p in comparison.policies[1:]]
        return "; ".join(f"{row['policy']}: {clause(row)}" for row in rows if row is not None) + "."
    if ahead.best == comparison.baseline or comparison.baseline in ahead.equal:
        return _nobody_ahead(comparison, workload, column, ahead)
    return _somebody_ahead(comparison, workload, column, ahead)


def _nobody_ahead(comparison: Comparison, workload: str, column: Column, ahead: Leaders) -> str:
    told = f"No policy improves on {comparison.baseline} in {phrase(column.title, column.part)}"
    level = [p for p in (ahead.best, *ahead.equal) if p != comparison.baseline]
    if level:
        told += f"; {listed(level)} {_is_are(level)} equal to it"
    if ahead.open:
        told += f"; {listed(ahead.open)} {_is_are(ahead.open)} not told apart from it"
    return f"{told} ({_seeds(comparison, workload, column)})."


def _somebody_ahead(comparison: Comparison, workload: str, column: Column, ahead: Leaders) -> str:
    row = cell(comparison, ahead.best, workload, column)
    assert row is not None
    means = f"{row_scale(row).value(row['value'])} instead of {row_scale(row).value(row['baseline'])}"
    sizes = f"{means}, {change(row)}, {seeds_text(int(row['n']))}"
    subject, level = phrase(column.title, column.part), [ahead.best, *ahead.equal]
    if row["verdict"] in ("undecided", "untested", "exploratory"):
        word = "can be shown" if row["verdict"] == "untested" else "is shown"
        told = f"No policy {word} to improve on {comparison.baseline} in {subject}; nearest "
        told += f"{_is_are(level)} {listed(level)} ({sizes})"
    elif ahead.equal:
        told = f"{listed(level)} tie for the best {subject} against {comparison.baseline} ({sizes})"
    else:
        told = f"{ahead.best} has the best {subject} against {comparison.baseline} ({sizes})"
    untold = [p for p in ahead.open if p != comparison.baseline]
    if untold:
        values = [f"{p} ({mean_text(comparison, p, workload, column)})" for p in untold]
        return f"{told}; {listed(values)} {_is_are(untold)} not told apart from {'them' if ahead.equal else 'it'}."
    return f"{told}."


def _seeds(comparison: Comparison, workload: str, column: Column) -> str:
    rows = [cell(comparison, p, workload, column) for p in comparison.policies[1:]]
    return seeds_text(max(int(row["n"]) for row in rows if row is not None))


def _is_are(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"


def _finding_across(comparison: Comparison, column: Column) -> str:
    rows = comparison.frame
    mine = rows[(rows["metric"] == column.metric) & (rows["part"] == column.part)]
    counts = {p: (mine["policy"] == p) & (mine["verdict"] == "better") for p in comparison.policies[1:]}
    wins = {policy: int(won.sum()) for policy, won in counts.items()}
    title, most = phrase(column.title, column.part), max(wins.values())
    if not most:
        told = f"No policy is shown to improve on {comparison.baseline} in {title} on any of the workloads."
    else:
        best = [policy for policy in wins if wins[policy] == most]
        lost = [int(((mine["policy"] == p) & (mine["verdict"] == "worse")).sum()) for p in best]
        verb, worse = ("is", str(lost[0])) if len(best) == 1 else ("are each", listed([str(n) for n in lost]))
        told = (
            f"In {title}, {listed(best)} {verb} better than {comparison.baseline} on {most} of "
            f"{len(comparison.workloads)} workloads and worse on {worse}; no other policy is better on as many."
        )
    return f"{told}{_rank_sentence(comparison, column)}"


def _rank_sentence(comparison: Comparison, column: Column) -> str:
    found = ranks(comparison, column)
    if found is None or not found.p_f < 0.05:
        return ""
    apart = found.critical_difference
    level = [p for p, rank in zip(found.policies, found.ranks, strict=True) if rank - found.ranks[0] <= apart]
    if len(level) == 1:
        return f" By mean rank {level[0]} is ahead of every other policy."
    return f" By mean rank {listed(level)} lead and are not told apart."


def family_text(comparison: Comparison) -> str:
    """Which metrics were corrected together, and who chose them."""
    names = [phrase(comparison.metrics[m].label(p), p) for m, p in comparison.primary]
    if not names:
        return "No primary metric has a value here, so nothing was tested; every metric is exploratory."
    chosen = "as the experiment file declares" if comparison.declared else "ksched's default, as the file declares none"
    return (
        f"Primary metrics ({chosen}): {listed(names)}. These are tested, and corrected together by Holm's method for "
        "each policy on each workload; those that restate each other count once. All other metrics are exploratory: "
        "their intervals and p are not corrected, and among so many some will stand beside zero by chance."
    )
