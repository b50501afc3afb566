"""When leases expire (etcd: server/lease/lessor.go, the primary lessor).

Only the leader keeps this clock, and a new leader starts it anew for every lease: it does not know what was renewed
last. Expired leases are looked for every ``check`` nanoseconds; since nothing can be seen of a look that finds
nothing, only the one at which a lease will be found is waited for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ksched.cluster.priorities import DELIVERY
from ksched.sim.kernel import SECOND, Kernel, Timer

RETRY = 3 * SECOND
"""After so long a revocation that has not come about is asked for again (etcd: expiredLeaseRetryInterval)."""


class Lessor:
    """Calls ``revoke(lease_id)`` when a lease has expired, until :meth:`forget` tells that it is gone."""

    def __init__(self, kernel: Kernel, check: int, revoke: Callable[[int], object]) -> None:
        self.revoke = revoke
        self._kernel = kernel
        self._check = check
        self._deadlines: dict[int, int] = {}
        self._timers: dict[int, Timer] = {}

    def start(self, lease_id: int, ttl: int, extend: int = 0) -> None:
        """Let the lease expire ``ttl`` seconds, and ``extend`` nanoseconds, from now on."""
        deadline = self._kernel.now + ttl * SECOND + extend
        self._deadlines[lease_id] = deadline
        self._look(lease_id, deadline)

    def expired(self, lease_id: int) -> bool:
        """True for a lease whose time is up, though it may not be revoked yet, and for one not known here."""
        return self._deadlines.get(lease_id, -1) <= self._kernel.now

    def forget(self, lease_id: int) -> None:
        """The lease is no more."""
        if self._deadlines.pop(lease_id, None) is not None:
            self._timers.pop(lease_id).cancel()

    def remaining(self, lease_id: int) -> int:
        """Whole seconds left; -1 when there is no such lease here."""
        deadline = self._deadlines.get(lease_id)
        return -1 if deadline is None else max(deadline - self._kernel.now, 0) // SECOND

    def promote(self, ttls: Mapping[int, int], extend: int) -> None:
        """Take over as the leader: every lease gets its full time, and the time an election takes on top."""
        for lease_id, ttl in ttls.items():
            self.start(lease_id, ttl, extend)

    def adopt(self, other: Lessor) -> None:
        """Take over the leases of another clock with the time they have left."""
        for lease_id, deadline in other._deadlines.items():
            self._deadlines[lease_id] = deadline
            self._look(lease_id, deadline)
        other.demote()

    def demote(self) -> None:
        """Somebody else leads: no lease expires here."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers, self._deadlines = {}, {}

    def _look(self, lease_id: int, earliest: int) -> None:
        timer = self._timers.get(lease_id)
        if timer is not None:
            timer.cancel()
        check = self._check
        at = -(-earliest // check) * check if check else earliest
        self._timers[lease_id] = self._kernel.call_at(
            max(at, self._kernel.now), self._found, lease_id, priority=DELIVERY
        )

    def _found(self, lease_id: int) -> None:
        self._look(lease_id, self._kernel.now + RETRY)
        self.revoke(lease_id)
