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
        self._second = -1
        self._text = ""
        # Time goes on by little: most of a text is that of the one before.
        self._minute = 0
        self._minute_text = ""

    def timestamp(self) -> str:
        """The current time, truncated to seconds as metav1.Time is."""
        second = self.kernel.now // SECOND
        if second != self._second:
            self._second = second
            self._text = self.format(second)
        return self._text

    def format(self, second: int) -> str:
        """The text of a time given in seconds since the start."""
        minute, seconds = divmod(self._epoch.second + second, 60)
        if minute != self._minute or not self._minute_text:
            self._minute = minute
            self._minute_text = (self._epoch + timedelta(minutes=minute)).isoformat()[:_TO_MINUTES]
        return self._minute_text + _SECONDS[seconds]

    def parse(self, text: str) -> int:
        """Nanoseconds since the start of a time as :meth:`timestamp` writes it."""
        moment = datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
        return int((moment - self._epoch).total_seconds()) * SECOND
