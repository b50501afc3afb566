"""The generator: repeatable, within its load, feasible, and of the shapes it promises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

import ksched
from ksched.errors import InputError
from ksched.traces import load_trace
from ksched.traces.check import check
from ksched.traces.generate import generate
from ksched.traces.generator_config import DEFAULT_CLASSES, DEFAULT_POOLS, GeneratorConfig
from ksched.traces.load import capacities, offered_load
from ksched.traces.trace import column, valid

SHIPPED = Path(ksched.__file__).parents[1] / "traces" / "quickstart"


def small(**changes: Any) -> GeneratorConfig:
    return GeneratorConfig.model_validate({"pods": 400, "nodes": 30, **changes})


def test_the_shipped_trace_is_what_its_recorded_settings_generate() -> None:
    shipped = load_trace(SHIPPED)
    again = generate(GeneratorConfig.model_validate(shipped.manifest.generator))
    assert again.content_hash == shipped.content_hash == shipped.manifest.content_hash
    assert again.manifest.generator == shipped.manifest.generator
    assert GeneratorConfig(name="quickstart", seed=11).model_dump(mode="json") == shipped.manifest.generator


def test_the_shipped_trace_is_small_mixed_loaded_and_sound() -> None:
    shipped = load_trace(SHIPPED)
    assert sum(path.stat().st_size for path in SHIPPED.iterdir()) < 300_000
    assert (shipped.pods.num_rows, shipped.nodes.num_rows) == (3000, 150)
    findings = {f.code: f for f in check(shipped)}
    assert not [f for f in findings.values() if f.severity != "info"]
    assert 0.9 <= findings["offered-load"].numbers["peak_gpu_fraction"] <= 1.1
    assert 0.8 <= findings["offered-load"].numbers["peak_cpu_fraction"] <= 1.1
    share = (column(shipped.pods, "gpu_count") > 0) & (column(shipped.pods, "gpu_milli") < 1000)
    for name, mask in (
        ("shared GPUs", share),
        ("several GPUs", column(shipped.pods, "gpu_count") > 1),
        ("model constraints", valid(shipped.pods, "gpu_models")),
        ("label constraints", valid(shipped.pods, "constraint_set")),
        ("tolerations", valid(shipped.pods, "spec_ref")),
        ("services", ~valid(shipped.pods, "run_us")),
    ):
        assert mask.sum() >= 30, name
    nodes = shipped.nodes.to_pylist()
    assert {n["zone"] for n in nodes} == {"zone-a", "zone-b", "zone-c"}
    assert {n["gpu_model"] for n in nodes} == {None, "T4", "A10", "A100"}


def test_a_seed_gives_one_trace_and_another_seed_another() -> None:
    first, again, other = generate(small()), generate(small()), generate(small(seed=1))
    assert first.content_hash == again.content_hash != other.content_hash


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("resource", ["cpu", "gpu"])
def test_the_load_knob_moves_arrivals_and_never_run_times(resource: str, seed: int) -> None:
    low, high = (generate(GeneratorConfig(seed=seed, pods=1500, load={resource: x})) for x in (0.6, 1.2))
    for trace, target in ((low, 0.6), (high, 1.2)):
        peak = offered_load(trace)[resource].peak / capacities(trace)[resource]
        assert peak == pytest.approx(target, rel=0.06)
        assert peak <= target
    assert sorted(low.pods.column("run_us").drop_null().to_pylist()) == sorted(
        high.pods.column("run_us").drop_null().to_pylist()
    )
    assert column(low.pods, "t_submit").max() > column(high.pods, "t_submit").max()


def test_with_several_targets_none_is_exceeded_and_the_tightest_is_met() -> None:
    trace = generate(small(load={"cpu": 0.3, "gpu": 5.0}))
    curves, capacity = offered_load(trace), capacities(trace)
    assert 0.28 < curves["cpu"].peak / capacity["cpu"] <= 0.3
    assert curves["gpu"].peak / capacity["gpu"] <= 5.0


@pytest.mark.parametrize("seed", range(6))
def test_every_pod_fits_some_node(seed: int) -> None:
    assert "infeasible" not in {f.code for f in check(generate(small(seed=seed)))}


def test_pods_and_nodes_are_as_many_as_asked_for() -> None:
    for pods, nodes in ((1, 6), (37, 7), (1000, 151)):
        trace = generate(GeneratorConfig(pods=pods, nodes=nodes))
        assert (trace.pods.num_rows, trace.nodes.num_rows) == (pods, nodes)
        assert column(trace.workloads, "n_pods").sum() == pods


def test_run_times_follow_the_body_and_stay_below_the_longest() -> None:
    batch = next(c for c in DEFAULT_CLASSES if c.name == "batch")
    quiet = batch.model_copy(
        update={"failed": 0.0, "killed": 0.0, "burst": 1.0, "longest_s": 1e7, "size_correlation": 0.0}
    )
    trace = generate(
        GeneratorConfig(pods=20_000, classes=(quiet,), template_sigma_share=0.0, users=200, load={"cpu": 1.0})
    )
    seconds = column(trace.pods, "run_us") / 1e6
    assert np.median(seconds) == pytest.approx(batch.median_s, rel=0.05)
    inside = np.log(seconds[seconds < np.quantile(seconds, 0.9)])
    assert np.quantile(inside, 0.25) == pytest.approx(
        np.log(batch.median_s) + batch.sigma * -0.7554, rel=0.02
    )  # the body's 22.5 % quantile
    capped = generate(GeneratorConfig(pods=5000, classes=(quiet.model_copy(update={"longest_s": 3600.0}),)))
    longest = column(capped.pods, "run_us") / 1e6
    assert longest.max() <= 3600
    assert (longest == 3600).mean() < 0.01


def test_users_are_unequal_and_repeat_themselves() -> None:
    trace = generate(GeneratorConfig(pods=5000))
    users = trace.workloads.to_pandas().user.value_counts()
    assert users.iloc[0] > 8 * users.iloc[len(users) // 2]
    batch = trace.workloads.to_pandas().query("name.str.startswith('batch')")
    assert batch.app.nunique() < len(batch) / 5


def test_arrivals_are_burstier_than_poisson_and_follow_the_day() -> None:
    flat = GeneratorConfig(pods=20_000, load={"gpu": 0.3}, trough=1.0, burst_sigma=0.0)
    wave = flat.model_copy(update={"trough": 0.1, "burst_sigma": 0.6})

    def hourly(config: GeneratorConfig) -> np.ndarray:
        submit = column(generate(config).workloads, "t_submit") / 3_600e6
        return np.bincount(submit.astype(int))[1:-1]

    flat_counts, wave_counts = hourly(flat), hourly(wave)
    assert len(wave_counts) >= 24
    assert wave_counts.var() / wave_counts.mean() > 3 * flat_counts.var() / flat_counts.mean()


WRONG = [
    ("an unknown key", {"podz": 3}, "podz"),
    ("no pods", {"pods": 0}, "pods"),
    ("fewer nodes than pools", {"nodes": 2}, "fewer than the 6 pools"),
    ("a share of two GPUs", {"classes": [{"name": "a", "weight": 1, "median_s": 1, "sigma": 1, "shapes": [
        {"cpu": 1, "memory_gib": 1, "gpus": 2, "gpu_milli": 500}]}]}, "gpu_milli below 1000"),
    ("two pools of one name", {"pools": [DEFAULT_POOLS[0], DEFAULT_POOLS[0]]}, "two are called cpu"),
    ("GPUs of no model", {"pools": [{"name": "a", "count": 1, "cpu": 1, "memory_gib": 1, "gpus": 2}]}, "go together"),
    ("load on nothing", {"load": {}}, "load"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "settings", "message"), WRONG, ids=[w[0] for w in WRONG])
def test_settings_that_make_no_sense_are_refused(what: str, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        GeneratorConfig.model_validate(settings)


def test_a_shape_that_fits_no_pool_is_named() -> None:
    with pytest.raises(InputError, match=r"classes\.training\.shapes: a shape of .* 8 GPUs fits no pool"):
        generate(GeneratorConfig(pools=DEFAULT_POOLS[:5]))


def test_a_load_below_a_single_pod_cannot_be_met() -> None:
    with pytest.raises(
        InputError, match=r"load\.cpu: one workload of class \w+ alone asks for [\d.]+ times the target"
    ):
        generate(small(pods=50, load={"cpu": 1e-3}))
