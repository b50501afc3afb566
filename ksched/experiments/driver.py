"""One run: a cluster, a trace replayed into it through the api-server, and a recorder that watches."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from ksched.cluster.cluster import Cluster
from ksched.cluster.scheduler import Scheduler
from ksched.errors import InputError
from ksched.experiments.cluster_options import ClusterOptions
from ksched.experiments.modes import MODES
from ksched.experiments.probes import PROBES
from ksched.experiments.recorder import Recorder
from ksched.experiments.replay_options import make_replay
from ksched.experiments.run_spec import Progress, RunOutput, RunSpec
from ksched.experiments.samples import Shape
from ksched.framework import SchedulerConfiguration
from ksched.framework.invoke import judging
from ksched.framework.metering import Meter
from ksched.objects import KubeObject
from ksched.objects.base import forget_results
from ksched.objects.gpu import allowed_models
from ksched.tables import ExpectedPod, compile_spec
from ksched.traces import Trace, load_trace
from ksched.traces.replay import Replay
from ksched.traces.specs import cluster_nodes, priority_classes, shapes_of


def simulate(spec: RunSpec, progress: Progress, *, profile_plugins: bool = False) -> RunOutput:
    """Do one run. InputError when trace or policy are not what the plan saw.

    ``profile_plugins`` measures the time of every plugin, which goes to the output's ``timing``.
    """
    with rare_collections():
        return _simulate(spec, progress, profile_plugins)


def _simulate(spec: RunSpec, progress: Progress, profile_plugins: bool) -> RunOutput:
    simulation = Simulation(spec, progress)
    meters = [Meter(framework) for framework in simulation.scheduler.frameworks.values()] if profile_plugins else []
    for meter in meters:
        simulation.scheduler.on_decision.append(meter.decided)
    with judging:
        simulation.run()
    timing = {"plugins": [row for meter in meters for row in meter.rows()]} if meters else {}
    return simulation.output(timing, close=True)


class Simulation:
    """A run that is under way: set up to its first moment, then advanced by :meth:`step`."""

    def __init__(self, spec: RunSpec, progress: Progress) -> None:
        trace = _load(spec.trace_source, spec.data)
        assert spec.scheduler is not None
        configuration = spec.scheduler.load()
        _check_unchanged(spec, trace, configuration)
        self.cluster = _cluster(ClusterOptions.model_validate(spec.config["cluster"]), configuration, spec.seed)
        self.scheduler: Scheduler = self.cluster.scheduler
        expected, table = expected_pods(trace), self.scheduler.cache.table
        for framework in self.scheduler.frameworks.values():
            framework.expect(expected)
        probes = {name: PROBES[name](table, expected) for name in spec.config["probes"]}
        self.recorder = Recorder(self.cluster.api, table, shapes(trace), probes)
        options = spec.config["replay"]
        arriving = _arriving(trace, tuple(sorted(options.items())), spec.seed)
        self._ends = arriving.replay.mode == "timestamp"
        self._driver = MODES[arriving.replay.mode](self.cluster, self.recorder, arriving.replay, options, progress)
        self._driver.set_up(arriving.at_start)
        self._driver.begin()

    def step(self) -> bool:
        """Let the next thing happen; False once the run is over."""
        return self._driver.step()

    def run(self) -> None:
        """All steps there are."""
        self._driver.run()

    def output(self, timing: Mapping[str, Any] | None = None, *, close: bool = False) -> RunOutput:
        """Close the books of a run that is over; to be called once.

        ``close`` lets go of the cluster first, so that its objects and the tables are never in memory together.
        """
        self._driver.finish()
        if close:
            self.cluster.close()
        return RunOutput(
            tables=self.recorder.tables(can_end=self._ends),
            t_end_us=self._driver.end_ns // 1000,
            pending_time_meaningful=self._ends,
            notes=self._driver.notes(),
            timing=timing or {},
        )


@contextmanager
def rare_collections() -> Iterator[None]:
    """A run keeps many objects and makes few cycles: the collector would look at millions of them for nothing.

    What was there before is frozen, so that the collection at the end looks at what the run left alone; a run that is
    closed leaves little.
    """
    thresholds = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(500_000, 20, 20)
    try:
        yield
    finally:
        gc.collect()
        gc.set_threshold(*thresholds)
        gc.unfreeze()


def _cluster(options: ClusterOptions, configuration: SchedulerConfiguration, seed: int) -> Cluster:
    def scheduler(cluster: Cluster) -> Scheduler:
        return Scheduler(
            cluster.kernel,
            cluster.api.client("kube-scheduler"),
            configuration,
            seed=seed,
            streams=cluster.streams,
            config=options.scheduler,
        )

    return Cluster(options, scheduler, seed=seed)


@lru_cache(maxsize=1)
def _load(source: str, data: Path | None) -> Trace:
    # What was remembered of the specs of the trace before will not be asked for again, and a sweep has many traces.
    forget_results()
    return load_trace(source, data=data)


class _Arriving(NamedTuple):
    """What a run is to create: ``at_start`` what is there before the first pod, then the replay."""

    at_start: tuple[KubeObject, ...]
    replay: Replay


@lru_cache(maxsize=1)
def _arriving(trace: Trace, options: tuple[tuple[str, Any], ...], seed: int) -> _Arriving:
    """Runs that differ in nothing but the policy create the very same objects, which nobody changes."""
    named = dict(options)
    replay = make_replay(trace, named, seed)
    nodes = cluster_nodes(trace, max_pods=named["max_pods"], ranks=replay.node_ranks)
    return _Arriving((*priority_classes(trace), *nodes), replay)


@lru_cache(maxsize=1)
def expected_pods(trace: Trace) -> tuple[ExpectedPod, ...]:
    """The request shapes among the pods of a trace and how often each occurs."""
    distinct = shapes_of(trace)
    return tuple(
        ExpectedPod(compile_spec(distinct.spec(number)), int(distinct.count[number])) for number in range(len(distinct))
    )


@lru_cache(maxsize=1)
def shapes(trace: Trace) -> dict[Shape, int]:
    """The same as the sampler counts them."""
    found: Counter[Shape] = Counter()
    for pod in expected_pods(trace):
        info, gpu = pod.info, pod.info.gpu
        shape = Shape(
            info.requests.get("cpu", 0),
            info.requests.get("memory", 0),
            gpu.count if gpu else 0,
            gpu.milli if gpu else 0,
            tuple(sorted(set(allowed_models(info.spec)))),
        )
        found[shape] += pod.count
    return dict(found)


def _check_unchanged(spec: RunSpec, trace: Trace, configuration: SchedulerConfiguration) -> None:
    if trace.content_hash != spec.trace["content_hash"]:
        raise InputError("the trace changed after the experiment was started", where=trace.where, hint=_AGAIN)
    hashes = configuration.source_hashes()
    for plugin, planned in spec.plugin_hashes.items():
        if hashes.get(plugin) != planned:
            raise InputError(f"the source of {plugin} changed after the experiment was started", hint=_AGAIN)


_AGAIN = "start the experiment again; runs that are not affected are kept"
