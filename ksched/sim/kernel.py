"""The event kernel: a virtual clock and a heap of things to do.

Time is an integer number of nanoseconds since the start of the simulation. Events run in the order of the key
``(time, priority, sequence)``: at one instant a smaller priority goes first, and among equals the one that was
asked for first. Nothing else (no thread, no hash, no wall clock) has a say, so a run is a function of its inputs.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

NANOSECOND = 1
MICROSECOND = 1_000
MILLISECOND = 1_000_000
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE

# A heap that is mostly cancelled timers is rebuilt; below this size it is not worth the trouble.
_PRUNE_ABOVE = 1024


class Timer:
    """A pending call. ``cancel()`` before it has run makes sure it never does; afterwards it does nothing."""

    __slots__ = ("_kernel", "args", "background", "fn", "time")

    def __init__(self, kernel: Kernel, time: int, fn: Callable[..., object], args: tuple[Any, ...]) -> None:
        self._kernel = kernel
        self.background = False
        self.time = time
        self.fn: Callable[..., object] | None = fn
        self.args = args

    @property
    def pending(self) -> bool:
        """True until the call has run or was cancelled."""
        return self.fn is not None

    def cancel(self) -> None:
        """Forget the call, and whatever its arguments kept alive."""
        if self.fn is not None:
            self.fn = None
            self.args = ()
            self._kernel._note_cancelled(self)


class Kernel:
    """Runs calls in virtual time. ``now`` is the current time in ns and only this class moves it."""

    def __init__(self) -> None:
        self.now = 0
        self._heap: list[tuple[int, int, int, Timer]] = []
        self._sequence = 0
        self._cancelled = 0
        self._background = 0

    def call_at(self, time: int, fn: Callable[..., object], *args: Any, priority: int = 0) -> Timer:
        """Call ``fn(*args)`` at ``time`` (ns). Raises ValueError for a time that has passed."""
        if time < self.now:
            raise ValueError(f"cannot call at {time} ns: it is {self.now} ns already")
        self._sequence = sequence = self._sequence + 1
        timer = Timer(self, time, fn, args)
        heapq.heappush(self._heap, (time, priority, sequence, timer))
        return timer

    def call_later(self, delay: int, fn: Callable[..., object], *args: Any, priority: int = 0) -> Timer:
        """Call ``fn(*args)`` after ``delay`` ns (not negative); zero means later at this same instant."""
        return self.call_at(self.now + delay, fn, *args, priority=priority)

    def call_background(self, time: int, fn: Callable[..., object], *args: Any, priority: int = 0) -> Timer:
        """As :meth:`call_at` for housekeeping, which alone does not keep ``run()`` from ending."""
        timer = self.call_at(time, fn, *args, priority=priority)
        timer.background = True
        self._background += 1
        return timer

    @property
    def pending(self) -> int:
        """Number of calls still to run, housekeeping left out."""
        return len(self._heap) - self._cancelled - self._background

    def next_time(self) -> int | None:
        """Time of the next call in ns, or None when nothing is left to do."""
        heap = self._heap
        while heap and heap[0][3].fn is None:
            heapq.heappop(heap)
            self._cancelled -= 1
        return heap[0][0] if heap else None

    def step(self) -> bool:
        """Run the next call; False when there is none."""
        heap = self._heap
        while heap:
            time, _, _, timer = heapq.heappop(heap)
            fn = timer.fn
            if fn is None:
                self._cancelled -= 1
                continue
            self.now = time
            if timer.background:
                self._background -= 1
            timer.fn = None  # a cancel() from inside the call must not count as a cancelled heap entry
            fn(*timer.args)
            return True
        return False

    def run(self, until: int | None = None) -> None:
        """Run all up to and including time ``until`` and leave ``now`` there; without it, until nothing is pending."""
        step = self.step
        if until is None:
            while len(self._heap) > self._cancelled + self._background:
                step()
            return
        heap = self._heap
        while heap and heap[0][0] <= until:
            if heap[0][3].fn is None:
                self.next_time()  # drops the cancelled ones at the front, so that step() cannot overshoot
            else:
                step()
            heap = self._heap
        self.now = max(self.now, until)

    def _note_cancelled(self, timer: Timer) -> None:
        self._cancelled += 1
        self._background -= timer.background
        if self._cancelled > _PRUNE_ABOVE and self._cancelled * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[3].fn is not None]
            heapq.heapify(self._heap)
            self._cancelled = 0
