"""Host ports in use, by (protocol, port) and IP: few pods use any, so sparse maps beat columns."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ksched.tables.arrays import BoolArray, IntArray
from ksched.tables.pod_view import HostPort

_ANY_IP = "0.0.0.0"


class PortColumns:
    """(protocol, port) -> ip -> row -> number of pods holding it."""

    def __init__(self) -> None:
        self._used: dict[tuple[str, int], dict[str, dict[int, int]]] = {}

    def hold(self, row: int, ports: Iterable[HostPort], sign: int) -> None:
        """A pod on ``row`` takes (sign +1) or gives back (-1) ``ports``."""
        for ip, protocol, port in ports:
            rows = self._used.setdefault((protocol, port), {}).setdefault(ip, {})
            count = rows.get(row, 0) + sign
            if count:
                rows[row] = count
            else:
                rows.pop(row, None)

    def conflicts(self, wanted: Iterable[HostPort], rows: IntArray | None, n: int) -> BoolArray:
        """Which rows already use a wanted port; 0.0.0.0 conflicts with every IP (upstream: HostPortInfo)."""
        holders = [
            used_rows
            for ip, protocol, port in wanted
            for used_ip, used_rows in self._used.get((protocol, port), {}).items()
            if used_rows and (ip == used_ip or _ANY_IP in (ip, used_ip))
        ]
        if rows is None:
            taken = np.zeros(n, dtype=np.bool_)
            for holder in holders:
                taken[list(holder)] = True
            return taken
        return np.array([any(row in holder for holder in holders) for row in rows.tolist()], dtype=np.bool_)

    def delete_row(self, row: int) -> None:
        """Forget ``row`` and move the rows behind it up."""
        for by_ip in self._used.values():
            for ip, rows in by_ip.items():
                by_ip[ip] = {r - (r > row): count for r, count in rows.items() if r != row}
