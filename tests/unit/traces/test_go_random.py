"""Go's generator: numbers every Go programmer has seen."""

from __future__ import annotations

import pytest

from ksched.traces.go_random import GoRandom


def test_the_first_numbers_of_seed_1_are_those_of_a_go_program_without_a_seed() -> None:
    draws = GoRandom(1)
    assert [draws.int63() for _ in range(3)] == [5577006791947779410, 8674665223082153551, 6129484611666145821]


def test_intn_gives_the_numbers_of_the_tour_of_go() -> None:
    draws = GoRandom(1)
    assert [draws.intn(100) for _ in range(10)] == [81, 87, 47, 59, 81, 18, 25, 40, 56, 0]


def test_intn_of_a_power_of_two_takes_bits_from_above() -> None:
    draws, same = GoRandom(7), GoRandom(7)
    assert [draws.intn(16) for _ in range(50)] == [(same.int63() >> 32) % 16 for _ in range(50)]


def test_a_value_that_would_favour_small_numbers_is_drawn_again() -> None:
    n = 2**30 + 1  # almost half of all values are beyond the last multiple
    draws, same = GoRandom(3), GoRandom(3)
    kept = [value for value in (same.int63() >> 32 for _ in range(100)) if value < n]
    assert [draws.intn(n) for _ in range(20)] == kept[:20]


def test_the_register_wraps_around() -> None:
    draws = GoRandom(42)
    series = [draws.int63() for _ in range(2000)]
    for k in range(607, 2000):
        assert series[k] == (series[k - 607] + series[k - 273]) % 2**63


def test_seeds_are_equal_modulo_2_to_the_31_minus_1_and_0_is_a_seed() -> None:
    assert GoRandom(5).int63() == GoRandom(5 + 2**31 - 1).int63()
    assert GoRandom(0).int63() == GoRandom(89482311).int63() != GoRandom(1).int63()


@pytest.mark.parametrize("n", [1, 2, 10, 1000])
def test_perm_and_shuffle_are_permutations_and_differ_by_seed(n: int) -> None:
    for make in (GoRandom.perm, GoRandom.shuffled):
        one, other = make(GoRandom(1), n), make(GoRandom(2), n)
        assert sorted(one) == sorted(other) == list(range(n))
        assert n < 10 or one != other


def test_perm_draws_once_per_place_the_first_included() -> None:
    draws, same = GoRandom(9), GoRandom(9)
    draws.perm(1)
    same.int63()
    assert draws.int63() == same.int63()


@pytest.mark.parametrize("n", [0, -1, 2**31])
def test_a_bound_out_of_range_is_refused(n: int) -> None:
    with pytest.raises(ValueError, match="bound"):
        GoRandom(1).intn(n)
