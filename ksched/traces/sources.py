"""Where traces come from: a directory, a trace that ships with ksched, or a public data set's own files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ksched.errors import InputError, nearest
from ksched.traces.openb import NODE_LISTS, pod_lists, read_openb
from ksched.traces.trace import MANIFEST, Trace, read_manifest, read_trace

DATA_VARIABLE = "KSCHED_DATA"
PATH_VARIABLE = "KSCHED_TRACES"
OPENB = "openb"


@dataclass(frozen=True)
class TraceSource:
    """A trace that :func:`load_trace` finds: the name to load it by, what it is, and where it is."""

    name: str
    description: str
    where: Path


def load_trace(source: str | Path, *, data: Path | None = None) -> Trace:
    """The trace ``source`` names, its required tables read and checked.

    ``source`` is a directory in canonical format, the name of a trace in one of :func:`trace_folders`, or
    ``openb:LIST`` (``openb:LIST@all`` for all nodes instead of the GPU nodes), read from the CSV files under
    ``data`` or ``$KSCHED_DATA``. InputError when there is no such trace or it is damaged.
    """
    text = str(source)
    if text.startswith(f"{OPENB}:"):
        pod_list, _, node_list = text.removeprefix(f"{OPENB}:").partition("@")
        return read_openb(data_folder(data), pod_list, node_list or next(iter(NODE_LISTS)))
    path = Path(source)
    if path.is_dir():
        return read_trace(path)
    if path.name == text and text not in (".", ".."):
        for folder in trace_folders():
            if (folder / text / MANIFEST).is_file():
                return read_trace(folder / text)
    known = [s.name for s in available_traces(data)]
    close = nearest(text, known)
    hint = f"did you mean {close}?" if close else "known: " + (", ".join(known) or "none")
    raise InputError("no such trace directory, and no trace of that name", where=text, hint=hint)


def available_traces(data: Path | None = None) -> list[TraceSource]:
    """All traces that can be loaded by name, in a fixed order; the first of two equal names counts."""
    found: dict[str, TraceSource] = {}
    for folder in trace_folders():
        for path in sorted(folder.glob(f"*/{MANIFEST}")):
            name = path.parent.name
            if name not in found:
                found[name] = TraceSource(name, read_manifest(path.parent).source, path.parent)
    if data is not None or os.environ.get(DATA_VARIABLE):
        for name, path in pod_lists(data_folder(data)).items():
            found[f"{OPENB}:{name}"] = TraceSource(f"{OPENB}:{name}", "Alibaba GPU trace 2023, raw files", path)
    return list(found.values())


def trace_folders() -> list[Path]:
    """Folders searched for named traces: $KSCHED_TRACES, ./traces, the repository's, the installed package's."""
    return list(dict.fromkeys(folder.resolve() for folder in _candidates() if folder.is_dir()))


def _candidates() -> Iterator[Path]:
    for entry in os.environ.get(PATH_VARIABLE, "").split(os.pathsep):
        if entry:
            yield Path(entry)
    yield Path.cwd() / "traces"
    package = Path(__file__).resolve().parent.parent
    if (package.parent / "pyproject.toml").is_file():
        yield package.parent / "traces"
    yield package / "_shipped" / "traces"


def data_folder(data: Path | None) -> Path:
    """``data``, else $KSCHED_DATA; InputError when neither is given."""
    if data is not None:
        return data
    value = os.environ.get(DATA_VARIABLE)
    if not value:
        raise InputError(
            "the raw files of this trace are not part of ksched",
            where=OPENB,
            hint=f"give their folder with --data DIR or ${DATA_VARIABLE}",
        )
    return Path(value)
