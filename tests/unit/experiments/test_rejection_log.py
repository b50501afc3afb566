"""Column ``rejections``: what is spelled out for all decisions together is what each of them says itself."""

from __future__ import annotations

import random

from ksched.experiments.rejection_log import RejectionLog
from ksched.framework import Code, Decision, Outcome, Rejection
from ksched.framework.decisions import Tally
from ksched.framework.verdicts import Verdict, Verdicts
from ksched.tables import PodView
from ksched.testing.factories import make_pod

CODES = (Code.UNSCHEDULABLE, Code.UNSCHEDULABLE_AND_UNRESOLVABLE)


def some_verdicts(rng: random.Random) -> Verdicts:
    verdicts = Verdicts()
    for order in range(8):
        reasons = tuple(rng.sample(["cpu", "memory", "taint", "gpu"], rng.randint(1, 3)))
        verdicts.id(Verdict(rng.choice(["Fit", "Taint", "Ports"]), rng.choice(CODES), reasons, order))
    return verdicts


def decided(node: str | None, tally: Tally | None) -> Decision:
    outcome = Outcome.SCHEDULED if node else Outcome.UNSCHEDULABLE
    return Decision(PodView(make_pod("p")), outcome, 0, 1, 9, 9, node=node, tally=tally)


def test_placed_and_waiting_pods_of_several_profiles() -> None:
    rng = random.Random(3)
    tables = [some_verdicts(rng), some_verdicts(rng)]
    decisions = []
    for _ in range(200):
        verdicts = rng.choice(tables)
        nodes = {i: rng.randint(0, 3) for i in rng.sample(range(len(verdicts.table)), rng.randint(0, 5))}
        decisions.append(decided(rng.choice(["n0", None]), Tally(verdicts, nodes)))
    everywhere = decided(None, None)
    everywhere.rejections = (Rejection("B", "second", 9, False), Rejection("A", "first", 9, False))
    decisions.insert(50, everywhere)
    log = RejectionLog()
    log.extend(decisions)
    assert log.to_arrow().to_pylist() == [
        [{"plugin": r.plugin, "reason": r.reason, "nodes": r.nodes} for r in decision.rejections]
        for decision in decisions
    ]


def test_no_decision_and_decisions_without_rejections() -> None:
    log = RejectionLog()
    assert log.to_arrow().to_pylist() == []
    log.extend([decided("n0", Tally(Verdicts(), {0: 9})), decided(None, None)])
    assert log.to_arrow().to_pylist() == [[], []]
