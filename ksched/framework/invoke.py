"""Calling plugins: their mistakes become errors that name the plugin, the node and what was expected."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numpy as np
import numpy.typing as npt

from ksched.errors import KschedError, PluginError
from ksched.framework.normalizers import MAX_NODE_SCORE
from ksched.tables import PodView
from ksched.tables.arrays import BoolArray

Raw = npt.NDArray[Any]
_INT64 = np.dtype(np.int64)
P = ParamSpec("P")
T = TypeVar("T")


class _Judging:
    """Decorates what asks plugins about nodes, and may be entered (``with``) around many such calls.

    A node without the resource divides by zero; what that gives is judged when the scores are, not warned about.
    Telling numpy so takes longer than asking some plugins, so inside a ``with`` it is not told again.
    """

    def __init__(self) -> None:
        self.entered: list[np.errstate] = []
        """Not empty while inside a ``with``."""

    def __enter__(self) -> None:
        state = np.errstate(divide="ignore", invalid="ignore")
        state.__enter__()
        self.entered.append(state)

    def __exit__(self, *error: object) -> None:
        self.entered.pop().__exit__(None, None, None)

    def __call__(self, method: Callable[P, T]) -> Callable[P, T]:
        @wraps(method)
        def judged(*args: P.args, **kwargs: P.kwargs) -> T:
            if self.entered:
                return method(*args, **kwargs)
            with self:
                return method(*args, **kwargs)

        return judged


judging = _Judging()


def guarded(plugin: Any, method: str, *args: Any) -> Any:
    """``plugin.method(*args)``; whatever it raises becomes a PluginError with the original as its cause."""
    try:
        return getattr(plugin, method)(*args)
    except KschedError:
        raise
    except Exception as error:
        raise blamed(plugin, method, args, error) from error


def always_skips(plugin: Any, point: str, pod: PodView) -> bool:
    """Whether a plugin that is asked every time need not be, for pods with this signature."""
    return hasattr(plugin, "skips") and bool(guarded(plugin, "skips", point, pod))


def blamed(plugin: Any, method: str, args: tuple[Any, ...], error: Exception) -> PluginError:
    """The error for a plugin whose ``method(*args)`` raised ``error``."""
    pod = next((arg for arg in args if isinstance(arg, PodView)), None)
    who = f" for pod {pod.pod.metadata.namespace}/{pod.pod.metadata.name}" if type(pod) is PodView else ""
    return PluginError(
        f"plugin {plugin.name}: {method}{who} raised {type(error).__name__}: {error}{_line_of(plugin, error)}",
        hint=_hint(error),
    )


def _line_of(plugin: Any, error: Exception) -> str:
    """The last line of the plugin's own file on the way to the error."""
    file = getattr(sys.modules.get(type(plugin).__module__), "__file__", None)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f" ({Path(str(file)).name}:{lines[-1]})" if lines else ""


def _hint(error: Exception) -> str | None:
    if isinstance(error, ValueError) and "read-only" in str(error):
        return "plugins must not change the nodes they are shown; work on a copy"
    return None


def raw_scores(plugin: Any, scores: Any, n: int, method: str = "score") -> Raw:
    """What Score or NormalizeScore returned, checked for type and shape: int64[n] or float64[n]."""
    if not isinstance(scores, np.ndarray) or scores.shape != (n,) or scores.dtype.kind not in "iuf":
        got = f"{scores.dtype}{list(scores.shape)}" if isinstance(scores, np.ndarray) else type(scores).__name__
        raise PluginError(
            f"plugin {plugin.name}: {method} returned {got}, expected int64[{n}] or float64[{n}]",
            hint="return one number per row of the nodes given",
        )
    if scores.dtype == _INT64:  # nearly always
        return scores
    return scores.astype(np.float64 if scores.dtype.kind == "f" else np.int64, copy=False)


def out_of_bounds(normalized: Raw) -> BoolArray | None:
    """The rows outside 0..100 or not finite, None where there are none."""
    if not len(normalized):
        return None
    lowest, highest = normalized.item(normalized.argmin()), normalized.item(normalized.argmax())
    if lowest >= 0 and highest <= MAX_NODE_SCORE:  # NaN would be both
        return None
    bad: BoolArray = ~((normalized >= 0) & (normalized <= MAX_NODE_SCORE))  # true for NaN
    return bad


def as_scores(normalized: Raw) -> tuple[npt.NDArray[np.int8], BoolArray | None]:
    """Normalised scores as int8 (floats truncated toward zero), and the rows outside 0..100 or not finite.

    Whether such a row matters is known only once the feasible nodes are; its score here is 0. None: all rows are fine.
    """
    bad = out_of_bounds(normalized)
    return (normalized if bad is None else np.where(bad, 0, normalized)).astype(np.int8), bad


def culprit(bad: BoolArray, raw: Raw) -> int:
    """The row to blame: where a raw score is not finite it spoiled the normalisation of all others."""
    spoiled = bad & ~np.isfinite(raw)
    return int(np.flatnonzero(spoiled if spoiled.any() else bad)[0])


def out_of_range(plugin: Any, score: Any, node: str) -> PluginError:
    """The error for a feasible node whose normalised score is outside 0..100 or not finite."""
    return PluginError(
        f"plugin {plugin.name}: score of node {node} is {score} after normalisation, "
        f"expected a finite number from 0 to {MAX_NODE_SCORE}",
        hint="scale it yourself, or declare normalizer = DefaultNormalizer() or MinMaxNormalizer()",
    )
