"""A disk as a log sees it: records are appended, and safe once a sync that began later has ended.

A loss of power takes what was not synced: a part of it, drawn at random, may have reached the disk all the same, in
order, and the record behind that part may be there in pieces. A process that merely dies loses nothing it has
appended, because the operating system holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from ksched.sim.delays import Constant, Delay, Sampler
from ksched.sim.kernel import Kernel
from ksched.sim.streams import Streams


class Torn:
    """What is read in place of a record that was only partly written."""

    def __repr__(self) -> str:
        return "TORN"


TORN = Torn()


class DiskConfig(BaseModel):
    """``sync``: time of one sync (fsync). ``torn``: chance that a loss of power leaves the first lost record torn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sync: Delay = Constant()
    torn: float = Field(default=0.5, ge=0, le=1)


class Disk:
    """One append-only log on a disk of its own. ``name`` names its random streams."""

    def __init__(
        self, kernel: Kernel, streams: Streams, name: str, config: DiskConfig | None = None, *, priority: int = 0
    ) -> None:
        self.config = config or DiskConfig()
        self._kernel = kernel
        self._streams = streams
        self._name = name
        self._priority = priority
        self._sync = Sampler(self.config.sync, streams, f"{name}/sync")
        self._records: list[Any] = []
        self._synced = 0
        self._forgotten = 0
        self._busy_until = 0
        # Counts losses: a sync that was under way when the process died tells nobody.
        self._life = 0

    def append(self, *records: Any) -> None:
        """Write ``records`` behind the last one, without making them safe."""
        self._records += records

    def sync(self, then: Callable[..., object], *args: Any) -> None:
        """Make everything appended so far safe, then call ``then(*args)``. Syncs are done one after the other.

        A sync that takes no time calls back before it returns.
        """
        taken = self._sync()
        if taken == 0 and self._busy_until <= self._kernel.now:
            self._synced = len(self._records)
            then(*args)
            return
        self._busy_until = max(self._kernel.now, self._busy_until) + taken
        end = self._forgotten + len(self._records)
        self._kernel.call_at(self._busy_until, self._end_sync, self._life, end, then, args, priority=self._priority)

    def _end_sync(self, life: int, end: int, then: Callable[..., object], args: tuple[Any, ...]) -> None:
        if life == self._life:
            self._synced = max(self._synced, min(end - self._forgotten, len(self._records)))
            then(*args)

    def settle(self) -> None:
        """Make everything appended so far safe in no time; for a simulation that begins in mid-life."""
        self._synced = len(self._records)

    def records(self) -> Sequence[Any]:
        """Everything there is, in the order written; the last may be ``TORN``."""
        return self._records

    def cut(self, length: int) -> None:
        """Drop all records but the first ``length``, as the repair of a torn log does."""
        del self._records[length:]
        self._synced = min(self._synced, length)

    def forget(self, count: int) -> None:
        """Drop the first ``count`` records, as old segments of a log are deleted; none may be unsynced.

        ValueError if one is.
        """
        if count > self._synced:
            raise ValueError(f"cannot forget {count} records: only {self._synced} are synced")
        del self._records[:count]
        self._synced -= count
        self._forgotten += count

    def crash(self, *, power_loss: bool = True) -> None:
        """The process dies; with ``power_loss`` what was not synced is lost but for a random part of it."""
        self._life += 1
        self._busy_until = 0
        unsynced = len(self._records) - self._synced
        if power_loss and unsynced:
            chance = self._streams.generator(f"{self._name}/loss")
            kept = int(chance.integers(unsynced + 1))
            torn = kept < unsynced and chance.random() < self.config.torn
            del self._records[self._synced + kept :]
            if torn:
                self._records.append(TORN)
        self._synced = len(self._records)
