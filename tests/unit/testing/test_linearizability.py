"""Histories by hand whose verdict can be seen at a glance; published ones are in tests/conformance."""

from __future__ import annotations

from ksched.testing.linearizability import Operation, Register, is_linearizable

READ = ("read",)


def write(value: int) -> tuple[str, int]:
    return "write", value


def linearizable(*history: Operation) -> bool:
    return is_linearizable(history, Register())


def test_a_read_sees_the_last_write() -> None:
    assert linearizable(Operation(0, 1, write(5)), Operation(2, 3, READ, 5))
    assert not linearizable(Operation(0, 1, write(5)), Operation(2, 3, READ, None))


def test_a_read_beside_a_write_may_see_either_value() -> None:
    for seen in (None, 5):
        assert linearizable(Operation(0, 3, write(5)), Operation(1, 2, READ, seen))


def test_two_reads_after_each_other_do_not_go_back() -> None:
    slow = Operation(0, 9, write(5))
    assert linearizable(slow, Operation(1, 2, READ, None), Operation(3, 4, READ, 5))
    assert not linearizable(slow, Operation(1, 2, READ, 5), Operation(3, 4, READ, None))


def test_a_write_nobody_answered_may_take_effect_late_or_never() -> None:
    lost = Operation(0, None, write(5))
    assert linearizable(lost, Operation(1, 2, READ, None), Operation(3, 4, READ, 5))
    assert linearizable(lost, Operation(1, 2, READ, None), Operation(3, 4, READ, None))
    assert not linearizable(lost, Operation(1, 2, READ, 5), Operation(3, 4, READ, None))
    assert not linearizable(Operation(0, 1, READ, 5), Operation(2, None, write(5)))


def test_only_one_of_two_rivals_wins_a_compare_and_set() -> None:
    first, second = ("cas", None, 1), ("cas", None, 2)
    assert linearizable(Operation(0, 3, first, True), Operation(1, 2, second, False))
    assert not linearizable(Operation(0, 3, first, True), Operation(1, 2, second, True))
    assert not linearizable(Operation(0, 3, first, False), Operation(1, 2, second, False))


def test_parts_are_judged_apart() -> None:
    history = [
        Operation(0, 1, ("write", 1, "x")),
        Operation(2, 3, ("read", None, "y"), None),
        Operation(4, 5, ("read", None, "x"), 1),
    ]
    assert not is_linearizable(history, Register())
    assert is_linearizable(history, Register(), part=lambda request: request[2])
