"""Container images present on nodes (upstream: scheduler cache's ImageStateSummary)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ksched.objects import Node
from ksched.tables.arrays import Int32Array, grown
from ksched.tables.interning import Interner


class ImageState(NamedTuple):
    """An image somewhere in the cluster: ``size`` in bytes as the first node with it said, nodes that have it."""

    size: int
    num_nodes: int


NO_IMAGE = ImageState(0, 0)


class ImageColumns:
    """Per node the interned set of image names, and per image its state over the cluster."""

    def __init__(self, capacity: int) -> None:
        self.ids: Int32Array = np.zeros(capacity, dtype=np.int32)
        self.sets: Interner[frozenset[str]] = Interner([frozenset()])
        self.states: dict[str, ImageState] = {}

    def add(self, row: int, node: Node) -> None:
        """Count the images ``node`` reports in its status."""
        sizes: dict[str, int] = {}
        for image in node.status.images:
            for name in image.names:
                sizes.setdefault(name, image.size_bytes or 0)
        for name, size in sizes.items():
            state = self.states.get(name)
            self.states[name] = ImageState(size, 1) if state is None else ImageState(state.size, state.num_nodes + 1)
        self.ids[row] = self.sets.id(frozenset(sizes))

    def remove(self, row: int) -> None:
        """Stop counting the images of ``row``."""
        for name in sorted(self.sets.values[self.ids[row]]):
            state = self.states[name]
            if state.num_nodes == 1:
                del self.states[name]
            else:
                self.states[name] = ImageState(state.size, state.num_nodes - 1)
        self.ids[row] = 0

    def grow(self, capacity: int) -> None:
        """Make room for ``capacity`` rows."""
        self.ids = grown(self.ids, capacity)

    def delete_row(self, row: int, count: int) -> None:
        """Close the gap row ``row`` leaves among ``count`` rows."""
        self.ids[row : count - 1] = self.ids[row + 1 : count]
        self.ids[count - 1] = 0
