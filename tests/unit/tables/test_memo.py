"""Memo: a dict nobody depends on."""

from __future__ import annotations

import pickle

import pytest

from ksched.tables import Memo, memo


def test_a_memo_is_a_dict() -> None:
    known: Memo[str, int] = Memo()
    known["a"] = 1
    assert known.get("a") == 1
    assert "b" not in known


def test_a_memo_that_grows_too_large_starts_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "_LIMIT", 3)
    known: Memo[int, int] = Memo()
    for i in range(4):
        known[i] = i
    assert dict(known) == {3: 3}


def test_a_copy_of_a_memo_is_empty() -> None:
    known: Memo[int, int] = Memo()
    known[1] = 1
    assert type(pickle.loads(pickle.dumps(known))) is Memo
    assert not pickle.loads(pickle.dumps(known))


def test_each_computes_what_is_not_known_once_for_equal_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memo, "_LIMIT", 3)
    known: Memo[int, int] = Memo({1: 10})
    computed: list[int] = []

    def ten_times(key: int) -> int:
        computed.append(key)
        return 10 * key

    assert known.each([1, 0, 2, 0, 1], ten_times) == [10, 0, 20, 0, 10]
    assert computed == [0, 2]
    assert known.each([1, 5, 6, 7, 8, 5], ten_times) == [10, 50, 60, 70, 80, 50]
