"""A run opened for looking: rebuilt up to any decision, stepped, asked why, tried with another policy.

A run is a function of its inputs. Any moment of it is therefore rebuilt exactly by simulating it again up to there;
what was recorded is checked on the way, choice by choice. Questions are put to a twin of the scheduler's framework
(ksched.framework.twin), so that asking changes nothing of what comes after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ksched.errors import InputError
from ksched.experiments.driver import Simulation, rare_collections
from ksched.experiments.recorded_choices import RecordedChoices
from ksched.experiments.reopen import find_run, one_cell, spec_of
from ksched.experiments.run_spec import RunOutput, RunSpec
from ksched.framework import Cycle, Decision, Framework, QueuedPod, SchedulerConfiguration, load_configuration
from ksched.framework.explain import explain
from ksched.framework.explanation import Explanation
from ksched.framework.profile import Profile
from ksched.framework.twin import twin
from ksched.framework.variants import with_args, with_plugin, with_weights
from ksched.sim.delays import parse_duration
from ksched.tables import PodView

if TYPE_CHECKING:
    import pandas as pd

_SECOND = 1_000_000_000


class RunSession:
    """A run that stands before one of its decisions.

    Make one with :func:`open_run`, :func:`start_run` or :func:`start_trace`. ``spec`` is what the run is made of.
    """

    def __init__(self, spec: RunSpec, recorded: RecordedChoices | None = None) -> None:
        self.spec = spec
        self._recorded = recorded
        self._begin()

    def _begin(self) -> None:
        self._output: RunOutput | None = None
        self._over = False
        self.position = 0
        """Number of decisions made; also the number of the next one, its ``seq`` in the table ``decisions``."""
        self.decision: Decision | None = None
        """The decision made last."""
        self._simulation = Simulation(self.spec, lambda done, total: None)
        self._scheduler = self._simulation.scheduler
        self._scheduler.stepwise = True
        self._scheduler.on_decision.append(self._decided)
        self._to_next_decision()

    def __repr__(self) -> str:
        axes = " ".join(f"{axis}={value}" for axis, value in self.spec.axes.items())
        at = "over" if self._over else f"before decision {self.position} about {self.pod} at {self.time_s:g} s"
        return f"<RunSession {axes}: {at}>"

    # -- where it stands ------------------------------------------------------------------------------------

    @property
    def over(self) -> bool:
        """Whether no decision is left."""
        return self._over

    @property
    def time_s(self) -> float:
        """Virtual time in seconds."""
        return self._simulation.cluster.kernel.now / _SECOND

    @property
    def pod(self) -> str | None:
        """The pod about to be decided ("namespace/name"), None when the run is over."""
        held = self._scheduler.held
        return None if held is None else held.pod.key

    @property
    def attempt(self) -> int | None:
        """Which attempt to place that pod it is, from 1."""
        held = self._scheduler.held
        return None if held is None else held.attempts

    @property
    def nodes(self) -> pd.DataFrame:
        """The scheduler's present picture of the nodes, one row each; see :func:`ksched.experiments.frames.nodes`."""
        from ksched.experiments import frames

        return frames.nodes(self._scheduler.cache.table)

    @property
    def pending(self) -> pd.DataFrame:
        """Pods that wait, the one about to be decided first; see :func:`ksched.experiments.frames.pending`."""
        from ksched.experiments import frames

        return frames.pending(self._scheduler.held, self._scheduler.queue)

    # -- going on -------------------------------------------------------------------------------------------

    def step(self) -> Decision:
        """Make the next decision, let time pass up to the one after it, and return what was decided."""
        self._held()
        self._scheduler.decide()
        self._to_next_decision()
        assert self.decision is not None
        return self.decision

    def run_to(
        self,
        *,
        decision: int | None = None,
        pod: str | None = None,
        attempt: int | None = None,
        time: float | str | None = None,
    ) -> RunSession:
        """Go to just before a decision, back to an earlier one too (the run is then simulated again).

        One of: ``decision``, its number; ``pod`` ("namespace/name", a bare name is in "default"), whose next
        decision is meant, or with ``attempt`` that one; ``time``, the first decision at or after it (seconds, or a
        text such as "1h30m"). Returns the session. InputError if there is no such decision.
        """
        if sum(given is not None for given in (decision, pod, time)) != 1:
            raise InputError("run_to needs one of decision=, pod= and time=")
        if decision is not None:
            return self._run_to_number(decision)
        if pod is not None:
            key = pod if "/" in pod else f"default/{pod}"
            if self._recorded is not None:
                return self._run_to_number(self._recorded.find(key, attempt, self.position))
            return self._run_until(
                lambda: self.pod == key and attempt in (None, self.attempt), f"there is no later decision about {key}"
            )
        try:
            wanted = parse_duration(time) if isinstance(time, str) else round(float(time or 0) * _SECOND)
        except ValueError as error:
            raise InputError(str(error)) from None
        if wanted < self._simulation.cluster.kernel.now:
            self._begin()
        now = self._simulation.cluster.kernel
        return self._run_until(lambda: now.now >= wanted, f"there is no decision at or after {time}")

    def finish(self) -> dict[str, pd.DataFrame]:
        """Run to the end; the result tables by name."""
        from ksched.arrow_frames import to_pandas

        return {name: to_pandas(table) for name, table in self.output().tables.items()}

    def output(self) -> RunOutput:
        """Run to the end; what a simulation hands over, tables as Arrow."""
        with rare_collections():
            while not self._over:
                self.step()
        if self._output is None:
            self._output = self._simulation.output()
        return self._output

    def close(self) -> None:
        """Let go of the simulated cluster at once; the session cannot be used afterwards."""
        self._simulation.cluster.close()

    def _run_to_number(self, number: int) -> RunSession:
        if number < 0:
            raise InputError(f"decisions are numbered from 0, there is no {number}")
        if number < self.position:
            self._begin()
        return self._run_until(lambda: self.position >= number, f"there is no decision {number}")

    def _run_until(self, there: Callable[[], bool], missing: str) -> RunSession:
        with rare_collections():
            while not self._over and not there():
                self.step()
        if self._over:
            raise InputError(f"{missing}: the run ends after {self.position} decisions, at {self.time_s:g} s")
        return self

    def _to_next_decision(self) -> None:
        simulation = self._simulation
        while self._scheduler.held is None:
            if not simulation.step():
                self._over = True
                if self._recorded is not None:
                    self._recorded.check_end(self.position)
                return

    def _decided(self, decision: Decision) -> None:
        if self._recorded is not None:
            self._recorded.check(self.position, decision)
        self.decision = decision
        self.position += 1

    def _held(self) -> QueuedPod:
        held = self._scheduler.held
        if held is None:
            raise InputError(f"the run is over after {self.position} decisions", hint="run_to(...) goes back")
        return held

    # -- asking ---------------------------------------------------------------------------------------------

    def explain(self, *, fit_on: Iterable[str] = ()) -> Explanation:
        """What every plugin says about the pod about to be decided; ``fit_on`` as in :func:`ksched.explain`."""
        return self._explained(None, fit_on)

    def what_if(
        self,
        *,
        profile: SchedulerConfiguration | Profile | Mapping[str, Any] | Path | str | None = None,
        weights: Mapping[str, int] | None = None,
        plugin: type | str | None = None,
        args: Mapping[str, Mapping[str, Any]] | None = None,
        fit_on: Iterable[str] = (),
    ) -> Explanation:
        """What another policy would do with the pod about to be decided, in this very state; then it is forgotten.

        ``profile`` replaces the run's own (a KubeSchedulerConfiguration: file, mapping or loaded). On top of that
        ``weights`` sets Score weights (0 takes a plugin out), ``plugin`` (a class or a reference) adds one and
        ``args`` changes arguments. Plugins that stay as they are keep their state, others begin anew.
        """
        changed = self._profile(profile)
        if plugin is not None:
            changed = with_plugin(changed, plugin)
        if args:
            changed = with_args(changed, args)
        if weights:
            changed = with_weights(changed, weights)
        return self._explained(changed, fit_on)

    def _profile(self, given: SchedulerConfiguration | Profile | Mapping[str, Any] | Path | str | None) -> Profile:
        name = self._held().pod.scheduler_name
        if given is None:
            return self._scheduler.frameworks[name].profile
        if isinstance(given, Profile):
            return given
        loaded = given if isinstance(given, SchedulerConfiguration) else load_configuration(given)
        return loaded.profile(name) or loaded.profiles[0]

    def _explained(self, profile: Profile | None, fit_on: Iterable[str]) -> Explanation:
        held = self._held()
        framework, moment = self._scheduler.cycle_of(held)

        def asked() -> tuple[Framework, PodView, Cycle]:
            other = twin(framework, profile)
            return other, held.pod, other.new_cycle(held.pod, now=moment.now, attempt=moment.attempt)

        # Two twins, because a plugin with state may answer the second question differently.
        decider, pod, cycle = asked()
        return explain(*asked(), fit_on=fit_on, decision=decider.schedule(pod, cycle, top=5))

    @property
    def queued_pod(self) -> PodView:
        """The pod about to be decided, as plugins see it."""
        return self._held().pod


def open_run(
    results: Path | str,
    run: str | None = None,
    *,
    only: Iterable[str] = (),
    experiment: Path | str | None = None,
    data: Path | str | None = None,
    **axes: Any,
) -> RunSession:
    """Open a recorded run, standing before its first decision::

        session = ksched.open_run("results/weights", policy="free-memory", weight=5, seed=42)
        session.run_to(pod="default/web-3").explain().ranking()

    ``results`` is a result directory or one run's folder in it; the run is chosen by id (or its beginning), by ``only``
    (``axis=value``) or by axes given by name; of several seeds the first. ``experiment`` and ``data`` say where the
    experiment file and the outside traces are now, if they were moved. Raises InputError where the run cannot be
    simulated again because its trace, a plugin or ksched changed.
    """
    found = find_run(results, run, only=only, axes=axes)
    return RunSession(spec_of(found, experiment=experiment, data=data), RecordedChoices.read(found.folder))


def explain_run(
    results: Path | str,
    pod: str,
    run: str | None = None,
    *,
    attempt: int | None = None,
    fit_on: Iterable[str] = (),
    only: Iterable[str] = (),
    experiment: Path | str | None = None,
    data: Path | str | None = None,
    **axes: Any,
) -> Explanation:
    """Why a pod of a recorded run went where it went, in its last ``attempt`` or the one that is named.

    The run is chosen as by :func:`open_run`, ``fit_on`` is as in :func:`ksched.explain`. The notes of the explanation
    say which decision it is about.
    """
    found = find_run(results, run, only=only, axes=axes)
    choices = RecordedChoices.read(found.folder)
    key = pod if "/" in pod else f"default/{pod}"
    number = choices.last(key) if attempt is None else choices.find(key, attempt)
    session = RunSession(spec_of(found, experiment=experiment, data=data), choices).run_to(decision=number)
    note = (
        f"{found.label}: decision {number} at {session.time_s:g} s, attempt {session.attempt} of "
        f"{choices.rows[choices.last(key)].attempt} (run {found.run_id})"
    )
    return replace(session.explain(fit_on=fit_on), notes=(note,))


def start_run(
    experiment: Path | str, *, only: Iterable[str] = (), data: Path | str | None = None, **axes: Any
) -> RunSession:
    """Begin a run of an experiment file without recording it; axes that are not given have their first value."""
    from ksched.experiments.file import load_experiment
    from ksched.experiments.plan import make_plan

    loaded = load_experiment(experiment)
    chosen = {axis: str(value) for axis, value in axes.items()}
    chosen |= {axis: value for axis, _, value in (text.partition("=") for text in only)}
    plan = make_plan(one_cell(loaded, chosen), data=None if data is None else Path(data))
    return RunSession(plan.selected[0])


def start_trace(
    trace: Path | str,
    *,
    policy: Mapping[str, Any] | str | None = None,
    seed: int = 42,
    replay: Mapping[str, Any] | None = None,
    cluster: Mapping[str, Any] | None = None,
    data: Path | str | None = None,
) -> RunSession:
    """Begin a run of a trace (a folder or a name such as "openb:default") without an experiment file.

    ``policy``, ``replay`` and ``cluster`` are what an experiment file says under these keys; a policy may be a
    profile file. Paths are relative to the working directory.
    """
    from ksched.experiments.document import Document
    from ksched.experiments.file import Axis, AxisValue, Experiment, is_trace_name
    from ksched.experiments.plan import make_plan

    source = str(trace)
    fragments: dict[str, Any] = {
        "policy": {"profile": policy} if isinstance(policy, str) else dict(policy or {}),
        "trace": {"name" if is_trace_name(source) else "path": source, "replay": dict(replay or {})},
        "cluster": dict(cluster or {}),
    }
    axes = {
        kind: Axis(kind, kind, (AxisValue(kind, fragment, ()),))  # type: ignore[arg-type]
        for kind, fragment in fragments.items()
    }
    axes["seed"] = Axis("seed", None, (AxisValue(str(seed), seed, ()),))
    document = Document(Path("(start_trace)"), {}, {}, "")
    experiment = Experiment(name="trace", question="", baseline={}, axes=axes, probes=(), exports=(), document=document)
    return RunSession(make_plan(experiment, data=None if data is None else Path(data)).selected[0])
