"""How many bytes an object would take in etcd, without encoding it each time.

The spec's JSON is measured once per distinct spec; metadata is added up from its parts; a status counts as a typical
one of its kind. Good enough for what reads it: etcd's request limit and database size.
"""

from __future__ import annotations

import json
from typing import Any

from ksched.objects.base import IdentityCache

_METADATA = 250
_STATUS = 900
_AROUND_A_TEXT = 3
"""Its quotes, and a colon or a comma."""
_SPECS_KEPT = 1 << 14
"""About as many as there are bound pods in a large run: each has a spec of its own node."""


class Sizes:
    """The sizes of one api-server's objects."""

    def __init__(self) -> None:
        self._specs: IdentityCache[Any, int] = IdentityCache(_SPECS_KEPT)

    def of(self, obj: Any) -> int:
        """Estimated length in bytes of the object's JSON."""
        meta = obj.metadata
        labels, annotations = meta.labels, meta.annotations
        texts = [*labels, *labels.values()] if labels else []
        if annotations:
            texts += [*annotations, *annotations.values()]
        size = _METADATA + _STATUS + len("".join(texts)) + len(texts) * _AROUND_A_TEXT
        spec = getattr(obj, "spec", None)
        if spec is None:
            return size
        known = self._specs.entries.get(id(spec))
        return size + (self.of_spec(spec) if known is None else known[1])

    def of_spec(self, spec: Any) -> int:
        """Length in bytes of a spec's JSON."""
        known = self._specs.get(spec)
        return known or self._specs.put(spec, len(json.dumps(spec.to_dict(), separators=(",", ":"))))

    def is_known(self, spec: Any, size: int) -> None:
        """``spec`` is another and some bytes more: no need to encode it, as for each node bound to."""
        self._specs.put(spec, size)
