"""What a finished run chose, decision by decision: for finding one, and for checking that it comes out again."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq

from ksched.errors import InputError, nearest
from ksched.framework import Decision


class Choice(NamedTuple):
    """The columns of the table ``decisions`` that say what was chosen, for whom and when."""

    t_us: int
    pod: str
    attempt: int
    result: str
    node: str | None

    def __str__(self) -> str:
        return f"{self.pod} (attempt {self.attempt} at {self.t_us / 1e6:g} s) -> {self.node or self.result}"


class RecordedChoices:
    """The choices of one run, in order."""

    def __init__(self, columns: dict[str, list[Any]], where: str) -> None:
        self._where = where
        self.rows = [Choice(*row) for row in zip(*(columns[name] for name in Choice._fields), strict=True)]

    @classmethod
    def read(cls, folder: Path) -> RecordedChoices:
        """From the table ``decisions`` of a run's folder; InputError when it cannot be read."""
        path = folder / "decisions.parquet"
        try:
            with pq.ParquetFile(path) as file:
                return cls(file.read(columns=list(Choice._fields)).to_pydict(), str(path))
        except (OSError, ValueError) as error:
            raise InputError(
                f"the table of decisions cannot be read: {str(error).splitlines()[0]}",
                where=str(path),
                hint=f"remove {folder} and run the experiment again: only this run will be repeated",
            ) from error

    def at(self, number: int) -> Choice | None:
        """Choice ``number``, None behind the last."""
        return self.rows[number] if number < len(self.rows) else None

    def find(self, pod: str, attempt: int | None, start: int = 0) -> int:
        """Number of the next decision about a pod from ``start`` on, or of an ``attempt`` anywhere."""
        mine = [i for i, row in enumerate(self.rows) if row.pod == pod]
        if not mine:
            guess = nearest(pod, {row.pod for row in self.rows})
            raise InputError(
                f"no decision was made about a pod {pod!r}",
                where=self._where,
                hint=f"did you mean {guess!r}?" if guess else None,
            )
        found = [i for i in mine if (i >= start if attempt is None else self.rows[i].attempt == attempt)]
        if not found:
            raise InputError(
                f"there is no later decision about {pod}"
                if attempt is None
                else f"there is no attempt {attempt} to place {pod}; attempts: {len(mine)}",
                where=self._where,
            )
        return next((i for i in found if i >= start), found[0])

    def last(self, pod: str) -> int:
        """Number of the last decision about a pod."""
        self.find(pod, None)
        return max(i for i, row in enumerate(self.rows) if row.pod == pod)

    def check(self, number: int, decision: Decision) -> None:
        """InputError if decision ``number`` is not what was recorded."""
        made = Choice(
            decision.time_ns // 1000, decision.pod.key, decision.attempt, decision.outcome.value, decision.node
        )
        recorded = self.at(number)
        if made != recorded:
            raise InputError(
                f"decision {number} does not come out as recorded: {made}, recorded {recorded or 'nothing'}",
                where=self._where,
                hint="a plugin depends on something beside its inputs and cycle.random: the wall clock, a global "
                "random generator, the order of a set",
            )

    def check_end(self, made: int) -> None:
        """InputError if more decisions were recorded than were ``made``."""
        if made < len(self.rows):
            raise InputError(f"the run ends after {made} decisions, recorded were {len(self.rows)}", where=self._where)
