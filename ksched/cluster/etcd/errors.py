"""Errors etcd answers with: gRPC code and text exactly as its clients see them (api/v3rpc/rpctypes/error.go)."""

from __future__ import annotations

INVALID_ARGUMENT = 3
NOT_FOUND = 5
FAILED_PRECONDITION = 9
OUT_OF_RANGE = 11
UNAVAILABLE = 14


class EtcdError(Exception):
    """A refused request; nothing was written. ``code`` is the gRPC status code."""

    def __init__(self, code: int, message: str) -> None:
        self.code = code
        self.message = f"etcdserver: {message}"
        super().__init__(code, self.message)

    def __reduce__(self) -> tuple[type[EtcdError], tuple[int, str]]:
        return EtcdError, (self.code, self.message.removeprefix("etcdserver: "))


def empty_key() -> EtcdError:
    return EtcdError(INVALID_ARGUMENT, "key is not provided")


def key_not_found() -> EtcdError:
    return EtcdError(INVALID_ARGUMENT, "key not found")


def value_provided() -> EtcdError:
    return EtcdError(INVALID_ARGUMENT, "value is provided")


def lease_provided() -> EtcdError:
    return EtcdError(INVALID_ARGUMENT, "lease is provided")


def too_many_operations() -> EtcdError:
    return EtcdError(INVALID_ARGUMENT, "too many operations in txn request")


def duplicate_key() -> EtcdError:
    return EtcdError(INVALID_ARGUMENT, "duplicate key given in txn request")


def request_too_large() -> EtcdError:
    return EtcdError(INVALID_ARGUMENT, "request is too large")


def compacted() -> EtcdError:
    return EtcdError(OUT_OF_RANGE, "mvcc: required revision has been compacted")


def future_revision() -> EtcdError:
    return EtcdError(OUT_OF_RANGE, "mvcc: required revision is a future revision")


def lease_not_found() -> EtcdError:
    return EtcdError(NOT_FOUND, "requested lease not found")


def lease_exists() -> EtcdError:
    return EtcdError(FAILED_PRECONDITION, "lease already exists")


def lease_ttl_too_large() -> EtcdError:
    return EtcdError(OUT_OF_RANGE, "too large lease TTL")


def timed_out() -> EtcdError:
    return EtcdError(UNAVAILABLE, "request timed out")


def timed_out_after_leader_failure() -> EtcdError:
    return EtcdError(UNAVAILABLE, "request timed out, possibly due to previous leader failure")


def no_leader() -> EtcdError:
    return EtcdError(UNAVAILABLE, "no leader")


def leader_changed() -> EtcdError:
    return EtcdError(UNAVAILABLE, "leader changed")


def server_stopped() -> EtcdError:
    return EtcdError(UNAVAILABLE, "server stopped")


def member_not_found() -> EtcdError:
    return EtcdError(NOT_FOUND, "member not found")


def unhealthy() -> EtcdError:
    return EtcdError(UNAVAILABLE, "unhealthy cluster")
