"""The event kernel: a virtual clock and a heap of things to do.

Time is an integer number of nanoseconds since the start of the simulation. Events run in the order of the key
``(time, priority, sequence)``: at one instant a smaller priority goes first, and among equals the one that was
asked for first. Nothing else (no thread, no hash, no wall clock) has a say, so a run is a function of its inputs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
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
    """A pending call. ``cancel()`` before it has run makes sure it never does; afterwards it does nothing.

    :meth:`Kernel.call_at` fills it in, which costs half of what an ``__init__`` would.
    """

    __slots__ = ("_kernel", "args", "background", "fn", "time")

    _kernel: Kernel
    time: int
    fn: Callable[..., object] | None
    args: tuple[Any, ...]
    background: bool

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
        self._stopped = False
        # What is to run at this instant with priority 0: in order already, so it need not go through the heap.
        self._soon: deque[tuple[int, Callable[..., object], tuple[Any, ...]]] = deque()

    def post(self, fn: Callable[..., object], *args: Any) -> None:
        """``call_later(0, fn, *args)``, cheaper, for what will never be cancelled."""
        self._sequence = sequence = self._sequence + 1
        self._soon.append((sequence, fn, args))

    def call_at(self, time: int, fn: Callable[..., object], *args: Any, priority: int = 0) -> Timer:
        """Call ``fn(*args)`` at ``time`` (ns). ValueError for a time that has passed or a negative priority."""
        if time < self.now or priority < 0:
            raise ValueError(f"cannot call at {time} ns with priority {priority}: it is {self.now} ns already")
        self._sequence = sequence = self._sequence + 1
        timer = Timer()
        timer._kernel = self
        timer.time = time
        timer.fn = fn
        timer.args = args
        timer.background = False
        heappush(self._heap, (time, priority, sequence, timer))
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

    def comes_next(self, priority: int) -> bool:
        """Whether a call for this instant, asked for now, would be the next to run.

        The call under way may then make it itself as the last thing it does, and nothing comes out differently.
        """
        heap = self._heap
        return not (self._soon or self._stopped or (heap and heap[0][:2] <= (self.now, priority)))

    @property
    def pending(self) -> int:
        """Number of calls still to run, housekeeping left out."""
        return len(self._soon) + len(self._heap) - self._cancelled - self._background

    def drain(self, until: int | None = None, most: int = -1) -> int:
        """Run calls, housekeeping too, until none is left by ``until``, :meth:`stop`, or ``most`` have run; how many.

        The loop everything happens in, and so without a call of its own for each.
        """
        heap, soon = self._heap, self._soon
        self._stopped = False
        left = most
        while left and not self._stopped:
            if soon and (not heap or heap[0][0] > self.now or heap[0] > (self.now, 0, soon[0][0])):
                _, fn, args = soon.popleft()
                left -= 1
                fn(*args)
                continue
            if not heap or (until is not None and heap[0][0] > until):
                break
            time, _, _, timer = heappop(heap)
            if timer.fn is None:
                self._cancelled -= 1
                continue
            self.now = time
            if timer.background:
                self._background -= 1
            call, timer.fn = timer.fn, None  # from here on a cancel() means nothing
            left -= 1
            call(*timer.args)
        return most - left

    def stop(self) -> None:
        """Let :meth:`drain` return after the call under way."""
        self._stopped = True

    def step(self) -> bool:
        """Run the next call; False when there is none."""
        return self.drain(most=1) == 1

    def run(self, until: int | None = None) -> None:
        """Run all up to and including time ``until`` and leave ``now`` there; without it, until nothing is pending."""
        if until is None:
            while self._soon or len(self._heap) > self._cancelled + self._background:
                self.step()
            return
        self.drain(until)
        self.now = max(self.now, until)

    def next_time(self) -> int | None:
        """Time of the next call in ns, or None when nothing is left to do."""
        if self._soon:
            return self.now
        self._drop_cancelled()
        return self._heap[0][0] if self._heap else None

    def _drop_cancelled(self) -> None:
        heap = self._heap
        while heap and heap[0][3].fn is None:
            heappop(heap)
            self._cancelled -= 1

    def _note_cancelled(self, timer: Timer) -> None:
        self._cancelled += 1
        self._background -= timer.background
        if self._cancelled > _PRUNE_ABOVE and self._cancelled * 2 > len(self._heap):
            self._heap[:] = [entry for entry in self._heap if entry[3].fn is not None]
            heapify(self._heap)
            self._cancelled = 0
