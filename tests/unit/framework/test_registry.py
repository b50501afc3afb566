"""Finding plugin classes by entry point, module:Class and file.py:Class; every mistake has one message."""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest

from ksched.errors import InputError, PluginError
from ksched.framework import registry

GOOD = '''
from pydantic import BaseModel, ConfigDict, Field

class Mine:
    """A policy."""
    name = "Mine"
    class Args(BaseModel):
        model_config = ConfigDict(frozen=True, extra="forbid")
        speed: int = Field(default=3, ge=0)
        shape: tuple[int, ...] = ()
    def __init__(self, args):
        self.args = args
    def score(self, cycle, pod, nodes):
        return None

class Plain:
    name = "Plain"
    def filter(self, cycle, pod, nodes):
        return None

class Nameless:
    def filter(self, cycle, pod, nodes):
        return None

class Idle:
    name = "Idle"
    def filters(self, cycle, pod, nodes):
        return None

class OddArgs:
    name = "OddArgs"
    Args = dict
    filter = Plain.filter

class Needy:
    name = "Needy"
    filter = Plain.filter
    def __init__(self, args):
        pass

class Fussy:
    name = "Fussy"
    filter = Plain.filter
    def __init__(self):
        raise ValueError("not today")

NOT_A_CLASS = 3
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "mine.py").write_text(GOOD)
    (tmp_path / "broken.py").write_text("x = 1\ndef f(:\n")
    (tmp_path / "raises.py").write_text("import no_such_module\n")
    (tmp_path / "module_of_mine.py").write_text(GOOD)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("module_of_mine", None)


FOUND = [
    ("by entry point", "NodeResourcesFit", "NodeResourcesFit"),
    ("by module and class", "module_of_mine:Mine", "Mine"),
    ("by file and class", "mine.py:Mine", "Mine"),
]


@pytest.mark.parametrize(("sentence", "reference", "name"), FOUND, ids=[r[0] for r in FOUND])
def test_a_plugin_is_found(sentence: str, reference: str, name: str, folder: Path) -> None:
    found = registry.find(reference, base=folder)
    assert (found.name, found.cls.__name__, found.reference) == (name, name, reference)
    assert len(found.source_hash()) == 64
    assert pickle.loads(pickle.dumps(found.cls)) is found.cls


def test_files_are_found_by_absolute_path_and_from_here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert registry.find("mine.py:Plain").name == "Plain"
    assert registry.find(f"{folder}/mine.py:Plain", base=Path("/")).name == "Plain"


def test_everything_that_is_shipped_can_be_found_under_its_name() -> None:
    assert "NodeResourcesFit" in registry.registered()
    for name in registry.registered():
        assert registry.find(name).name == name


MISTAKES = [
    ("an unknown name", "NodeResorcesFit", "unknown plugin 'NodeResorcesFit'; did you mean 'NodeResourcesFit'?"),
    ("a name like nothing", "Xyzzy", "unknown plugin 'Xyzzy'"),
    ("an unknown class in a file", "mine.py:Mien", "mine.py has no class 'Mien'; did you mean 'Mine'?"),
    ("what is no class", "mine.py:NOT_A_CLASS", "mine.py has no class 'NOT_A_CLASS'"),
    ("no class at all", "mine.py:", "mine.py has no class ''"),
    ("a missing file", "nowhere.py:Mine", "plugin file 'nowhere.py' does not exist"),
    ("a folder", ".py:Mine", "plugin file '.py' does not exist"),
    ("a file that is no Python", "broken.py:Mine", "broken.py:2: plugin file cannot be loaded: SyntaxError"),
    ("a file that raises", "raises.py:Mine", "plugin file cannot be loaded: ModuleNotFoundError"),
    ("an unknown module", "no.such.module:Mine", "cannot import plugin module 'no.such.module': ModuleNotFoundError"),
    ("no module", ":Mine", "cannot import plugin module ''"),
    ("a module without the class", "module_of_mine:Mien", "module_of_mine has no class 'Mien'; did you mean 'Mine'?"),
    ("a class without a name", "mine.py:Nameless", "plugin class mine.py:Nameless has no name"),
    ("a class without extension points", "mine.py:Idle", "plugin Idle (mine.py:Idle) implements no extension point"),
    (
        "arguments that are no model",
        "mine.py:OddArgs",
        "Args of plugin OddArgs (mine.py:OddArgs) is not a pydantic model",
    ),
]


@pytest.mark.parametrize(("sentence", "reference", "message"), MISTAKES, ids=[r[0] for r in MISTAKES])
def test_a_mistake_is_told_in_one_message(sentence: str, reference: str, message: str, folder: Path) -> None:
    with pytest.raises(InputError) as caught:
        registry.find(reference, base=folder, where="profile.yaml")
    text = str(caught.value)
    assert message in text
    assert text.startswith("profile.yaml: ") or ".py" in text.split(": ")[0], "it says where"


def test_a_file_that_failed_to_load_is_tried_again_when_it_changed(folder: Path) -> None:
    with pytest.raises(InputError):
        registry.find("broken.py:Plain", base=folder)
    (folder / "broken.py").write_text(GOOD)
    assert registry.find("broken.py:Plain", base=folder).name == "Plain"


def test_an_edited_file_is_another_plugin(folder: Path) -> None:
    before = registry.find("mine.py:Plain", base=folder)
    assert registry.find("mine.py:Plain", base=folder).cls is before.cls
    hash_before = before.source_hash()
    (folder / "mine.py").write_text(GOOD + "# edited\n")
    after = registry.find("mine.py:Plain", base=folder)
    assert after.cls is not before.cls
    assert after.source_hash() != hash_before


ARGS = [
    ("defaults are filled in", "Mine", None, (3, ())),
    ("an empty mapping too", "Mine", {}, (3, ())),
    ("given ones are taken", "Mine", {"speed": 5, "shape": [1, 2]}, (5, (1, 2))),
]


@pytest.mark.parametrize(("sentence", "cls", "args", "wanted"), ARGS, ids=[r[0] for r in ARGS])
def test_arguments(sentence: str, cls: str, args: dict | None, wanted: tuple, folder: Path) -> None:
    made = registry.find(f"mine.py:{cls}", base=folder).make(args)
    assert (made.args.speed, made.args.shape) == wanted


BAD_ARGS = [
    ("an unknown argument", "Mine", {"sped": 1}, InputError, "unknown key 'sped'\n  did you mean 'speed'?"),
    ("a wrong type", "Mine", {"speed": "fast"}, InputError, "speed: Input should be a valid integer"),
    ("out of bounds", "Mine", {"speed": -1}, InputError, "speed: Input should be greater than or equal to 0, got -1"),
    ("a wrong type inside", "Mine", {"shape": [1, "x"]}, InputError, "shape[1]: Input should be a valid integer"),
    (
        "arguments where none are taken",
        "Plain",
        {"b": 1, "a": 2},
        InputError,
        "plugin Plain takes no arguments, got a, b",
    ),
    (
        "a constructor that wants arguments without a model",
        "Needy",
        None,
        PluginError,
        "plugin Needy: making it raised TypeError",
    ),
    ("a constructor that raises", "Fussy", None, PluginError, "plugin Fussy: making it raised ValueError: not today"),
]


@pytest.mark.parametrize(("sentence", "cls", "args", "error", "message"), BAD_ARGS, ids=[r[0] for r in BAD_ARGS])
def test_wrong_arguments_are_told(
    sentence: str, cls: str, args: dict | None, error: type[Exception], message: str, folder: Path
) -> None:
    with pytest.raises(error) as caught:
        registry.find(f"mine.py:{cls}", base=folder).make(args)
    assert message in str(caught.value)
