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
