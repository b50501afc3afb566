"""A trace in memory and on disk: reading, writing and the hash of its content.

Tables are read when first asked for and checked as they are read. Files are written without anything that
changes from one write to the next, and only when complete.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import ValidationError

from ksched.errors import InputError, nearest
from ksched.traces.schema import REQUIRED, TABLES, Manifest, TableSchema
from ksched.traces.validate import check_references, conform

MANIFEST = "manifest.json"


class Trace:
    """A workload trace: ``manifest`` and tables (pyarrow, canonical columns; see ``ksched.traces.schema``).

    ``where`` names its origin in messages. Tables are loaded on first use; a table the trace does not have is
    None from :meth:`table`.
    """

    def __init__(self, manifest: Manifest, where: str, load: Callable[[str], pa.Table | None]) -> None:
        self.manifest = manifest
        self.where = where
        self._load = load
        self._tables: dict[str, pa.Table | None] = {}
        self._hash: str | None = None

    @classmethod
    def from_tables(cls, manifest: Manifest, tables: Mapping[str, pa.Table], where: str) -> Trace:
        """A trace of tables in memory, checked as if read from a file; empty optional tables are left out."""
        done = {}
        for name, table in tables.items():
            if table.num_rows or TABLES[name].required:
                done[name] = conform(table, TABLES[name], f"{where}: {name}")
        for name in REQUIRED:
            if name not in done:
                raise InputError(f"table {name} is missing", where=where)
        check_references(done, where)
        rows = {name: done[name].num_rows for name in TABLES if name in done}
        return cls(manifest.model_copy(update={"rows": rows}), where, done.get)

    @property
    def name(self) -> str:
        """The manifest's short name."""
        return self.manifest.name

    @property
    def nodes(self) -> pa.Table:
        """Table ``nodes``."""
        return self._required("nodes")

    @property
    def workloads(self) -> pa.Table:
        """Table ``workloads``."""
        return self._required("workloads")

    @property
    def pods(self) -> pa.Table:
        """Table ``pods``, sorted by t_submit."""
        return self._required("pods")

    def table(self, name: str) -> pa.Table | None:
        """Any table by name, None when the trace lacks it."""
        if name not in self._tables:
            self._tables[name] = self._load(name)
        return self._tables[name]

    def tables(self) -> dict[str, pa.Table]:
        """All tables the trace has, in the schema's order."""
        return {name: table for name in TABLES if (table := self.table(name)) is not None}

    @property
    def content_hash(self) -> str:
        """sha256 over the tables' values: independent of paths, file bytes, encodings and absent null columns."""
        if self._hash is None:
            self._hash = content_hash(self.tables())
        return self._hash

    def _required(self, name: str) -> pa.Table:
        table = self.table(name)
        if table is None:
            raise InputError(f"table {name} is missing", where=self.where)
        return table


def column(table: pa.Table, name: str, null: float = 0) -> np.ndarray[Any, Any]:
    """A numeric column as a numpy array of its own type, null replaced by ``null``."""
    chunked = table.column(name)
    if chunked.null_count:
        chunked = pc.fill_null(chunked, pa.scalar(null, chunked.type))
    return np.asarray(chunked.to_numpy())


def valid(table: pa.Table, name: str) -> np.ndarray[Any, Any]:
    """bool[n]: where the column has a value."""
    return np.asarray(table.column(name).is_valid().to_numpy())


# ------------------------------------------------------------------------------------------------- reading


def read_trace(directory: Path) -> Trace:
    """The trace in ``directory``, required tables checked; InputError names file, column and row of a fault."""
    manifest = read_manifest(directory)

    def load(name: str) -> pa.Table | None:
        path = directory / f"{name}.parquet"
        if not path.is_file():
            if name in REQUIRED or name in manifest.rows:
                raise InputError(f"table {name} is missing", where=str(path), hint="a trace is a whole directory")
            return None
        return _read_table(path, TABLES[name], manifest)

    trace = Trace(manifest, str(directory), load)
    small = {n: t for n in (*REQUIRED, "constraints", "templates") if (t := trace.table(n)) is not None}
    check_references(small, str(directory))
    return trace


def read_manifest(directory: Path) -> Manifest:
    """The manifest of the trace in ``directory``."""
    path = directory / MANIFEST
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"no trace here: there is no {MANIFEST}", where=str(directory), hint="see `ksched traces list`"
        ) from None
    except json.JSONDecodeError as error:
        raise InputError(f"not JSON: {error.msg}", where=f"{path}:{error.lineno}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", where=str(path)) from None
    try:
        return Manifest.model_validate(data)
    except ValidationError as error:
        raise InputError(first_fault(error, Manifest), where=str(path)) from None


def first_fault(error: ValidationError, model: type[Any]) -> str:
    """One line for the first fault pydantic found, with the nearest known key for an unknown one."""
    fault = error.errors()[0]
    place = ".".join(str(p) for p in fault["loc"]) or "the file"
    if fault["type"] == "extra_forbidden":
        close = nearest(str(fault["loc"][-1]), model.model_fields)
        return f"unknown key {place}" + (f"; did you mean {close}?" if close else "")
    return f"{place}: {fault['msg']}"


def _read_table(path: Path, schema: TableSchema, manifest: Manifest) -> pa.Table:
    try:
        with pq.ParquetFile(path, pre_buffer=False) as file:
            table = file.read()
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"not a complete Parquet file: {reason}", where=str(path)) from None
    expected = manifest.rows.get(schema.name)
    if expected is not None and expected != table.num_rows:
        raise InputError(f"has {table.num_rows} rows, the manifest says {expected}", where=str(path))
    return conform(table, schema, str(path))


# ------------------------------------------------------------------------------------------------- writing


def write_trace(trace: Trace, directory: Path, *, force: bool = False) -> Manifest:
    """Writes the trace into ``directory`` and returns its manifest (with row counts and content hash).

    The same trace gives the same bytes. A directory that is not empty is refused unless ``force``; then the
    trace's own files are replaced and others (a README) stay. InputError when it cannot be written.
    """
    if directory.exists() and not directory.is_dir():
        raise InputError("is not a directory", where=str(directory))
    if directory.is_dir() and any(directory.iterdir()) and not force:
        raise InputError("exists and is not empty", where=str(directory), hint="--force replaces the trace in it")
    tables = trace.tables()
    rows = {name: table.num_rows for name, table in tables.items()}
    manifest = trace.manifest.model_copy(update={"rows": rows, "content_hash": trace.content_hash})
    staging = directory.parent / f".{directory.name}.partial"
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        for name, table in tables.items():
            _write_table(table, TABLES[name], staging / f"{name}.parquet")
        text = json.dumps(manifest.model_dump(mode="json"), indent=2, ensure_ascii=False)
        (staging / MANIFEST).write_text(text + "\n", encoding="utf-8")
        _publish(staging, directory, tables)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror or error}", where=str(directory)) from None
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return manifest


def _publish(staging: Path, directory: Path, tables: Mapping[str, pa.Table]) -> None:
    if not directory.exists():
        os.replace(staging, directory)
        return
    for name in TABLES:
        if name not in tables:
            (directory / f"{name}.parquet").unlink(missing_ok=True)
    for name in tables:
        os.replace(staging / f"{name}.parquet", directory / f"{name}.parquet")
    os.replace(staging / MANIFEST, directory / MANIFEST)


def _write_table(table: pa.Table, schema: TableSchema, path: Path) -> None:
    integers = [c.name for c in schema.columns if c.type in (pa.int64(), pa.int32())]
    pq.write_table(
        table,
        path,
        version="2.6",
        compression="zstd",
        compression_level=3,
        row_group_size=1 << 18,
        use_dictionary=[c.name for c in schema.columns if pa.types.is_dictionary(c.type)],
        column_encoding=dict.fromkeys(integers, "DELTA_BINARY_PACKED"),
        write_page_index=schema.sorted_by is not None,
    )


# ------------------------------------------------------------------------------------------------- hashing


def content_hash(tables: Mapping[str, pa.Table]) -> str:
    """sha256 (hex) over names, types and values of all columns that hold any value."""
    digest = hashlib.sha256(b"ktrace/1")
    for name in sorted(tables):
        table = tables[name]
        if table.num_rows == 0:
            continue
        digest.update(f"\0table {name} {table.num_rows}".encode())
        for field in sorted(table.column_names):
            array = table.column(field)
            if array.null_count < table.num_rows:
                digest.update(f"\0column {field}".encode())
                _hash_array(digest, array.combine_chunks())
    return digest.hexdigest()


def _hash_array(digest: Any, array: pa.Array) -> None:
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks)
    if pa.types.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    digest.update(f"\0{array.type} {len(array)}\0".encode())
    digest.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
    if pa.types.is_struct(array.type):
        for i in range(array.type.num_fields):
            _hash_array(digest, pc.struct_field(array, i))
    elif pa.types.is_map(array.type):
        _hash_array(digest, array.cast(pa.list_(_entry(array.type))))
    elif pa.types.is_list(array.type):
        digest.update(pc.fill_null(pc.list_value_length(array), 0).to_numpy().tobytes())
        _hash_array(digest, pc.list_flatten(array))
    elif pa.types.is_string(array.type):
        digest.update(pc.fill_null(pc.binary_length(array), 0).to_numpy().tobytes())
        digest.update("".join(array.drop_null().to_pylist()).encode())
    else:
        digest.update(array.fill_null(pa.scalar(0).cast(array.type)).to_numpy(zero_copy_only=False).tobytes())


def _entry(map_type: pa.MapType) -> pa.DataType:
    return pa.struct([pa.field("key", map_type.key_type), pa.field("value", map_type.item_type)])
