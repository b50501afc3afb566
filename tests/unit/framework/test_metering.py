"""A meter counts calls, rows and time per plugin and point; measured plugins answer as before."""

from __future__ import annotations

import time

from ksched.framework.metering import Meter

from .build import filtering, framework, pod, pre_filtering, scoring, table_of


def cells(meter: Meter) -> dict[tuple[str, str], dict]:
    return {(row["plugin"], row["point"]): row for row in meter.rows()}


def test_cached_columns_are_needed_for_all_rows_and_computed_for_those_that_changed() -> None:
    table = table_of("abcd")
    fw = framework(table, filtering(lambda p, n: {"no": n.free("cpu") < 0}, name="F"), scoring(lambda p, n: n.rows))
    plain = framework(table, filtering(lambda p, n: {"no": n.free("cpu") < 0}, name="F"), scoring(lambda p, n: n.rows))
    meter = Meter(fw)
    wanted = pod("wanted", cpu=1)
    for number in range(3):
        decision = fw.schedule(wanted)
        assert decision.node == plain.schedule(wanted).node
        meter.decided(decision)
        table.add_pod(pod(f"p{number}", cpu=1), decision.node)
    found = cells(meter)
    assert (found["F", "filter"]["rows_needed"], found["F", "filter"]["rows_computed"]) == (12, 6)
    assert found["F", "filter"]["reused"] == 0.5
    assert (found["S", "score"]["rows_needed"], found["S", "score"]["rows_computed"]) == (12, 4), "reads no pods"


def test_time_inside_another_plugin_counts_once() -> None:
    class Outer:
        name = "Outer"

        def post_filter(self, cycle, pod, rejected):
            time.sleep(0.002)
            inner.filter(cycle, pod, cycle.cluster)

    def slow(pod, nodes):
        time.sleep(0.02)

    fw = framework(table_of("a"), Outer, filtering(slow, name="Inner", local=False))
    meter, inner = Meter(fw), fw.plugins["Inner"]
    fw.plugins["Outer"].post_filter(fw.new_cycle(pod()), pod(), None)
    found = cells(meter)
    assert found["Inner", "filter"]["seconds"] >= 0.02 > found["Outer", "postFilter"]["seconds"] >= 0.002


def test_a_plugin_without_a_dictionary_and_its_errors_are_measured_too() -> None:
    class Slotted(pre_filtering(lambda pod: 1 / 0)):
        __slots__ = ("state",)
        name = "Slotted"

    fw = framework(table_of("a"), Slotted)
    meter = Meter(fw)
    try:
        fw.schedule(pod())
    except Exception as error:
        assert "plugin Slotted: pre_filter raised ZeroDivisionError" in str(error)
    assert cells(meter)["Slotted", "preFilter"]["calls"] == 1


def test_what_is_never_called_has_no_row() -> None:
    assert Meter(framework(table_of("a"), filtering(lambda p, n: None))).rows() == []
