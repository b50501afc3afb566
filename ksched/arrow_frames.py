"""Result tables as DataFrames, for all who hand them out."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa


def to_pandas(table: pa.Table) -> pd.DataFrame:
    """Arrow to pandas with nullable integers as Int64, so that times beyond 2**53 us and nulls survive."""
    nullable = {pa.int64(): pd.Int64Dtype(), pa.int32(): pd.Int32Dtype(), pa.bool_(): pd.BooleanDtype()}
    # Columns without nulls are plain numpy: faster, and what everybody expects.
    with_nulls = {name for name in table.column_names if table[name].null_count}
    frame: pd.DataFrame = table.select([n for n in table.column_names if n not in with_nulls]).to_pandas()
    for position, name in enumerate(table.column_names):
        if name in with_nulls:
            frame.insert(position, name, table.select([name]).to_pandas(types_mapper=nullable.get)[name])
    return frame
