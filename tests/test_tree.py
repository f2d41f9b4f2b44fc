"""The tree keeps tables open as long as anybody reads them, and says when their files may go."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lsmkv import filenames
from lsmkv._native import memory
from lsmkv._native.job import Counter
from lsmkv._native.memtable import Memtable
from lsmkv._native.table import TableSpace
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.compaction import JobFactory, describe
from lsmkv.errors import CorruptionError, StorageError
from lsmkv.options import Options
from lsmkv.tree import Tree
from lsmkv.version import KeyRange, TableChanges, TableMeta, Version

DIRECTORY = "/db"
PUT = 1


class Laboratory:
    """A directory in memory and a tree over it."""

    def __init__(self) -> None:
        self.files = MemoryFileSystem()
        self.files.make_directory(DIRECTORY)
        self.faulty = FaultFileSystem(self.files)
        self.space = TableSpace(self.faulty, open_files_max=16, cache_size_bytes=0)
        self.counter = Counter(1)
        self.tree = Tree(DIRECTORY, self.space, Version())
        self.sequence = 0

    def table(self, *keys: bytes, level: int = 0) -> TableMeta:
        """A new table with these keys, not in the tree yet."""
        memtable = Memtable()
        for key in sorted(keys):
            self.sequence += 1
            memtable.insert(key, self.sequence, PUT, b"value of " + key)
        jobs = JobFactory(DIRECTORY, Options(), self.space, self.counter, bytes)
        summaries = jobs.flush(Tree(DIRECTORY, self.space, Version()), [memtable], ()).run()
        (meta,) = describe(summaries, level, self.counter.next())
        return meta

    def change(self, added: tuple[TableMeta, ...], removed: tuple[TableMeta, ...] = ()) -> None:
        changes = TableChanges(added, tuple(table.key for table in removed))
        picture = self.tree.prepare(self.tree.version.change(changes))
        self.tree.picture, before = picture, self.tree.picture
        self.tree.retire(before)

    def get(self, key: bytes) -> Any:
        found = self.tree.native.get(key, 1 << 40)
        return found and found[2]


@pytest.fixture
def lab() -> Iterator[Laboratory]:
    gc.collect()
    before = memory.usage()
    laboratory = Laboratory()
    yield laboratory
    laboratory.__dict__.clear()
    del laboratory
    gc.collect()
    assert memory.usage() == before


def test_what_is_added_can_be_read(lab: Laboratory) -> None:
    one, two = lab.table(b"a", b"c"), lab.table(b"b")
    lab.change((one,))
    assert (lab.get(b"a"), lab.get(b"b")) == (b"value of a", None)
    lab.change((two,))
    assert (lab.get(b"a"), lab.get(b"b")) == (b"value of a", b"value of b")
    assert {table.number for table in lab.tree.tables()} == {one.number, two.number}
    assert lab.tree.memory_usage() > 0
    assert [piece.smallest for piece in lab.tree.slices([two])] == [b"b"]


def test_a_table_is_collected_when_nobody_reads_it(lab: Laboratory) -> None:
    one, two = lab.table(b"a"), lab.table(b"a")
    lab.change((one,))
    native = lab.tree.native
    lab.change((two,), (one,))
    assert lab.tree.collect() == [], "an old version is still in use"
    assert native.get(b"a", 1 << 40) is not None
    del native
    assert lab.tree.collect() == [one.number]
    assert lab.tree.collect() == [], "told once"


def test_a_slice_keeps_its_table(lab: Laboratory) -> None:
    one = lab.table(b"a")
    lab.change((one,))
    slices = lab.tree.slices([one])
    lab.change((), (one,))
    assert lab.tree.collect() == []
    del slices
    assert lab.tree.collect() == [one.number]


def test_a_trimmed_table_stays_open_as_long_as_a_part_is_seen(lab: Laboratory) -> None:
    one = lab.table(b"a", b"m", b"z")
    lab.change((one,))
    (kept,) = lab.tree.tables()
    changes = lab.tree.version.drop_range(KeyRange(b"b", b"y"))
    lab.change(changes.added, (one,))
    assert (lab.get(b"a"), lab.get(b"m"), lab.get(b"z")) == (b"value of a", None, b"value of z")
    assert lab.tree.tables() == [kept]
    assert lab.tree.collect() == []
    left, right = lab.tree.version
    lab.change((), (left,))
    assert lab.tree.collect() == []
    lab.change((), (right,))
    del kept
    assert lab.tree.collect() == [one.number]


def test_a_table_that_comes_back_is_not_retired(lab: Laboratory) -> None:
    one = lab.table(b"a")
    lab.change((one,))
    lab.change((replace(one, level=1),), (one,))
    assert lab.tree.collect() == []
    assert lab.get(b"a") == b"value of a"


def test_a_version_that_cannot_be_opened_changes_nothing(lab: Laboratory) -> None:
    one, two = lab.table(b"a"), lab.table(b"b")
    lab.change((one,))
    picture = lab.tree.picture
    lab.faulty.fail(1, 24, operations=["open"])
    with pytest.raises(StorageError):
        lab.change((two,), (one,))
    lab.faulty.reset()
    wrong = replace(two, id=bytes(16))
    with pytest.raises(CorruptionError):
        lab.change((wrong,))
    lab.files.remove(filenames.table_path(DIRECTORY, two.number))
    with pytest.raises(CorruptionError, match="does not exist"):
        lab.change((two,))
    assert lab.tree.picture is picture
    assert lab.get(b"a") == b"value of a"
    assert lab.tree.collect() == []


def test_a_cleared_tree_holds_nothing(lab: Laboratory) -> None:
    lab.change((lab.table(b"a"),))
    native = lab.tree.native
    lab.tree.clear()
    assert lab.tree.tables() == []
    assert lab.get(b"a") is None
    assert lab.tree.memory_usage() == 0
    assert native.get(b"a", 1 << 40) is not None
