"""Where ksched is known not to decide as kube-scheduler does, each under a name.

The conformance run still counts what a deviation covers as disagreement; it reports it by name, so that a known
difference cannot hide a new one. docs/conformance.md says why each is there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ksched.testing.agreement import Compared


@dataclass(frozen=True)
class Deviation:
    """``covers(case, compared)`` says whether this is the reason why one part of one case's answer differs."""

    name: str
    why: str
    covers: Callable[[Mapping[str, Any], Compared], bool]


DEVIATIONS: tuple[Deviation, ...] = ()
"""All known ones; empty means every difference is a defect."""


def deviation_of(case: Mapping[str, Any], compared: Compared, known: tuple[Deviation, ...] | None = None) -> str:
    """The name of the first deviation that covers a difference, "" if none does."""
    deviations = DEVIATIONS if known is None else known
    return next((d.name for d in deviations if d.covers(case, compared)), "")
