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

_SPECS: IdentityCache[Any, int] = IdentityCache()


def encoded_size(obj: Any) -> int:
    """Estimated length in bytes of the object's JSON."""
    meta = obj.metadata
    size = _METADATA + _STATUS
    for labels in (meta.labels, meta.annotations):
        for key, value in labels.items():
            size += len(key) + len(value) + 6
    spec = getattr(obj, "spec", None)
    if spec is None:
        return size
    known = _SPECS.get(spec)
    if known is None:
        known = _SPECS.put(spec, len(json.dumps(spec.to_dict(), separators=(",", ":"))))
    return size + known
