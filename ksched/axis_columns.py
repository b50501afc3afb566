"""What the axes of an experiment are called as columns beside those of another table.

An axis keeps its name unless the table it is joined to has a column called so: the axis ``workload`` is the column
``axis_workload`` beside the pods, whose own ``workload`` is the job a pod belongs to. The result tables count as one
here, so that an axis has one name beside any of them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import pyarrow.parquet as pq
from pyarrow import ArrowInvalid

from ksched.result_directory import TABLES

PREFIX = "axis_"


def axis_columns(axes: Iterable[str], taken: Collection[str]) -> dict[str, str]:
    """Axis -> the name of its column beside the columns ``taken``, in the order of ``axes``."""
    axes = list(axes)
    used = {*taken, *axes}
    names = {}
    for axis in axes:
        name = axis
        if axis in taken:
            while name in used:
                name = PREFIX + name
            used.add(name)
        names[axis] = name
    return names


def result_columns(run: Path) -> set[str]:
    """Every column of the result tables of a finished run, given by its folder. Tables that are not there, or cannot
    be read, have none."""
    found: set[str] = set()
    for table in TABLES:
        try:
            found.update(pq.read_schema(run / f"{table}.parquet").names)
        except (OSError, ArrowInvalid):
            continue
    return found
