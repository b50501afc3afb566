"""Hypothesis strategies over the generators of :mod:`ksched.testing.clusters`; needs hypothesis installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

from ksched.objects import Pod
from ksched.testing import clusters

T = TypeVar("T")


class Drawn:
    """Choices drawn by hypothesis, which shrink: integers towards the low end, options towards the first."""

    def __init__(self, draw: st.DrawFn | Callable[[st.SearchStrategy[int]], int]) -> None:
        self._draw = draw

    def integer(self, low: int, high: int) -> int:
        """An integer from ``low`` to ``high``."""
        return self._draw(st.integers(low, high))

    def pick(self, options: Sequence[T]) -> T:
        """One of ``options``."""
        return options[self.integer(0, len(options) - 1)]


@st.composite
def worlds(draw: st.DrawFn, *, most_nodes: int = 6, most_pods: int = 12, odd: bool = True) -> clusters.World:
    """Random clusters."""
    return clusters.world(Drawn(draw), most_nodes=most_nodes, most_pods=most_pods, odd=odd)


@st.composite
def pods(draw: st.DrawFn, name: str = "incoming") -> Pod:
    """Random pods to schedule."""
    return clusters.pod(Drawn(draw), name)


@st.composite
def choosers(draw: st.DrawFn) -> Drawn:
    """A source of choices for tests that decide as they go, e.g. which event comes next."""
    return Drawn(draw)
