"""Files that ship with ksched beside its code: traces and experiments.

In a checkout they are the repository's own folders; an installed wheel carries copies inside the package.
"""

from __future__ import annotations

from pathlib import Path

from ksched.errors import InputError

_PACKAGE = Path(__file__).resolve().parent


def shipped_root() -> Path:
    """The folder that holds ``traces/`` and ``experiments/``."""
    checkout = _PACKAGE.parent
    return checkout if (checkout / "pyproject.toml").is_file() else _PACKAGE / "_shipped"


def shipped(relative: str) -> Path:
    """A shipped folder by its path in the repository, e.g. "traces/quickstart"."""
    path = shipped_root() / relative
    if not path.exists():
        raise InputError(f"this installation of ksched does not carry {relative}", where=str(path))
    return path
