"""What policies divide amounts by to make them comparable."""

from __future__ import annotations

from pydantic import PositiveInt

from ksched_plugins.plugin_args import PluginArgs


class LargestNode(PluginArgs):
    """The largest node; the defaults are the openb cluster's.

    ``cpu_milli``: the most cpu a node has, millicores. ``gpu_milli``: the most GPU, milli over all devices.
    """

    cpu_milli: PositiveInt = 128_000
    gpu_milli: PositiveInt = 8_000
