"""etcd's own tests of quorums, with the cross-checks its runner makes beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from ksched.cluster.etcd.raft.configuration import Configuration
from ksched.cluster.etcd.raft.quorum import NO_LIMIT

from .datadriven import Case, check, files


def _ids(values: list[str]) -> list[int]:
    return [int(value) for value in values if value != "zero"]


def _by_voter(case: Case, values: list[str]) -> dict[int, str]:
    """What each voter reported, in the order of first mention; an underscore is no report."""
    voters = dict.fromkeys(_ids(case.arguments.get("cfg", [])) + _ids(case.arguments.get("cfgj", [])))
    return {voter: value for voter, value in zip(voters, values, strict=True) if value != "_"}


def _describe(voters: frozenset[int], acked: Mapping[int, int]) -> str:
    """The acknowledged indexes, each with a bar as long as the number of voters behind it."""
    if not voters:
        return "<empty majority quorum>"
    width = len(voters)
    lines = [" " * width + "    idx\n"]
    for voter in sorted(voters):
        index = acked.get(voter, 0)
        behind = sum(1 for other in voters if acked.get(other, 0) < index)
        bar = "x" * behind + ">" + " " * (width - behind) if voter in acked else "?" + " " * width
        lines.append(f"{bar} {index:5d}    (id={voter:x})\n")
    return "".join(lines)


def _committed_by_counting(voters: frozenset[int], acked: Mapping[int, int]) -> int:
    """The same by definition: the highest index that more than half have reached."""
    if not voters:
        return NO_LIMIT
    reached = [i for i in acked.values() if 2 * sum(acked.get(voter, 0) >= i for voter in voters) > len(voters)]
    return max(reached, default=0)


def _committed(case: Case, first: frozenset[int], second: frozenset[int]) -> str:
    acked = {voter: int(value) for voter, value in _by_voter(case, case.arguments.get("idx", [])).items()}
    index = Configuration(first, second).committed_index(acked)
    assert index == Configuration(second, first).committed_index(acked)
    assert index == min(_committed_by_counting(half, acked) for half in (first, second))
    if not second:
        assert index == Configuration(first, first).committed_index(acked)
        for voter, own in acked.items():
            if own < index:
                assert index == Configuration(first).committed_index({**acked, voter: own - 1})
                assert index == Configuration(first).committed_index({**acked, voter: 0})
    return f"{_describe(first | second, acked)}{'∞' if index == NO_LIMIT else index}"


def _vote(case: Case, first: frozenset[int], second: frozenset[int]) -> str:
    votes = {voter: value == "y" for voter, value in _by_voter(case, case.arguments.get("votes", [])).items()}
    result = Configuration(first, second).vote_result(votes)
    assert result is Configuration(second, first).vote_result(votes)
    return result.value


def _run(case: Case) -> str:
    answer = {"committed": _committed, "vote": _vote}[case.command]
    return answer(case, *(frozenset(_ids(case.arguments.get(key, []))) for key in ("cfg", "cfgj")))


@pytest.mark.data
@pytest.mark.parametrize("path", files("quorum"))
def test_quorums_agree_with_etcd(path: Path) -> None:
    check(path, _run)
