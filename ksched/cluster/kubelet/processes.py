"""What the containers of a workload do, known to the runtime alone: how long they run and how they exit.

A trace tells how long a job ran; no scheduler is told. The experiment files it here under the workload's id, pods
carry that id as an annotation, and the runtime looks it up when it starts a container.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ksched.cluster.wellknown import COMPLETION_INDEX, INDEX_ANNOTATION, WORKLOAD_ANNOTATION
from ksched.objects.pod import Pod


class Process(NamedTuple):
    """One start of a pod's containers: it ends by itself after ``run_ns`` (None: never) with ``exit_code``."""

    run_ns: int | None
    exit_code: int


class _Workload:
    __slots__ = ("attempts", "exit_codes", "next_ordinal", "run_ns")

    def __init__(self, run_ns: tuple[int | None, ...], exit_codes: tuple[tuple[int, ...], ...]) -> None:
        self.run_ns = run_ns
        self.exit_codes = exit_codes
        self.next_ordinal = 0
        self.attempts: dict[int, int] = {}


class Processes:
    """The table. All containers of a pod are taken as one process.

    A pod's index within its workload is its Job completion index (annotation or label), else the annotation
    ``ksched.dev/index``, else its ordinal: pods are counted from 0 in the order the runtime first meets them. An
    index past the end of the list starts over at its beginning, so that a replacement does its predecessor's work.
    """

    def __init__(self) -> None:
        self._workloads: dict[str, _Workload] = {}
        self._ordinals: dict[str, int] = {}  # by pod uid

    def add(
        self,
        workload: str,
        run_ns: Sequence[int | None],
        exit_codes: Sequence[int | Sequence[int]] = (),
    ) -> None:
        """Say how long each pod of ``workload`` runs (ns, None: until deleted) and how it exits (default 0).

        An exit code given as a sequence is per attempt, the last one standing for all further ones.
        """
        if not run_ns:
            raise ValueError(f"workload {workload!r}: at least one run time is required")
        codes = tuple((code,) if isinstance(code, int) else tuple(code) for code in exit_codes)
        self._workloads[workload] = _Workload(tuple(run_ns), codes)

    def discard(self, workload: str) -> None:
        """Forget a workload; its pods, if any are left, then run until deleted."""
        self._workloads.pop(workload, None)

    def run_ns(self, pod: Pod) -> int | None:
        """How long the pod's process runs from each start; None: until it is deleted."""
        workload = self._of(pod)
        return None if workload is None else workload.run_ns[self._index(pod, workload) % len(workload.run_ns)]

    def start(self, pod: Pod) -> Process:
        """What happens on this start of the pod's containers; each call is one attempt."""
        workload = self._of(pod)
        if workload is None:
            return _ENDLESS
        index = self._index(pod, workload)
        run_ns = workload.run_ns[index % len(workload.run_ns)]
        if not workload.exit_codes:
            return Process(run_ns, 0)
        slot = index % len(workload.exit_codes)
        attempt = workload.attempts.get(slot, 0)
        workload.attempts[slot] = attempt + 1
        codes = workload.exit_codes[slot]
        return Process(run_ns, codes[min(attempt, len(codes) - 1)])

    def forget(self, pod: Pod) -> None:
        """The pod is gone for good."""
        self._ordinals.pop(pod.metadata.uid or "", None)

    def _of(self, pod: Pod) -> _Workload | None:
        return self._workloads.get(pod.metadata.annotations.get(WORKLOAD_ANNOTATION, ""))

    def _index(self, pod: Pod, workload: _Workload) -> int:
        if len(workload.run_ns) == 1 and len(workload.exit_codes) <= 1:
            return 0
        meta = pod.metadata
        text = (
            meta.annotations.get(COMPLETION_INDEX)
            or meta.labels.get(COMPLETION_INDEX)
            or meta.annotations.get(INDEX_ANNOTATION)
        )
        if text is not None and text.isdecimal():
            return int(text)
        uid = meta.uid or ""
        ordinal = self._ordinals.get(uid)
        if ordinal is None:
            ordinal = self._ordinals[uid] = workload.next_ordinal
            workload.next_ordinal += 1
        return ordinal


_ENDLESS = Process(None, 0)
