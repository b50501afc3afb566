"""The source a plugin consists of: its file, and the files of the same project that it imports.

An edited policy is another policy, and so is one of which only a helper was edited: both belong to a run's identity.
What a plugin imports from other distributions does not; those are as fixed as the interpreter.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path

Import = tuple[int, str, tuple[str, ...]]
"""(level, module, names) of one import: level 0 is absolute, ``names`` may be modules or what is in the module."""
Read = Callable[[Path], bytes | None]


def read_source(path: Path) -> bytes | None:
    """What is in a file, None where there is none."""
    return path.read_bytes() if path.is_file() else None


def source_digest(module: str, file: Path, read: Read = read_source) -> str:
    """sha256 over the source of ``module`` in ``file`` and of all it imports from its own project.

    The project is the top-level package, or the folder of a module that is in no package. Who asks for several plugins
    at once may let ``read`` remember: they import much the same.
    """
    root, top = _project(module, file)
    sources = _reachable(file, root, top, read)
    digest = hashlib.sha256(sources.pop(file))
    for path, source in sorted(sources.items()):
        digest.update(f"\n{path.relative_to(root).as_posix()}\0{hashlib.sha256(source).hexdigest()}".encode())
    return digest.hexdigest()


def _project(module: str, file: Path) -> tuple[Path, str | None]:
    """The folder that imports start from, and the one top-level name that counts (None: any found in the folder)."""
    parts = module.split(".")
    folder = file.parent if file.name != "__init__.py" else file.parent.parent
    if len(parts) == 1:
        # Beside an installed module lie other people's.
        return folder, parts[0] if "site-packages" in folder.parts or file.name == "__init__.py" else None
    return folder.parents[len(parts) - 2], parts[0]


def _reachable(file: Path, root: Path, top: str | None, read: Read) -> dict[Path, bytes]:
    """The files and what is in them."""
    found: dict[Path, bytes] = {}
    looked_for, waiting = {file}, [file]
    while waiting:
        path = waiting.pop()
        source = read(path)
        if source is None:
            continue
        found[path] = source
        if path.suffix != ".py":
            continue
        package = path.relative_to(root).parts[:-1]
        for name in _names(_imports(source), package):
            if top is not None and name[0] != top:
                continue
            for other in _places(root, name):
                if other not in looked_for:
                    looked_for.add(other)
                    waiting.append(other)
    return found


def _names(imports: tuple[Import, ...], package: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every dotted name, as a tuple, that ``imports`` of a module in ``package`` may mean."""
    for level, module, names in imports:
        base = package[: len(package) - level + 1] if level else ()
        start = (*base, *(module.split(".") if module else ()))
        if start:
            yield start
        for name in names:
            yield (*start, name)


@lru_cache(maxsize=1 << 12)
def _places(root: Path, name: tuple[str, ...]) -> tuple[Path, ...]:
    """The files that importing ``name`` runs, as far as they exist: the packages on the way and the module itself."""
    folders = [root.joinpath(*name[:length]) for length in range(1, len(name) + 1)]
    return tuple(path for place in folders for path in (place / "__init__.py", place.with_name(f"{place.name}.py")))


@lru_cache(maxsize=1024)
def _imports(source: bytes) -> tuple[Import, ...]:
    found: list[Import] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(0, alias.name, ()) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, node.module or "", tuple(alias.name for alias in node.names)))
    return tuple(found)
