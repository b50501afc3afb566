"""A twin answers like its framework, and what it is asked changes nothing there."""

from __future__ import annotations

import threading

import pytest

from ksched.errors import PluginError
from ksched.framework.explain import explain
from ksched.framework.twin import copied, twin
from ksched.framework.variants import with_weights

from .build import framework, pod, scoring, table_of


class Counting:
    """Prefers the row it has been asked most often about, so every question counts."""

    name = "Counting"

    def __init__(self):
        self.asked = [0]

    def score(self, cycle, pod, nodes):
        self.asked[0] += 1
        return (nodes.rows == self.asked[0] % 3) * 100


def test_what_a_twin_is_asked_leaves_no_trace() -> None:
    fw, untouched = (framework(table_of("abc"), Counting) for _ in range(2))
    for _ in range(4):
        other = twin(fw)
        assert other.plugins["Counting"].asked == fw.plugins["Counting"].asked
        expected = untouched.schedule(pod()).node
        explain(other, pod())
        other.schedule(pod())
        assert fw.schedule(pod()).node == expected


def test_a_twin_begins_its_search_where_the_framework_would() -> None:
    names = [f"n{i:03}" for i in range(150)]
    fw = framework(table_of(names), scoring(lambda pod, nodes: nodes.rows * 0), percentage=10)
    fw.schedule(pod())
    other = twin(fw)
    assert [other.schedule(pod()).node for _ in range(2)] == [fw.schedule(pod()).node for _ in range(2)]
    assert fw.schedule(pod()).evaluated == 100


def test_another_profile_keeps_the_state_of_plugins_that_stay_as_they_are() -> None:
    fw = framework(table_of("abc"), Counting)
    fw.schedule(pod())
    other = twin(fw, with_weights(fw.profile, {"Counting": 4}))
    assert other.plugins["Counting"].asked == [1]
    assert other.plugins["Counting"] is not fw.plugins["Counting"]
    assert explain(other, pod()).scores[0].weight == 4


class Holder:
    name = "Holder"

    def __init__(self, table):
        self.table = table
        self.mine = {"rows": [table]}


def test_the_tables_are_shared_and_the_plugins_own_containers_are_not() -> None:
    table = table_of("ab")
    original = Holder(table)
    copy = copied(original)
    assert copy.table is table
    assert copy.mine["rows"][0] is table
    copy.mine["rows"].append("more")
    assert len(original.mine["rows"]) == 1


def test_state_that_cannot_be_copied_is_the_plugins_error() -> None:
    plugin = Holder(None)
    plugin.lock = threading.Lock()
    with pytest.raises(PluginError, match=r"plugin Holder: its state cannot be copied[\s\S]*__deepcopy__"):
        copied(plugin)
