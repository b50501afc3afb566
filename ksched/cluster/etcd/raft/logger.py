"""Where the core says what it does. Texts and levels are those of go.etcd.io/raft/v3.

Any ``logging.Logger`` will do. The template is formatted by the logger, so a silent one costs a call.
"""

from __future__ import annotations

from typing import Protocol


class Logger(Protocol):
    """Takes a %-template and its arguments. They must be formatted before the call returns: they change later."""

    def debug(self, template: str, /, *args: object) -> None: ...

    def info(self, template: str, /, *args: object) -> None: ...

    def warning(self, template: str, /, *args: object) -> None: ...

    def error(self, template: str, /, *args: object) -> None: ...


class Silent:
    """Drops everything."""

    __slots__ = ()

    def debug(self, template: str, /, *args: object) -> None: ...

    def info(self, template: str, /, *args: object) -> None: ...

    def warning(self, template: str, /, *args: object) -> None: ...

    def error(self, template: str, /, *args: object) -> None: ...
