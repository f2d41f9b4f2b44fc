"""Each exception of the engine becomes the failure that the table says; and CORRUPT, which costs a
partition, only what is damage of what is stored."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

import pytest

import lsmkv
from lsmkv import ClosedError, CorruptionError, Error, ReadOnlyError, StorageError
from lsmkv.kernel import RecordMerger
from lsmkv_cluster.storage.storage_orders import Failure
from lsmkv_cluster.storage.store_failures import (
    concerns_all,
    is_damage,
    read_failure,
    write_failure,
)
from lsmkv_cluster.versions.vclock import Actor
from tests.support.record_cases import checksummed
from tests.support.store_lab import record_of


@pytest.fixture
def db() -> Iterator[lsmkv.DB]:
    with lsmkv.open(":memory:") as database:
        database.put(b"sound", b"1")
        yield database


class Unreadable:
    """A database of which a key cannot be read."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def get(self, key: bytes) -> bytes:
        raise self.error


def storage(number: int) -> StorageError:
    return StorageError(number, os.strerror(number), "file")


@pytest.mark.parametrize(
    ("error", "reading", "writing"),
    [
        (CorruptionError("x"), Failure.CORRUPT, Failure.BROKEN),
        (storage(errno.EIO), Failure.CORRUPT, Failure.BROKEN),
        (storage(errno.EMFILE), Failure.BROKEN, Failure.BROKEN),
        (storage(errno.ENOSPC), Failure.FULL, Failure.FULL),
        (storage(errno.EDQUOT), Failure.FULL, Failure.FULL),
        (ReadOnlyError("x"), Failure.BROKEN, Failure.BROKEN),
        (ClosedError("x"), Failure.BROKEN, Failure.BROKEN),
        (Error("x"), Failure.BROKEN, Failure.BROKEN),
        (ValueError("x"), Failure.INVALID, Failure.INVALID),
    ],
    ids=repr,
)
def test_without_a_merge_to_blame(
    db: lsmkv.DB, error: Exception, reading: Failure, writing: Failure
) -> None:
    assert read_failure(error) is reading
    assert write_failure(error, db) is writing
    assert write_failure(error, db, b"sound") is writing
    assert is_damage(error) == (reading is Failure.CORRUPT)


@pytest.mark.parametrize("error", [CorruptionError("x"), storage(errno.EIO)], ids=repr)
def test_a_write_fails_by_damage_only_where_the_key_cannot_be_read(error: Exception) -> None:
    unreadable: lsmkv.DB = Unreadable(error)  # type: ignore[assignment]
    assert write_failure(error, unreadable, b"k") is Failure.CORRUPT
    assert write_failure(storage(errno.EMFILE), unreadable, b"k") is Failure.BROKEN


def test_a_merge_tells_whose_fault_it_was(db: lsmkv.DB) -> None:
    sound = record_of(b"v", Actor(1, 7, 1 << 32))
    damaged = sound[:-1] + b"?"
    later = checksummed(sound[:4] + b"\x09" + sound[5:])  # a version that is not known
    for old, operand, expected in [
        (None, damaged, Failure.INVALID),
        (None, b"", Failure.INVALID),
        (None, later, Failure.INVALID),
        (damaged, sound, Failure.CORRUPT),
        (later, sound, Failure.CORRUPT),
        (None, sound, Failure.LOST_DOT),
    ]:
        merger = RecordMerger((1).to_bytes(4, "big") + (7).to_bytes(4, "big"), 1 << 32)
        with pytest.raises((Error, ValueError)) as caught:
            merger.merge(old, operand)
        assert write_failure(caught.value, db, b"sound", merger) is expected


def test_what_concerns_all_keys_of_a_batch() -> None:
    assert concerns_all(storage(errno.ENOSPC))
    assert concerns_all(ReadOnlyError("x"))
    for error in (storage(errno.EIO), CorruptionError("x"), ValueError("x"), Error("x")):
        assert not concerns_all(error)
