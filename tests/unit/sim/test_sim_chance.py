"""Random streams and delays."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import BaseModel, ValidationError

from ksched.sim import Delay, LogNormal, Sampler, Streams, Uniform, parse_duration


class Holder(BaseModel):
    delay: Delay


def test_a_stream_depends_on_seed_and_name_alone() -> None:
    alone = Streams(7).generator("kubelet").integers(0, 1 << 60, 5)
    crowd = Streams(7)
    crowd.generator("a newcomer").random(100)
    among = crowd.generator("kubelet").integers(0, 1 << 60, 5)
    assert alone.tolist() == among.tolist()
    assert alone.tolist() != Streams(8).generator("kubelet").integers(0, 1 << 60, 5).tolist()
    assert alone.tolist() != Streams(7).generator("kubelet2").integers(0, 1 << 60, 5).tolist()


def test_asking_again_goes_on_with_the_same_stream() -> None:
    streams = Streams(7)
    assert streams.generator("x") is streams.generator("x")


@pytest.mark.parametrize(
    ("text", "ns"),
    [("0", 0), ("5ms", 5_000_000), ("1.5s", 1_500_000_000), ("1h30m", 5400 * 10**9), (".5us", 500), (7, 7)],
)
def test_durations_are_go_durations_or_ns(text: object, ns: int) -> None:
    assert parse_duration(text) == ns


@pytest.mark.parametrize("text", ["", "5", "5 ms", "1x", "-1s", "ms", "1s2", 1.5, True, -1, None])
def test_what_is_no_duration_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)


def test_a_delay_may_be_written_as_a_duration_or_a_distribution() -> None:
    assert Holder.model_validate({"delay": "5ms"}).delay.sample(np.random.default_rng(0)) == 5_000_000
    made = Holder.model_validate({"delay": {"kind": "uniform", "low": "1ms", "high": "2ms"}}).delay
    assert made == Uniform(low=1_000_000, high=2_000_000)
    with pytest.raises(ValidationError):
        Holder.model_validate({"delay": {"kind": "uniform", "low": "3ms", "high": "2ms"}})
    with pytest.raises(ValidationError):
        Holder.model_validate({"delay": {"kind": "constant", "valeu": "3ms"}})


def test_a_zero_delay_draws_nothing() -> None:
    streams = Streams(1)
    assert Sampler(Uniform(low=0, high=0), streams, "x")() == 0
    assert streams._generators == {}


def test_a_lognormal_has_its_median_and_its_offset() -> None:
    rng = np.random.default_rng(3)
    delay = LogNormal(median=1_000_000, sigma=0.5, offset=500)
    samples = sorted(delay.sample(rng) for _ in range(4001))
    assert samples[2000] == pytest.approx(1_000_500, rel=0.05)
    assert samples[0] >= 500
    assert samples[3800] == pytest.approx(1_000_000 * np.exp(1.645 * 0.5), rel=0.08)
