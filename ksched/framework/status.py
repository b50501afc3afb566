"""The closed set of outcomes a plugin may return; the code carries behaviour, the reasons carry explanation."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Code(Enum):
    """Status codes, with upstream's names and meaning (upstream: framework/interface.go)."""

    SUCCESS = "Success"
    ERROR = "Error"
    UNSCHEDULABLE = "Unschedulable"
    """Does not fit now; removing pods might help, so preemption is tried."""
    UNSCHEDULABLE_AND_UNRESOLVABLE = "UnschedulableAndUnresolvable"
    """Does not fit, and removing pods would not help."""
    WAIT = "Wait"
    """Permit only: hold the pod until somebody allows it."""
    SKIP = "Skip"
    """PreFilter: do not run my Filter for this pod. PreScore: do not run my Score. Bind: somebody else binds."""


@dataclass(frozen=True, slots=True)
class Status:
    """What an extension point returns when it is not plain success (which is ``None``)."""

    code: Code
    reasons: tuple[str, ...] = ()
    plugin: str = ""
    timeout_s: float = 0.0
    """Only for WAIT: after this long the pod is rejected."""

    @classmethod
    def skip(cls) -> Status:
        """Nothing to do for this pod: the coupled Filter (or Score) is not run."""
        return _SKIP

    @classmethod
    def unschedulable(cls, *reasons: str, resolvable: bool = True) -> Status:
        """The pod cannot be placed; ``resolvable=False`` says that evicting pods would not help."""
        code = Code.UNSCHEDULABLE if resolvable else Code.UNSCHEDULABLE_AND_UNRESOLVABLE
        return cls(code, reasons)

    @classmethod
    def error(cls, *reasons: str) -> Status:
        """Something went wrong; the pod is retried."""
        return cls(Code.ERROR, reasons)

    @classmethod
    def wait(cls, timeout_s: float) -> Status:
        """Permit: hold the pod for at most ``timeout_s`` seconds of simulated time. PreBind: ask again after them."""
        return cls(Code.WAIT, timeout_s=timeout_s)

    def by(self, plugin: str) -> Status:
        """The same status, naming the plugin that returned it."""
        return Status(self.code, self.reasons, plugin, self.timeout_s)

    @property
    def rejected(self) -> bool:
        """Unschedulable, resolvable or not."""
        return self.code in (Code.UNSCHEDULABLE, Code.UNSCHEDULABLE_AND_UNRESOLVABLE)


_SKIP = Status(Code.SKIP)
