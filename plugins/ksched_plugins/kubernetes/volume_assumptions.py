"""Objects as the scheduler takes them to be before the api-server has heard of it.

Upstream: pkg/scheduler/util/assumecache. An assumption is made about one version of an object; as soon as a newer one
is seen, that is the truth.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from ksched.framework.listers import Key, key_of
from ksched.objects import KubeObject

K = TypeVar("K", bound=KubeObject)


class Assumptions(Generic[K]):
    """Assumed objects of one kind by key."""

    def __init__(self) -> None:
        self._assumed: dict[Key, K] = {}

    def assume(self, obj: K) -> None:
        """Take an object to be like this; it must have the resourceVersion it was derived from."""
        self._assumed[key_of(obj)] = obj

    def restore(self, obj: K) -> None:
        """Take it to be as the api-server has it again."""
        self._assumed.pop(key_of(obj), None)

    def latest(self, obj: K) -> K:
        """What ``obj``, as last seen, is taken to be."""
        if not self._assumed:
            return obj
        assumed = self._assumed.get(key_of(obj))
        if assumed is None:
            return obj
        if assumed.metadata.resource_version != obj.metadata.resource_version:
            self.restore(assumed)
            return obj
        return assumed

    def subjects(self) -> list[Key]:
        """What there are assumptions about, oldest first."""
        return list(self._assumed)
