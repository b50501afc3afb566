"""Draws are a pure function of a key and a counter."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ksched.framework import Cycle, chance

from .build import pod, table_of

N = 1 << 16


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=8))
@settings(max_examples=200, deadline=None, derandomize=True)
def test_one_draw_equals_the_same_draw_in_an_array(state: int, counters: list[int]) -> None:
    drawn = chance.draw(state, np.array(counters))
    assert drawn.dtype == np.uint64
    assert drawn.tolist() == [chance.draw(state, counter) for counter in counters]
    assert all(0 <= draw < 2**64 for draw in drawn.tolist())


def test_draws_are_known_values() -> None:
    """SplitMix64 from seed 0 begins 0xe220a8397b1dcdaf (its authors' reference)."""
    assert chance.draw(0, 0) == 0xE220A8397B1DCDAF


KEYS = [
    ("another seed", (2, "P", "w", 0, 0, 1)),
    ("another plugin", (1, "Q", "w", 0, 0, 1)),
    ("another workload", (1, "P", "v", 0, 0, 1)),
    ("another index", (1, "P", "w", 1, 0, 1)),
    ("another incarnation", (1, "P", "w", 0, 1, 1)),
    ("another attempt", (1, "P", "w", 0, 0, 2)),
    ("the same parts in another order", (1, "w", "P", 0, 0, 1)),
    ("fewer parts", (1, "P", "w", 0, 0)),
]


@pytest.mark.parametrize(("sentence", "parts"), KEYS, ids=[r[0] for r in KEYS])
def test_draws_of_another_key_are_others(sentence: str, parts: tuple) -> None:
    counters = np.arange(1000)
    one = chance.draw(chance.key(1, "P", "w", 0, 0, 1), counters)
    other = chance.draw(chance.key(*parts), counters)
    assert not np.isin(one, other).any()
    agreeing_bits = np.unpackbits((~(one ^ other)).view(np.uint8)).mean()
    assert 0.48 < agreeing_bits < 0.52


@pytest.mark.parametrize("stream", ["counters", "attempts", "workloads"])
def test_draws_are_uniform(stream: str) -> None:
    if stream == "counters":
        draws = chance.draw(chance.key(7), np.arange(N))
    elif stream == "attempts":
        draws = np.array([chance.draw(chance.key(7, "P", "w", 0, 0, i), 0) for i in range(N // 8)], dtype=np.uint64)
    else:
        draws = np.array([chance.draw(chance.key(7, "P", f"w{i}"), 0) for i in range(N // 8)], dtype=np.uint64)
    n = len(draws)
    bits = np.unpackbits(draws.view(np.uint8)).reshape(n, 64).mean(axis=0)
    assert (abs(bits - 0.5) < 5 * 0.5 / np.sqrt(n)).all(), "every bit is set half the time"
    for modulus in (2, 3, 7, 10):
        counts = np.bincount((draws % np.uint64(modulus)).astype(int), minlength=modulus)
        chi2 = ((counts - n / modulus) ** 2 / (n / modulus)).sum()
        assert chi2 < modulus + 8 * np.sqrt(2 * modulus)
    assert len(np.unique(draws)) == n


def test_a_cycle_draws_by_seed_plugin_workload_index_and_attempt() -> None:
    table = table_of("a")

    def cycle(seed=1, plugin="P", attempt=1, incarnation=0, **fields) -> Cycle:
        made = Cycle(table, pod(**fields), now=0, seed=seed, attempt=attempt, incarnation=incarnation)
        made.plugin = plugin
        return made

    first = cycle().random()
    assert cycle().random() == first
    index = {"annotations": {"batch.kubernetes.io/job-completion-index": "3"}}
    others = [
        cycle(seed=2), cycle(plugin="Q"), cycle(attempt=2), cycle(incarnation=1), cycle(name="q"), cycle(**index)
    ]  # fmt: skip
    assert len({first, *(other.random() for other in others)}) == 7
    assert cycle().random(np.arange(3)).tolist() == [cycle().random(i) for i in range(3)]
    assert cycle().rng.random() == cycle().rng.random() != cycle(seed=2).rng.random()


def test_draws_do_not_depend_on_the_hash_seed() -> None:
    code = "from ksched.framework import chance; print(chance.draw(chance.key(3, 'P', 'ns/w'), 5))"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "123")
    }
    assert outputs == {f"{chance.draw(chance.key(3, 'P', 'ns/w'), 5)}\n"}
