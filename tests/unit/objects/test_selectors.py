"""Label selectors and node selectors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ksched.objects import (
    LabelSelector,
    LabelSelectorMatcher,
    LabelSelectorRequirement,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    node_selector_matches,
    requirement_matches,
    term_matches,
)

REQUIREMENTS = [
    ("In holds for a listed value", "In", ["a", "b"], "b", True),
    ("In fails for another value", "In", ["a", "b"], "c", False),
    ("In fails for an absent key", "In", ["a"], None, False),
    ("In holds for the empty value when listed", "In", [""], "", True),
    ("NotIn holds for an absent key", "NotIn", ["a"], None, True),
    ("NotIn holds for another value", "NotIn", ["a"], "b", True),
    ("NotIn fails for a listed value", "NotIn", ["a"], "a", False),
    ("Exists holds for the empty value", "Exists", [], "", True),
    ("Exists fails for an absent key", "Exists", [], None, False),
    ("DoesNotExist holds for an absent key", "DoesNotExist", [], None, True),
    ("DoesNotExist fails for the empty value", "DoesNotExist", [], "", False),
    ("Gt compares integers, not text", "Gt", ["9"], "10", True),
    ("Gt is strict", "Gt", ["10"], "10", False),
    ("Lt compares integers", "Lt", ["10"], "9", True),
    ("Lt works below zero", "Lt", ["-1"], "-2", True),
    ("leading zeros are a number: 007 is 7", "Gt", ["6"], "007", True),
    ("a plus sign is allowed", "Gt", ["6"], "+7", True),
    ("Gt fails for a decimal fraction", "Gt", ["1"], "1.5", False),
    ("Gt fails for text", "Gt", ["1"], "two", False),
    ("Gt fails for an empty label", "Gt", ["1"], "", False),
    ("Gt fails for an absent key", "Gt", ["1"], None, False),
    ("Lt fails for an absent key", "Lt", ["1"], None, False),
    ("Gt fails when its own value is no integer", "Gt", ["x"], "5", False),
    ("Gt fails with two values", "Gt", ["1", "2"], "5", False),
    ("Gt fails beyond int64", "Gt", ["1"], "9223372036854775808", False),
    ("Gt holds at the end of int64", "Gt", ["1"], "9223372036854775807", True),
    ("foreign digits are no integer", "Gt", ["1"], "٣", False),
    ("underscores are no integer", "Gt", ["1"], "1_0", False),
    ("an unknown operator fails", "Near", ["1"], "1", False),
    ("a missing operator fails", None, ["1"], "1", False),
]


@pytest.mark.parametrize("row", REQUIREMENTS, ids=[row[0] for row in REQUIREMENTS])
def test_a_requirement(row):
    _, op, values, value, expected = row
    assert requirement_matches(op, values, value) is expected


def requirement(key, operator, *values):
    return NodeSelectorRequirement(key=key, operator=operator, values=values)


ZONE_A = requirement("zone", "In", "a")
SSD = requirement("disk", "In", "ssd")
NAME_N1 = requirement("metadata.name", "In", "n1")
LABELS = {"zone": "a", "disk": "hdd"}

TERMS = [
    ("a term without requirements matches nothing", [], [], False),
    ("one expression that holds", [ZONE_A], [], True),
    ("all expressions must hold", [ZONE_A, SSD], [], False),
    ("a field alone", [], [NAME_N1], True),
    ("expressions and fields must both hold", [SSD], [NAME_N1], False),
    ("NotIn on the name", [], [requirement("metadata.name", "NotIn", "n1")], False),
    ("only metadata.name is a field", [], [requirement("metadata.uid", "In", "n1")], False),
    ("Exists is no operator for fields", [], [requirement("metadata.name", "Exists")], False),
    ("a field has one value", [], [requirement("metadata.name", "In", "n1", "n2")], False),
]


@pytest.mark.parametrize("row", TERMS, ids=[row[0] for row in TERMS])
def test_a_term(row):
    _, expressions, fields, expected = row
    term = NodeSelectorTerm(match_expressions=tuple(expressions), match_fields=tuple(fields))
    assert term_matches(term, LABELS, "n1") is expected


def test_terms_are_alternatives_and_none_match_nothing():
    terms = (NodeSelectorTerm(match_expressions=(SSD,)), NodeSelectorTerm(match_expressions=(ZONE_A,)))
    assert node_selector_matches(NodeSelector(node_selector_terms=terms), LABELS, "n1")
    assert not node_selector_matches(NodeSelector(node_selector_terms=terms[:1]), LABELS, "n1")
    assert not node_selector_matches(NodeSelector(), LABELS, "n1")


def selector(labels=None, *expressions):
    return LabelSelector(
        match_labels=labels or {},
        match_expressions=tuple(
            LabelSelectorRequirement(key=key, operator=op, values=values) for key, op, values in expressions
        ),
    )


MATCHERS = [
    ("no selector matches nothing", None, {"a": "1"}, False),
    ("an empty selector matches everything", selector(), {}, True),
    ("an empty map matches everything", {}, {"a": "1"}, True),
    ("a map compares all its labels", {"a": "1", "b": "2"}, {"a": "1", "b": "2", "c": "3"}, True),
    ("a map fails on one difference", {"a": "1", "b": "2"}, {"a": "1"}, False),
    ("labels and expressions are both required", selector({"a": "1"}, ("b", "Exists", [])), {"a": "1"}, False),
    ("an unknown operator matches nothing", selector(None, ("a", "Near", ["1"])), {"a": "1"}, False),
    (
        "NotIn and DoesNotExist hold on absent keys",
        selector(None, ("a", "NotIn", ["1"]), ("b", "DoesNotExist", [])),
        {},
        True,
    ),
]


@pytest.mark.parametrize("row", MATCHERS, ids=[row[0] for row in MATCHERS])
def test_a_label_selector(row):
    _, source, labels, expected = row
    assert LabelSelectorMatcher(source).matches(labels) is expected


def test_a_matcher_tells_the_keys_it_reads():
    assert LabelSelectorMatcher(selector({"b": "1"}, ("a", "Exists", []), ("b", "NotIn", ["2"]))).keys == ("a", "b")
    assert LabelSelectorMatcher(None).keys == ()


def test_matchers_of_the_same_meaning_are_equal():
    first = LabelSelectorMatcher(selector({"a": "1"}, ("b", "In", ["x", "y"]), ("c", "Exists", [])))
    second = LabelSelectorMatcher(selector({"a": "1"}, ("c", "Exists", []), ("b", "In", ["y", "x", "x"])))
    assert first == second
    assert hash(first) == hash(second)
    assert LabelSelectorMatcher(None) != LabelSelectorMatcher({})


keys, values = st.sampled_from("abc"), st.sampled_from(["", "1", "2"])
label_maps = st.dictionaries(keys, values)
expressions = st.lists(
    st.one_of(
        st.tuples(keys, st.sampled_from(["In", "NotIn"]), st.lists(values, min_size=1, max_size=3)),
        st.tuples(keys, st.sampled_from(["Exists", "DoesNotExist"]), st.just([])),
    ),
    max_size=3,
)


@given(label_maps, expressions, label_maps)
def test_a_matcher_agrees_with_its_requirements_one_by_one(match_labels, requirements, labels):
    expected = all(labels.get(key) == value for key, value in match_labels.items()) and all(
        requirement_matches(op, wanted, labels.get(key)) for key, op, wanted in requirements
    )
    assert LabelSelectorMatcher(selector(match_labels, *requirements)).matches(labels) is expected


@given(label_maps, expressions, label_maps)
def test_a_matcher_reads_no_other_keys_than_it_tells(match_labels, requirements, labels):
    matcher = LabelSelectorMatcher(selector(match_labels, *requirements))
    read = {key: value for key, value in labels.items() if key in matcher.keys}
    assert matcher.matches(read) is matcher.matches(labels)
