"""Virtual time and chance: the event kernel, random streams, delays and channels. Knows no Kubernetes."""

from ksched.sim.channels import Channel, OrderedChannel, Pipe
from ksched.sim.delays import (
    Constant,
    Delay,
    Duration,
    Exponential,
    LogNormal,
    Sampler,
    Uniform,
    parse_duration,
)
from ksched.sim.kernel import HOUR, MICROSECOND, MILLISECOND, MINUTE, SECOND, Kernel, Timer
from ksched.sim.streams import Streams

__all__ = [
    "HOUR",
    "MICROSECOND",
    "MILLISECOND",
    "MINUTE",
    "SECOND",
    "Channel",
    "Constant",
    "Delay",
    "Duration",
    "Exponential",
    "Kernel",
    "LogNormal",
    "OrderedChannel",
    "Pipe",
    "Sampler",
    "Streams",
    "Timer",
    "Uniform",
    "parse_duration",
]
