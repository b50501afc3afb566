"""Virtual time as text."""

from __future__ import annotations

import pytest

from ksched.cluster.clock import Clock
from ksched.sim.kernel import SECOND, Kernel


@pytest.mark.parametrize(
    ("epoch", "second", "text"),
    [
        ("2025-01-01T00:00:00Z", 0, "2025-01-01T00:00:00Z"),
        ("2025-01-01T00:00:00Z", 86_399, "2025-01-01T23:59:59Z"),
        ("2025-01-01T00:00:00Z", 86_400, "2025-01-02T00:00:00Z"),
        ("2024-02-28T23:59:58Z", 3, "2024-02-29T00:00:01Z"),
        ("2025-01-01T00:00:01Z", -2, "2024-12-31T23:59:59Z"),
    ],
)
def test_a_second_is_written_as_the_calendar_has_it(epoch: str, second: int, text: str) -> None:
    assert Clock(Kernel(), epoch).format(second) == text


def test_text_reads_back_as_the_same_time_whatever_was_asked_before() -> None:
    clock = Clock(Kernel(), "2025-03-30T13:07:59Z")
    for second in (0, 200_000, 5, 86_400 * 400, 86_399):
        assert clock.parse(clock.format(second)) == second * SECOND


def test_a_timestamp_is_cut_to_the_second() -> None:
    kernel = Kernel()
    clock = Clock(kernel)
    kernel.run(until=61 * SECOND + SECOND // 2)
    assert clock.timestamp() == "2025-01-01T00:01:01Z"
