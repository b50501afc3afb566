"""Profiles made from profiles."""

from __future__ import annotations

import pytest

from ksched.errors import InputError
from ksched.framework import default_configuration
from ksched.framework.variants import with_args, with_plugin, with_weights

PROFILE = default_configuration().profiles[0]


def weights(profile) -> dict[str, int]:
    return {enabled.plugin.name: enabled.weight for enabled in profile.points["score"]}


def test_weights_are_set_added_and_taken_out() -> None:
    changed = with_weights(PROFILE, {"TaintToleration": 7, "ImageLocality": 0, "FreeMemory": 2})
    expected = weights(PROFILE) | {"TaintToleration": 7, "FreeMemory": 2}
    del expected["ImageLocality"]
    assert weights(changed) == expected
    assert changed.points["filter"] == PROFILE.points["filter"]
    assert "ImageLocality" in weights(PROFILE), "the original is as it was"


def test_a_plugin_that_did_not_score_gets_a_weight_and_no_more() -> None:
    profile = with_weights(PROFILE, {"NodeAffinity": 0})
    again = with_weights(profile, {"NodeAffinity": 3})
    assert weights(again)["NodeAffinity"] == 3
    assert [e.plugin.name for e in again.points["filter"]] == [e.plugin.name for e in PROFILE.points["filter"]]


class Fit:
    name = "NodeResourcesFit"

    def filter(self, cycle, pod, nodes):
        return None


def test_a_class_takes_the_place_of_the_plugin_of_its_name_everywhere() -> None:
    changed = with_plugin(PROFILE, Fit)
    assert [e.plugin.cls for e in changed.points["filter"] if e.plugin.name == Fit.name] == [Fit]
    assert Fit.name not in weights(changed)
    assert changed.instances()[Fit.name].__class__ is Fit


def test_arguments_are_laid_over_those_there_are() -> None:
    changed = with_args(PROFILE, {"InterPodAffinity": {"hardPodAffinityWeight": 9}})
    assert changed.args["InterPodAffinity"]["hardPodAffinityWeight"] == 9
    assert changed.args.keys() >= PROFILE.args.keys()


@pytest.mark.parametrize("weight", [-1, 1.5, "2", True])
def test_a_weight_is_a_whole_number(weight) -> None:
    with pytest.raises(InputError, match="whole number"):
        with_weights(PROFILE, {"TaintToleration": weight})
