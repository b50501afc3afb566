"""Fragmentation: how much of a node's free GPU capacity the usual pods of a workload could not use.

Source: Weng et al., Beware of Fragmentation, USENIX ATC 2023, sections 3.1 and 3.2. Each typical pod judges all idle
GPU milli of a node; weighted by how usual the pod is they fall into seven buckets, of which only ``q3_satisfied`` is no
fragment. Memory and pod slots play no role.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from ksched.objects import CPU
from ksched.objects.gpu import allowed_models
from ksched.tables.arrays import Int64Array, IntArray
from ksched.tables.devices import DeviceState
from ksched.tables.memo import Memo
from ksched.tables.pod_view import ExpectedPod

BUCKETS = (
    "q1_lack_both",
    "q2_lack_gpu",
    "q4_lack_cpu",
    "xl_satisfied",
    "xr_lack_cpu",
    "no_access",
    "q3_satisfied",
)
"""Names of the buckets; all but the last are fragments. ``xl`` and ``xr`` are pods that want no GPU."""
_LACK_BOTH, _LACK_GPU, _LACK_CPU, _NO_GPU_FITS, _NO_GPU_LACKS_CPU, _NO_ACCESS, _SATISFIED = range(7)

Weight = TypeVar("Weight", int, float)
Judgement = tuple[int, int, int]
"""The bucket where cpu is enough, the one where it is short, and the milli on devices with too little for the pod."""

POPULARITY = 0.95
"""The most usual shapes that make up this share of all pods are typical; the rest does not count."""


@dataclass(frozen=True, slots=True)
class TypicalPod:
    """A usual shape of pods: cpu in millicores, devices x milli of each, allowed models (() any).

    ``count`` is how many pods have it, ``share`` their share of all typical pods.
    """

    count: int
    share: float
    cpu_milli: int
    gpu_milli: int
    gpu_count: int
    models: tuple[str, ...]


def typical_pods(expected: Iterable[ExpectedPod]) -> tuple[TypicalPod, ...]:
    """The most usual shapes, most usual first, until they make up :data:`POPULARITY` of the pods expected."""
    counts: Counter[tuple[int, int, int, tuple[str, ...]]] = Counter()
    for pod in expected:
        gpu = pod.info.gpu
        models = allowed_models(pod.info.spec) if gpu else ()
        counts[pod.info.requests.get(CPU, 0), gpu.milli if gpu else 0, gpu.count if gpu else 0, models] += pod.count
    everything, covered = counts.total(), 0
    chosen = []
    # Of equally usual ones the larger first; models compare as the text "A|B".
    for shape in sorted(counts, key=lambda s: (counts[s], *s[:3], "|".join(s[3])), reverse=True):
        if covered >= POPULARITY * everything:
            break
        chosen.append(shape)
        covered += counts[shape]
    # Divided like this, not count by covered, to round as the published figures do.
    coverage = covered / everything if everything else 1.0
    return tuple(TypicalPod(counts[shape], counts[shape] / everything / coverage, *shape) for shape in chosen)


class Fragmentation:
    """The buckets of a node as a function of its devices and its free cpu, remembered.

    Free cpu matters only in which typical pods it is enough for: its ``level`` is the number of distinct cpu requests
    among the typical pods that it covers. Make one with :func:`fragmentation`.
    """

    def __init__(self, typical: tuple[TypicalPod, ...]) -> None:
        self.pods = sum(pod.count for pod in typical)
        """How many pods the typical shapes stand for."""
        self._requests = sorted({pod.cpu_milli for pod in typical})
        self._requests_array = np.array(self._requests, dtype=np.int64)
        self._needed = [self._requests.index(pod.cpu_milli) for pod in typical]
        self._counts = [pod.count for pod in typical]
        self._shares = [pod.share for pod in typical]
        wanted = [(pod.gpu_milli, pod.gpu_count, pod.models) for pod in typical]
        self._demands = sorted(set(wanted))
        self._demand_of = [self._demands.index(demand) for demand in wanted]
        self._judged: Memo[DeviceState, tuple[Judgement, ...]] = Memo()
        """By demand."""
        self._fragments: Memo[tuple[DeviceState, int], float] = Memo()
        self._buckets: Memo[tuple[DeviceState, int], tuple[int, ...]] = Memo()

    def level(self, cpu_free: int) -> int:
        """The level of so many free millicores."""
        return bisect_right(self._requests, cpu_free)

    def levels(self, cpu_free: Int64Array) -> IntArray:
        """The level of each of many amounts."""
        return self._requests_array.searchsorted(cpu_free, "right")

    def fragments(self, state: DeviceState, level: int) -> float:
        """Idle milli of a node that are fragments, averaged over typical pods by their share.

        Terms are added in the order of the published simulator: equal to the last bit, which its scores depend on.
        """
        key = (state, level)
        found = self._fragments.get(key)
        if found is None:
            q1, q2, q4, xl, xr, none, _ = self._masses(self._shares, state, level)
            found = self._fragments[key] = float(q1 + q2 + q4 + xl + xr + none)
        return found

    def buckets(self, state: DeviceState, level: int) -> tuple[int, ...]:
        """Idle milli of a node by :data:`BUCKETS`, summed over all :attr:`pods`: whole numbers, so sums are exact."""
        key = (state, level)
        found = self._buckets.get(key)
        if found is None:
            found = self._buckets[key] = tuple(self._masses(self._counts, state, level))
        return found

    def _masses(self, weights: Sequence[Weight], state: DeviceState, level: int) -> list[Weight]:
        idle = state.idle
        masses: list[Any] = [0] * len(BUCKETS)
        if not idle:
            return masses
        judged = self._judged.get(state)
        if judged is None:
            judged = self._judged[state] = tuple([_judge(state, *demand) for demand in self._demands])
        for weight, needed, demand in zip(weights, self._needed, self._demand_of, strict=True):
            enough, short, unusable = judged[demand]
            bucket = enough if needed < level else short
            if bucket == _SATISFIED:
                masses[_LACK_GPU] += weight * unusable
                masses[_SATISFIED] += weight * (idle - unusable)
            else:
                masses[bucket] += weight * idle
        return masses


_WITHOUT_GPU: Judgement = (_NO_GPU_FITS, _NO_GPU_LACKS_CPU, 0)
_WRONG_MODEL: Judgement = (_NO_ACCESS, _NO_ACCESS, 0)
_NO_ROOM: Judgement = (_LACK_GPU, _LACK_BOTH, 0)


def _judge(state: DeviceState, milli: int, count: int, models: tuple[str, ...]) -> Judgement:
    if not milli:
        return _WITHOUT_GPU
    if models and state.model not in models:
        return _WRONG_MODEL
    free = state.free
    first = bisect_left(free, milli)
    return _NO_ROOM if len(free) - first < count else _room(sum(free[:first]))


@lru_cache(maxsize=1 << 14)
def _room(unusable: int) -> Judgement:
    """One object for all states: thousands of them are kept, each judged by dozens of demands."""
    return _SATISFIED, _LACK_CPU, unusable


@lru_cache(maxsize=1)
def fragmentation(typical: tuple[TypicalPod, ...]) -> Fragmentation:
    """The fragmentation as these pods see it; runs of one workload share what they computed of it."""
    return Fragmentation(typical)
