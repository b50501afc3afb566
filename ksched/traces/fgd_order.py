"""The order in which the artifact of "Beware of Fragmentation" (Weng et al., USENIX ATC 2023) lets pods arrive.

Its simulator (https://github.com/hkust-adsl/kubernetes-scheduler-simulator) draws everything from Go's one global
generator: the order of pods, which of them are cloned or dropped to reach the demand, and a number for every node that
is put before its name and so breaks ties. The same draws in the same order give the same pods on the same nodes.
"""

from __future__ import annotations

import numpy as np

from ksched.traces.go_random import GoRandom
from ksched.traces.replay import InflateProblem, Order

_DRAWN_BEFORE_NODES = 10
"""Client-go's reflectors each draw the timeout of their first watch between the pods' order and the nodes'."""


def fgd_order(problem: InflateProblem, seed: int) -> Order:
    """Shuffle the pods, clone or drop random ones until their demand meets the target, and number the nodes.

    Clones are drawn from the pods by name, with replacement, and come last in the order they were drawn; the first one
    whose share of one device would exceed the target ends it, so a clone of several devices may overshoot.
    """
    draws = GoRandom(seed)
    draws.int63()  # the argument of a log call
    order = draws.shuffled(len(problem.names))
    demand, unit = problem.demand.tolist(), problem.unit.tolist()
    total = sum(demand)
    if total > problem.target:
        while total > problem.target:
            total -= demand[order.pop(draws.intn(len(order)))]
    else:
        while total + unit[drawn := draws.intn(len(demand))] <= problem.target:
            order.append(drawn)
            total += demand[drawn]
    for _ in range(_DRAWN_BEFORE_NODES):
        draws.int63()
    return Order(np.array(order, dtype=np.int64), np.array(draws.perm(problem.nodes), dtype=np.int64))
