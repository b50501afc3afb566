"""What-if on a NodeTable without copying it: remember what was touched, put exactly that back."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ksched.tables.node_table import NodeTable, PlacedPod


class Fork:
    """An open what-if; as a context manager it reverts at the end unless committed.

    Only the pods of touched nodes are remembered, so a fork costs nothing until something changes in it and its
    cost does not depend on the size of the cluster. The order of a node's pods is restored too: preemption reads it.

    A ``quiet`` fork leaves no trace in the change logs, so whatever is cached from the table stays valid without a
    look. In return nothing that follows the logs may be asked while it is open, and it can only be reverted.
    """

    def __init__(self, table: NodeTable, outer: Fork | None, quiet: bool = False) -> None:
        self._table = table
        self._outer = outer
        self.quiet: bool = quiet or (outer is not None and outer.quiet)
        self._before: dict[str, dict[str, PlacedPod]] = {}
        self._open = True

    def before(self, node_name: str) -> None:
        """Called by the table before the pods of ``node_name`` change."""
        if node_name not in self._before:
            self._before[node_name] = dict(self._table._pods.get(node_name, {}))

    def commit(self) -> None:
        """Keep what was done; an outer fork can still undo it."""
        if self.quiet and (self._outer is None or not self._outer.quiet):
            raise RuntimeError("a quiet fork can only be reverted: nobody was told what changed in it")
        self._close()
        if self._outer is not None:
            for name, pods in self._before.items():
                self._outer._before.setdefault(name, pods)

    def revert(self) -> None:
        """Undo every pod added or removed since the fork began."""
        self._close()
        for name, pods in self._before.items():
            self._table.restore_pods(name, pods, quiet=self.quiet)

    def _close(self) -> None:
        if not self._open:
            raise RuntimeError("this fork is already committed or reverted")
        if self._table._fork is not self:
            raise RuntimeError("an inner fork is still open: close it first")
        self._open = False
        self._table._fork = self._outer

    def __enter__(self) -> Fork:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._open:
            self.revert()
