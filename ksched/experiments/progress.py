"""How a sweep is shown while it runs: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections import deque
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from ksched.experiments.run_spec import Outcome

_LOG_EVERY_S = 10.0
_RATE_OVER_S = 5.0


class ConsoleWatcher:
    """Shows runs done, pods replayed a second and the time left; a context manager."""

    def __init__(self, total: int, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)
        self.total = total
        self._finished = 0
        self._computed = 0
        self._started = time.monotonic()
        self._last_log = self._started
        self._fractions: dict[str, tuple[int, int]] = {}
        self._pods_finished = 0
        self._history: deque[tuple[float, int]] = deque()
        self._bar = Progress(
            TextColumn("runs"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("", total=total, status="")

    def __enter__(self) -> ConsoleWatcher:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def running(self, run_id: str, done: int, total: int) -> None:
        """A run has handled ``done`` of its ``total`` arrivals."""
        self._fractions[run_id] = (done, total)
        self.tick()

    def finished(self, outcome: Outcome) -> None:
        """A run has ended."""
        self._pods_finished += self._fractions.pop(outcome.run_id, (0, 0))[1]
        self._finished += 1
        self._computed += outcome.status != "kept"
        if outcome.status == "failed":
            self.console.print(f"run {outcome.run_id} failed: {outcome.message}", style="red", markup=False)
        self.tick()

    def waiting(self, reason: str) -> None:
        """Nothing is being computed here, and why."""
        self._show(reason)

    def tick(self) -> None:
        """Bring the display up to date."""
        now = time.monotonic()
        pods = self._pods_finished + sum(done for done, _ in self._fractions.values())
        self._history.append((now, pods))
        while now - self._history[0][0] > _RATE_OVER_S:
            self._history.popleft()
        self._show(self._status(now))

    def _status(self, now: float) -> str:
        parts = []
        (then, before), (_, pods) = self._history[0], self._history[-1]
        if now > then and pods > before:
            parts.append(f"{(pods - before) / (now - then):,.0f} pods/s")
        computed = self._computed + sum(done / max(total, 1) for done, total in self._fractions.values())
        if computed >= 0.5:
            left = (now - self._started) / computed * (self.total - self._finished + self._computed - computed)
            parts.append(f"{left:.0f} s left")
        return ", ".join(parts)

    def _show(self, status: str) -> None:
        now = time.monotonic()
        if self.console.is_terminal:
            self._bar.update(self._task, completed=self._finished, status=status)
        elif now - self._last_log >= _LOG_EVERY_S:
            self._last_log = now
            self.console.print(f"{self._finished}/{self.total} runs {status}".rstrip(), markup=False)
