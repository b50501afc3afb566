"""Virtual time as Kubernetes writes it: RFC 3339, whole seconds, UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime

from ksched.sim.kernel import SECOND, Kernel

EPOCH = "2025-01-01T00:00:00Z"
"""The date of virtual time 0. Any date would do; results never show it."""

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
_DAY = 24 * 60 * 60


class Clock:
    """Reads the kernel's time as text, and text back as nanoseconds."""

    def __init__(self, kernel: Kernel, epoch: str = EPOCH) -> None:
        self.kernel = kernel
        self._epoch = datetime.strptime(epoch, _FORMAT).replace(tzinfo=UTC)
        midnight = self._epoch.replace(hour=0, minute=0, second=0)
        self._first_day = midnight.toordinal()
        self._into_first_day = int((self._epoch - midnight).total_seconds())
        self._second = -1
        self._text = ""
        self._day = 0
        self._day_text = midnight.date().isoformat()

    def timestamp(self) -> str:
        """The current time, truncated to seconds as metav1.Time is."""
        second = self.kernel.now // SECOND
        if second != self._second:
            self._second = second
            self._text = self.format(second)
        return self._text

    def format(self, second: int) -> str:
        """The text of a time given in seconds since the start."""
        day, rest = divmod(self._into_first_day + second, _DAY)
        if day != self._day:
            self._day = day
            self._day_text = date.fromordinal(self._first_day + day).isoformat()
        minutes, seconds = divmod(rest, 60)
        return f"{self._day_text}T{minutes // 60:02}:{minutes % 60:02}:{seconds:02}Z"

    def parse(self, text: str) -> int:
        """Nanoseconds since the start of a time as :meth:`timestamp` writes it."""
        moment = datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
        return int((moment - self._epoch).total_seconds()) * SECOND
