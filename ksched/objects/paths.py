"""Dotted paths to fields, as Kubernetes writes them in messages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)


def dotted(path: Sequence[str | int]) -> str:
    """``("spec", "containers", 0, "name")`` -> ``spec.containers[0].name``; odd map keys stand in brackets."""
    text = ""
    for step in path:
        if isinstance(step, str) and _FIELD.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{step}]"
    return text or "the object"
