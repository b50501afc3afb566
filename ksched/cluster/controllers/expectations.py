"""What a controller has done and not yet seen (pkg/controller/controller_utils.go, ControllerExpectations).

A controller that creates pods must not look again, and create again, before its informer shows the new ones.
"""

from __future__ import annotations

from ksched.sim.kernel import Kernel


class _Expected:
    __slots__ = ("creations", "deletions", "since")

    def __init__(self, since: int) -> None:
        self.creations = 0
        self.deletions: set[str] = set()
        self.since = since


class Expectations:
    """Per controller object (by key): pods it created, counted, and pods it deleted, by uid."""

    def __init__(self, kernel: Kernel, timeout: int) -> None:
        self._kernel = kernel
        self._timeout = timeout
        self._expected: dict[str, _Expected] = {}

    def expect_creations(self, key: str, count: int) -> None:
        """``count`` pods are being created."""
        self._of(key).creations += count

    def expect_deletions(self, key: str, uids: list[str]) -> None:
        """These pods are being deleted."""
        self._of(key).deletions.update(uids)

    def creation_observed(self, key: str, count: int = 1) -> None:
        """Pods have appeared, or will never."""
        expected = self._expected.get(key)
        if expected is not None:
            expected.creations = max(expected.creations - count, 0)

    def deletion_observed(self, key: str, uid: str) -> None:
        """A pod has begun to go, or will never."""
        expected = self._expected.get(key)
        if expected is not None:
            expected.deletions.discard(uid)

    def satisfied(self, key: str) -> bool:
        """True when everything expected was seen, or too much time has passed to go on waiting."""
        expected = self._expected.get(key)
        if expected is None:
            return True
        if expected.creations == 0 and not expected.deletions:
            return True
        return self._kernel.now - expected.since > self._timeout

    def forget(self, key: str) -> None:
        """The object is gone."""
        self._expected.pop(key, None)

    def _of(self, key: str) -> _Expected:
        expected = self._expected.get(key)
        if expected is None or self.satisfied(key):
            expected = self._expected[key] = _Expected(self._kernel.now)
        return expected
