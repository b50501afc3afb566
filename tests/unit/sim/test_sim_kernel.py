"""The event kernel and channels: order, cancellation, the end of a run."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksched.sim import Constant, Kernel, OrderedChannel, Pipe, Sampler, Streams, Uniform


def test_events_run_by_time_then_priority_then_order_of_asking() -> None:
    kernel, seen = Kernel(), []
    kernel.call_at(5, seen.append, "late")
    kernel.call_at(1, seen.append, "second of its priority", priority=1)
    kernel.call_at(1, seen.append, "first", priority=0)
    kernel.call_at(1, seen.append, "third of its priority", priority=1)
    kernel.run()
    assert seen == ["first", "second of its priority", "third of its priority", "late"]
    assert kernel.now == 5


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.booleans()), max_size=60))
def test_any_mix_of_events_runs_in_key_order_without_the_cancelled(plan: list[tuple[int, int, bool]]) -> None:
    kernel, seen = Kernel(), []
    timers = [kernel.call_at(t, seen.append, (t, p, i), priority=p) for i, (t, p, _) in enumerate(plan)]
    for timer, (_, _, cancelled) in zip(timers, plan, strict=True):
        if cancelled:
            timer.cancel()
            timer.cancel()
    assert kernel.pending == sum(not cancelled for _, _, cancelled in plan)
    kernel.run()
    assert seen == sorted((t, p, i) for i, (t, p, cancelled) in enumerate(plan) if not cancelled)


def test_what_comes_next_is_what_nothing_else_due_at_this_instant_goes_before() -> None:
    kernel, seen = Kernel(), []

    def look() -> None:
        seen.append([priority for priority in range(4) if kernel.comes_next(priority)])

    kernel.call_at(5, look, priority=1)
    kernel.call_at(5, look, priority=2)
    kernel.call_at(9, look)
    kernel.call_at(12, lambda: (kernel.post(look), look()))
    kernel.call_at(15, lambda: (kernel.stop(), look()))
    kernel.run()
    assert seen == [[0, 1], [0, 1, 2, 3], [0, 1, 2, 3], [], [0, 1, 2, 3], []]


def test_run_until_stops_after_that_instant_and_moves_the_clock_there() -> None:
    kernel, seen = Kernel(), []
    for time in (10, 20, 30):
        kernel.call_at(time, seen.append, time)
    kernel.call_at(20, lambda: kernel.call_later(0, seen.append, "same instant"))
    kernel.run(20)
    assert (seen, kernel.now) == ([10, 20, "same instant"], 20)
    kernel.run(25)
    assert (seen[3:], kernel.now) == ([], 25)


def test_a_cancelled_event_at_the_front_does_not_let_a_later_one_through() -> None:
    kernel, seen = Kernel(), []
    kernel.call_at(1, seen.append, "cancelled").cancel()
    kernel.call_at(9, seen.append, "too late")
    kernel.run(5)
    assert (seen, kernel.now) == ([], 5)


def test_background_events_alone_do_not_keep_a_run_going() -> None:
    kernel, seen = Kernel(), []
    kernel.call_background(5, seen.append, "before the last")
    kernel.call_background(50, seen.append, "after the last")
    kernel.call_at(10, seen.append, "last")
    kernel.run()
    assert (seen, kernel.now) == (["before the last", "last"], 10)
    kernel.run(60)
    assert seen[-1] == "after the last"


def test_the_past_cannot_be_scheduled() -> None:
    kernel = Kernel()
    kernel.run(10)
    with pytest.raises(ValueError, match="it is 10 ns already"):
        kernel.call_at(9, print)


def test_many_cancelled_timers_are_dropped_from_the_heap() -> None:
    kernel = Kernel()
    for timer in [kernel.call_at(1000 + i, print) for i in range(5000)]:
        timer.cancel()
    assert kernel.pending == 0
    assert len(kernel._heap) < 2000


def test_an_ordered_channel_never_lets_a_later_message_overtake() -> None:
    kernel, seen = Kernel(), []
    delay = Sampler(Uniform(low=0, high=1000), Streams(1), "channel")
    channel = OrderedChannel(kernel, delay)
    for i in range(200):
        channel.send(seen.append, i)
    kernel.run()
    assert seen == list(range(200))
    assert kernel.now > 500


def test_a_pipe_hands_over_what_arrives_together_as_one_list_and_keeps_order() -> None:
    kernel, seen = Kernel(), []
    pipe = Pipe(kernel, Sampler(Constant(value=3), Streams(1), "pipe"), seen.append)
    pipe.send("a")
    pipe.send("b")
    kernel.call_at(1, pipe.send, "c")
    kernel.run()
    assert (seen, kernel.now) == ([["a", "b"], ["c"]], 4)


def test_a_closed_pipe_drops_what_is_on_its_way() -> None:
    kernel, seen = Kernel(), []
    pipe = Pipe(kernel, Sampler(Constant(value=3), Streams(1), "pipe"), seen.append)
    pipe.send("a")
    pipe.close()
    kernel.run()
    assert seen == []
