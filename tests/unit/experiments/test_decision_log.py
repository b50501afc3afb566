"""What the table ``decisions`` keeps of a preemption."""

from __future__ import annotations

from ksched.experiments.columns import BLOCK
from ksched.experiments.decision_log import DecisionLog
from ksched.framework import Decision, Outcome
from ksched.tables import PodView
from ksched.testing.factories import make_pod


def decision(
    name: str, *, node: str | None = None, nominated: str | None = None, victims: tuple[str, ...] = ()
) -> Decision:
    outcome = Outcome.SCHEDULED if node else Outcome.UNSCHEDULABLE
    made = Decision(PodView(make_pod(name)), outcome, 0, 1, 2, 2, node=node)
    made.nominated_node, made.victims = nominated, victims
    return made


def test_who_is_evicted_for_whom_and_where() -> None:
    log = DecisionLog()
    for made in (
        decision("high", nominated="n0", victims=("default/low0", "default/low2")),
        decision("other", node="n1"),
        decision("higher", nominated="n1", victims=("default/low1",)),
    ):
        log.append(made)
    table = log.to_arrow()
    assert table["nominated_node"].to_pylist() == ["n0", None, "n1"]
    assert table["victims"].to_pylist() == [["default/low0", "default/low2"], [], ["default/low1"]]


def test_blocks_of_columns_leave_no_decision_out() -> None:
    log = DecisionLog()
    names = [f"p{i}" for i in range(2 * BLOCK + 1)]
    for i, name in enumerate(names):
        log.append(decision(name, node=f"n{i}", victims=(name,) if i in (BLOCK - 1, BLOCK) else ()))
    table = log.to_arrow()
    assert table["pod"].to_pylist() == [f"default/{name}" for name in names]
    assert table["node"].to_pylist() == [f"n{i}" for i in range(len(names))]
    assert [i for i, victims in enumerate(table["victims"].to_pylist()) if victims] == [BLOCK - 1, BLOCK]


def test_a_log_without_decisions_has_the_same_columns() -> None:
    log = DecisionLog()
    empty = log.to_arrow().schema
    log.append(decision("high", nominated="n0", victims=("default/low0",)))
    assert log.to_arrow().schema == empty
