"""Is a concurrent history linearizable: could its operations have taken effect one at a time, each between its call and
its return, in an order that a sequential model accepts?

The search of Wing and Gong ("Testing and Verifying Concurrent Objects", 1993) with Lowe's memory of visited
configurations ("Testing for linearizability", 2017): depth first over which pending operation took effect next; a set
of operations done together with the state they led to is never looked at twice. Histories that fall apart into
independent parts (one per key) are checked part by part, since linearizability is compositional (Herlihy and Wing,
1990).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol


class Operation(NamedTuple):
    """One operation of one client.

    ``call`` and ``end`` are positions in real time (any comparable numbers; distinct). ``end`` None: nobody knows
    whether or when it took effect, so it may have done so at any time after its call, or never. ``result`` is then
    ignored.
    """

    call: int
    end: int | None
    request: Any
    result: Any = None


class Model(Protocol):
    """A sequential object. States must be hashable; ``initial`` is the one it starts in."""

    initial: Hashable

    def step(self, state: Any, request: Any, result: Any) -> tuple[bool, Any]:
        """Whether ``result`` is right for ``request`` in ``state``, and the state after it."""
        ...

    def unknown(self, state: Any, request: Any) -> Any:
        """The state after ``request`` took effect with a result nobody saw."""
        ...


class Register:
    """One register with read, write and compare-and-set; requests are ("read",), ("write", v), ("cas", old, new).

    A read's result is the value, None while nothing was written; a compare-and-set's whether it took place.
    """

    initial: Hashable = None

    def step(self, state: Any, request: Any, result: Any) -> tuple[bool, Any]:
        """See :class:`Model`."""
        if request[0] == "read":
            return result == state, state
        if request[0] == "cas":
            return (state == request[1]) is bool(result), self.unknown(state, request)
        return True, request[1]

    def unknown(self, state: Any, request: Any) -> Any:
        """See :class:`Model`."""
        if request[0] == "cas":
            return request[2] if state == request[1] else state
        return request[1] if request[0] == "write" else state


@dataclass(slots=True, eq=False)
class _Moment:
    """A call or a return, linked to its neighbours in time among those not taken out."""

    number: int
    is_call: bool
    returned: _Moment | None = None
    """Of a call: its return, None if nobody saw one."""
    before: _Moment | None = None
    after: _Moment | None = None

    def take_out(self) -> None:
        """Leave the list; ``put_back`` in the opposite order undoes it."""
        assert self.before is not None
        self.before.after = self.after
        if self.after is not None:
            self.after.before = self.before

    def put_back(self) -> None:
        assert self.before is not None
        self.before.after = self
        if self.after is not None:
            self.after.before = self


def is_linearizable(
    history: Iterable[Operation], model: Model, *, part: Callable[[Any], Hashable] | None = None
) -> bool:
    """Whether ``history`` is linearizable with respect to ``model``.

    ``part`` names the independent part (say the key) a request belongs to; each part starts in the initial state.
    Exponential in the number of operations that overlap, as the problem is (Gibbons and Korach, 1997).
    """
    operations = list(history)
    if part is None:
        return _check(operations, model)
    parts: dict[Hashable, list[Operation]] = {}
    for operation in operations:
        parts.setdefault(part(operation.request), []).append(operation)
    return all(_check(own, model) for own in parts.values())


def _check(operations: Sequence[Operation], model: Model) -> bool:
    head = _in_time_order(operations)
    waiting = sum(operation.end is not None for operation in operations)
    state, done = model.initial, 0
    seen: set[tuple[int, Any]] = set()
    taken: list[tuple[_Moment, Any]] = []
    moment = head.after
    # Operations that never returned need not have taken effect: it is over when all others have.
    while waiting:
        if moment is not None and moment.is_call:
            operation = operations[moment.number]
            fits, after = _effect(model, state, operation)
            reached = (done | 1 << moment.number, after)
            if not fits or reached in seen:
                moment = moment.after
                continue
            seen.add(reached)
            taken.append((moment, state))
            done, state = reached
            moment.take_out()
            if moment.returned is not None:
                moment.returned.take_out()
                waiting -= 1
            moment = head.after
            continue
        # Here is a return whose operation has not taken effect: something before it was taken wrongly.
        if not taken:
            return False
        moment, state = taken.pop()
        done ^= 1 << moment.number
        if moment.returned is not None:
            moment.returned.put_back()
            waiting += 1
        moment.put_back()
        moment = moment.after
    return True


def _effect(model: Model, state: Any, operation: Operation) -> tuple[bool, Any]:
    if operation.end is None:
        return True, model.unknown(state, operation.request)
    return model.step(state, operation.request, operation.result)


def _in_time_order(operations: Sequence[Operation]) -> _Moment:
    """The list of calls and returns, behind a head that stands for nothing."""
    moments: list[tuple[int, _Moment]] = []
    for number, operation in enumerate(operations):
        call = _Moment(number, True)
        moments.append((operation.call, call))
        if operation.end is not None:
            call.returned = _Moment(number, False)
            moments.append((operation.end, call.returned))
    moments.sort(key=lambda moment: moment[0])
    head = last = _Moment(-1, False)
    for _, moment in moments:
        last.after, moment.before = moment, last
        last = moment
    return head
