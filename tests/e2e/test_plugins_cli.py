"""`ksched plugins` as a user types it: the list, the check of a stranger's file, and registration."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Cli

STRANGERS_FILE = '''\
class MyPolicy:
    """Leaves every node a tenth of its memory, and prefers nodes with an SSD."""

    name = "MyPolicy"
    node_local = True

    def filter(self, cycle, pod, nodes):
        left = nodes.free("memory") - pod.request("memory")
        return {"node keeps a tenth of its memory": left < nodes.allocatable("memory") // 10}

    def score(self, cycle, pod, nodes):
        return 100 * (nodes.label("disktype") == "ssd")
'''


def test_the_list_shows_every_installed_plugin_with_its_points_and_arguments(cli: Cli) -> None:
    said = cli("plugins", "list")
    assert said.code == 0
    assert "  GpuShare  preFilter, filter, reserve  args: deviceSelection" in said.out
    assert "  NodeResourcesBalancedAllocation  score  args: resources" in said.out
    assert max(map(len, said.out.splitlines())) <= 80


def test_the_list_as_json(cli: Cli) -> None:
    listed = {plugin["name"]: plugin for plugin in json.loads(cli("plugins", "list", "-o", "json").out)}
    assert listed["RequireLabel"]["points"] == ["filter"]
    assert listed["RequireLabel"]["args"] == ["key", "value"]
    assert listed["PrioritySort"]["package"] == "ksched_plugins.kubernetes"
    assert all(plugin["summary"] for plugin in listed.values())


def test_a_strangers_file_is_checked(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "my_policy.py").write_text(STRANGERS_FILE)
    said = cli("plugins", "check", "my_policy.py:MyPolicy")
    assert (said.code, said.err) == (0, "")
    assert said.out.startswith("MyPolicy keeps the contract: ")


@pytest.mark.parametrize(
    ("body", "clause", "complaint"),
    [
        ("return nodes.frei('cpu')", "answers", "AttributeError: 'NodeView' object has no attribute 'frei'"),
        ("return np.zeros(3)", "answers", "score returned float64[3]"),
        ("return np.full(len(nodes), np.nan)", "in_range", "is nan after normalisation"),
        ("return nodes.free('memory')", "in_range", "expected a finite number from 0 to 100"),
        ("return np.random.default_rng().random(len(nodes))", "same_twice", "answers differently"),
        ("return np.arange(len(nodes))", "permutation", "when the nodes come in another order"),
    ],
)
def test_a_broken_plugin_is_told_which_clause_it_breaks(
    body: str, clause: str, complaint: str, cli: Cli, tmp_path: Path
) -> None:
    source = (
        f"import numpy as np\nclass Bad:\n    name = 'Bad'\n    def score(self, cycle, pod, nodes):\n        {body}\n"
    )
    (tmp_path / "bad.py").write_text(source)
    said = cli("plugins", "check", "bad.py:Bad")
    assert said.complains("plugin Bad breaks the plugin contract", f"\n  {clause}: ", complaint), said


def test_a_filter_that_changes_the_nodes_it_is_shown_is_caught(cli: Cli, tmp_path: Path) -> None:
    body = "nodes.requested('cpu')[:] = 0"
    source = f"class Bad:\n    name = 'Bad'\n    def filter(self, cycle, pod, nodes):\n        {body}\n"
    (tmp_path / "bad.py").write_text(source)
    assert cli("plugins", "check", "bad.py:Bad").complains("\n  answers: ", "must not change the nodes")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("class Bad:\n    def score(self, cycle, pod, nodes): ...\n", ("has no name", 'name = "MyPolicy"')),
        ("class Bad:\n    name = 'Bad'\n", ("implements no extension point", "filter")),
        ("class Good: ...\n", ("bad.py has no class 'Bad'",)),
        ("class Bad\n    name = 'Bad'\n", ("bad.py:1", "cannot be loaded: SyntaxError")),
        ("import no_such_module\n", ("bad.py", "ModuleNotFoundError: No module named 'no_such_module'")),
    ],
)
def test_a_file_without_a_usable_class_is_one_message(
    source: str, complaint: tuple[str, ...], cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "bad.py").write_text(source)
    said = cli("plugins", "check", "bad.py:Bad")
    assert said.complains(*complaint), said


def test_unknown_names_come_with_the_nearest(cli: Cli) -> None:
    assert cli("plugins", "check", "BestFitt").complains("unknown plugin 'BestFitt'; did you mean 'BestFit'?")
    assert cli("plugins", "check", "nope.py:Policy").complains("plugin file 'nope.py' does not exist", "looked for /")
    assert cli("plugins", "check", "no_such_package:Policy").complains("cannot import plugin module 'no_such_package'")


@pytest.mark.parametrize(
    ("plugin", "args", "complaint"),
    [
        (
            "GpuShare",
            '{"deviceSelction": "best_fit"}',
            ("unknown key 'deviceSelction'", "did you mean 'deviceSelection'?"),
        ),
        ("GpuShare", '{"deviceSelection": "best"}', ("deviceSelection", "got 'best'")),
        ("FreeMemory", '{"weight": 1}', ("takes no arguments, got weight",)),
        ("GpuShare", "{deviceSelection", ("not valid JSON",)),
        ("GpuShare", "[]", ("expected a JSON object",)),
    ],
)
def test_bad_arguments_are_one_message(plugin: str, args: str, complaint: tuple[str, ...], cli: Cli) -> None:
    assert cli("plugins", "check", plugin, "--args", args).complains("--args", *complaint)


def test_a_package_registers_its_plugin_by_entry_point(tmp_path: Path) -> None:
    """What pip leaves behind when it installs a package, put there by hand; a process of its own, for it is cached."""
    (tmp_path / "my_package.py").write_text(STRANGERS_FILE)
    installed = tmp_path / "my_package-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my-package\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[ksched.plugins]\nMyPolicy = my_package:MyPolicy\n")
    done = subprocess.run(
        [sys.executable, "-m", "ksched", "plugins", "list"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "  MyPolicy  filter, score\n" in done.stdout
    assert "  BestFit  score" in done.stdout
