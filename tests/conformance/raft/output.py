"""What the interaction files compare: output of the commands and the log of the members, in one stream."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

LEVELS = ("DEBUG", "INFO", "WARN", "ERROR", "FATAL", "NONE")


class Output:
    """Collects text. Below the level log lines are dropped, at NONE everything is. A ``Logger`` of the core."""

    def __init__(self) -> None:
        self._text: list[str] = []
        self.level = 0

    @property
    def quiet(self) -> bool:
        return LEVELS[self.level] == "NONE"

    def write(self, text: str) -> None:
        if not self.quiet:
            self._text.append(text)

    def take(self) -> str:
        text = "".join(self._text)
        self._text = []
        return text

    @contextmanager
    def indented(self) -> Iterator[None]:
        outer, self._text = self._text, []
        yield
        outer.extend(f"  {line}\n" for line in self.take().splitlines())
        self._text = outer

    def _log(self, level: int, template: str, args: tuple[object, ...]) -> None:
        if level >= self.level:
            self.write(f"{LEVELS[level]} {template % args}\n")

    def debug(self, template: str, /, *args: object) -> None:
        self._log(0, template, args)

    def info(self, template: str, /, *args: object) -> None:
        self._log(1, template, args)

    def warning(self, template: str, /, *args: object) -> None:
        self._log(2, template, args)

    def error(self, template: str, /, *args: object) -> None:
        self._log(3, template, args)
