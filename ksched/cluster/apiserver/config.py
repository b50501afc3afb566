"""What can be set about the api-server."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from ksched.sim.delays import Constant, Delay, Duration
from ksched.sim.kernel import MINUTE


class ApiServerConfig(BaseModel):
    """Latencies and switches of the api-server.

    ``request`` and ``response``: one way between a client and the api-server, the server's own work included.
    ``watch``: from the api-server's cache to a watching client. ``compaction_interval``: how often history is given
    up in etcd (0: never); what is older than the last round but one is gone. ``default_toleration_seconds``: how
    long pods tolerate a not ready or unreachable node by default (None switches that admission plugin off).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    request: Delay = Constant()
    response: Delay = Constant()
    watch: Delay = Constant()
    compaction_interval: Duration = 5 * MINUTE
    default_toleration_seconds: int | None = 300
