"""What an experiment file may say, and what a user reads when it says something else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from ksched.axis_filter import axis_filter
from ksched.errors import InputError
from ksched.experiments.expand import count_cells, expand
from ksched.experiments.file import load_experiment

TRACE = "trace: {path: t}\n"


def load(tmp_path: Path, text: str):
    path = tmp_path / "experiment.yaml"
    path.write_text(text)
    return load_experiment(path)


def cells(tmp_path: Path, text: str):
    return expand(load(tmp_path, text))


EXPANSIONS = {
    "without axes there is one run of the default policy": (
        "name: x\n" + TRACE,
        [{"trace": "t", "policy": "default", "seed": "42"}],
    ),
    "a seed range includes its last number": (
        "name: x\npolicy: {}\nseed: 7\ntrace: {path: t}\naxes: {n: [1]}\ncluster: {a: '${n}'}\n",
        [{"n": "1", "policy": "policy", "trace": "t", "cluster": "cluster", "seed": "7"}],
    ),
    "the last axis varies fastest": (
        "name: x\naxes:\n  policy: {a: {}, b: {}}\n  seed: {range: [1, 2]}\n" + TRACE,
        [
            {"policy": "a", "seed": "1", "trace": "t"},
            {"policy": "a", "seed": "2", "trace": "t"},
            {"policy": "b", "seed": "1", "trace": "t"},
            {"policy": "b", "seed": "2", "trace": "t"},
        ],
    ),
    "a range may step": (
        "name: x\naxes:\n  seed: {range: [1, 6, 2]}\n" + TRACE,
        [{"seed": s, "trace": "t", "policy": "default"} for s in ("1", "3", "5")],
    ),
    "traces may be given by path or by data set name": (
        "name: x\naxes:\n  trace: [some/where, 'openb:default']\n",
        [{"trace": n, "policy": "default", "seed": "42"} for n in ("where", "openb:default")],
    ),
    "booleans and fractions are named as YAML writes them": (
        "name: x\naxes: {w: [0.5, true]}\ncluster: {k: '${w}'}\n" + TRACE,
        [{"w": w, "trace": "t", "cluster": "cluster", "policy": "default", "seed": "42"} for w in ("0.5", "true")],
    ),
}


@pytest.mark.parametrize("case", EXPANSIONS, ids=str)
def test_expansion(case, tmp_path):
    text, expected = EXPANSIONS[case]
    experiment = load(tmp_path, text)
    assert [cell.axes for cell in expand(experiment)] == expected
    assert count_cells(experiment) == len(expected)


def test_a_placeholder_alone_keeps_the_type_and_inside_a_text_is_spelled(tmp_path):
    text = "name: x\naxes: {w: [5, 1.5]}\npolicy: {score: {A: '${w}'}, args: {A: {label: 'w=${w}!'}}}\n" + TRACE
    assert [c.policy.data for c in cells(tmp_path, text)] == [
        {"score": {"A": 5}, "args": {"A": {"label": "w=5!"}}},
        {"score": {"A": 1.5}, "args": {"A": {"label": "w=1.5!"}}},
    ]


def test_a_placeholder_may_be_a_key_and_an_axis_of_fragments_fills_in_its_name(tmp_path):
    text = """
name: x
axes:
  plugin: [A, B]
  workload: {target: trace, values: {small: {replay: {mode: timestamp}}}}
policy: {score: {"${plugin}": 1}}
trace: {path: "traces/${workload}"}
"""
    assert [(c.policy.data, c.trace.data) for c in cells(tmp_path, text)] == [
        ({"score": {p: 1}}, {"path": "traces/small", "replay": {"mode": "timestamp"}}) for p in "AB"
    ]


def test_targets_are_merged_key_by_key_over_the_ground(tmp_path):
    text = """
name: x
axes:
  load: {target: replay, values: {low: {ratio: 0.5}, high: {ratio: 1.3}}}
  net: {target: cluster, values: {slow: {watch: 2}}}
cluster: {watch: 1, bind: 3}
trace: {path: t, replay: {mode: inflate, ratio: 1}}
"""
    got = [(c.axes["load"], c.trace.data["replay"], c.cluster.data) for c in cells(tmp_path, text)]
    assert got == [
        ("low", {"mode": "inflate", "ratio": 0.5}, {"watch": 2, "bind": 3}),
        ("high", {"mode": "inflate", "ratio": 1.3}, {"watch": 2, "bind": 3}),
    ]


def test_a_grid_is_not_changed_by_filling_one_cell(tmp_path):
    text = "name: x\naxes: {w: [1, 2]}\npolicy: {score: {A: '${w}'}}\n" + TRACE
    first, second = cells(tmp_path, text)
    first.policy.data["score"]["A"] = 99
    assert second.policy.data == {"score": {"A": 2}}


GRID = "name: x\nbaseline: {policy: b}\naxes: {policy: {a: {}, b: {}}, seed: [1, 2, 3]}\n" + TRACE
SELECTIONS = {
    "nothing selected means all": ([], 6),
    "one value": (["seed=2"], 2),
    "values of one axis are alternatives": (["seed=2", "seed=3"], 4),
    "axes restrict each other": (["seed=2", "seed=3", "policy=a"], 2),
}


@pytest.mark.parametrize("case", SELECTIONS, ids=str)
def test_selection(case, tmp_path):
    only, expected = SELECTIONS[case]
    experiment = load(tmp_path, GRID)
    matches = axis_filter(experiment.axis_values, only)
    assert sum(matches(cell.axes) for cell in expand(experiment)) == expected


def test_the_first_policy_is_the_baseline_unless_one_is_named(tmp_path):
    assert load(tmp_path, GRID).baseline == {"policy": "b"}
    assert load(tmp_path, GRID.replace("baseline: {policy: b}\n", "")).baseline == {"policy": "a"}


def test_merge_keys_and_anchors_work_as_in_any_yaml(tmp_path):
    text = "name: x\naxes:\n  policy:\n    a: &base {disable: [X]}\n    b: {<<: *base, filter: [Y]}\n" + TRACE
    assert cells(tmp_path, text)[1].policy.data == {"disable": ["X"], "filter": ["Y"]}


BAD = {
    "a mistyped key at the top": ("name: x\naxis: {}\n" + TRACE, ":2: axis: unknown key 'axis'", "'axes'"),
    "no name": ("axes: {}\n" + TRACE, "'name' is missing", None),
    "no trace": ("name: x\n", "the experiment has no trace", "trace: {path:"),
    "a name with a space": ("name: my x\n" + TRACE, ":1: name: 'my x' cannot be the name", "weight-sweep"),
    "an axis nobody uses": ("name: x\naxes: {w: [1]}\n" + TRACE, ":2: axes.w: axis 'w' is used nowhere", "${w}"),
    "a placeholder of an unknown axis": (
        "name: x\naxes:\n  weight: [1]\n  policy:\n    p:\n      score:\n        A: ${wieght}\n" + TRACE,
        ":7: axes.policy.p.score.A: ${wieght} is not an axis",
        "did you mean ${weight}?",
    ),
    "an axis of fragments without target": (
        "name: x\naxes:\n  speed: {fast: {a: 1}}\n" + TRACE,
        ":3: axes.speed: the values of axis 'speed' are fragments, but of what?",
        "target: policy|trace|cluster|replay",
    ),
    "a mistyped target": (
        "name: x\naxes:\n  s: {target: polcy, values: {a: {}}}\n" + TRACE,
        "axis 's' cannot target 'polcy'",
        "did you mean 'policy'?",
    ),
    "an empty axis": ("name: x\naxes: {policy: {}}\n" + TRACE, "axis 'policy' has no values", None),
    "a value twice": ("name: x\naxes: {seed: [1, 2, 1]}\n" + TRACE, "seed[2]: axis 'seed' has the value '1'", None),
    "a seed that is no number": ("name: x\nseed: many\n" + TRACE, "a seed is a whole number", None),
    "a backward range": ("name: x\naxes: {seed: {range: [3, 1]}}\n" + TRACE, "a range is [first, last]", None),
    "a baseline of an unknown policy": (
        "name: x\nbaseline: {policy: defalt}\naxes: {policy: {default: {}}}\n" + TRACE,
        ":2: baseline.policy: axis 'policy' has no value 'defalt'",
        "did you mean 'default'?",
    ),
    "a baseline on an unknown axis": ("name: x\nbaseline: {polici: a}\n" + TRACE, "no axis 'polici'", "'policy'"),
    "an axis that is also a top-level key": (
        "name: x\naxes: {trace: [a]}\n" + TRACE,
        ":3: trace: 'trace' is both an axis and a top-level key",
        None,
    ),
    "the same key twice": ("name: x\nname: y\n" + TRACE, ":2: name: the key 'name' stands twice", None),
    "malformed YAML shows the line": ("name: x\naxes: {seed: [1, 2\n" + TRACE, ":3: malformed YAML", "3 | trace: {pa"),
    "an unquoted placeholder in braces": (
        "name: x\naxes: {w: [1]}\npolicy: {score: {A: ${w}}}\n" + TRACE,
        ":3: malformed YAML",
        'needs quotes: "${axis}"',
    ),
    "a list instead of a mapping": ("- a\n", "an experiment file is a mapping", None),
    "an empty file": ("", "an experiment file is a mapping", None),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_files_are_explained(case, tmp_path):
    text, message, hint = BAD[case]
    with pytest.raises(InputError) as caught:
        cells(tmp_path, text)
    assert message in str(caught.value)
    assert hint is None or hint in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("only", "message"),
    [
        ("seed", "not of the form axis=value"),
        ("sed=1", "did you mean 'seed'?"),
        ("policy=c", "axis 'policy' has no value 'c'"),
    ],
)
def test_bad_selections_are_explained(only, message, tmp_path):
    experiment = load(tmp_path, GRID)
    with pytest.raises(InputError, match=r"--only") as caught:
        axis_filter(experiment.axis_values, [only])
    assert message in str(caught.value)


def test_a_missing_file_is_one_message(tmp_path):
    with pytest.raises(InputError, match="cannot read the file: No such file"):
        load_experiment(tmp_path / "nothing.yaml")


def test_probes_and_exports_are_named_once_each(tmp_path):
    loaded = load(tmp_path, "name: x\nprobes: [fragmentation, fragmentation]\nexports: [load-curves]\n" + TRACE)
    assert (loaded.probes, loaded.exports) == (("fragmentation",), ("load-curves",))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "probes: [fragmentatoin]",
            "experiment.yaml:2: probes\\[0\\].*there is no probe.*did you mean 'fragmentation'",
        ),
        ("exports: [csv]", "experiment.yaml:2: exports\\[0\\].*there is no export.*known: load-curves"),
    ],
)
def test_an_unknown_probe_or_export_is_refused(tmp_path, line, message):
    with pytest.raises(InputError) as refused:
        load(tmp_path, f"name: x\n{line}\n" + TRACE)
    assert re.search(message, str(refused.value), re.DOTALL)
