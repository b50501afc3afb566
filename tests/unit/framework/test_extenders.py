"""Extenders: what is sent, what answers mean, and what happens when one fails.

Derived from upstream's pkg/scheduler/extender_test.go (TestSchedulerWithExtenders), k8s.io/kube-scheduler/extender/v1
and the integration test test/integration/scheduler/extender. The HTTP ones talk to a server on loopback.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from ksched.errors import InputError
from ksched.framework import Framework, Outcome, TieBreak, load_configuration
from ksched.testing.factories import make_node

from .build import pod, table_of

Answer = Callable[[str, dict[str, Any]], Any]


class Server:
    """An extender on loopback that records what it is asked and answers as told; an int is an HTTP status."""

    def __init__(self) -> None:
        self.answer: Answer = lambda verb, args: {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                args = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.asked.append((self.path, args))
                answer = server.answer(self.path.rsplit("/", 1)[1], args)
                status, body = (answer, b"") if isinstance(answer, int) else (200, json.dumps(answer).encode())
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self._http.server_port}/scheduler/"

    def close(self) -> None:
        self._http.shutdown()
        self._http.server_close()


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    yield made
    made.close()


def framework(*extenders: dict[str, Any], nodes: int = 3, **profile: Any) -> Framework:
    configuration = load_configuration({"extenders": list(extenders), "profiles": [profile]})
    table = table_of([make_node(f"n{i}") for i in range(nodes)])
    return Framework(configuration.profiles[0], table, tie_break=TieBreak.NAME)


def filtering(server: Server, **fields: Any) -> dict[str, Any]:
    return {"urlPrefix": server.url, "filterVerb": "filter", **fields}


# -- what is sent ------------------------------------------------------------------------------------------------------


def test_a_filter_is_sent_the_pod_and_the_nodes_that_passed_with_gos_names(server: Server) -> None:
    server.answer = lambda verb, args: {"Nodes": args["Nodes"]}
    fw = framework(filtering(server), nodes=2)
    fw.schedule(pod("p", node_selector={"kubernetes.io/hostname": "n1"}))
    (path, args) = server.asked[0]
    assert path == "/scheduler/filter"
    assert list(args) == ["Pod", "Nodes", "NodeNames"]
    assert args["Pod"]["metadata"]["name"] == "p"
    assert [node["metadata"]["name"] for node in args["Nodes"]["items"]] == ["n1"]
    assert args["NodeNames"] is None


def test_an_extender_with_a_node_cache_is_sent_names_only(server: Server) -> None:
    server.answer = lambda verb, args: {"nodeNames": ["n1"]}
    decision = framework(filtering(server, nodeCacheCapable=True)).schedule(pod())
    assert server.asked[0][1]["NodeNames"] == ["n0", "n1", "n2"]
    assert server.asked[0][1]["Nodes"] is None
    assert decision.node == "n1"


def test_each_extender_is_asked_about_what_the_one_before_left_and_nobody_about_nothing(server: Server) -> None:
    left = {"first": ["n1", "n2"], "second": [], "third": ["n1"]}
    server.answer = lambda verb, args: {"NodeNames": left[verb]}
    extenders = [filtering(server, nodeCacheCapable=True) | {"filterVerb": verb} for verb in left]
    decision = framework(*extenders).schedule(pod())
    assert [(path.rsplit("/")[-1], args["NodeNames"]) for path, args in server.asked] == [
        ("first", ["n0", "n1", "n2"]),
        ("second", ["n1", "n2"]),
    ]
    assert decision.outcome is Outcome.UNSCHEDULABLE


def test_an_extender_that_manages_resources_is_asked_about_pods_that_name_one(server: Server) -> None:
    server.answer = lambda verb, args: {"NodeNames": ["n2"]}
    managed = [{"name": "example.com/fpga", "ignoredByScheduler": True}]
    fw = framework(filtering(server, nodeCacheCapable=True, managedResources=managed))
    assert fw.schedule(pod("plain")).node == "n0"
    assert server.asked == []
    # No node has any, but the extender said NodeResourcesFit should not look.
    assert fw.schedule(pod("special", requests={"example.com/fpga": 1})).node == "n2"
    assert len(server.asked) == 1


# -- what answers mean -------------------------------------------------------------------------------------------------


def test_the_reasons_of_failed_nodes_are_reported_and_say_whether_eviction_could_help(server: Server) -> None:
    server.answer = lambda verb, args: {
        "NodeNames": [],
        "FailedNodes": {"n0": "busy"},
        "FailedAndUnresolvableNodes": {"n1": "broken"},
    }
    decision = framework(filtering(server, nodeCacheCapable=True)).schedule(pod())
    assert [(r.plugin, r.reason, r.nodes, r.resolvable) for r in decision.rejections] == [
        ("Extender", "broken", 1, False),
        ("Extender", "busy", 1, True),
    ]


def test_nodes_are_scored_as_if_those_the_extender_took_out_were_never_there(server: Server) -> None:
    server.answer = lambda verb, args: {"NodeNames": ["n1", "n2"]}
    fw = framework(filtering(server, nodeCacheCapable=True))
    fw.table.update_node(make_node("n0", taints=["slow:PreferNoSchedule"] * 1))
    fw.table.update_node(make_node("n1", taints=["slow:PreferNoSchedule"]))
    decision = fw.schedule(pod(), top=3)
    assert {c.node: c.scores["TaintToleration"] for c in decision.top} == {"n1": 0, "n2": 300}


def test_an_extenders_scores_count_ten_times_their_weight(server: Server) -> None:
    server.answer = lambda verb, args: [{"Host": "n0", "Score": 1}, {"host": "n2", "score": 10}]
    extender = {"urlPrefix": server.url, "prioritizeVerb": "prioritize", "weight": 2, "nodeCacheCapable": True}
    decision = framework(extender).schedule(pod(), top=3)
    without = framework().schedule(pod(), top=3)
    base = {c.node: c.total for c in without.top}
    assert {c.node: c.total - base[c.node] for c in decision.top} == {"n0": 20, "n1": 0, "n2": 200}
    assert decision.node == "n2"


def test_with_one_node_left_nobody_is_asked_for_scores(server: Server) -> None:
    """Upstream: schedulePod returns the only feasible node at once."""
    extender = {"urlPrefix": server.url, "prioritizeVerb": "prioritize", "weight": 1}
    assert framework(extender, nodes=1).schedule(pod()).node == "n0"
    assert server.asked == []


def test_the_cached_path_and_the_path_of_named_nodes_ask_alike(server: Server) -> None:
    server.answer = lambda verb, args: {"NodeNames": ["n0", "n2"]} if verb == "filter" else [{"Host": "n2", "Score": 5}]
    extender = filtering(server, nodeCacheCapable=True, prioritizeVerb="prioritize", weight=1)
    fw = framework(extender, nodes=4)
    anywhere = fw.schedule(pod("a"), top=4)
    named = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
        {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]} for name in ("n0", "n1", "n2")
    ]}}}  # fmt: skip
    by_name = fw.schedule(pod("b", affinity=named), top=4)
    assert anywhere.node == by_name.node == "n2"
    assert anywhere.feasible == by_name.feasible == 2


# -- what happens when one fails ---------------------------------------------------------------------------------------


def oops(verb: str, args: dict[str, Any]) -> Any:
    raise RuntimeError("oops")


FAILURES: list[tuple[str, Answer, str]] = [
    ("it answers with an error", lambda verb, args: {"Error": "no idea"}, "no idea"),
    ("it answers with another status than 200", lambda verb, args: 500, "answered filter with code 500"),
    ("it names a node it was not asked about", lambda verb, args: {"NodeNames": ["n9"]}, "names node 'n9'"),
    ("it answers with something else", lambda verb, args: [1], "expected a JSON object, got list"),
]


@pytest.mark.parametrize(("sentence", "answer", "message"), FAILURES, ids=[r[0] for r in FAILURES])
@pytest.mark.parametrize("ignorable", [False, True])
def test_a_filter_fails_if(server: Server, sentence: str, answer: Answer, message: str, ignorable: bool) -> None:
    server.answer = answer
    decision = framework(filtering(server, nodeCacheCapable=True, ignorable=ignorable)).schedule(pod())
    if ignorable:
        assert decision.node == "n0"
    else:
        assert decision.outcome is Outcome.ERROR
        assert message in decision.rejections[0].reason


def test_an_extender_nobody_answers_for_is_an_error_and_does_not_stay_one(server: Server) -> None:
    fw = framework(filtering(server, nodeCacheCapable=True))
    server.answer = lambda verb, args: {"NodeNames": ["n0"]}
    assert fw.schedule(pod("a")).node == "n0"
    server.close()
    gone = framework(filtering(server, nodeCacheCapable=True)).schedule(pod("b"))
    assert gone.outcome is Outcome.ERROR
    assert "cannot be asked" in gone.rejections[0].reason


def test_scores_that_cannot_be_had_are_done_without_also_if_the_extender_is_not_ignorable(server: Server) -> None:
    server.answer = lambda verb, args: 500
    extender = {"urlPrefix": server.url, "prioritizeVerb": "prioritize", "weight": 1}
    assert framework(extender).schedule(pod()).node == "n0"


# -- bind --------------------------------------------------------------------------------------------------------------


class Bound:
    def __init__(self) -> None:
        self.bound: list[tuple[str, str]] = []

    def bind(self, view: Any, node_name: str) -> None:
        self.bound.append((view.name, node_name))


@pytest.mark.parametrize(
    ("sentence", "answer", "ignorable", "binds", "bound"),
    [
        ("an extender that binds is told and the plugins are not asked", {}, False, None, True),
        ("one that fails fails the binding", {"Error": "no"}, False, "no", False),
        ("one that fails and is ignorable leaves it to the plugins", {"Error": "no"}, True, None, True),
    ],
    ids=["told", "fails", "ignored"],
)
def test_binding(server: Server, sentence: str, answer: Any, ignorable: bool, binds: str | None, bound: bool) -> None:
    server.answer = lambda verb, args: answer
    fw = framework({"urlPrefix": server.url, "bindVerb": "bind", "ignorable": ignorable})
    handle, view = Bound(), pod("p")
    status = fw.bind(fw.new_cycle(view), view, "n1", handle)
    assert (status.reasons[0] if status else None) == binds
    assert handle.bound == ([("p", "n1")] if bound else [])
    args = {"PodName": "p", "PodNamespace": "default", "PodUID": view.uid, "Node": "n1"}
    assert server.asked == [("/scheduler/bind", args)]


# -- a function instead of a server ------------------------------------------------------------------------------------


def only_the_last(verb: str, args: dict[str, Any]) -> Any:
    return {"NodeNames": args["NodeNames"][-1:]}


def test_a_python_function_can_be_the_extender() -> None:
    prefix = f"python:{__name__}:only_the_last"
    fw = framework({"urlPrefix": prefix, "filterVerb": "filter", "nodeCacheCapable": True})
    assert fw.schedule(pod()).node == "n2"


def test_a_function_that_raises_is_a_failing_extender() -> None:
    decision = framework({"urlPrefix": f"python:{__name__}:oops", "filterVerb": "filter"}).schedule(pod())
    assert decision.outcome is Outcome.ERROR
    assert "RuntimeError: oops" in decision.rejections[0].reason


# -- configuration: apis/config/validation TestValidateKubeSchedulerConfiguration --------------------------------------

FPGA = {"managedResources": [{"name": "example.com/fpga"}]}
MISTAKES: list[tuple[str, list[dict[str, Any]], str]] = [
    ("scores without a weight", [{"prioritizeVerb": "p"}], "needs a positive weight"),
    ("two that bind", [{"bindVerb": "b"}, {"bindVerb": "b"}], "only one extender can implement bind"),
    ("one resource managed by two", [FPGA, FPGA], "managed by two extenders"),
    ("a resource that is not extended", [{"managedResources": [{"name": "cpu"}]}], "invalid extended resource name"),
    ("TLS", [{"enableHTTPS": True}], "TLS"),
    ("an address of another kind", [{"urlPrefix": "ftp://x"}], "must begin with http://"),
    ("a timeout that is none", [{"httpTimeout": "soon"}], "'soon' is not a duration"),
    ("preemption", [{"preemptVerb": "preempt"}], "preemptVerb is not supported"),
    ("a misspelt key", [{"filterverb": "filter"}], "filterverb"),
]


@pytest.mark.parametrize(("sentence", "extenders", "message"), MISTAKES, ids=[r[0] for r in MISTAKES])
def test_an_extender_may_not_have(sentence: str, extenders: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_configuration({"extenders": [{"urlPrefix": "http://127.0.0.1:1"} | extender for extender in extenders]})


def test_a_function_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(InputError, match=r"no_such_module.*cannot be imported"):
        framework({"urlPrefix": "python:no_such_module:f", "filterVerb": "filter"})


def test_the_effective_configuration_keeps_extenders() -> None:
    spec = {"urlPrefix": "http://127.0.0.1:1", "filterVerb": "f", "httpTimeout": "1m30s", "weight": 3}
    configuration = load_configuration({"extenders": [spec]})
    assert configuration.profiles[0].extenders[0].timeout_s == 90
    assert load_configuration(configuration.effective()).profiles[0].extenders == configuration.profiles[0].extenders
