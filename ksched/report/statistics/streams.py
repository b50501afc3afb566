"""Random streams by name: what is drawn depends on the name alone."""

from __future__ import annotations

import hashlib

import numpy as np


def generator(key: str) -> np.random.Generator:
    """A counter-based generator (Philox; Salmon et al. 2011) whose stream depends on ``key`` alone."""
    digest = hashlib.sha256(key.encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))
