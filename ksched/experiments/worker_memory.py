"""What keeps a process that runs experiments small: no pandas, and unused memory goes back to the system."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder

import pyarrow as pa


def start_small() -> None:
    """Prepare a worker, or the command that directs them; before its first Arrow array, in no process of others."""
    # The default pools keep what was freed for Arrow alone; from the system's allocator everybody can have it.
    pa.set_memory_pool(pa.system_memory_pool())
    _keep_pandas_out()


def give_back() -> None:
    """Return free memory to the system, as far as the allocator can."""
    pa.default_memory_pool().release_unused()


def _keep_pandas_out() -> None:
    """Let pyarrow find no pandas when it looks for it, which it does once, at the first conversion.

    It imports pandas (33 MB) to recognise its arrays, and a run makes none. Whoever asks for ``to_pandas`` or imports
    pandas gets it as ever.
    """
    if "pandas" in sys.modules:
        return
    blocker = _NoPandas()
    sys.meta_path.insert(0, blocker)
    try:
        pa.scalar(0)
    finally:
        sys.meta_path.remove(blocker)


class _NoPandas(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> None:
        if fullname == "pandas":
            raise ModuleNotFoundError("no module named 'pandas' for the moment", name=fullname)
