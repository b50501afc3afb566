"""From the chosen node to the binding: Reserve, Permit, PreBind, Bind, PostBind, and PreEnqueue before all of it."""

from __future__ import annotations

from typing import Any

import pytest

from ksched.errors import PluginError
from ksched.framework import Action, ClusterEvent, Code, EventToRegister, Status
from ksched.framework.events import NODE_ADD

from .build import Order, framework, pod, table_of

NO = Status.unschedulable("no")
SKIP = Status.skip()
OOPS = Status.error("oops")


class Log:
    """What plugins were called for, in order."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def plugin(self, name: str, **answers: object) -> type:
        """A plugin with these methods, each answering so."""

        def method(call: str, answer: object) -> Any:
            def run(self, *args):
                log.calls.append(f"{name}.{call}")
                return answer

            return run

        log = self
        return type(name, (), {"name": name} | {call: method(call, answer) for call, answer in answers.items()})


def run(point: str, *classes: type) -> Status | None:
    fw = framework(table_of("a"), *classes)
    view = pod()
    return getattr(fw, point)(fw.new_cycle(view), view, "a")


RESERVE = [
    ("all succeed", [None, None], "A.reserve B.reserve", None),
    (
        "the second fails and both are undone, the last first",
        [None, NO],
        "A.reserve B.reserve B.unreserve A.unreserve",
        "B",
    ),
    ("after a failure nobody else is asked, but all undo", [NO, None], "A.reserve B.unreserve A.unreserve", "A"),
    ("an error is a failure", [OOPS, None], "A.reserve B.unreserve A.unreserve", "A"),
]


@pytest.mark.parametrize(("sentence", "answers", "calls", "by"), RESERVE, ids=[r[0] for r in RESERVE])
def test_reserve(sentence: str, answers: list, calls: str, by: str | None) -> None:
    log = Log()
    status = run("reserve", *(log.plugin(n, reserve=a, unreserve=None) for n, a in zip("AB", answers, strict=True)))
    assert " ".join(log.calls) == calls
    assert (status.plugin if status else None) == by


def test_unreserve_undoes_all_in_reverse_and_passes_over_plugins_without_it() -> None:
    log = Log()
    classes = [
        log.plugin("A", reserve=None, unreserve=None),
        log.plugin("B", reserve=None),
        log.plugin("C", reserve=None, unreserve=None),
    ]
    run("unreserve", *classes)
    assert log.calls == ["C.unreserve", "A.unreserve"]


PERMIT = [
    ("everybody approves", [None, None], (None, "", 0.0)),
    ("one asks to wait", [Status.wait(5), None], (Code.WAIT, "A", 5.0)),
    ("the shortest wait counts", [Status.wait(5), Status.wait(3)], (Code.WAIT, "B", 3.0)),
    ("whoever asks for it", [Status.wait(3), Status.wait(5)], (Code.WAIT, "A", 3.0)),
    ("no wait is longer than a quarter of an hour", [Status.wait(5000), None], (Code.WAIT, "A", 900.0)),
    ("a refusal beats a wait", [Status.wait(5), NO], (Code.UNSCHEDULABLE, "B", 0.0)),
    ("an error too", [Status.wait(5), OOPS], (Code.ERROR, "B", 0.0)),
]


@pytest.mark.parametrize(("sentence", "answers", "wanted"), PERMIT, ids=[r[0] for r in PERMIT])
def test_permit(sentence: str, answers: list, wanted: tuple) -> None:
    """Upstream: TestPermitPlugins; waits are capped by maxTimeout."""
    log = Log()
    status = run("permit", *(log.plugin(n, permit=a) for n, a in zip("AB", answers, strict=True)))
    assert ((status.code, status.plugin, status.timeout_s) if status else (None, "", 0.0)) == wanted


PRE_BIND = [
    ("everybody is done", [None, Status(Code.SUCCESS)], "A.pre_bind B.pre_bind", None),
    ("the first failure ends it", [NO, None], "A.pre_bind", "A"),
]


@pytest.mark.parametrize(("sentence", "answers", "calls", "by"), PRE_BIND, ids=[r[0] for r in PRE_BIND])
def test_pre_bind(sentence: str, answers: list, calls: str, by: str | None) -> None:
    log = Log()
    status = run("pre_bind", *(log.plugin(n, pre_bind=a) for n, a in zip("AB", answers, strict=True)))
    assert " ".join(log.calls) == calls
    assert (status.plugin if status else None) == by


BIND = [
    ("the first binds and the others are not asked", [None, None], "A.bind", None),
    ("who skips leaves it to the next", [SKIP, None], "A.bind B.bind", None),
    ("a failure ends it", [OOPS, None], "A.bind", "A"),
    ("a success may be spelled out", [Status(Code.SUCCESS), None], "A.bind", None),
]


class Bound:
    def __init__(self) -> None:
        self.bound: list[tuple[str, str]] = []

    def bind(self, view, node_name: str) -> None:
        self.bound.append((view.name, node_name))


def bind(*classes: type) -> tuple[Status | None, Bound]:
    fw = framework(table_of("a"), *classes)
    view, handle = pod(), Bound()
    return fw.bind(fw.new_cycle(view), view, "a", handle), handle


@pytest.mark.parametrize(("sentence", "answers", "calls", "by"), BIND, ids=[r[0] for r in BIND])
def test_bind(sentence: str, answers: list, calls: str, by: str | None) -> None:
    log = Log()
    status, _ = bind(*(log.plugin(n, bind=a) for n, a in zip("AB", answers, strict=True)))
    assert " ".join(log.calls) == calls
    assert (status.plugin if status else None) == by


def test_who_binds_does_so_through_the_handle() -> None:
    status, handle = bind(Log().plugin("A", bind=SKIP))
    assert status is None
    assert handle.bound == [("pod", "a")], "Order, the last plugin, took it"


def test_a_pod_nobody_binds_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Order, "bind", lambda self, *args: SKIP)
    status, _ = bind()
    assert status is not None
    assert status.code is Code.ERROR


def test_post_bind_tells_everybody() -> None:
    log = Log()
    run("post_bind", log.plugin("A", post_bind=None), log.plugin("B", post_bind=None))
    assert log.calls == ["A.post_bind", "B.post_bind"]


PRE_ENQUEUE = [
    ("nobody objects", [None, Status(Code.SUCCESS)], None),
    ("the first objection counts", [None, NO], "B"),
    ("whatever it is", [OOPS, NO], "A"),
]


@pytest.mark.parametrize(("sentence", "answers", "by"), PRE_ENQUEUE, ids=[r[0] for r in PRE_ENQUEUE])
def test_pre_enqueue(sentence: str, answers: list, by: str | None) -> None:
    """Upstream: runPreEnqueuePlugins holds the pod on anything but success."""
    log = Log()
    fw = framework(table_of("a"), *(log.plugin(n, pre_enqueue=a) for n, a in zip("AB", answers, strict=True)))
    status = fw.pre_enqueue(pod())
    assert (status.plugin if status else None) == by


@pytest.mark.parametrize("point", ["reserve", "permit", "pre_bind", "bind", "pre_enqueue"])
@pytest.mark.parametrize("answer", [True, "no", 3.5])
def test_any_other_answer_is_told(point: str, answer: object) -> None:
    cls = Log().plugin("A", **{point: answer})
    fw = framework(table_of("a"), cls)
    view = pod()
    args = {"pre_enqueue": (view,), "bind": (fw.new_cycle(view), view, "a", Bound())}
    with pytest.raises(PluginError, match=f"plugin A: {point} returned {type(answer).__name__}"):
        getattr(fw, point)(*args.get(point, (fw.new_cycle(view), view, "a")))


@pytest.mark.parametrize("point", ["pre_enqueue", "reserve", "pre_bind"])
def test_who_skips_a_spec_is_not_asked_about_its_pods(point: str) -> None:
    log = Log()

    class Skips(log.plugin("Skips", pre_enqueue=NO, reserve=NO, pre_bind=NO)):
        def skips(self, point, pod):
            asked.append(point)
            return not pod.requests

    asked: list[str] = []
    fw = framework(table_of("a"), Skips, log.plugin("Other", pre_enqueue=None, reserve=None, pre_bind=None))
    for view, calls in [(pod(), [f"Other.{point}"]), (pod(cpu="1"), [f"Skips.{point}"])]:
        for _ in range(2):
            log.calls.clear()
            args = (view,) if point == "pre_enqueue" else (fw.new_cycle(view), view, "a")
            getattr(fw, point)(*args)
            assert log.calls == calls
    assert len(asked) == 2, "once per spec"


def test_draws_in_the_binding_cycle_are_each_plugins_own() -> None:
    drawn = {}

    def drawing(name: str) -> type:
        def reserve(self, cycle, pod, node_name):
            drawn[name] = cycle.random()

        return type(name, (), {"name": name, "reserve": reserve})

    run("reserve", drawing("A"), drawing("B"))
    assert drawn["A"] != drawn["B"]


def test_events_are_collected_by_plugin() -> None:
    interest = EventToRegister(ClusterEvent("Node", Action.ADD))

    class Listens:
        name = "Listens"

        def filter(self, cycle, pod, nodes): ...

        def events_to_register(self):
            return (interest,)

    events = framework(table_of("a"), Listens, Log().plugin("Quiet", filter=None)).events()
    assert events["Listens"] == [interest]
    assert "Quiet" not in events, "who does not say is asked on every event"
    assert interest.event.matches(NODE_ADD)


def test_the_queue_is_sorted_by_the_profiles_plugin() -> None:
    fw = framework(table_of("a"))
    assert fw.queue_sort_key(pod(), 7) == 7
