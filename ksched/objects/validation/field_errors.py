"""Collects violated rules, in the form of apimachinery's field.Error."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from ksched.errors import InputError
from ksched.objects.quantity import Quantity

_SHOWN = 10


class FieldErrors:
    """A list of ``path: Kind of error: value: detail`` messages."""

    __slots__ = ("_messages",)

    def __init__(self) -> None:
        self._messages: list[str] = []

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def messages(self) -> tuple[str, ...]:
        """All messages in the order found."""
        return tuple(self._messages)

    def required(self, path: str, detail: str = "") -> None:
        """Something is missing."""
        self._messages.append(f"{path}: Required value{f': {detail}' if detail else ''}")

    def invalid(self, path: str, value: object, detail: str) -> None:
        """A value breaks a rule."""
        self._messages.append(f"{path}: Invalid value: {_shown(value)}: {detail}")

    def unsupported(self, path: str, value: object, supported: Iterable[str]) -> None:
        """A value is none of a fixed set."""
        values = ", ".join(f'"{name}"' for name in supported)
        self._messages.append(f"{path}: Unsupported value: {_shown(value)}: supported values: {values}")

    def duplicate(self, path: str, value: object) -> None:
        """A value that must be unique stands twice."""
        self._messages.append(f"{path}: Duplicate value: {_shown(value)}")

    def forbidden(self, path: str, detail: str) -> None:
        """A field must not be set here."""
        self._messages.append(f"{path}: Forbidden: {detail}")

    def not_found(self, path: str, value: object) -> None:
        """A reference leads nowhere."""
        self._messages.append(f"{path}: Not found: {_shown(value)}")

    def one_of(self, path: str, value: str | None, supported: Collection[str]) -> None:
        """Unsupported unless ``value`` is absent or one of ``supported``."""
        if value is not None and value not in supported:
            self.unsupported(path, value, supported)

    def at_least(self, path: str, value: int | None, minimum: int) -> None:
        """Invalid unless ``value`` is absent or at least ``minimum``; an int32 or int64 field never exceeds int64."""
        if value is not None and not minimum <= value < 2**63:
            self.invalid(path, value, f"must be greater than or equal to {minimum}" if value < minimum else "too large")

    def within(self, path: str, value: int | None, low: int, high: int) -> None:
        """Invalid unless ``value`` is absent or within ``low`` and ``high``."""
        if value is not None and not low <= value <= high:
            self.invalid(path, value, f"must be between {low} and {high}, inclusive")

    def as_input_error(self, title: str) -> InputError:
        """One error naming the object and everything wrong with it."""
        shown = self._messages[:_SHOWN]
        if len(self._messages) > _SHOWN:
            shown.append(f"and {len(self._messages) - _SHOWN} more")
        text = shown[0] if len(shown) == 1 else f"[{', '.join(shown)}]"
        return InputError(f"{title} is invalid: {text}")


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if len(text) > 100:
        text = text[:97] + "..."
    return f'"{text}"' if isinstance(value, str | Quantity) else text
