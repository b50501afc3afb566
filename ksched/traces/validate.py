"""Makes Arrow tables conform to the schema, or says which file, column and row does not.

Rows are counted from 1 in messages, as a reader of the file would.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ksched.errors import InputError, nearest
from ksched.traces.schema import Column, TableSchema

EXTENSION_PREFIX = "x_"


def conform(table: pa.Table, schema: TableSchema, where: str) -> pa.Table:
    """``table`` with the schema's columns, types and order, every value checked; InputError otherwise.

    Absent nullable columns become null, columns named ``x_...`` are kept behind the others (a user's own), rows
    are sorted (stably) by the schema's sort column.
    """
    _check_names(table, schema, where)
    fields, arrays = [], []
    for column in schema.columns:
        if column.name in table.column_names:
            array = _cast(table.column(column.name), column.type, column, where)
        else:
            array = pa.nulls(table.num_rows, column.type)
        _check_values(array, column, where)
        fields.append(pa.field(column.name, column.type, nullable=column.nullable))
        arrays.append(array)
    for name in sorted(n for n in table.column_names if n.startswith(EXTENSION_PREFIX)):
        fields.append(pa.field(name, table.schema.field(name).type))
        arrays.append(table.column(name).combine_chunks())
    result = pa.Table.from_arrays([_plain(a) for a in arrays], schema=pa.schema(fields))
    return _sorted(result, schema.sorted_by)


def check_references(tables: Mapping[str, pa.Table], where: str) -> None:
    """The rules between columns and tables; InputError naming table, column and row."""
    pods, workloads, nodes = tables["pods"], tables["workloads"], tables["nodes"]
    _refer(pods, "workload_id", workloads, "workload_id", where, "pods", "workloads")
    _refer(pods, "node_id", nodes, "node_id", where, "pods", "nodes")
    for column, other in (("constraint_set", "constraints"), ("spec_ref", "templates")):
        if pods.column(column).null_count < pods.num_rows:
            if other not in tables:
                row = int(np.flatnonzero(pods.column(column).is_valid().to_numpy())[0])
                raise _bad(where, "pods", column, row, f"refers to table {other}, which the trace does not have")
            _refer(pods, column, tables[other], column, where, "pods", other)
    _check_keys(pods, where)
    _check_gpus(pods, where)


def _check_names(table: pa.Table, schema: TableSchema, where: str) -> None:
    known = [c.name for c in schema.columns]
    seen: set[str] = set()
    for name in table.column_names:
        if name in seen:
            raise InputError(f"column {name} is there twice", where=where)
        seen.add(name)
        if name not in known and not name.startswith(EXTENSION_PREFIX):
            close = nearest(name, known)
            hint = f"did you mean {close}?" if close else f"name columns of your own {EXTENSION_PREFIX}..."
            raise InputError(f"table {schema.name} has no column {name}", where=where, hint=hint)
    for column in schema.columns:
        if not column.nullable and column.name not in seen:
            raise InputError(f"column {column.name} is missing", where=where, hint=column.doc)


def _cast(chunked: pa.ChunkedArray, target: pa.DataType, column: Column, where: str) -> pa.Array:
    array = chunked.combine_chunks()
    if isinstance(array, pa.ChunkedArray):  # older pyarrow keeps chunks for dictionaries
        array = pa.concat_arrays(array.unify_dictionaries().chunks) if array.num_chunks else pa.nulls(0, array.type)
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), target)
    if not _castable(array.type, target):
        raise InputError(
            f"column {column.name} holds {array.type}, expected {_spoken(target)}"
            + (f" ({column.unit})" if column.unit else ""),
            where=where,
        )
    try:
        if pa.types.is_dictionary(target):
            # Encoded anew, so that equal values give equal bytes whoever wrote them.
            return array.cast(pa.utf8()).dictionary_encode()
        return array.cast(target)
    except pa.ArrowInvalid as error:
        raise _first_uncastable(array, target, column, where) from error


def _castable(source: pa.DataType, target: pa.DataType) -> bool:
    if pa.types.is_dictionary(source):
        return _castable(source.value_type, target)
    if pa.types.is_dictionary(target) or pa.types.is_string(target):
        return bool(pa.types.is_string(source) or pa.types.is_large_string(source))
    if pa.types.is_integer(target) or pa.types.is_floating(target):
        return bool(pa.types.is_integer(source) or pa.types.is_floating(source))
    if pa.types.is_list(target):
        return (pa.types.is_list(source) or pa.types.is_large_list(source)) and _castable(
            source.value_type, target.value_type
        )
    if pa.types.is_struct(target):
        return pa.types.is_struct(source) and all(
            source.get_field_index(f.name) >= 0 and _castable(source.field(f.name).type, f.type) for f in target
        )
    if pa.types.is_map(target):
        return pa.types.is_map(source) and _castable(source.item_type, target.item_type)
    return bool(source == target)


def _spoken(target: pa.DataType) -> str:
    return "strings" if pa.types.is_dictionary(target) or pa.types.is_string(target) else str(target)


def _first_uncastable(array: pa.Array, target: pa.DataType, column: Column, where: str) -> InputError:
    for row in range(len(array)):
        try:
            array.slice(row, 1).cast(target)
        except pa.ArrowInvalid:
            return _bad(where, None, column.name, row, f"{array[row].as_py()!r} is not a valid {target}")
    return InputError(f"column {column.name} cannot be read as {target}", where=where)


def _check_values(array: pa.Array, column: Column, where: str) -> None:
    if not column.nullable and array.null_count:
        row = int(np.flatnonzero(array.is_null().to_numpy(zero_copy_only=False))[0])
        raise _bad(where, None, column.name, row, "is empty; the column must be complete")
    if pa.types.is_floating(column.type):
        values = array.fill_null(0).to_numpy(zero_copy_only=False)
        _reject(~np.isfinite(values), array, column, where, "is not a finite number")
    if column.minimum is not None:
        values = array.fill_null(column.minimum).to_numpy(zero_copy_only=False)
        text = "is negative" if column.minimum == 0 else f"is below {column.minimum}"
        _reject(values < column.minimum, array, column, where, text)
    if column.maximum is not None:
        values = array.fill_null(column.maximum).to_numpy(zero_copy_only=False)
        _reject(values > column.maximum, array, column, where, f"is above {column.maximum}")
    if column.values is not None:
        codes = np.array([int(v) for v in column.values])
        values = array.fill_null(int(codes[0])).to_numpy(zero_copy_only=False)
        names = ", ".join(f"{v.value} {v.name}" for v in column.values)
        _reject(~np.isin(values, codes), array, column, where, f"is none of {names}")
    if column.unique:
        _check_unique(array, column, where)


def _reject(bad: np.ndarray, array: pa.Array, column: Column, where: str, text: str) -> None:
    if bad.any():
        row = int(np.argmax(bad))
        raise _bad(where, None, column.name, row, f"{array[row].as_py()!r} {text}")


def _check_unique(array: pa.Array, column: Column, where: str) -> None:
    present = array.drop_null()
    if pc.count_distinct(present).as_py() == len(present):
        return
    first: dict[object, int] = {}
    for row, scalar in enumerate(array):
        value = scalar.as_py()
        if value is not None and first.setdefault(value, row) != row:
            text = f"duplicate {value!r}, first in row {first[value] + 1}"
            raise _bad(where, None, column.name, row, text)


def _refer(table: pa.Table, column: str, other: pa.Table, key: str, where: str, name: str, other_name: str) -> None:
    values = table.column(column)
    known = pc.is_in(values, value_set=other.column(key).combine_chunks())
    missing = np.flatnonzero(pc.and_(values.is_valid(), pc.invert(known)).to_numpy())
    if len(missing):
        row = int(missing[0])
        raise _bad(where, name, column, row, f"{values[row].as_py()} is in no row of {other_name}")


def _check_keys(pods: pa.Table, where: str) -> None:
    keys = [pods.column(c).to_numpy() for c in ("attempt", "index", "workload_id")]
    order = np.lexsort(keys)
    same = np.ones(max(len(order) - 1, 0), dtype=bool)
    for values in keys:
        same &= values[order][1:] == values[order][:-1]
    if same.any():
        row = int(order[1:][np.argmax(same)])
        workload, index, attempt = (int(k[row]) for k in reversed(keys))
        text = f"duplicate pod: workload {workload}, index {index}, attempt {attempt}"
        raise _bad(where, "pods", "workload_id", row, text)


def _check_gpus(pods: pa.Table, where: str) -> None:
    count, milli = (pods.column(c).to_numpy() for c in ("gpu_count", "gpu_milli"))
    for bad, text in (
        ((count == 0) & (milli != 0), "a pod without GPUs has gpu_milli 0"),
        ((count > 0) & (milli == 0), "a pod with GPUs asks for at least 1 thousandth of each"),
        ((count > 1) & (milli < 1000), "a share (below 1000) is of one GPU, so gpu_count must be 1"),
    ):
        if bad.any():
            row = int(np.argmax(bad))
            raise _bad(where, "pods", "gpu_milli", row, f"{int(milli[row])} with gpu_count {int(count[row])}: {text}")


def _plain(array: pa.Array | pa.ChunkedArray) -> pa.Array:
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array


def _sorted(table: pa.Table, by: str | None) -> pa.Table:
    if by is None or table.num_rows < 2:
        return table
    times = table.column(by).to_numpy()
    if (times[1:] >= times[:-1]).all():
        return table
    return table.take(np.argsort(times, kind="stable"))


def _bad(where: str, table: str | None, column: str, row: int, text: str) -> InputError:
    place = f"{where}: {table}" if table else where
    return InputError(f"column {column}, row {row + 1}: {text}", where=place)
