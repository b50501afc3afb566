"""What makes two runs the same run.

A run's id is the SHA-256 of its canonical configuration after defaults, the trace's content hash, the source hash of
every plugin, ksched's version and source hash, the schema version and the seed. Executor, worker count and paths are
no part of it, so a run computed elsewhere under other paths is recognised.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import ksched
from ksched.result_directory import SCHEMA_VERSION

ID_LENGTH = 16
# These packages only look at results; by the import contract no simulation can reach them, so an edited chart does
# not throw away a day of runs.
_NO_PART_OF_A_RUN = ("cli", "report", "testing")


def canonical_json(value: Any) -> str:
    """The one spelling of a JSON value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256(data: str | bytes) -> str:
    """Hexadecimal SHA-256 of a text (as UTF-8) or of bytes."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


def run_identity(
    *,
    config: Mapping[str, Any],
    trace_hash: str,
    plugin_hashes: Mapping[str, str],
    seed: int,
) -> dict[str, Any]:
    """Everything a run's id is made of, JSON-ready. ``config`` is canonical: defaults filled in, no paths."""
    return {
        "schema_version": SCHEMA_VERSION,
        "ksched": installed_ksched(),
        "config": dict(config),
        "trace": trace_hash,
        "plugins": dict(plugin_hashes),
        "seed": seed,
    }


def run_id(identity: Mapping[str, Any]) -> str:
    """The first 16 hexadecimal digits of the identity's hash."""
    return sha256(canonical_json(identity))[:ID_LENGTH]


def installed_ksched() -> dict[str, str]:
    """The ksched this process runs: version and hash of its source."""
    return {"version": ksched_version(), "source": package_hash(Path(ksched.__file__).parent)}


@cache
def ksched_version() -> str:
    """Version of the installed distribution; "0" when run from a bare source tree."""
    try:
        return metadata.version("ksched")
    except metadata.PackageNotFoundError:
        return "0"


@cache
def package_hash(root: Path) -> str:
    """Hash over names and contents of all Python files below ``root`` that a simulation can import."""
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py"), key=lambda p: p.relative_to(root).as_posix()):
        relative = path.relative_to(root)
        if relative.parts[0] in _NO_PART_OF_A_RUN:
            continue
        digest.update(f"{relative.as_posix()}\0{sha256(path.read_bytes())}\n".encode())
    return digest.hexdigest()
