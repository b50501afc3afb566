"""The names `ksched` promises are there, and importing it costs nothing until one is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import ksched


@pytest.mark.parametrize("name", ksched.__all__)
def test_a_public_name_can_be_imported(name: str) -> None:
    assert getattr(ksched, name) is not None


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = ksched.nonsense


def test_importing_ksched_imports_no_heavy_library() -> None:
    code = "import sys, ksched; print(*[m for m in ('numpy', 'pandas', 'altair', 'scipy') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split() == []
