"""The canonical format: writing, reading back, hashing, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ksched.errors import InputError
from ksched.traces import Trace, load_trace, write_trace
from ksched.traces.schema import TABLES, Manifest

from .factories import GIB, S, table, tables, trace

RICH = {
    "nodes": [
        {"labels": [("disktype", "ssd"), ("a", "b")], "zone": "z1", "gpu_count": 2, "gpu_model": "T4"},
        {"taints": [{"key": "k", "value": "v", "effect": "NoSchedule"}], "extended": [{"name": "x/y", "qty": 3.0}]},
    ],
    "pods": [
        {"gpu_count": 1, "gpu_milli": 300, "gpu_models": ["T4", "V100"], "t_submit": 5},
        {"t_submit": 9, "run_us": None, "t_end": 70 * S, "gpus": [0, 3], "constraint_set": 4, "spec_ref": 2},
    ],
    "extra": {
        "constraints": [{"constraint_set": 4, "key": "disktype", "op": 0, "values": ["ssd"], "hard": True}],
        "templates": [{"spec_ref": 2, "spec": '{"hostNetwork":true}'}],
    },
}


def files(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}


def test_a_trace_read_back_has_the_same_tables_and_hash(tmp_path: Path) -> None:
    written = trace(**RICH)
    write_trace(written, tmp_path / "t")
    read = load_trace(tmp_path / "t")
    assert read.content_hash == written.content_hash == read.manifest.content_hash
    assert list(read.tables()) == ["nodes", "workloads", "pods", "constraints", "templates"]
    for name, there in written.tables().items():
        assert read.table(name).to_pylist() == there.to_pylist()
    assert read.table("usage") is None


def test_writing_twice_gives_the_same_bytes_also_after_reading(tmp_path: Path) -> None:
    write_trace(trace(**RICH), tmp_path / "a")
    write_trace(trace(**RICH), tmp_path / "b")
    write_trace(load_trace(tmp_path / "a"), tmp_path / "c")
    assert files(tmp_path / "a") == files(tmp_path / "b") == files(tmp_path / "c")


def test_the_hash_ignores_encodings_absent_columns_chunks_and_places(tmp_path: Path) -> None:
    wanted = trace(**RICH)
    made = dict(wanted.tables())
    plain = made["nodes"].set_column(
        made["nodes"].column_names.index("zone"), "zone", made["nodes"].column("zone").cast(pa.string())
    )
    made["nodes"] = plain.drop_columns(["rack", "platform"])
    made["pods"] = pa.concat_tables([made["pods"].slice(1), made["pods"].slice(0, 1)])  # unsorted and in two chunks
    assert Trace.from_tables(Manifest(name="other", source="x"), made, "elsewhere").content_hash == wanted.content_hash


CHANGES = [
    ("one request", {"pods": [{"cpu_milli": 1001.0}]}),
    ("null instead of zero", {"pods": [{"memory_b": None}]}),
    ("a node's name", {"nodes": [{"name": "other"}]}),
    ("a label's value", {"nodes": [{"labels": [("a", "c")]}]}),
    ("an empty label map instead of none", {"nodes": [{"labels": []}]}),
]


@pytest.mark.parametrize(("what", "changed"), CHANGES, ids=[c[0] for c in CHANGES])
def test_the_hash_sees_every_value(what: str, changed: dict[str, Any]) -> None:
    base = trace(nodes=[{"labels": [("a", "b")]}]) if "label" in what else trace()
    assert trace(**changed).content_hash != base.content_hash


def test_moving_a_character_between_two_strings_changes_the_hash() -> None:
    assert trace([{"name": "ab"}, {"name": "c"}]).content_hash != trace([{"name": "a"}, {"name": "bc"}]).content_hash


def test_columns_of_the_users_own_are_kept_and_hashed(tmp_path: Path) -> None:
    made = tables()
    made["pods"] = made["pods"].append_column("x_guess", pa.array([7]))
    own = Trace.from_tables(Manifest(name="t", source="s"), made, "t")
    write_trace(own, tmp_path / "t")
    read = load_trace(tmp_path / "t")
    assert read.pods.column("x_guess").to_pylist() == [7]
    assert read.content_hash == own.content_hash != trace().content_hash


def replaced(name: str, column: str, values: list[Any], kind: pa.DataType | None = None) -> dict[str, pa.Table]:
    made = tables([{}, {}], [{}, {}])
    old = made[name]
    array = pa.array(values, kind)
    if column in old.column_names:
        made[name] = old.set_column(old.column_names.index(column), column, array)
    else:
        made[name] = old.append_column(column, array)
    return made


REFUSED = [
    ("a string where a number belongs", "pods", "t_submit", ["soon", "later"], None, "holds string, expected int64"),
    ("a number where a name belongs", "nodes", "name", [1, 2], None, "holds int64, expected strings"),
    ("a fraction in a whole-number column", "pods", "run_us", [1.0, 2.5], None, "row 2: 2.5 is not a valid int64"),
    ("a number that does not fit", "pods", "gpu_count", [0, 70_000], None, "row 2: 70000 is not a valid int16"),
    ("a duplicate node name", "nodes", "name", ["a", "a"], None, "row 2: duplicate 'a', first in row 1"),
    ("a duplicate workload name", "workloads", "name", ["w", "w"], None, "row 2: duplicate 'w', first in row 1"),
    ("a negative duration", "pods", "run_us", [5, -1], None, "column run_us, row 2: -1 is negative"),
    ("a negative request", "pods", "cpu_milli", [-0.5, 1.0], None, "column cpu_milli, row 1: -0.5 is negative"),
    ("an infinite request", "pods", "cpu_milli", [1.0, float("inf")], None, "row 2: inf is not a finite number"),
    ("a hole in a complete column", "pods", "t_submit", [1, None], None, "column t_submit, row 2: is empty"),
    ("an unknown code", "workloads", "kind", [0, 9], None, "row 2: 9 is none of 0 JOB"),
    ("more than a whole GPU", "pods", "gpu_milli", [0, 1001], None, "row 2: 1001 is above 1000"),
    ("a share without a GPU", "pods", "gpu_milli", [0, 500], None, "a pod without GPUs has gpu_milli 0"),
    ("a GPU of nothing", "pods", "gpu_count", [1, 0], None, "asks for at least 1 thousandth"),
    ("a workload that is not there", "pods", "workload_id", [0, 7], None, "row 2: 7 is in no row of workloads"),
    ("the same pod twice", "pods", "workload_id", [1, 1], None, "row 2: duplicate pod: workload 1, index 0, attempt 0"),
    ("a node that is not there", "pods", "node_id", [0, 2], None, "row 2: 2 is in no row of nodes"),
    ("a constraint without its table", "pods", "constraint_set", [None, 1], pa.int32(), "refers to table constraints"),
    ("a misspelt column", "pods", "t_sumbit", [0, 0], None, "has no column t_sumbit\n  did you mean t_submit?"),
]


@pytest.mark.parametrize(("what", "name", "column", "values", "kind", "message"), REFUSED, ids=[r[0] for r in REFUSED])
def test_a_file_with_a_fault_is_refused_by_file_column_and_row(
    what: str, name: str, column: str, values: list[Any], kind: Any, message: str, tmp_path: Path
) -> None:
    write_trace(trace([{}, {}], [{}, {}]), tmp_path / "t")
    pq.write_table(replaced(name, column, values, kind)[name], tmp_path / "t" / f"{name}.parquet")
    with pytest.raises(InputError) as caught:
        load_trace(tmp_path / "t")
    assert message in str(caught.value)
    assert str(tmp_path / "t") in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_table_names_its_file(tmp_path: Path) -> None:
    write_trace(trace(), tmp_path / "t")
    (tmp_path / "t" / "workloads.parquet").unlink()
    with pytest.raises(InputError, match=r"workloads\.parquet: table workloads is missing"):
        load_trace(tmp_path / "t")


def test_a_table_the_manifest_lists_must_be_there(tmp_path: Path) -> None:
    write_trace(trace(**RICH), tmp_path / "t")
    (tmp_path / "t" / "templates.parquet").unlink()
    with pytest.raises(InputError, match="table templates is missing"):
        load_trace(tmp_path / "t")


@pytest.mark.parametrize("keep", [0, 3, 0.5, 0.99])
def test_a_truncated_table_names_its_file(tmp_path: Path, keep: float) -> None:
    write_trace(trace(), tmp_path / "t")
    path = tmp_path / "t" / "pods.parquet"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep if keep > 1 else keep * len(data))])
    with pytest.raises(InputError, match=r"pods\.parquet: not a complete Parquet file"):
        load_trace(tmp_path / "t")


def test_rows_lost_since_the_manifest_was_written_are_noticed(tmp_path: Path) -> None:
    write_trace(trace(pods=[{}, {}]), tmp_path / "t")
    pq.write_table(tables()["pods"], tmp_path / "t" / "pods.parquet")
    with pytest.raises(InputError, match=r"pods\.parquet: has 1 rows, the manifest says 2"):
        load_trace(tmp_path / "t")


MANIFESTS = [
    ("cut in the middle", '{"name": "x",\n "source"', r"manifest\.json:2: not JSON"),
    ("a misspelt key", '{"name": "x", "source": "y", "licens": "z"}', "unknown key licens; did you mean licence"),
    ("another version", '{"schema_version": "ktrace/9", "name": "x", "source": "y"}', "schema_version"),
    ("no source", '{"name": "x"}', "source: Field required"),
]


@pytest.mark.parametrize(("what", "text", "message"), MANIFESTS, ids=[m[0] for m in MANIFESTS])
def test_a_manifest_with_a_fault_is_refused(what: str, text: str, message: str, tmp_path: Path) -> None:
    write_trace(trace(), tmp_path / "t")
    (tmp_path / "t" / "manifest.json").write_text(text)
    with pytest.raises(InputError, match=message):
        load_trace(tmp_path / "t")


def test_a_directory_with_files_is_left_alone_without_force(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(InputError, match="exists and is not empty"):
        write_trace(trace(), tmp_path)
    assert files(tmp_path) == {"README.md": b"mine"}
    write_trace(trace(**RICH), tmp_path, force=True)
    write_trace(trace(), tmp_path, force=True)
    assert sorted(files(tmp_path)) == [
        "README.md",
        "manifest.json",
        "nodes.parquet",
        "pods.parquet",
        "workloads.parquet",
    ]
    assert load_trace(tmp_path).content_hash == trace().content_hash


def test_an_output_that_cannot_be_written_is_one_message_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is not a directory"):
        write_trace(trace(), tmp_path / "file")
    with pytest.raises(InputError, match="cannot be written"):
        write_trace(trace(), tmp_path / "file" / "below")
    assert sorted(files(tmp_path)) == ["file"]


def test_names_are_looked_up_in_the_listed_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_trace(trace(), tmp_path / "mine" / "one")
    monkeypatch.setenv("KSCHED_TRACES", str(tmp_path / "mine"))
    monkeypatch.chdir(tmp_path)
    assert load_trace("one").name == "tiny"
    assert load_trace("quickstart").name == "quickstart"
    with pytest.raises(InputError, match="did you mean quickstart"):
        load_trace("quickstrat")
    with pytest.raises(InputError, match="no trace here"):
        load_trace(tmp_path)


def test_unsorted_pods_come_out_in_order_of_submission() -> None:
    made = trace(pods=[{"t_submit": 9}, {"t_submit": 3}, {"t_submit": 9}, {"t_submit": 0}])
    assert made.pods.column("pod_id").to_pylist() == [3, 1, 0, 2]


def test_every_column_is_documented() -> None:
    for schema in TABLES.values():
        assert schema.doc.endswith(".")
        for column in schema.columns:
            assert column.doc.endswith("."), column.name
            assert not column.name.startswith("t_") or column.unit == "us"
            assert not column.name.endswith("_b") or column.unit == "bytes"


def test_a_trace_of_many_rows_survives_row_groups_and_page_indexes(tmp_path: Path) -> None:
    n = 300_000
    ids = np.arange(n)
    made = tables()
    common = {"attempt": 0, "index": 0, "censor_left": False, "censor_right": False, "gpu_count": 0, "gpu_milli": 0}
    pods = table("pods", [{**common, "pod_id": 0, "workload_id": 0, "t_submit": 0, "quality": 0, "memory_b": GIB}])
    pods = pods.take(np.zeros(n, dtype=np.int64))
    for name in ("pod_id", "workload_id", "t_submit"):
        pods = pods.set_column(pods.column_names.index(name), name, pa.array(ids))
    workloads = made["workloads"].take(np.zeros(n, dtype=np.int64)).drop_columns(["name"])
    made["workloads"] = workloads.set_column(0, "workload_id", pa.array(ids))
    made["pods"] = pods
    big = Trace.from_tables(Manifest(name="big", source="s"), made, "big")
    write_trace(big, tmp_path / "big")
    assert load_trace(tmp_path / "big").content_hash == big.content_hash
    assert json.loads((tmp_path / "big" / "manifest.json").read_text())["rows"]["pods"] == n
