"""What a worker is given for one run, and what it gives back. Small and picklable: tables never cross processes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

if TYPE_CHECKING:
    from ksched.experiments.policy import SchedulerSource

Progress = Callable[[int, int], None]
"""Called now and then with (arrivals handled, arrivals in all)."""


@dataclass(frozen=True)
class RunSpec:
    """One run: its identity, the labels it has in the experiment, and the sources a worker loads it from."""

    run_id: str
    seed: int
    axes: dict[str, str]
    """Axis -> value name, without the axes that make no difference to this run."""
    config: dict[str, Any]
    """Canonical configuration, defaults filled in: policy, replay, cluster."""
    trace: dict[str, Any]
    """name, content_hash and mode of the trace."""
    trace_source: str = ""
    """Argument of ksched.traces.load_trace."""
    data: Path | None = None
    """Where outside traces are."""
    scheduler: SchedulerSource | None = None
    plugin_hashes: dict[str, str] = field(default_factory=dict)
    """Plugin -> source hash the run's id was made with."""
    ksched: dict[str, str] = field(default_factory=dict)
    """Version and source hash of the ksched the run's id was made with."""

    @cached_property
    def group(self) -> str:
        """Equal for runs with the same arrivals: trace, replay and seed. No part of the identity."""
        return json.dumps([self.trace, self.config.get("replay"), self.seed], sort_keys=True)


@dataclass(frozen=True)
class RunOutput:
    """What a simulation hands over: the result tables and what run.json says beside them."""

    tables: Mapping[str, pa.Table]
    t_end_us: int
    pending_time_meaningful: bool
    notes: tuple[str, ...] = ()
    timing: Mapping[str, Any] = field(default_factory=dict)


Simulate = Callable[[RunSpec, Progress], RunOutput]


@dataclass(frozen=True)
class Outcome:
    """How one run ended. "busy": another process holds its claim; "lost": the process that computed it died."""

    run_id: str
    status: Literal["done", "failed", "kept", "busy", "lost"]
    message: str = ""
    seconds: float = 0.0
