"""`ksched profile show` and `ksched init` as a user types them, and the frame of every command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from .conftest import Cli

HEAD = "apiVersion: kubescheduler.config.k8s.io/v1\nkind: KubeSchedulerConfiguration\n"


def enabled(shown: str, point: str) -> list[str]:
    plugins = yaml.safe_load(shown)["profiles"][0]["plugins"][point]["enabled"]
    return [entry["name"] for entry in plugins]


def test_without_a_file_the_default_profile_is_shown(cli: Cli) -> None:
    said = cli("profile", "show")
    assert (said.code, said.err) == (0, "")
    assert enabled(said.out, "filter") == [
        "NodeUnschedulable",
        "NodeName",
        "TaintToleration",
        "NodeAffinity",
        "NodePorts",
        "NodeResourcesFit",
        "VolumeRestrictions",
        "EBSLimits",
        "GCEPDLimits",
        "NodeVolumeLimits",
        "AzureDiskLimits",
        "VolumeBinding",
        "VolumeZone",
        "PodTopologySpread",
        "InterPodAffinity",
    ]


def test_what_is_shown_is_a_profile_that_comes_to_the_same(cli: Cli, tmp_path: Path) -> None:
    shown = cli("profile", "show").out
    (tmp_path / "shown.yaml").write_text(shown)
    assert cli("profile", "show", "shown.yaml").out == shown


def test_plugins_of_a_file_are_merged_into_the_default_ones(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "class Mine:\n    name = 'Mine'\n    def score(self, cycle, pod, nodes):\n        return nodes.rows * 0\n"
    )
    (tmp_path / "mine.yaml").write_text(
        HEAD + "profiles:\n- plugins:\n    multiPoint:\n      enabled: [{name: 'mine.py:Mine', weight: 7}]\n"
        "      disabled: [{name: ImageLocality}]\n"
    )
    said = cli("profile", "show", "mine.yaml")
    assert said.code == 0
    assert enabled(said.out, "score")[-1] == "mine.py:Mine"
    assert "ImageLocality" not in enabled(said.out, "score")
    assert yaml.safe_load(said.out)["profiles"][0]["plugins"]["score"]["enabled"][-1]["weight"] == 7


BAD_PROFILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "malformed YAML": (HEAD + "profiles:\n- plugins: [\n", ("bad.yaml:", "YAML")),
    "an unknown key": (HEAD + "profils: []\n", ("unknown key 'profils'", "did you mean 'profiles'?")),
    "an unknown key far inside": (
        HEAD + "profiles:\n- plugins:\n    score:\n      enabeld: [{name: BestFit}]\n",
        ("unknown key 'profiles[0].plugins.score.enabeld'", "did you mean 'enabled'?"),
    ),
    "an unknown plugin": (
        HEAD + "profiles:\n- plugins:\n    multiPoint:\n      enabled: [{name: BestFitt}]\n",
        ("unknown plugin 'BestFitt'; did you mean 'BestFit'?",),
    ),
    "an unknown plugin switched off": (
        HEAD + "profiles:\n- plugins:\n    multiPoint:\n      disabled: [{name: ImageLocalty}]\n",
        ("unknown plugin 'ImageLocalty'; did you mean 'ImageLocality'?",),
    ),
    "a plugin at a point it does not implement": (
        HEAD + "profiles:\n- plugins:\n    filter:\n      enabled: [{name: BestFit}]\n",
        ("BestFit does not implement filter",),
    ),
    "a typo in arguments": (
        HEAD + "profiles:\n- pluginConfig:\n  - {name: NodeResourcesFit, args: {scoringStrateg: {}}}\n",
        ("NodeResourcesFit", "'scoringStrateg'", "did you mean 'scoringStrategy'?"),
    ),
    "a negative weight": (
        HEAD + "profiles:\n- plugins:\n    score:\n      enabled: [{name: BestFit, weight: -1}]\n",
        ("weight", "-1"),
    ),
    "another kind": ("apiVersion: v1\nkind: Pod\n", ("bad.yaml",)),
    "no mapping": ("- 1\n", ("expected a KubeSchedulerConfiguration mapping",)),
    "an empty list of profiles": (HEAD + "profiles: []\n", ("at least one profile",)),
    "the same scheduler twice": (HEAD + "profiles: [{}, {}]\n", ("same schedulerName",)),
}


@pytest.mark.parametrize("what", BAD_PROFILES)
def test_a_bad_profile_is_one_message(what: str, cli: Cli, tmp_path: Path) -> None:
    text, complaint = BAD_PROFILES[what]
    (tmp_path / "bad.yaml").write_text(text)
    said = cli("profile", "show", "bad.yaml")
    assert said.complains("bad.yaml", *complaint), said


def test_a_profile_that_cannot_be_read_is_one_message(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    assert cli("profile", "show", "nope.yaml").complains("nope.yaml", "No such file")
    assert cli("profile", "show", ".").complains("Is a directory")
    assert cli("profile", "show", "binary.yaml").complains("binary.yaml", "UTF-8")


def test_init_writes_a_policy_that_keeps_the_contract_and_an_experiment_that_names_it(cli: Cli, tmp_path: Path) -> None:
    said = cli("init", "mine")
    assert said.code == 0
    assert "ksched compare mine/my_experiment.yaml" in said.out
    assert cli("plugins", "check", "mine/my_policy.py:MyPolicy").code == 0
    for experiment in ("experiment.yaml", "my_experiment.yaml"):
        assert cli("run", f"mine/{experiment}", "--dry-run").code == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_init_never_overwrites(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    assert cli("init", "full").complains("full: is not an empty directory")
    assert cli("init", "file").complains("file: is not an empty directory")
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["notes.txt"]


def test_a_command_or_option_that_does_not_exist_is_exit_code_two(cli: Cli) -> None:
    for words in (("explian",), ("explain", "--profil", "x"), ("profile", "shwo")):
        said = cli(*words)
        assert said.code == 2
        assert "Traceback" not in said.err


def test_the_version(cli: Cli) -> None:
    assert cli("--version").out.startswith("ksched ")


def test_help_loads_nothing_heavy() -> None:
    """`ksched --help` should feel immediate: none of what takes long to import may be imported for it."""
    heavy = ["numpy", "pandas", "pyarrow", "scipy", "altair", "ksched.objects", "ksched.framework"]
    code = (
        "import sys; sys.argv = ['ksched', '--help']\n"
        "import atexit\n"
        f"atexit.register(lambda: print('loaded:', [name for name in {heavy!r} if name in sys.modules]))\n"
        "from ksched.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    assert "loaded: []" in done.stdout
