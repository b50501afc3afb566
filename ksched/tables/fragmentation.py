"""Fragmentation: how much of a node's free GPU capacity the usual pods of a workload could not use.

Source: Weng et al., Beware of Fragmentation, USENIX ATC 2023, sections 3.1 and 3.2. Each typical pod judges all idle
GPU milli of a node; weighted by how usual the pod is they fall into seven buckets, of which only ``q3_satisfied`` is no
fragment. Memory and pod slots play no role.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from ksched.objects import CPU
from ksched.objects.gpu import allowed_models
from ksched.tables.arrays import BoolArray, FloatArray, Int64Array, IntArray
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
_LACK_BOTH, _LACK_GPU, _LACK_CPU, _NO_GPU_FITS, _NO_GPU_LACKS_CPU, _NO_ACCESS, _SATISFIED = range(len(BUCKETS))

_FEW = 8
"""Up to here bisecting one by one is faster than numpy."""
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


class ModelSeen(NamedTuple):
    """A model of devices as the typical pods see it.

    ``usable`` bool[typical pods]: who may use it. ``with_room``, ``without_room`` intp[levels, typical pods]: the
    bucket of what a pod cannot use, by whether it finds room.
    """

    usable: BoolArray
    with_room: IntArray
    without_room: IntArray


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
        self._typical = typical
        self._milli = np.array([pod.gpu_milli for pod in typical], dtype=np.int64)
        self._gpus = np.array([pod.gpu_count for pod in typical], dtype=np.int64)
        self._counts = np.array([pod.count for pod in typical], dtype=np.int64)
        self._shares = np.array([pod.share for pod in typical], dtype=np.float64)
        needed = np.array([self._requests.index(pod.cpu_milli) for pod in typical], dtype=np.intp)
        self._enough: BoolArray = needed < np.arange(len(self._requests) + 1)[:, np.newaxis]
        """bool[levels, typical pods]: whether the cpu is enough."""
        self._seen: Memo[str, ModelSeen] = Memo()
        """By model."""
        self._fragments: Memo[DeviceState, list[float]] = Memo()
        self._buckets: Memo[tuple[DeviceState, int], tuple[int, ...]] = Memo()

    def level(self, cpu_free: int) -> int:
        """The level of so many free millicores."""
        return bisect_right(self._requests, cpu_free)

    def levels(self, cpu_free: Int64Array) -> list[int]:
        """The level of each of several amounts."""
        if len(cpu_free) <= _FEW:
            return [bisect_right(self._requests, free) for free in cpu_free.tolist()]
        levels: list[int] = self._requests_array.searchsorted(cpu_free, "right").tolist()
        return levels

    def fragments(self, state: DeviceState) -> list[float]:
        """By level: idle milli of a node that are fragments, averaged over typical pods by their share.

        Terms are added in the order of the published simulator: equal to the last bit, which its scores depend on.
        """
        found = self._fragments.get(state)
        if found is None:
            masses = self._masses(self._shares, state)[:, :_SATISFIED]
            # Accumulated: unlike a sum, which may pair them, this adds one bucket after the other.
            found = self._fragments[state] = np.add.accumulate(masses, axis=1)[:, -1].tolist()
        return found

    def buckets(self, state: DeviceState, level: int) -> tuple[int, ...]:
        """Idle milli of a node by :data:`BUCKETS`, summed over all :attr:`pods`: whole numbers, so sums are exact."""
        key = (state, level)
        found = self._buckets.get(key)
        if found is None:
            masses = list(map(int, self._masses(self._counts, state, slice(level, level + 1))[level].tolist()))
            masses[_SATISFIED] = self.pods * state.idle - sum(masses)
            found = self._buckets[key] = tuple(masses)
        return found

    def _masses(self, weights: Int64Array | FloatArray, state: DeviceState, levels: slice = slice(None)) -> FloatArray:
        """float64[levels, buckets], of those ``levels`` only; _SATISFIED, which is what remains, is left at 0."""
        free, idle = state.free, state.idle
        if not idle:
            return np.zeros((len(self._enough), len(BUCKETS)))
        seen = self._seen.get(state.model) or self._see(state.model)
        first = np.array(free).searchsorted(self._milli)
        room = seen.usable & (len(free) - first >= self._gpus)
        too_full = np.array([0, *accumulate(free)])[first]
        terms = np.where(self._enough[levels], weights * np.where(room, too_full, idle), weights * idle)
        buckets = np.where(room, seen.with_room[levels], seen.without_room[levels])
        # bincount adds the terms of a bucket one by one in the order of the typical pods.
        masses = np.bincount(buckets.ravel(), terms.ravel(), self._enough.shape[0] * len(BUCKETS))
        return masses.astype(np.float64, copy=False).reshape(-1, len(BUCKETS))

    def _see(self, model: str) -> ModelSeen:
        without_gpu = self._milli == 0
        wrong = np.array([bool(pod.models) and model not in pod.models for pod in self._typical], dtype=np.bool_)
        wrong &= ~without_gpu

        def buckets(enough: int, short: int) -> IntArray:
            """The places of the buckets for pods that may use the model when those of all levels stand in one row."""
            with_cpu = np.where(without_gpu, _NO_GPU_FITS, np.where(wrong, _NO_ACCESS, enough))
            without_cpu = np.where(without_gpu, _NO_GPU_LACKS_CPU, np.where(wrong, _NO_ACCESS, short))
            of_level = np.where(self._enough, with_cpu, without_cpu)
            return of_level + len(BUCKETS) * np.arange(len(of_level))[:, np.newaxis]

        # With enough cpu and room what lies on devices too full for the pod is what it cannot use.
        found = ModelSeen(~(without_gpu | wrong), buckets(_LACK_GPU, _LACK_CPU), buckets(_LACK_GPU, _LACK_BOTH))
        self._seen[model] = found
        return found


@lru_cache(maxsize=1)
def fragmentation(typical: tuple[TypicalPod, ...]) -> Fragmentation:
    """The fragmentation as these pods see it; runs of one workload share what they computed of it."""
    return Fragmentation(typical)
