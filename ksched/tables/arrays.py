"""Array type names used throughout, and the two ways to make an array read-only or larger."""

from __future__ import annotations

from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

IntArray: TypeAlias = npt.NDArray[np.intp]
Int32Array: TypeAlias = npt.NDArray[np.int32]
Int64Array: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
StrArray: TypeAlias = npt.NDArray[np.str_]
AnyArray: TypeAlias = npt.NDArray[Any]

S = TypeVar("S", bound=np.generic)


def readonly(array: npt.NDArray[S]) -> npt.NDArray[S]:
    """A view of ``array`` that refuses to be written through; slices of it refuse as well."""
    view = array.view()
    view.flags.writeable = False
    return view


def grown(array: npt.NDArray[S], capacity: int, fill: int = 0) -> npt.NDArray[S]:
    """A copy of ``array`` whose last axis holds ``capacity`` entries, new ones set to ``fill``."""
    larger = np.full((*array.shape[:-1], capacity), fill, dtype=array.dtype)
    larger[..., : array.shape[-1]] = array
    return larger
