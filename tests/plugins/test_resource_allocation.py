"""Shares in percent are exact, however they are computed."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ksched_plugins.kubernetes.resource_allocation import percent

MANY = 100
wholes = st.one_of(st.integers(1, 1 << 20), st.integers((1 << 46) - 1000, (1 << 46) + 1000), st.integers(1, 1 << 56))


@given(st.lists(st.tuples(wholes, st.floats(0, 1)), min_size=1, max_size=20))
def test_percent_is_the_integer_quotient_for_few_and_for_many(drawn: list[tuple[int, float]]) -> None:
    pairs = [(min(int(whole * share), whole), whole) for whole, share in drawn]
    # Parts at a whole percent and one below it, where rounding would show.
    pairs += [
        (max(min(-(-whole * k // 100) - d, whole), 0), whole)
        for _, whole in pairs
        for k in (1, 29, 100)
        for d in (0, 1)
    ]
    for times in (1, MANY):
        part, whole = (np.array(side * times, dtype=np.int64) for side in zip(*pairs, strict=True))
        assert percent(part, whole).tolist() == [100 * p // w for p, w in pairs] * times
