"""Workload traces: the canonical format, readers of public formats, checks, a generator and replay."""

from ksched.traces.sources import available_traces, load_trace
from ksched.traces.trace import Trace, write_trace

__all__ = ["Trace", "available_traces", "load_trace", "write_trace"]
