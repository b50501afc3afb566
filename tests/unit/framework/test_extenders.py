"""Extenders: what is sent, what answers mean, and what happens when one fails.

Derived from upstream's pkg/scheduler/extender_test.go (TestSchedulerWithExtenders, TestConvertToVictims), TestPreempt
of plugins/defaultpreemption, callExtenders in framework/preemption, k8s.io/kube-scheduler/extender/v1 and the
integration test test/integration/scheduler/extender. The HTTP ones talk to a server on loopback.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ksched.errors import InputError
from ksched.framework import Code, Decision, Framework, Outcome, PostFilterResult, TieBreak, load_configuration
from ksched.framework.explain import explain
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


# -- preempt -----------------------------------------------------------------------------------------------------------

FULL_NODE = 4
"""Cpus of a node, all taken by its pod ``low-<node>``, whose priority is the node's number."""


def preempting(server: Server, **fields: Any) -> dict[str, Any]:
    return {"urlPrefix": server.url, "preemptVerb": "preempt", "nodeCacheCapable": True, **fields}


def preempt(*extenders: dict[str, Any], **high: Any) -> tuple[Decision, PostFilterResult]:
    """Three full nodes; a pod of high priority wants one of them, whose pod is the least important."""
    fw = framework(*extenders)
    for number in range(3):
        fw.table.add_pod(pod(f"low-n{number}", cpu=FULL_NODE, priority=number), f"n{number}")
    view = pod("high", cpu=FULL_NODE, priority=10, **high)
    cycle = fw.new_cycle(view)
    decision = fw.schedule(view, cycle)
    return decision, fw.post_filter(cycle, view, decision)


def leaving(*names: str, violations: int = 0) -> Answer:
    """Allow those nodes, with the victims there are."""
    victims = {name: {"Pods": [{"UID": f"default/low-{name}"}], "NumPDBViolations": violations} for name in names}
    return lambda verb, args: {"NodeNameToMetaVictims": victims}


def test_an_extender_that_preempts_is_sent_every_candidate_and_its_victims_by_uid(server: Server) -> None:
    server.answer = leaving("n0")
    preempt(preempting(server))
    ((path, args),) = server.asked
    assert path == "/scheduler/preempt"
    assert list(args) == ["Pod", "NodeNameToVictims", "NodeNameToMetaVictims"]
    assert args["Pod"]["metadata"]["name"] == "high"
    assert args["NodeNameToVictims"] is None
    assert args["NodeNameToMetaVictims"] == {
        f"n{i}": {"Pods": [{"UID": f"default/low-n{i}"}], "NumPDBViolations": 0} for i in range(3)
    }


def test_without_a_node_cache_it_is_sent_the_victims_whole(server: Server) -> None:
    server.answer = leaving("n0")
    preempt(preempting(server, nodeCacheCapable=False))
    ((_, args),) = server.asked
    assert args["NodeNameToMetaVictims"] is None
    assert args["NodeNameToVictims"]["n1"]["Pods"][0]["metadata"]["name"] == "low-n1"


def test_the_best_of_what_it_leaves_is_taken(server: Server) -> None:
    server.answer = leaving("n2", "n1")
    decision, result = preempt(preempting(server))
    assert (result.nominated_node, [victim.name for victim in result.victims]) == ("n1", ["low-n1"])
    assert decision.victims == ("default/low-n1",)


def test_its_count_of_broken_budgets_is_believed(server: Server) -> None:
    harmless = leaving("n2")("", {})["NodeNameToMetaVictims"]
    harmful = leaving("n0", violations=1)("", {})["NodeNameToMetaVictims"]
    server.answer = lambda verb, args: {"nodeNameToMetaVictims": harmful | harmless}
    _, result = preempt(preempting(server))
    assert result.nominated_node == "n2"


def test_each_extender_sees_what_the_one_before_left(server: Server) -> None:
    answers = {"first": leaving("n1", "n2"), "second": leaving("n2")}
    server.answer = lambda verb, args: answers[verb](verb, args)
    _, result = preempt(*(preempting(server, preemptVerb=verb) for verb in answers))
    assert list(server.asked[1][1]["NodeNameToMetaVictims"]) == ["n1", "n2"]
    assert result.nominated_node == "n2"


def test_if_it_leaves_nothing_nobody_is_evicted_and_no_further_extender_asked(server: Server) -> None:
    server.answer = leaving()
    decision, result = preempt(preempting(server), preempting(server))
    assert len(server.asked) == 1
    assert (result.nominated_node, result.victims) == (None, ())
    assert decision.message().endswith("preemption: no candidate node for preemption")


def test_one_that_manages_other_resources_or_has_no_verb_for_it_is_not_asked(server: Server) -> None:
    managed = [{"name": "example.com/fpga"}]
    _, result = preempt(preempting(server, managedResources=managed), preempting(server, preemptVerb=""))
    assert server.asked == []
    assert result.nominated_node == "n0"


def strange(name: str, *uids: str) -> Answer:
    return lambda verb, args: {"NodeNameToMetaVictims": {name: {"Pods": [{"UID": uid} for uid in uids]}}}


PREEMPT_FAILURES: list[tuple[str, Answer, str]] = [
    ("it answers with another status than 200", lambda verb, args: 500, "answered preempt with code 500"),
    ("it names a node that does not exist", strange("n9", "x"), "names node 'n9', which does not exist"),
    ("it names a pod that is not on the node", strange("n0", "default/low-n1"), "the pod is not found on that node"),
    ("it names a node without victims", strange("n0"), 'expected at least one victim pod on node "n0"'),
    ("it answers with something else", lambda verb, args: {"NodeNameToMetaVictims": [1]}, "to be an object, got list"),
]


@pytest.mark.parametrize(("sentence", "answer", "message"), PREEMPT_FAILURES, ids=[r[0] for r in PREEMPT_FAILURES])
def test_preemption_fails_if(server: Server, sentence: str, answer: Answer, message: str) -> None:
    server.answer = answer
    decision, result = preempt(preempting(server))
    assert result.status is not None
    assert result.status.code is Code.ERROR
    assert (result.nominated_node, decision.victims) == (None, ())
    assert message in decision.post_filter


def test_an_ignorable_extender_that_fails_is_done_without(server: Server) -> None:
    server.answer = lambda verb, args: 500
    _, result = preempt(preempting(server, ignorable=True))
    assert result.nominated_node == "n0"


def test_of_an_ignorable_extender_only_the_nodes_without_victims_are_dropped(server: Server) -> None:
    empty = strange("n0")("", {})["NodeNameToMetaVictims"]
    server.answer = lambda verb, args: {"NodeNameToMetaVictims": empty | leaving("n2")("", {})["NodeNameToMetaVictims"]}
    _, result = preempt(preempting(server, ignorable=True))
    assert result.nominated_node == "n2"


# -- what an explanation says of them ----------------------------------------------------------------------------------


def test_an_explanation_shows_what_an_extender_rejected_and_why(server: Server) -> None:
    server.answer = lambda verb, args: {"NodeNames": ["n1"], "FailedNodes": {"n0": "busy"}}
    told = explain(framework(filtering(server, nodeCacheCapable=True)), pod())
    assert told.rejections().to_dict("records") == [
        {"node": "n0", "plugin": server.url, "code": "Unschedulable", "reason": "busy"},
        {
            "node": "n2",
            "plugin": server.url,
            "code": "UnschedulableAndUnresolvable",
            "reason": "left out without a reason",
        },
    ]
    assert told.feasible.tolist() == [False, True, False]
    assert told.decision.node == "n1"


def test_an_explanation_shows_what_an_extender_gave_and_adds_up_to_the_decision(server: Server) -> None:
    server.answer = lambda verb, args: [{"Host": "n1", "Score": 7}]
    extender = {"urlPrefix": server.url, "prioritizeVerb": "prioritize", "weight": 2, "nodeCacheCapable": True}
    told = explain(framework(extender), pod())
    table = told.score_table()
    given = table[table["plugin"] == server.url].set_index("node")
    assert given.loc["n1"].to_dict() == {
        "plugin": server.url, "raw": 7, "normalized": 70, "weight": 2, "points": 140
    }  # fmt: skip
    assert given.loc["n0", "points"] == 0
    assert told.ranking()["total"][0] == told.decision.score


def test_an_explanation_shows_the_error_of_an_extender_that_fails(server: Server) -> None:
    server.answer = lambda verb, args: {"Error": "no idea"}
    told = explain(framework(filtering(server)), pod())
    assert set(told.rejections()["reason"]) == {"no idea"}
    assert set(told.rejections()["plugin"]) == {"Extender"}
    assert told.decision.outcome is Outcome.ERROR


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
    ("a misspelt key", [{"filterverb": "filter"}], "filterverb"),
]


@pytest.mark.parametrize(("sentence", "extenders", "message"), MISTAKES, ids=[r[0] for r in MISTAKES])
def test_an_extender_may_not_have(sentence: str, extenders: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_configuration({"extenders": [{"urlPrefix": "http://127.0.0.1:1"} | extender for extender in extenders]})


def test_a_function_that_is_not_there_is_told_at_once() -> None:
    with pytest.raises(InputError, match=r"no_such_module.*cannot be imported"):
        framework({"urlPrefix": "python:no_such_module:f", "filterVerb": "filter"})


def test_the_source_of_a_function_is_part_of_a_runs_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a plugin's is: an edited extender is another policy. What answers at a URL nobody can know."""
    module = tmp_path / "my_extender.py"
    module.write_text("def ask(verb, args): return {}\n")
    monkeypatch.syspath_prepend(tmp_path)
    prefix = "python:my_extender:ask"
    specs = [{"urlPrefix": url, "filterVerb": "f"} for url in (prefix, "http://127.0.0.1:1")]
    configuration = load_configuration({"extenders": specs})
    before = configuration.source_hashes()
    assert prefix in before
    assert before.keys() == load_configuration({}).source_hashes().keys() | {prefix}
    module.write_text("def ask(verb, args): return {'NodeNames': []}\n")
    after = configuration.source_hashes()
    assert {name for name in before if before[name] != after[name]} == {prefix}


def test_the_effective_configuration_keeps_extenders() -> None:
    spec = {"urlPrefix": "http://127.0.0.1:1", "filterVerb": "f", "httpTimeout": "1m30s", "weight": 3}
    configuration = load_configuration({"extenders": [spec]})
    assert configuration.profiles[0].extenders[0].timeout_s == 90
    assert load_configuration(configuration.effective()).profiles[0].extenders == configuration.profiles[0].extenders
