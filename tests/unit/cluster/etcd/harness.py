"""An etcd cluster in virtual time, asked one thing after the other."""

from __future__ import annotations

from typing import Any

from ksched.cluster.etcd.errors import EtcdError
from ksched.cluster.etcd.ops import Put, Range, Request
from ksched.cluster.etcd.server import Etcd, EtcdConfig
from ksched.sim.kernel import SECOND, Kernel
from ksched.sim.streams import Streams


class Answers:
    """What came back, each with its time in ns."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.came: list[tuple[int, Any]] = []

    def __call__(self, response: Any, error: EtcdError | None) -> None:
        self.came.append((self._kernel.now, error.message if error is not None else response))

    @property
    def values(self) -> list[Any]:
        return [value for _, value in self.came]


class Cluster:
    """``etcd`` and the clock it runs by."""

    def __init__(self, seed: int = 1, **config: Any) -> None:
        self.kernel = Kernel()
        self.etcd = Etcd(self.kernel, Streams(seed), EtcdConfig(**config))

    def run(self, seconds: float) -> None:
        """Let ``seconds`` pass."""
        self.kernel.run(self.kernel.now + int(seconds * SECOND))

    def ask(self, op: Request, seconds: float = 8, **options: Any) -> Any:
        """The response to ``op``, or the text of its error; None when there is neither after ``seconds``."""
        answers = Answers(self.kernel)
        self.etcd.submit(op, answers, **options)
        end = self.kernel.now + int(seconds * SECOND)
        while not answers.came and (at := self.kernel.next_time()) is not None and at <= end:
            self.kernel.step()
        return answers.values[0] if answers.came else None

    def put(self, key: bytes, value: bytes, **options: Any) -> Any:
        return self.ask(Put(key, value), **options)

    def get(self, key: bytes, **options: Any) -> Any:
        """The value, None if there is none, or the text of the error."""
        response = self.ask(Range(key), **options)
        if isinstance(response, str) or response is None:
            return response
        return response.kvs[0].value if response.kvs else None

    def others(self, *members: int) -> list[int]:
        return [member for member in self.etcd.group.members if member not in members]
