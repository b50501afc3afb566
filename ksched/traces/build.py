"""Arrow tables from numpy columns, for importers and generators."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from ksched.errors import InputError
from ksched.traces.schema import TableSchema

US_PER_S = 1_000_000
MAX_US = (2**63 - 1) // 1000
"""Largest time a trace may hold: nanoseconds of it still fit an int64."""


def table_of(schema: TableSchema, columns: Mapping[str, Any]) -> pa.Table:
    """A table of the given columns, each with the schema's Arrow type (arrays, lists with None, Arrow arrays)."""
    fields = [schema.column(name) for name in columns]
    arrays = []
    for field, values in zip(fields, columns.values(), strict=True):
        if pa.types.is_dictionary(field.type):
            arrays.append(pa.array(values, pa.utf8()).dictionary_encode())
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, names=[f.name for f in fields])


def masked(values: np.ndarray[Any, Any], present: np.ndarray[Any, Any]) -> pa.Array:
    """``values`` as an Arrow array that is null where ``present`` is false."""
    return pa.array(values, mask=~present)


def seconds_to_us(seconds: int, where: str) -> int:
    """Whole seconds as microseconds; InputError when nanoseconds of it would overflow an int64."""
    us = seconds * US_PER_S
    if not 0 <= us <= MAX_US:
        raise InputError(f"time {seconds} s is outside 0..{MAX_US // US_PER_S} s", where=where)
    return us
