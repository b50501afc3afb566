"""What makes two runs the same run, and what does not."""

from __future__ import annotations

from ksched.experiments.identity import canonical_json, package_hash, run_id, run_identity

BASE = {"config": {"policy": {"a": 1}, "replay": {}}, "trace_hash": "t", "plugin_hashes": {"P": "1"}, "seed": 1}


def test_an_id_is_sixteen_hexadecimal_digits_and_does_not_depend_on_the_order_of_keys():
    one = run_id(run_identity(**BASE))
    other = run_id(run_identity(**BASE | {"config": {"replay": {}, "policy": {"a": 1}}}))
    assert one == other
    assert len(one) == 16
    assert int(one, 16) >= 0


def test_everything_that_can_change_a_result_changes_the_id():
    changes = [
        {"config": {"policy": {"a": 2}, "replay": {}}},
        {"trace_hash": "u"},
        {"plugin_hashes": {"P": "2"}},
        {"seed": 2},
    ]
    ids = [run_id(run_identity(**BASE | change)) for change in [{}, *changes]]
    assert len(set(ids)) == len(ids)


def test_canonical_json_has_one_spelling():
    assert canonical_json({"b": [1, 2.5, None], "a": "ü"}) == '{"a":"ü","b":[1,2.5,null]}'


def test_the_source_hash_covers_names_and_contents_but_not_what_only_reads_results(tmp_path):
    def package(name, files):
        for path, text in files.items():
            (tmp_path / name / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name / path).write_text(text)
        return package_hash(tmp_path / name)

    base = {"a.py": "1", "sub/b.py": "2"}
    one = package("one", base)
    assert package("same", base) == one
    assert package("edited", base | {"a.py": "3"}) != one
    assert package("renamed", {"c.py": "1", "sub/b.py": "2"}) != one
    assert package("charts", base | {"report/chart.py": "x", "cli/run.py": "y", "notes.txt": "z"}) == one
