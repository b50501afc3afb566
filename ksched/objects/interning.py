"""One instance per distinct pod spec, so that everything computed per spec is computed once."""

from __future__ import annotations

import hashlib
import json
from typing import Final

from .base import IdentityCache, KubeModel
from .pod import PodSpec

_MAX_SPECS: Final = 16384

_canonical: dict[str, PodSpec] = {}
_interned: IdentityCache[PodSpec, PodSpec] = IdentityCache(2 * _MAX_SPECS)


def digest(obj: KubeModel) -> str:
    """SHA-256 (hex) of the object's canonical JSON: equal data, equal digest, in any process."""
    text = json.dumps(obj.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def intern_spec(spec: PodSpec) -> PodSpec:
    """The one instance for all specs written like this one. Bounded: rarely used templates may be forgotten.

    Specs that say the same in other words (``1`` and ``1000m``) stay apart: they are written back differently.
    """
    known = _interned.get(spec)
    if known is not None:
        return known
    key = digest(spec)
    known = _canonical.get(key)
    if known is None:
        if len(_canonical) >= _MAX_SPECS:
            for old in list(_canonical)[: _MAX_SPECS // 2]:
                del _canonical[old]
        known = _canonical[key] = spec
    _interned.put(spec, known)
    return known
