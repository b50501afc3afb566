"""Verdicts: what one Filter said of one node, interned, so that a column of them is an int32 array.

0 is "passes". Every other id stands for (plugin, code, reasons), and thousands of nodes share a handful of them.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ksched.errors import PluginError
from ksched.framework.protocols import FilterResult, Reject, Rejections
from ksched.framework.status import Code, Status
from ksched.tables import Memo
from ksched.tables.arrays import BoolArray, Int32Array

PASSES = 0
_BOOL = np.dtype(np.bool_)
"""Compared with this a dtype is judged three times as fast as with the type."""
_BYTE = np.dtype(np.uint8)
_MAX_LOOKUP_BITS = 6

Reasons = tuple[str | tuple[str, bool], ...]
"""Each alone where evicting pods might help, else with False."""


@dataclass(frozen=True)
class Verdict:
    """A rejection: by whom, resolvable or not, and why. ``order`` is the plugin's place among the filters."""

    plugin: str
    code: Code
    reasons: tuple[str, ...]
    order: int

    @cached_property
    def counted_as(self) -> tuple[tuple[str, str, bool], ...]:
        """(plugin, reason, resolvable) per reason: what a record counts nodes by."""
        resolvable = self.code is Code.UNSCHEDULABLE
        return tuple((self.plugin, reason, resolvable) for reason in self.reasons)

    @property
    def status(self) -> Status:
        """The verdict as a status."""
        return Status(self.code, self.reasons, self.plugin)


class Rejection(NamedTuple):
    """How many nodes a plugin rejected for a reason (a node with two reasons counts under both, as upstream)."""

    plugin: str
    reason: str
    nodes: int
    resolvable: bool


class Verdicts:
    """All verdicts given so far under one profile."""

    def __init__(self) -> None:
        self._ids: dict[Verdict, int] = {}
        self.table: list[Verdict | None] = [None]
        self._orders: Int32Array = np.array([np.iinfo(np.int32).max], dtype=np.int32)
        self._resolvable: BoolArray = np.zeros(0, dtype=np.bool_)
        self._combinations: dict[Hashable, _Combinations] = {}
        self._rejections: Memo[frozenset[tuple[int, int]], tuple[Rejection, ...]] = Memo()

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

    def rejections(self, nodes: Mapping[int, int]) -> tuple[Rejection, ...]:
        """What so many ``nodes`` by verdict id come to, most nodes first: the order verdicts were first met in depends
        on history, and the record must not."""
        key = frozenset(nodes.items())
        found = self._rejections.get(key)
        if found is None:
            counts: dict[tuple[str, str, bool], int] = {}
            for verdict_id, count in nodes.items():
                if verdict_id != PASSES and count:
                    for why in self[verdict_id].counted_as:
                        counts[why] = counts.get(why, 0) + count
            ordered = sorted([(-count, *why) for why, count in counts.items()])
            found = tuple([Rejection(plugin, reason, -count, can) for count, plugin, reason, can in ordered])
            self._rejections[key] = found
        return found

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

    def encode(self, plugin: str, order: int, result: FilterResult, n: int) -> Int32Array | None:
        """A Filter's result over ``n`` rows as verdict ids, None if all pass; PluginError if it is of no known form."""
        if result is None:
            return None
        reasons: Reasons
        if isinstance(result, Rejections):
            reasons, masks = result
            shape = (len(reasons), n)
            if not isinstance(masks, np.ndarray) or masks.dtype != _BOOL or masks.shape != shape:
                raise _not_a_mask(plugin, "/".join(reasons), masks, f"bool[{len(reasons)}, {n}]")
        else:
            reasons, masks = _together(plugin, result, n)
        if 1 not in masks.tobytes():  # several times as fast as count_nonzero
            return None
        # Rows may be rejected for several reasons at once: each combination of them is a verdict.
        key = (plugin, order, reasons)
        ids = self._combinations.get(key)
        if ids is None:
            ids = self._combinations[key] = _Combinations(self, plugin, order, reasons)
        if len(reasons) > _MAX_LOOKUP_BITS:
            return np.fromiter(map(ids.__getitem__, zip(*masks.tolist(), strict=True)), np.int32, n)
        which = masks.view(_BYTE)
        codes: Int32Array = ids.table.take(which if masks.ndim == 1 else ids.weights.dot(which))
        return codes


class _Combinations(dict[tuple[bool, ...], int]):
    """Verdict ids of one Filter, by which of ``reasons`` hold for a row: found as they are first met."""

    def __init__(self, verdicts: Verdicts, plugin: str, order: int, reasons: Reasons) -> None:
        self._verdicts = verdicts
        self._plugin = plugin
        self._order = order
        self._reasons = reasons

    def __missing__(self, holding: tuple[bool, ...]) -> int:
        chosen = [reason for reason, holds in zip(self._reasons, holding, strict=True) if holds]
        found = self[holding] = self._id_of(chosen) if chosen else PASSES
        return found

    def _id_of(self, chosen: Sequence[str | tuple[str, bool]]) -> int:
        resolvable = not any(isinstance(reason, tuple) for reason in chosen)
        code = Code.UNSCHEDULABLE if resolvable else Code.UNSCHEDULABLE_AND_UNRESOLVABLE
        reasons = tuple(reason[0] if isinstance(reason, tuple) else str(reason) for reason in chosen)
        return self._verdicts.id(Verdict(self._plugin, code, reasons, self._order))

    @cached_property
    def weights(self) -> npt.NDArray[np.uint8]:
        """What each reason adds to a row's place in :attr:`table`."""
        return np.array([1 << i for i in range(len(self._reasons))], dtype=_BYTE)

    @cached_property
    def table(self) -> Int32Array:
        """All of them, int32[2^k], bit i standing for the i-th reason."""
        k = len(self._reasons)
        return np.array([self[tuple([bool(c >> i & 1) for i in range(k)])] for c in range(1 << k)], dtype=np.int32)


def _together(plugin: str, result: Any, n: int) -> tuple[Reasons, BoolArray]:
    """The reasons of a result of many masks, and the masks in one array, bool[k, n]; a single one stays as it is."""
    reasons: Reasons
    if isinstance(result, (dict, Mapping)):  # a dict, as nearly always, is told at once
        reasons, masks = tuple(result), list(result.values())
    elif isinstance(result, np.ndarray):
        reasons, masks = (f"node(s) were rejected by {plugin}",), [~result if result.dtype == np.bool_ else result]
    elif isinstance(result, (list, tuple)) and all(isinstance(item, Reject) for item in result):
        reasons = tuple([r.reason if r.resolvable else (r.reason, False) for r in result])
        masks = [reject.mask for reject in result]
    else:
        raise PluginError(
            f"plugin {plugin}: filter returned {type(result).__name__}",
            hint="return None, a bool array of nodes to keep, {reason: rejected bool array}, a list of Reject "
            "or Rejections",
        )
    shape = (n,)
    for reason, mask in zip(reasons, masks, strict=True):
        if not isinstance(mask, np.ndarray) or mask.dtype != _BOOL or mask.shape != shape:
            what = "the keep mask" if isinstance(result, np.ndarray) else reason
            raise _not_a_mask(plugin, what if isinstance(what, str) else what[0], mask, f"bool[{n}]")
    return reasons, masks[0] if len(masks) == 1 else np.array(masks, dtype=np.bool_)


def _not_a_mask(plugin: str, what: str, mask: Any, expected: str) -> PluginError:
    """The error for ``mask``, which a filter returned for ``what``."""
    got = f"{mask.dtype}{list(mask.shape)}" if isinstance(mask, np.ndarray) else type(mask).__name__
    return PluginError(
        f"plugin {plugin}: filter's mask for {what!r} is {got}, expected {expected}",
        hint="one entry per row of the nodes given, e.g. nodes.free('cpu') < pod.request('cpu')",
    )
