"""Listers: objects by kind and name, their indexes, and what changed since somebody looked."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ksched.framework.listers import Listers
from ksched.objects.storage import PersistentVolume, PersistentVolumeClaim, StorageClass
from ksched.objects.volume_claims import class_of
from ksched.testing.storage_factories import make_claim, make_storage_class, make_volume


def test_kinds_namespaces_and_names_are_kept_apart() -> None:
    here, there = make_claim("c"), make_claim("c", metadata={"namespace": "other"})
    listers = Listers([here, there, make_storage_class("c")])
    assert listers.get(PersistentVolumeClaim, "default", "c") is here
    assert listers.get(PersistentVolumeClaim, "other", "c") is there
    assert listers.get(PersistentVolumeClaim, "nowhere", "c") is None
    assert listers.get(PersistentVolume, "", "c") is None
    assert listers.list(PersistentVolumeClaim) == [here, there]
    assert listers.list(PersistentVolumeClaim, "other") == [there]
    assert [c.name for c in listers.list(StorageClass)] == ["c"]


def test_the_version_of_a_kind_counts_its_changes_and_no_others() -> None:
    listers = Listers()
    assert listers.version(PersistentVolume) == 0
    listers.put(make_volume("v"))
    listers.put(make_volume("v", size="2Gi"))
    listers.remove(make_volume("v"))
    listers.remove(make_volume("v"))
    listers.put(make_claim("c"))
    assert listers.version(PersistentVolume) == 3


def test_changes_since_a_version_are_named_once_each_in_order() -> None:
    listers = Listers([make_volume("a")])
    seen = listers.version(PersistentVolume)
    for name in ("b", "a", "b"):
        listers.put(make_volume(name))
    assert list(listers.changed_since(PersistentVolume, seen) or ()) == [("", "b"), ("", "a")]
    assert list(listers.changed_since(PersistentVolume, listers.version(PersistentVolume)) or ()) == []
    assert list(listers.changed_since(StorageClass, 0) or ()) == []


def test_a_reader_too_far_behind_is_told_that_anything_may_have_changed() -> None:
    listers = Listers()
    volume = make_volume("v")
    for _ in range(10_000):
        listers.put(volume)
    assert listers.changed_since(PersistentVolume, 0) is None
    assert list(listers.changed_since(PersistentVolume, 9_999) or ()) == [("", "v")]


Step = tuple[bool, str, str]


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"), st.sampled_from(["", "x", "y"])), max_size=30))
def test_an_index_kept_current_finds_what_a_search_finds(steps: list[Step]) -> None:
    listers = Listers()
    list(listers.having(PersistentVolume, class_of, "x"))
    for put, name, storage_class in steps:
        volume = make_volume(name, storage_class=storage_class)
        (listers.put if put else listers.remove)(volume)
        for value in ("", "x", "y"):
            found = {v.name for v in listers.having(PersistentVolume, class_of, value)}
            assert found == {v.name for v in listers.list(PersistentVolume) if class_of(v) == value}
