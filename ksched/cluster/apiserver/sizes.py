"""How many bytes an object would take in etcd, without encoding it each time.

The spec's JSON is measured once per distinct spec; metadata is added up from its parts; a status counts as a typical
one of its kind. Good enough for what reads it: etcd's request limit and database size.
"""

from __future__ import annotations

import json
from typing import Any

from ksched.objects.base import IdentityCache

_WITHOUT_TEXTS = 250 + 900
"""Metadata without labels and annotations, and a status."""
_AROUND_TWO_TEXTS = 6
"""Their quotes, a colon and a comma."""
_SPECS_KEPT = 1 << 14
"""About as many as there are bound pods in a large run: each has a spec of its own node."""

# Many clusters of one process have pods of the same specs, so what had to be encoded is remembered for all of them.
_ENCODED: IdentityCache[Any, int] = IdentityCache()


class Sizes:
    """The sizes of one api-server's objects."""

    def __init__(self) -> None:
        self.specs: IdentityCache[Any, int] = IdentityCache(_SPECS_KEPT)
        """Who makes a spec that is another and some bytes more may note its size here, so that it is not encoded."""

    def of(self, obj: Any) -> int:
        """Estimated length in bytes of the object's JSON."""
        meta = obj.metadata
        size = _WITHOUT_TEXTS
        for key, text in meta.annotations.items():
            size += len(key) + len(text) + _AROUND_TWO_TEXTS
        for key, text in meta.labels.items():
            size += len(key) + len(text) + _AROUND_TWO_TEXTS
        spec = getattr(obj, "spec", None)
        if spec is None:
            return size
        known = self.specs.entries.get(id(spec))
        return size + (self.of_spec(spec) if known is None else known[1])

    def of_spec(self, spec: Any) -> int:
        """Length in bytes of a spec's JSON."""
        known = self.specs.get(spec)
        if known is None:
            known = _ENCODED.get(spec) or _ENCODED.put(spec, _encoded(spec))
            self.specs.put(spec, known)
        return known


def _encoded(spec: Any) -> int:
    return len(json.dumps(spec.to_dict(), separators=(",", ":")))
