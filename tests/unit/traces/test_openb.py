"""The openb reader: on hand-made files in its format, and on the real ones where they are."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from ksched.errors import InputError
from ksched.traces import available_traces, load_trace
from ksched.traces.check import check
from ksched.traces.load import capacities, requests
from ksched.traces.replay import cluster_nodes, inflate
from ksched.traces.schema import EndState, Quality

from .factories import OPENB_NODES, OPENB_PODS, S, openb_folder

MIB = 1 << 20


def column(trace, table: str, name: str) -> list:
    return trace.table(table).column(name).to_pylist()


def test_pods_come_out_with_requests_times_and_models(tmp_path: Path) -> None:
    trace = load_trace("openb:default", data=openb_folder(tmp_path))
    assert column(trace, "workloads", "name") == ["p-0", "p-1", "p-2", "p-3"]
    assert column(trace, "pods", "cpu_milli") == [4000.0, 8000.0, 2000.0, 6000.0]
    assert column(trace, "pods", "memory_b") == [8192 * MIB, 16384 * MIB, 0, 4096 * MIB]
    assert column(trace, "pods", "gpu_count") == [1, 2, 0, 1]
    assert column(trace, "pods", "gpu_milli") == [470, 1000, 0, 1000]
    assert column(trace, "pods", "gpu_models") == [None, ["V100", "T4", "T4"], None, ["V100"]]
    assert column(trace, "pods", "t_submit") == [0, 100 * S, 200 * S, 300 * S]
    assert column(trace, "pods", "t_sched") == [10 * S, 100 * S, None, 350 * S]
    assert column(trace, "pods", "run_us") == [890 * S, 300 * S, None, 550 * S]
    assert column(trace, "pods", "t_end") == [900 * S, 400 * S, 300 * S, 900 * S]
    assert column(trace, "pods", "quality") == [0, 0, 0, 0]
    assert trace.manifest.replay_mode == "inflate"
    assert trace.manifest.time_quality == "phase_unknown"


def test_phases_are_a_snapshot_and_only_pods_at_the_horizon_are_censored(tmp_path: Path) -> None:
    trace = load_trace("openb:default", data=openb_folder(tmp_path))
    states = [EndState(s).name for s in column(trace, "pods", "end_state")]
    assert states == ["RUNNING", "FINISH", "PENDING", "FAIL"]
    assert column(trace, "pods", "censor_right") == [True, False, False, True]
    alone = OPENB_PODS.replace("300,900,350.0", "300,890,350.0")
    trace = load_trace("openb:default", data=openb_folder(tmp_path, default=alone))
    assert column(trace, "pods", "censor_right") == [False] * 4


def test_what_has_no_column_is_kept_as_written(tmp_path: Path) -> None:
    trace = load_trace("openb:default", data=openb_folder(tmp_path))
    meta = [json.loads(text) for text in column(trace, "workloads", "source_meta")]
    assert meta[1] == {"gpu_spec": "V100|T4|T4", "pod_phase": "Succeeded", "qos": "BE"}


def test_both_node_lists_can_be_had(tmp_path: Path) -> None:
    data = openb_folder(tmp_path)
    gpu, every = load_trace("openb:default", data=data), load_trace("openb:default@all", data=data)
    assert column(gpu, "nodes", "name") == ["node-a", "node-b"]
    assert column(gpu, "nodes", "gpu_model") == ["T4", "V100"]
    assert column(every, "nodes", "gpu_model") == ["T4", "V100", None]
    assert (gpu.name, every.name) == ("openb-default", "openb-default-all")


def test_a_list_without_times_says_so_and_replays_by_inflation_only(tmp_path: Path) -> None:
    trace = load_trace("openb:multigpu20", data=openb_folder(tmp_path))
    assert column(trace, "pods", "quality") == [Quality.NO_SUBMIT | Quality.NO_END] * 2
    assert column(trace, "pods", "run_us") == [None, None]
    assert trace.manifest.time_quality == "none"
    assert len(inflate(trace, seed=1)) > 2


def test_clipped_amounts_and_inverted_times_are_marked(tmp_path: Path) -> None:
    rows = OPENB_PODS.splitlines()
    rows[1] = "p-0,4000,8192,1,1200,,LS,Running,50,40,10"
    trace = load_trace("openb:default", data=openb_folder(tmp_path, default="\n".join(rows) + "\n\n"))
    row = column(trace, "workloads", "name").index("p-0")
    assert column(trace, "pods", "quality")[row] == Quality.CLIPPED | Quality.TIME_INVERTED_FIXED
    assert column(trace, "pods", "gpu_milli")[row] == 1000
    assert column(trace, "pods", "run_us")[row] == 0
    assert trace.manifest.drops == {"blank line": 1}


def test_plain_files_bom_and_folders_of_any_depth_are_read(tmp_path: Path) -> None:
    (tmp_path / "openb_node_list_gpu_node.csv").write_text("\ufeff" + OPENB_NODES)
    (tmp_path / "openb_pod_list_default.csv").write_text(OPENB_PODS.replace("\n", "\r\n"))
    here = load_trace("openb:default", data=tmp_path)
    zipped = load_trace("openb:default", data=openb_folder(tmp_path / "deep"))
    assert here.content_hash == zipped.content_hash
    assert [s.name for s in available_traces(tmp_path / "deep")][-2:] == ["openb:default", "openb:multigpu20"]


def changed(old: str, new: str) -> str:
    assert old in OPENB_PODS
    return OPENB_PODS.replace(old, new)


FAULTS = [
    ("a word for a number", changed("8000,16384", "lots,16384"), ":3: column cpu_milli: 'lots' is not a number"),
    ("an empty number", changed("p-2,2000,0,0,0", "p-2,2000,,0,0"), ":4: column memory_mib: '' is not a number"),
    ("half a GPU count", changed("2,1000,V100", "1.5,1000,V100"), ":3: column num_gpu: '1.5' is not a whole number"),
    ("not a number", changed("p-2,2000", "p-2,nan"), ":4: column cpu_milli: 'nan' is not a number"),
    ("a negative request", changed("p-2,2000", "p-2,-2000"), ":4: column cpu_milli: -2000 is negative"),
    ("an absurd request", changed("p-2,2000", "p-2,99999999999"), ":4: column cpu_milli: 99999999999 is absurdly"),
    ("a negative time", changed("200,300,", "-5,300,"), ":4: column creation_time: -5 is negative"),
    ("a time beyond int64", changed("200,300,", "200,9300000000,"), ":4: time 9300000000 s is outside"),
    ("a word for a time", changed("100,400,100", "100,400,never"), ":3: column scheduled_time: 'never'"),
    ("a duplicate name", changed("p-2,", "p-0,"), ":4: column name: duplicate 'p-0', first on line 2"),
    ("an empty name", changed("p-2,", ","), ":4: column name: is empty"),
    ("a row cut short", changed("p-3,6000,4096,1,1000,V100,Guaranteed,Failed,300,900,350.0", "p-3,60"), ":5: 2 cells"),
    ("a share of several GPUs", changed("2,1000,V100", "2,500,V100"), ":3: column gpu_milli: 500 of each of 2 GPUs"),
    ("a GPU pod that wants none", changed("1,470", "1,0"), ":2: column gpu_milli: 0 of each of 1 GPUs"),
    ("another header", changed("name,cpu_milli", "id,cpu_milli"), ":1: column name is missing"),
    ("a header and no rows", OPENB_PODS.splitlines()[0] + "\n", ": has no rows"),
    ("an empty file", "", ":1: column name is missing; the header is empty"),
    ("a cut gzip file", gzip.compress(OPENB_PODS.encode())[:60], ": damaged or cut gzip file"),
    ("no gzip file at all", b"name,cpu_milli", ": damaged or cut gzip file"),
    ("bytes that are no text", gzip.compress(b"name,cpu\xff"), ": not UTF-8 text: byte 8 is 0xff"),
]  # fmt: skip


@pytest.mark.parametrize(("what", "content", "message"), FAULTS, ids=[f[0] for f in FAULTS])
def test_a_damaged_file_is_refused_by_file_line_column_and_value(
    what: str, content: str | bytes, message: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        load_trace("openb:default", data=openb_folder(tmp_path, default=content))
    assert f"openb_pod_list_default.csv.gz{message}" in str(caught.value)


def test_missing_files_and_names_say_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KSCHED_DATA", raising=False)
    data = openb_folder(tmp_path)
    with pytest.raises(InputError, match=r"did you mean multigpu20.*found: default, multigpu20"):
        load_trace("openb:multigpu2", data=data)
    with pytest.raises(InputError, match="unknown openb node list 'some'"):
        load_trace("openb:default@some", data=data)
    with pytest.raises(InputError, match="no such folder"):
        load_trace("openb:default", data=tmp_path / "nowhere")
    with pytest.raises(InputError, match="--data DIR or"):
        load_trace("openb:default")
    (data / "traces" / "openb-2023" / "openb_node_list_gpu_node.csv.gz").unlink()
    with pytest.raises(InputError, match="no openb_node_list_gpu_node"):
        load_trace("openb:default", data=data)


# ------------------------------------------------------------------------------------------------ the real trace

needs_data = [
    pytest.mark.data,
    pytest.mark.skipif("KSCHED_DATA" not in os.environ, reason="KSCHED_DATA is not set: no real traces here"),
]


class TestReal:
    pytestmark = needs_data

    def test_the_default_list_has_the_published_counts(self) -> None:
        trace = load_trace("openb:default")
        assert (trace.pods.num_rows, trace.nodes.num_rows) == (8152, 1213)
        assert capacities(trace)["gpu"] == 6_212_000
        assert capacities(trace)["cpu"] == 107_018_000
        assert capacities(load_trace("openb:default@all"))["cpu"] == 125_514_000
        assert load_trace("openb:default@all").nodes.num_rows == 1523
        assert round(requests(trace)["gpu"].sum() / 1000) == 6087
        assert trace.pods.column("t_sched").null_count == 897
        assert sum(column(trace, "pods", "censor_right")) == 34
        assert len(cluster_nodes(trace)) == 1213

    def test_check_says_by_itself_that_policies_will_tie(self) -> None:
        findings = {f.code: f for f in check(load_trace("openb:default"))}
        low = findings["low-load"]
        assert low.severity == "warning"
        assert low.numbers["peak_pods"] == 56
        assert 0.005 < low.numbers["peak_gpu_fraction"] < 0.015
        assert "every policy will tie" in low.message
        assert findings["duplicate-rows"].numbers["pods"] == 45
        assert findings["never-ran"].numbers["pods"] == 897
        assert "infeasible" not in findings

    def test_all_lists_load_and_inflate_to_the_target(self) -> None:
        names = [s.name for s in available_traces() if s.name.startswith("openb:")]
        assert len(names) == 24
        for name in names:
            trace = load_trace(name)
            replay = inflate(trace, seed=42)
            demand = requests(trace)["gpu"]
            longest = demand.max()
            total = sum(int(a.objects[0].spec.containers[0].resources.requests.get(
                "alibabacloud.com/gpu-milli", 0).value()) if "alibabacloud.com/gpu-milli" in
                a.objects[0].spec.containers[0].resources.requests else 0 for a in replay)  # fmt: skip
            assert abs(total - 1.3 * 6_212_000) <= longest, name
