"""What the api-server answers instead of an object (apimachinery pkg/api/errors)."""

from __future__ import annotations


class ApiError(Exception):
    """A refused request: HTTP ``code``, machine-readable ``reason`` and ``message`` as in upstream's Status object."""

    def __init__(self, code: int, reason: str, message: str) -> None:
        self.code = code
        self.reason = reason
        self.message = message
        super().__init__(code, reason, message)

    def __str__(self) -> str:
        return f"{self.reason} ({self.code}): {self.message}"

    @property
    def is_not_found(self) -> bool:
        return self.code == 404

    @property
    def is_conflict(self) -> bool:
        """True when the object has moved on: read it again and retry."""
        return self.code == 409 and self.reason == "Conflict"

    @property
    def is_already_exists(self) -> bool:
        return self.code == 409 and self.reason == "AlreadyExists"


def not_found(resource: str, name: str) -> ApiError:
    return ApiError(404, "NotFound", f'{resource} "{name}" not found')


def already_exists(resource: str, name: str) -> ApiError:
    return ApiError(409, "AlreadyExists", f'{resource} "{name}" already exists')


def conflict(resource: str, name: str, why: str) -> ApiError:
    return ApiError(409, "Conflict", f'Operation cannot be fulfilled on {resource} "{name}": {why}')


def modified(resource: str, name: str) -> ApiError:
    return conflict(
        resource,
        name,
        "the object has been modified; please apply your changes to the latest version and try again",
    )


def invalid(kind: str, name: str, why: str) -> ApiError:
    return ApiError(422, "Invalid", f'{kind} "{name}" is invalid: {why}')


def bad_request(why: str) -> ApiError:
    return ApiError(400, "BadRequest", why)


def too_many_requests(why: str) -> ApiError:
    return ApiError(429, "TooManyRequests", why)


def gone(asked: int, oldest: int) -> ApiError:
    return ApiError(410, "Expired", f"too old resource version: {asked} ({oldest})")
