"""The queue between a controller's event handlers and its syncs (client-go util/workqueue).

A key is never synced twice at the same time, a key added while it is being synced is synced again afterwards, and
failures come back after a delay that doubles per key and is held to a common rate.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from ksched.cluster.controllers.config import ControllersConfig
from ksched.cluster.controllers.steps import Steps, run
from ksched.cluster.priorities import RECONCILE
from ksched.sim.kernel import SECOND, Kernel, Timer

Key = Any


class RateLimiter:
    """How long a failed key waits: its own exponential back-off, or its turn in the token bucket if that is later."""

    def __init__(self, kernel: Kernel, config: ControllersConfig) -> None:
        self._kernel = kernel
        self._base = config.base_delay
        self._max = config.max_delay
        self._failures: dict[Key, int] = {}
        self._token_every = SECOND // config.qps
        self._burst = config.burst
        self._next_free = -self._burst * self._token_every  # when the next token becomes available, burst included

    def delay(self, key: Key) -> int:
        """Nanoseconds ``key`` has to wait after one more failure."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        own = min(self._base << min(failures, 40), self._max)
        now = self._kernel.now
        self._next_free = max(self._next_free, now - self._burst * self._token_every) + self._token_every
        return max(own, self._next_free - now)

    def failures(self, key: Key) -> int:
        """How often ``key`` has failed since it was last forgotten."""
        return self._failures.get(key, 0)

    def forget(self, key: Key) -> None:
        """``key`` has succeeded."""
        self._failures.pop(key, None)


class WorkQueue:
    """Runs ``sync(key)`` for keys that were added, at most ``workers`` at once."""

    def __init__(
        self, kernel: Kernel, sync: Callable[[Key], Steps], config: ControllersConfig, workers: int | None = None
    ) -> None:
        self._kernel = kernel
        self._sync = sync
        self._free = workers or config.workers
        self._limiter = RateLimiter(kernel, config)
        self._waiting: deque[Key] = deque()
        self._dirty: dict[Key, None] = {}
        self._processing: dict[Key, None] = {}
        self._delayed: dict[Key, Timer] = {}
        self._scheduled = False

    def add(self, key: Key) -> None:
        """Sync ``key`` as soon as a worker is free."""
        if key in self._dirty:
            return
        self._dirty[key] = None
        if key not in self._processing:
            self._waiting.append(key)
            self._wake()

    def add_after(self, key: Key, delay: int) -> None:
        """Sync ``key`` after ``delay`` ns; the earliest of several wishes counts."""
        if delay <= 0:
            self.add(key)
            return
        due = self._kernel.now + delay
        pending = self._delayed.get(key)
        if pending is not None:
            if pending.time <= due:
                return
            pending.cancel()
        self._delayed[key] = self._kernel.call_at(due, self._due, key, priority=RECONCILE)

    def add_rate_limited(self, key: Key) -> None:
        """Sync ``key`` again after a failure, later each time."""
        self.add_after(key, self._limiter.delay(key))

    def forget(self, key: Key) -> None:
        """Start ``key``'s back-off anew."""
        self._limiter.forget(key)

    def _due(self, key: Key) -> None:
        del self._delayed[key]
        self.add(key)

    def _wake(self) -> None:
        if not self._scheduled and self._free and self._waiting:
            self._scheduled = True
            self._kernel.call_later(0, self._work, priority=RECONCILE)

    def _work(self) -> None:
        self._scheduled = False
        while self._free and self._waiting:
            key = self._waiting.popleft()
            del self._dirty[key]
            self._processing[key] = None
            self._free -= 1
            run(self._sync(key), self._done(key))

    def _done(self, key: Key) -> Callable[[Exception | None], None]:
        def done(error: Exception | None) -> None:
            self._free += 1
            del self._processing[key]
            if error is None:
                self._limiter.forget(key)
            else:
                self.add_rate_limited(key)
            if key in self._dirty:
                self._waiting.append(key)
            self._wake()

        return done
