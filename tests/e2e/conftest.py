"""The command line in this process: what a user types, and what comes back."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ksched.cli import main


@dataclass(frozen=True)
class Outcome:
    """Exit code and output of one command."""

    code: int
    out: str
    err: str

    def complains(self, *texts: str) -> bool:
        """Exit code 2 and one message on stderr that holds ``texts``, no traceback, nothing on stdout."""
        one = self.err.startswith("error: ") and self.err.count("error: ") == 1 and "Traceback" not in self.err
        return self.code == 2 and one and not self.out and all(text in self.err for text in texts)


Cli = Callable[..., Outcome]


@pytest.fixture
def cli(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    """``cli("plugins", "list")`` runs that command in an empty folder, on a terminal 80 columns wide."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def call(*words: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["ksched", *words])
        code = 0
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            try:
                main()
            except SystemExit as stopped:
                code = int(stopped.code or 0)
        captured = capfd.readouterr()
        return Outcome(code, captured.out, captured.err)

    return call
