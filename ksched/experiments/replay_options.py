"""The ``replay`` keys of a trace in an experiment file, and the replay they ask for."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt

from ksched.errors import InputError
from ksched.sim.delays import Duration
from ksched.traces import Trace
from ksched.traces.fgd_order import fgd_order
from ksched.traces.replay import OrderFunction, Replay, inflate, shuffle_then_sample, snapshot, timestamp
from ksched.traces.specs import DEFAULT_MAX_PODS

Mode = Literal["timestamp", "inflate", "snapshot"]
_DEFAULTS: dict[str, dict[str, Any]] = {
    "timestamp": {"expand": "workloads", "horizon": None},
    "inflate": {"ratio": 1.3, "resource": "gpu", "order": "shuffle", "batch": 1},
    "snapshot": {},
}
"""Which keys concern which mode, and what they are when absent."""
_ORDERS: dict[str, OrderFunction] = {"shuffle": shuffle_then_sample, "fgd-atc23": fgd_order}


class ReplayOptions(BaseModel):
    """How the pods of a trace arrive. A key that does not concern the mode is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    mode: Mode | None = Field(None, description="default: the mode the trace's manifest recommends")
    expand: Literal["workloads", "pods"] | None = Field(
        None, description="timestamp: Jobs and Deployments as the trace says (workloads), or bare Pods"
    )
    horizon: Duration | None = Field(
        None, description="timestamp: virtual time at which the run ends (`12h`); default: when everything has ended"
    )
    ratio: float | None = Field(None, gt=0, description="inflate: demand at the end, as a multiple of capacity (1.3)")
    resource: Literal["cpu", "memory", "gpu"] | None = Field(None, description="inflate: whose demand counts (gpu)")
    order: Literal["shuffle", "fgd-atc23"] | None = Field(
        None, description="inflate: who draws the order: ksched (shuffle), or as the artifact of FGD, ATC 2023, drew it"
    )
    batch: PositiveInt | None = Field(
        None,
        description="inflate: how many pods are created at a time (1). They wait for each other in the queue and are "
        "decided one by one all the same, so with equal priorities more only makes the run faster",
    )
    max_pods: PositiveInt = Field(DEFAULT_MAX_PODS, description="pod slots of nodes for which the trace gives none")

    def resolved(self, recommended: Mode, *, where: str) -> dict[str, Any]:
        """The options with all defaults, only those that concern the mode: part of a run's identity.

        ``recommended`` is the mode of the trace's manifest.
        """
        mode = self.mode or recommended
        options: dict[str, Any] = {"mode": mode, "max_pods": self.max_pods}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name in options:
                continue
            if name in _DEFAULTS[mode]:
                options[name] = _DEFAULTS[mode][name] if value is None else value
            elif value is not None:
                raise InputError(f"{name!r} does not concern replay mode {mode!r}", where=where)
        return options


def make_replay(trace: Trace, options: dict[str, Any], seed: int) -> Replay:
    """The replay that resolved options describe."""
    if options["mode"] == "timestamp":
        return timestamp(trace, expand=options["expand"])
    if options["mode"] == "inflate":
        order = _ORDERS[options["order"]]
        return inflate(trace, seed=seed, ratio=options["ratio"], resource=options["resource"], order=order)
    return snapshot(trace)
