"""The row cache says what is newest or nothing: under random use, and through a database."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import lsmkv
from lsmkv import kernel
from lsmkv._native import memory
from lsmkv._native.vfs import MemoryFileSystem
from tests.support import c_program

SMALL: dict[str, Any] = {"background": "inline", "write_buffer_size": 4096, "block_size": 256,
                         "table_size": 4096}  # fmt: skip
KEYS = [b"key %03d" % i for i in range(200)]
ROOM = 1 << 20
ROW_SIZE_MAX = 16384


def opened(row_cache_size: int = ROOM) -> lsmkv.DB:
    options = SMALL | {"row_cache_size": row_cache_size}
    return lsmkv.open("/db", filesystem=MemoryFileSystem(), **options)


def hits(db: lsmkv.DB) -> int:
    return db.stats()["row_cache_hits"]


def nearly_all(count: int) -> bool:
    """Of 200 rows: now and then a bucket is full before the table is."""
    return 195 <= count <= 200


@pytest.mark.parametrize("capacity", [100, 1000, 40_000, 400_000, 4_000_000])
def test_newest_or_nothing_within_the_budget(tmp_path, capacity):
    """A C program against an array, under sanitizers. Four thousand keys, about 200 bytes each."""
    program = c_program.build(
        tmp_path, "row_cache_check", ["row_cache", "murmur3", "allocator"], [*c_program.SANITIZED]
    )
    for seed in (1, 2):
        most, hit_count, missed, evicted = map(int, c_program.run(program, seed, capacity).split())
        assert (most > 0) == (capacity >= 1000)
        # Of some 150,000 insertions. A bucket may be full before the budget is.
        assert (evicted > 5000) == (1000 <= capacity <= 400_000)
        assert hit_count + missed > 200_000
        assert most < capacity / 64
    if capacity == 4_000_000:
        assert hit_count > missed


def test_what_was_read_or_written_is_found_without_a_search():
    with opened() as db:
        db.put_many([(key, b"1") for key in KEYS])
        db.put(KEYS[0], b"2")
        before = hits(db)
        assert db.get_many(KEYS) == [b"2"] + [b"1"] * 199
        assert nearly_all(hits(db) - before)
    options = SMALL | {"row_cache_size": ROOM}
    filesystem = MemoryFileSystem()
    with lsmkv.open("/db", filesystem=filesystem, **options) as db:
        db.put_many([(key, b"1") for key in KEYS])
    with lsmkv.open("/db", filesystem=filesystem, **options) as db:
        assert db.get_many(KEYS) == [b"1"] * 200
        assert hits(db) == 0
        assert db.get_many(KEYS) == [b"1"] * 200
        assert nearly_all(hits(db))
        assert nearly_all(db.stats()["row_cache_rows"])


def test_it_is_off_unless_asked_for():
    with lsmkv.open("/db", filesystem=MemoryFileSystem()) as db:
        db.put(b"key", b"value")
        db.get(b"key")
        stats = db.stats()
        assert (stats["row_cache_rows"], stats["row_cache_misses"]) == (0, 0)


def test_a_delete_takes_it_out():
    with opened() as db:
        db.put(b"key", b"value")
        db.delete(b"key")
        assert db.get(b"key") is None
        db.put(b"key", b"again")
        with db.write_batch() as batch:
            batch.put(b"key", b"value")
            batch.delete(b"key")
        assert b"key" not in db


def test_a_snapshot_sees_what_was():
    with opened() as db:
        db.put(b"key", b"old")
        with db.snapshot() as snapshot:
            assert snapshot.get(b"key") == b"old"
            db.put(b"key", b"new")
            assert snapshot.get(b"key") == b"old"
            assert db.get(b"key") == b"new"
            assert snapshot.get_many([b"key"]) == [b"old"]
        assert db.get(b"key") == b"new"


def test_a_dropped_range_is_gone_and_a_snapshot_brings_nothing_back():
    with opened() as db:
        db.put_many([(key, b"1") for key in KEYS])
        with db.snapshot() as snapshot:
            kernel.drop_range(db, KEYS[50], KEYS[100])
            assert snapshot.get(KEYS[60]) == b"1"
            assert db.get_many(KEYS[50:100]) == [None] * 50
            assert db.get(KEYS[49]) == b"1"


def test_flushes_and_compactions_change_nothing():
    with opened() as db:
        for round in range(10):
            db.put_many([(key, b"%d" % round * 20) for key in KEYS])
        db.flush()
        db.compact()
        before = hits(db)
        assert db.get_many(KEYS) == [b"9" * 20] * 200
        assert nearly_all(hits(db) - before)


def test_columns_take_everything_out():
    keys = lsmkv.Column.from_bytes(KEYS[:100])
    with opened() as db:
        db.put_many([(key, b"1") for key in KEYS])
        db.put_columns(keys, np.full((100, 1), ord("2"), dtype=np.uint8))
        assert db.get_many(KEYS) == [b"2"] * 100 + [b"1"] * 100


@pytest.mark.parametrize("size", [ROW_SIZE_MAX - 3, ROW_SIZE_MAX - 2])
def test_a_value_that_is_too_large_takes_the_one_before_it_out(size):
    with opened() as db:
        db.put(b"key", b"small")
        db.put(b"key", bytes(size))
        before = hits(db)
        assert db.get(b"key") == bytes(size)
        assert hits(db) - before == (size + 3 <= ROW_SIZE_MAX)


def test_a_closed_database_keeps_nothing():
    before = memory.usage()
    with opened() as db:
        db.put_many([(key, b"1") for key in KEYS])
    del db
    assert memory.usage() == before
