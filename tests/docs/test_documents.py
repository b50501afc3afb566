"""Every block of code in the documentation runs, and prints what the documentation says it prints.

The blocks of one document run in order in one empty directory. What a block is follows from its language:

``python`` or ``yaml`` with a first line ``# file: NAME``
    is written to that file.
``python``
    is executed; the blocks of a document share their names. A ``text`` block right behind it is what it prints.
``console``
    Lines ``$ COMMAND`` are run, ``ksched`` being this project's command line on a terminal 80 columns wide. The lines
    behind a command are what it prints on stdout and stderr; no lines: it may print anything. The command must
    succeed, or exit with code 2 if one of the lines begins with ``error:``. A command that ends in a backslash goes on.
``yaml``, ``toml``, ``json``
    must be well-formed.

In expected output a line ``...`` stands for any number of lines, ``...`` inside a line for any text; trailing blanks do
not count. ``<!-- not run: WHY -->`` right above a block exempts it; it is for what needs a network or minutes.
README.md runs the same way, beside the repository's ``experiments`` and ``traces``. It alone may also hold console
blocks without ``$``: commands to copy, which install something or take a minute.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from reference import PAGES

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GENERATED = {ROOT / "docs" / "reference" / f"{name}.md" for name in PAGES}
COMMANDS = {"ksched", "python", "cat", "ls", "cp", "mkdir", "head"}
"""What a console block may run; whatever else needs a reason not to be run."""
WIDTH = "80"

_FENCE = re.compile(
    r"^(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<body>.*?)^(?P=fence)[ \t]*$", re.MULTILINE | re.DOTALL
)
_EXEMPT = re.compile(r"<!-- not run: \S.*? -->\s*\Z", re.DOTALL)
_FILE = re.compile(r"# file: (\S+)\n")


@dataclass(frozen=True)
class Block:
    """One fenced block: where it starts, its language and text, and the text block right behind it."""

    place: str
    language: str
    body: str
    prints: str | None


def blocks(text: str, name: str) -> Iterator[Block]:
    """The blocks of a document that are to be run."""
    fences = list(_FENCE.finditer(text))
    for fence, following in zip(fences, [*fences[1:], None], strict=False):
        if fence["language"] == "text" or _EXEMPT.search(text, 0, fence.start()):
            continue
        joined = following is not None and not text[fence.end() : following.start()].strip()
        prints = following["body"] if following is not None and joined and following["language"] == "text" else None
        yield Block(f"{name}:{text.count(chr(10), 0, fence.start()) + 1}", fence["language"], fence["body"], prints)


def run(block: Block, folder: Path, names: dict[str, Any]) -> None:
    """Run a block in ``folder``; AssertionError that names its place if it does not do what it says."""
    written = _FILE.match(block.body)
    if written and block.language in ("python", "yaml"):
        target = folder / written[1]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(block.body, encoding="utf-8")
    elif block.language == "python":
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("default")
            exec(compile(block.body, block.place, "exec"), names)
        if block.prints is not None:
            expect(block.prints, printed.getvalue(), block.place)
    elif block.language == "console":
        for command, printed_lines in commands(block):
            run_command(command, printed_lines, folder, block.place)
    elif block.language in ("yaml", "toml", "json"):
        parsers: dict[str, Callable[[str], Any]] = {"yaml": yaml.safe_load, "toml": tomllib.loads, "json": json.loads}
        parsers[block.language](block.body)
    else:
        pytest.fail(f"{block.place}: no rule for a block of language {block.language!r}")


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """The commands of a console block, each with the output shown behind it."""
    if "$ " not in block.body and block.place.startswith("README.md"):
        return
    parts = re.split(r"^\$ ", block.body.replace("\\\n", ""), flags=re.MULTILINE)
    assert not parts[0].strip(), f"{block.place}: a console block starts with '$ '"
    for part in parts[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def run_command(command: str, printed: str, folder: Path, place: str) -> None:
    """Run one command line in a shell and compare what it prints."""
    first = shlex.split(command)[0]
    assert first in COMMANDS, f"{place}: {first!r} is not run here; say why: <!-- not run: ... -->"
    environment = {**os.environ, "COLUMNS": WIDTH, "NO_COLOR": "1", "TERM": "dumb"}
    shell = f'ksched() {{ "{sys.executable}" -m ksched "$@"; }}; python() {{ "{sys.executable}" "$@"; }}; {command}'
    done = subprocess.run(
        ["bash", "-c", shell],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    wanted = 2 if re.search("^error:", printed, re.MULTILINE) else 0
    assert done.returncode == wanted, f"{place}: $ {command}\nexit code {done.returncode}, not {wanted}:\n{done.stdout}"
    if printed.strip():
        expect(printed, done.stdout, f"{place}: $ {command}")


def expect(shown: str, printed: str, place: str) -> None:
    """Fail unless ``printed`` is what the document shows."""
    if not matches(shown, printed):
        pytest.fail(f"{place}\n--- the document shows\n{shown}\n--- it printed\n{printed}", pytrace=False)


def matches(shown: str, printed: str) -> bool:
    """Whether ``printed`` is ``shown``, with its elisions."""
    pattern = ""
    for line in shown.strip("\n").splitlines():
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        else:
            pattern += ".*?".join(re.escape(part) for part in line.rstrip().split("...")) + "\n"
    text = "".join(f"{line.rstrip()}\n" for line in printed.strip("\n").splitlines())
    return re.fullmatch(pattern, text) is not None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_shows_happens(document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))  # as for a script in that folder
    monkeypatch.setenv("COLUMNS", WIDTH)
    if document.name == "README.md":
        for shared in ("experiments", "traces"):
            (tmp_path / shared).symlink_to(ROOT / shared)
    names: dict[str, Any] = {"__name__": "document"}
    known = set(sys.modules)
    for block in blocks(document.read_text(encoding="utf-8"), str(document.relative_to(ROOT))):
        run(block, tmp_path, names)
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]  # another document may have a file of the same name


def test_links_between_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#:]+?)(?:#[^)]*)?\)", document.read_text(encoding="utf-8")):
            path = (document.parent / target).resolve()
            assert path.exists() or path in GENERATED, f"{document.relative_to(ROOT)} links to {target}"


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("a\nb\n", "a\nb\n", True),
        ("a\nb\n", "a\nb  \n\n", True),
        ("a\nb\n", "a\nc\n", False),
        ("a\n", "a\nb\n", False),
        ("a\n...\nd\n", "a\nb\nc\nd\n", True),
        ("a\n...\nd\n", "a\nd\n", True),
        ("a\n...\nd\n", "a\nb\n", False),
        ("took ... s\n", "took 3.1 s\n", True),
        ("took ... s\n", "took 3.1 min\n", False),
        ("1.5\n", "125\n", False),
    ],
)
def test_output_matches_up_to_elisions(shown: str, printed: str, same: bool) -> None:
    assert matches(shown, printed) is same


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("```python\nprint(1)\n```\n```text\n2\n```\n", "the document shows"),
        ("```console\n$ ksched --version\nksched zero\n```\n", "the document shows"),
        ("```console\n$ ksched plugins check Nope\n```\n", "exit code 2, not 0"),
        ("```console\n$ curl example.com\n```\n", "not run here"),
        ("```fortran\nEND\n```\n", "no rule"),
    ],
)
def test_a_document_that_is_wrong_fails(text: str, complaint: str, tmp_path: Path) -> None:
    with pytest.raises((AssertionError, pytest.fail.Exception), match=complaint):
        for block in blocks(text, "wrong.md"):
            run(block, tmp_path, {})


def test_an_exempted_block_is_not_run() -> None:
    text = "<!-- not run: needs a network -->\n```console\n$ curl example.com\n```\n\n```python\nx = 1\n```\n"
    assert [block.language for block in blocks(text, "some.md")] == ["python"]
