"""An edited policy is another policy, and so is one of which only a helper was edited."""

from __future__ import annotations

from pathlib import Path

import pytest

from ksched.framework.plugin_sources import source_digest


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """``mine.policies.fgd`` uses a helper beside it, one above it, and through that a third."""
    folder = tmp_path / "mine" / "policies"
    folder.mkdir(parents=True)
    (tmp_path / "mine" / "__init__.py").write_text("")
    (folder / "__init__.py").write_text("")
    (folder / "fgd.py").write_text("import numpy\nfrom .near import a\nfrom mine import shared\n")
    (folder / "near.py").write_text("a = 1\n")
    (folder / "stranger.py").write_text("b = 1\n")
    (tmp_path / "mine" / "shared.py").write_text("def f():\n    from mine.third import c\n")
    (tmp_path / "mine" / "third.py").write_text("c = 1\n")
    (tmp_path / "numpy.py").write_text("somebody else's\n")
    return tmp_path


def digest(root: Path) -> str:
    return source_digest("mine.policies.fgd", root / "mine" / "policies" / "fgd.py")


@pytest.mark.parametrize(
    "edited", ["policies/fgd", "policies/near", "shared", "third", "__init__", "policies/__init__"]
)
def test_editing_what_a_policy_imports_makes_it_another(package: Path, edited: str) -> None:
    before = digest(package)
    path = package / "mine" / f"{edited}.py"
    path.write_text(path.read_text() + "# edited\n")
    assert digest(package) != before


@pytest.mark.parametrize("edited", ["mine/policies/stranger.py", "numpy.py"])
def test_what_it_does_not_import_from_its_project_is_no_part_of_it(package: Path, edited: str) -> None:
    before = digest(package)
    (package / edited).write_text("edited = 1\n")
    assert digest(package) == before


def test_a_lone_file_counts_with_its_neighbours_that_it_imports(tmp_path: Path) -> None:
    (tmp_path / "policy.py").write_text("import helper\n")
    (tmp_path / "helper.py").write_text("w = 1\n")
    (tmp_path / "other.py").write_text("w = 1\n")
    before = source_digest("ksched_user_plugin_policy_1", tmp_path / "policy.py")
    (tmp_path / "other.py").write_text("w = 2\n")
    assert source_digest("ksched_user_plugin_policy_1", tmp_path / "policy.py") == before
    (tmp_path / "helper.py").write_text("w = 2\n")
    assert source_digest("ksched_user_plugin_policy_1", tmp_path / "policy.py") != before


def test_an_installed_module_counts_alone(tmp_path: Path) -> None:
    folder = tmp_path / "site-packages"
    folder.mkdir()
    (folder / "policy.py").write_text("import helper\n")
    (folder / "helper.py").write_text("w = 1\n")
    before = source_digest("policy", folder / "policy.py")
    (folder / "helper.py").write_text("w = 2\n")
    assert source_digest("policy", folder / "policy.py") == before


def test_the_place_of_a_project_is_no_part_of_it(package: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (package / "mine").rename(elsewhere / "mine")
    after = digest(elsewhere)
    (elsewhere / "mine").rename(package / "mine")
    assert digest(package) == after
