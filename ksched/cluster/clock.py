"""Virtual time as Kubernetes writes it: RFC 3339, whole seconds, UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from ksched.sim.kernel import SECOND, Kernel

EPOCH = "2025-01-01T00:00:00Z"
"""The date of virtual time 0. Any date would do; results never show it."""

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_TO_MINUTES = len("2025-01-01T00:00:")
_SECONDS = [f"{second:02}Z" for second in range(60)]


class Clock:
    """Reads the kernel's time as text, and text back as nanoseconds."""

    def __init__(self, kernel: Kernel, epoch: str = EPOCH) -> None:
        self.kernel = kernel
        self._epoch = datetime.strptime(epoch, _FORMAT).replace(tzinfo=UTC)
        # The texts of the minute that was asked for last, and its first second: time goes on by little.
        self._since = 0
        self._texts: list[str] = []

    def timestamp(self) -> str:
        """The current time, truncated to seconds as metav1.Time is."""
        second = self.kernel.now // SECOND
        into = second - self._since
        return self._texts[into] if 0 <= into < len(self._texts) else self.format(second)

    def format(self, second: int) -> str:
        """The text of a time given in seconds since the start."""
        into = second - self._since
        if not 0 <= into < len(self._texts):
            into = (self._epoch.second + second) % 60
            self._since = second - into
            minute = (self._epoch + timedelta(seconds=self._since)).isoformat()[:_TO_MINUTES]
            self._texts = [minute + seconds for seconds in _SECONDS]
        return self._texts[into]

    def parse(self, text: str) -> int:
        """Nanoseconds since the start of a time as :meth:`timestamp` writes it."""
        moment = datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
        return int((moment - self._epoch).total_seconds()) * SECOND
