"""What keeps a pod from a node: every filter that rejects it, in the words of the plugin where it has some."""

from __future__ import annotations

import pytest

from ksched.errors import InputError, PluginError
from ksched.framework import Status
from ksched.framework.explain import explain

from .build import filtering, framework, pod, pre_filtering, table_of


def remedied(answer, *, name: str = "Helpful", local: bool = True) -> type:
    cls = filtering(lambda pod, nodes: {"too small": nodes.names == "a"}, name=name, local=local)
    cls.remedy = lambda self, cycle, pod, node: answer(pod, node)
    return cls


def obstacles(*classes: type, node: str = "a", **fields):
    return explain(framework(table_of("ab"), *classes), pod(**fields), fit_on=[node]).obstacles[node]


@pytest.mark.parametrize("local", [True, False])
def test_all_filters_that_reject_the_node_are_named_in_order(local: bool) -> None:
    plain = filtering(lambda pod, nodes: {"no": nodes.names == "a", "never": nodes.names == "b"}, name="Plain")
    said = obstacles(remedied(lambda pod, node: [f"grow {node.names[0]}, one of {len(node)}"], local=local), plain)
    assert [(o.plugin, o.reasons, o.remedies) for o in said] == [
        ("Helpful", ("too small",), ("grow a, one of 1",)),
        ("Plain", ("no",), ("no",)),
    ]
    assert all(o.resolvable for o in said)


def test_a_plugin_is_not_asked_about_a_node_it_accepts() -> None:
    assert obstacles(remedied(lambda pod, node: 1 / 0), node="b") == ()


def test_a_plugin_that_knows_nothing_better_leaves_its_reason() -> None:
    (said,) = obstacles(remedied(lambda pod, node: []))
    assert said.remedies == said.reasons == ("too small",)


def test_a_pod_that_pre_filter_rejects_is_told_so() -> None:
    (said,) = obstacles(pre_filtering(lambda pod: Status.unschedulable("nowhere"), name="Pre"))
    assert (said.plugin, said.reasons) == ("Pre", ("nowhere",))
    assert "filters were not asked" in said.remedies[-1]


def test_a_remedy_that_is_no_list_of_sentences_is_the_plugins_error() -> None:
    with pytest.raises(PluginError, match="plugin Helpful: remedy returned"):
        obstacles(remedied(lambda pod, node: "grow"))


def test_an_unknown_node_is_an_input_error() -> None:
    with pytest.raises(InputError, match="there is no node 'zz'"):
        obstacles(node="zz")
