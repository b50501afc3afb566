"""Ways for a message to get from one component to another.

A channel that takes no time is the same channel with a delay of zero.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ksched.sim.delays import Sampler
from ksched.sim.kernel import Kernel

Send = Callable[..., None]


def _call(fn: Callable[..., object], *args: Any) -> None:
    fn(*args)


class Channel:
    """Delivers calls after a sampled delay; two calls may overtake each other, as requests of one client may.

    With ``inline`` a zero delay makes the call at once, inside ``send``; without it even a call with no delay waits
    for its turn in the kernel, so that a caller is never re-entered by its own answer.

    ``send(fn, *args)`` calls ``fn(*args)`` at the other end; with ``is_instant`` at once, inside ``send``.
    """

    __slots__ = ("_delay", "_inline", "_kernel", "_priority", "is_instant", "send")

    def __init__(self, kernel: Kernel, delay: Sampler, *, priority: int = 0, inline: bool = False) -> None:
        self._kernel = kernel
        self._delay = delay
        self._priority = priority
        self._inline = inline
        self.is_instant = inline and delay.is_zero
        self.send: Send = self._send
        if self.is_instant:
            self.send = _call
        elif delay.is_zero and priority == 0:
            self.send = kernel.post

    def _send(self, fn: Callable[..., object], *args: Any) -> None:
        delay = self._delay()
        if delay == 0 and self._inline:
            fn(*args)
        elif delay == 0 and self._priority == 0:
            self._kernel.post(fn, *args)
        else:
            self._kernel.call_at(self._kernel.now + delay, fn, *args, priority=self._priority)


class OrderedChannel:
    """Like :class:`Channel`, but first in, first out, as one TCP connection is: nothing overtakes.

    ``send(fn, *args)`` calls ``fn(*args)`` at the other end, after everything sent before it; with ``is_instant`` at
    once, inside ``send``.
    """

    __slots__ = ("_delay", "_kernel", "_last", "_priority", "is_instant", "send")

    def __init__(self, kernel: Kernel, delay: Sampler, *, priority: int = 0, inline: bool = False) -> None:
        self._kernel = kernel
        self._delay = delay
        self._priority = priority
        self._last = -1
        self.is_instant = inline and delay.is_zero
        self.send: Send = _call if self.is_instant else self._send

    def _send(self, fn: Callable[..., object], *args: Any) -> None:
        self._last = arrival = max(self._kernel.now + self._delay(), self._last)
        self._kernel.call_at(arrival, fn, *args, priority=self._priority)


class Pipe:
    """An ordered stream of items to one receiver, which gets all that has arrived by an instant as one list.

    The bulk of a simulation's messages are watch events; handing them over together saves an event each. Arrivals
    have priority 0.
    """

    __slots__ = ("_delay", "_items", "_kernel", "_last", "_receive", "_timed", "_waiting")

    def __init__(self, kernel: Kernel, delay: Sampler, receive: Callable[[list[Any]], object]) -> None:
        self._kernel = kernel
        self._delay = delay
        self._receive = receive
        self._timed = not delay.is_zero
        self._items: list[Any] = []  # pairs (arrival, item) if it takes time, else the items
        self._waiting = False
        self._last = 0

    def send(self, item: Any) -> None:
        """Let ``item`` follow everything sent before it."""
        if not self._timed:
            self._items.append(item)
            if not self._waiting:
                self._waiting = True
                self._kernel.post(self._flush)
            return
        self._last = arrival = max(self._kernel.now + self._delay(), self._last)
        self._items.append((arrival, item))
        if not self._waiting:
            self._waiting = True
            self._kernel.call_at(arrival, self._flush_timed)

    def close(self) -> None:
        """Drop what is still on its way."""
        self._items = []

    def _flush(self) -> None:
        items, self._items = self._items, []
        self._waiting = False
        if items:
            self._receive(items)

    def _flush_timed(self) -> None:
        now, items = self._kernel.now, self._items
        arrived = 0
        while arrived < len(items) and items[arrived][0] <= now:
            arrived += 1
        self._items = items[arrived:]
        self._waiting = bool(self._items)
        if self._waiting:
            self._kernel.call_at(self._items[0][0], self._flush_timed)
        if arrived:
            self._receive([item for _, item in items[:arrived]])
