"""Verdicts: what one Filter said of one node, interned, so that a column of them is an int32 array.

0 is "passes". Every other id stands for (plugin, code, reasons), and thousands of nodes share a handful of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ksched.errors import PluginError
from ksched.framework.protocols import FilterResult, Reject
from ksched.framework.status import Code, Status
from ksched.tables.arrays import BoolArray, Int32Array

PASSES = 0
_MAX_LOOKUP_BITS = 10
_WORD_BITS = 62
_FEW_ROWS = 4


@dataclass(frozen=True, slots=True)
class Verdict:
    """A rejection: by whom, resolvable or not, and why. ``order`` is the plugin's place among the filters."""

    plugin: str
    code: Code
    reasons: tuple[str, ...]
    order: int

    @property
    def status(self) -> Status:
        """The verdict as a status."""
        return Status(self.code, self.reasons, self.plugin)


class Verdicts:
    """All verdicts given so far under one profile."""

    def __init__(self) -> None:
        self._ids: dict[Verdict, int] = {}
        self.table: list[Verdict | None] = [None]
        self._orders: Int32Array = np.array([np.iinfo(np.int32).max], dtype=np.int32)
        self._resolvable: BoolArray = np.zeros(0, dtype=np.bool_)

    def id(self, verdict: Verdict) -> int:
        """The id of a verdict."""
        found = self._ids.get(verdict)
        if found is None:
            found = self._ids[verdict] = len(self.table)
            self.table.append(verdict)
        return found

    def __getitem__(self, verdict_id: int) -> Verdict:
        verdict = self.table[verdict_id]
        assert verdict is not None, "0 means the node passes"
        return verdict

    def orders(self) -> Int32Array:
        """Filter order by verdict id; PASSES sorts behind every filter."""
        if len(self._orders) != len(self.table):
            last = np.iinfo(np.int32).max
            self._orders = np.array([last if v is None else v.order for v in self.table], dtype=np.int32)
        return self._orders

    def resolvable(self) -> BoolArray:
        """By verdict id: whether evicting pods might help. The last entry answers for id -1, a node nobody asked."""
        if len(self._resolvable) != len(self.table) + 1:
            answers = [verdict is not None and verdict.code is Code.UNSCHEDULABLE for verdict in self.table]
            self._resolvable = np.array([*answers, False], dtype=np.bool_)
        return self._resolvable

    def encode(self, plugin: str, order: int, result: FilterResult, n: int) -> Int32Array:
        """A Filter's result over ``n`` rows as verdict ids; PluginError if it is not of the contract's forms."""
        if result is None:
            return np.zeros(n, dtype=np.int32)
        rejects = _rejects(plugin, result, n)
        if not rejects:
            return np.zeros(n, dtype=np.int32)
        if len(rejects) > 1 and n > _FEW_ROWS:
            rejects = [reject for reject in rejects if reject.mask.any()] or rejects[:1]
        if len(rejects) == 1:
            only = rejects[0]
            if not only.mask.any():
                return np.zeros(n, dtype=np.int32)
            codes = only.mask.astype(np.int32)
            codes *= self._id_of(plugin, order, [only])
            return codes
        return self._combined(plugin, order, rejects, n)

    def _combined(self, plugin: str, order: int, rejects: list[Reject], n: int) -> Int32Array:
        """Rows may be rejected for several reasons at once: number the combinations that occur."""
        if n <= _FEW_ROWS:
            return self._combined_few(plugin, order, rejects, n)
        if len(rejects) > _WORD_BITS:
            return self._combined_many(plugin, order, rejects)
        bits = rejects[0].mask.astype(np.int64)
        for position, reject in enumerate(rejects[1:], start=1):
            bits |= reject.mask.astype(np.int64) << position
        if len(rejects) <= _MAX_LOOKUP_BITS:
            present = np.flatnonzero(np.bincount(bits, minlength=1 << len(rejects)))
            lookup = np.zeros(1 << len(rejects), dtype=np.int32)
            for combination in present.tolist():
                lookup[combination] = self._id_of_bits(plugin, order, rejects, combination)
            return lookup[bits]
        distinct, inverse = np.unique(bits, return_inverse=True)
        ids = [self._id_of_bits(plugin, order, rejects, combination) for combination in distinct.tolist()]
        return np.array(ids, dtype=np.int32)[inverse]

    def _combined_few(self, plugin: str, order: int, rejects: list[Reject], n: int) -> Int32Array:
        codes = np.zeros(n, dtype=np.int32)
        for row in range(n):
            chosen = [reject for reject in rejects if reject.mask[row]]
            if chosen:
                codes[row] = self._id_of(plugin, order, chosen)
        return codes

    def _combined_many(self, plugin: str, order: int, rejects: list[Reject]) -> Int32Array:
        """More reasons than bits in a word (say, as many distinct taints): number distinct rows of packed bits."""
        packed = np.ascontiguousarray(np.packbits(np.stack([reject.mask for reject in rejects]), axis=0).T)
        distinct, inverse = np.unique(packed, axis=0, return_inverse=True)
        ids = []
        for row in distinct:
            bits = np.unpackbits(row, count=len(rejects)).tolist()
            chosen = [reject for reject, bit in zip(rejects, bits, strict=True) if bit]
            ids.append(self._id_of(plugin, order, chosen) if chosen else PASSES)
        return np.array(ids, dtype=np.int32)[inverse.reshape(-1)]

    def _id_of_bits(self, plugin: str, order: int, rejects: list[Reject], combination: int) -> int:
        chosen = [reject for position, reject in enumerate(rejects) if combination >> position & 1]
        return self._id_of(plugin, order, chosen) if chosen else PASSES

    def _id_of(self, plugin: str, order: int, chosen: list[Reject]) -> int:
        resolvable = all(reject.resolvable for reject in chosen)
        code = Code.UNSCHEDULABLE if resolvable else Code.UNSCHEDULABLE_AND_UNRESOLVABLE
        return self.id(Verdict(plugin, code, tuple(reject.reason for reject in chosen), order))


def _rejects(plugin: str, result: Any, n: int) -> list[Reject]:
    if isinstance(result, np.ndarray):
        keep = _mask(plugin, "the keep mask", result, n)
        return [Reject(~keep, f"node(s) were rejected by {plugin}")]
    if isinstance(result, Mapping):
        return [Reject(_mask(plugin, reason, mask, n), str(reason)) for reason, mask in result.items()]
    if isinstance(result, (list, tuple)) and all(isinstance(item, Reject) for item in result):
        for reject in result:
            _mask(plugin, reject.reason, reject.mask, n)
        return list(result)
    raise PluginError(
        f"plugin {plugin}: filter returned {type(result).__name__}",
        hint="return None, a bool array of nodes to keep, {reason: rejected bool array} or a list of Reject",
    )


def _mask(plugin: str, what: str, mask: Any, n: int) -> BoolArray:
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != (n,):
        got = f"{mask.dtype}{list(mask.shape)}" if isinstance(mask, np.ndarray) else type(mask).__name__
        raise PluginError(
            f"plugin {plugin}: filter's mask for {what!r} is {got}, expected bool[{n}]",
            hint="one entry per row of the nodes given, e.g. nodes.free('cpu') < pod.request('cpu')",
        )
    return mask
