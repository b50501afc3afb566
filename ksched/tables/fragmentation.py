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
_LACK_BOTH, _LACK_GPU, _LACK_CPU, _NO_GPU_FITS, _NO_GPU_LACKS_CPU, _NO_ACCESS, _SATISFIED = range(7)

_WITHOUT_GPU, _WRONG_MODEL, _NO_ROOM, _ROOM = range(4)
"""What the devices of a node are to a typical pod."""
_WITH_CPU = np.array([_NO_GPU_FITS, _NO_ACCESS, _LACK_GPU, _LACK_GPU])
"""By that, the bucket for what the pod cannot use though cpu is enough: with room, what lies on devices too full."""
_WITHOUT_CPU = np.array([_NO_GPU_LACKS_CPU, _NO_ACCESS, _LACK_BOTH, _LACK_CPU])
"""The bucket for all that is idle where cpu is short."""

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
        self._typical = typical
        self._milli = np.array([pod.gpu_milli for pod in typical], dtype=np.int64)
        self._gpus = np.array([pod.gpu_count for pod in typical], dtype=np.int64)
        self._counts = np.array([pod.count for pod in typical], dtype=np.int64)
        self._shares = np.array([pod.share for pod in typical], dtype=np.float64)
        needed = np.array([self._requests.index(pod.cpu_milli) for pod in typical], dtype=np.intp)
        self._enough: BoolArray = needed < np.arange(len(self._requests) + 1)[:, np.newaxis]
        """bool[levels, typical pods]: whether the cpu is enough."""
        self._first_bucket = len(BUCKETS) * np.arange(len(self._enough))[:, np.newaxis]
        """Where the buckets of a level begin when those of all levels stand in one row."""
        self._kinds: dict[str, IntArray] = {}
        """By model: the kind of each typical pod where it finds no room."""
        self._fragments: Memo[DeviceState, list[float]] = Memo()
        self._buckets: Memo[tuple[DeviceState, int], tuple[int, ...]] = Memo()

    def level(self, cpu_free: int) -> int:
        """The level of so many free millicores."""
        return bisect_right(self._requests, cpu_free)

    def levels(self, cpu_free: Int64Array) -> IntArray:
        """The level of each of many amounts."""
        return self._requests_array.searchsorted(cpu_free, "right")

    def fragments(self, state: DeviceState) -> list[float]:
        """By level: idle milli of a node that are fragments, averaged over typical pods by their share.

        Terms are added in the order of the published simulator: equal to the last bit, which its scores depend on.
        """
        found = self._fragments.get(state)
        if found is None:
            masses = self._masses(self._shares, state, self._enough)[:, :_SATISFIED]
            # Accumulated: unlike a sum, which may pair them, this adds one bucket after the other.
            found = self._fragments[state] = np.add.accumulate(masses, axis=1)[:, -1].tolist()
        return found

    def buckets(self, state: DeviceState, level: int) -> tuple[int, ...]:
        """Idle milli of a node by :data:`BUCKETS`, summed over all :attr:`pods`: whole numbers, so sums are exact."""
        key = (state, level)
        found = self._buckets.get(key)
        if found is None:
            (masses,) = self._masses(self._counts, state, self._enough[level : level + 1]).astype(np.int64).tolist()
            masses[_SATISFIED] = self.pods * state.idle - sum(masses)
            found = self._buckets[key] = tuple(masses)
        return found

    def _masses(self, weights: Int64Array | FloatArray, state: DeviceState, enough: BoolArray) -> FloatArray:
        """float64[levels, buckets] of the ``enough`` levels; _SATISFIED, which is what remains, is left at 0."""
        if not state.idle:
            return np.zeros((len(enough), len(BUCKETS)))
        first = np.array(state.free, dtype=np.int64).searchsorted(self._milli)
        kinds = self._kinds_on(state.model)
        kinds = kinds + ((kinds == _NO_ROOM) & (len(state.free) - first >= self._gpus))
        unusable = np.where(kinds == _ROOM, np.array([0, *accumulate(state.free)])[first], state.idle)
        buckets = np.where(enough, _WITH_CPU[kinds], _WITHOUT_CPU[kinds]) + self._first_bucket[: len(enough)]
        terms = weights * np.where(enough, unusable, state.idle)
        size = len(enough) * len(BUCKETS)
        # bincount adds the terms of a bucket one by one in the order of the typical pods.
        masses = np.bincount(buckets.ravel(), terms.ravel(), size).astype(np.float64, copy=False)
        return masses.reshape(-1, len(BUCKETS))

    def _kinds_on(self, model: str) -> IntArray:
        found = self._kinds.get(model)
        if found is None:
            found = np.full(len(self._typical), _NO_ROOM, dtype=np.intp)
            found[[bool(pod.models) and model not in pod.models for pod in self._typical]] = _WRONG_MODEL
            found[self._milli == 0] = _WITHOUT_GPU
            self._kinds[model] = found
        return found


@lru_cache(maxsize=1)
def fragmentation(typical: tuple[TypicalPod, ...]) -> Fragmentation:
    """The fragmentation as these pods see it; runs of one workload share what they computed of it."""
    return Fragmentation(typical)
