"""The group commit: how many segments it takes, and that a failed sync is the last word."""

from __future__ import annotations

import dataclasses
import errno

import pytest

from lsmkv._native.commit import CommitGroup
from lsmkv._native.log import LogWriter
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.errors import StorageError
from tests.support.log_cases import SEGMENT, put

SEGMENTS_MAX = 64


def create(filesystem: FaultFileSystem, number: int) -> LogWriter:
    return LogWriter(filesystem, f"/db/{number}", **dataclasses.asdict(SEGMENT), mapped=False)


@pytest.fixture
def filesystem() -> FaultFileSystem:
    files = FaultFileSystem(MemoryFileSystem())
    files.make_directory("/db")
    return files


def test_it_takes_a_limited_number_of_segments_until_some_are_dropped(filesystem):
    group = CommitGroup(filesystem, "/db")
    writers = [create(filesystem, number) for number in range(SEGMENTS_MAX + 1)]
    for writer in writers[:-1]:
        group.add(writer)
    with pytest.raises(ValueError):
        group.add(writers[-1])
    group.drop(writers[0])
    group.add(writers[-1])


def test_after_a_failed_sync_nothing_becomes_durable_any_more(filesystem):
    group = CommitGroup(filesystem, "/db")
    writer = create(filesystem, 1)
    group.add(writer)
    before = group.durable_sequence
    writer.append([put(b"a", b"1")])
    filesystem.fail(1, errno.EIO, operations=["log_sync"])
    with pytest.raises(StorageError) as raised:
        group.finish(writer.last_sequence)
    assert raised.value.errno == errno.EIO
    assert group.poisoned
    filesystem.reset()
    for again in (group.sync, group.finish):
        with pytest.raises(StorageError, match="Input/output"):
            again(writer.last_sequence)
    assert group.durable_sequence == before
