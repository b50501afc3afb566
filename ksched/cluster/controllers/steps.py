"""Controller code that reads from top to bottom although every api call answers later.

A sync is a generator. It yields a call (or a list of calls to make at once) and is resumed with the answer, a pair
``(result, error)`` (or a list of them):

    created, error = yield call(client.create, pod)
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any

from ksched.cluster.apiserver.errors import ApiError

Answer = tuple[Any, ApiError | None]
Then = Callable[[Any, ApiError | None], object]
Call = Callable[[Then], object]
Steps = Generator[Call | Sequence[Call], Any, None]


def call(method: Callable[..., object], *args: Any, **options: Any) -> Call:
    """A client call still lacking its ``then``."""
    return lambda then: method(*args, then=then, **options)


def run(steps: Steps, done: Callable[[Exception | None], object]) -> None:
    """Run ``steps`` to its end, then call ``done(error)``; an ApiError that escapes it is passed, others are bugs."""
    _resume(steps, None, done)


def _resume(steps: Steps, answer: Any, done: Callable[[Exception | None], object]) -> None:
    try:
        wanted = steps.send(answer)
    except StopIteration:
        done(None)
        return
    except ApiError as error:
        done(error)
        return
    if callable(wanted):
        wanted(lambda result, error: _resume(steps, (result, error), done))
    else:
        _together(steps, wanted, done)


def _together(steps: Steps, calls: Sequence[Call], done: Callable[[Exception | None], object]) -> None:
    answers: list[Answer] = [(None, None)] * len(calls)
    missing = len(calls)
    if not missing:
        _resume(steps, answers, done)

    def collect(index: int) -> Then:
        def then(result: Any, error: ApiError | None) -> None:
            nonlocal missing
            answers[index] = (result, error)
            missing -= 1
            if missing == 0:
                _resume(steps, answers, done)

        return then

    for index, one in enumerate(calls):
        one(collect(index))
