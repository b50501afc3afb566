"""etcd's own interaction tests: every message, every Ready and every log line of the members is compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from .datadriven import check, files
from .environment import Environment


@pytest.mark.data
@pytest.mark.parametrize("path", files("interaction"))
def test_members_do_and_say_exactly_what_etcd_members_do(path: Path) -> None:
    check(path, Environment().run)
