"""One flipped byte on disk costs the keys of its block and nothing else: whatever is not there can
be read, written, flushed and compacted, and once the range is dropped everything works again."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import lsmkv
from lsmkv import kernel
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.pressure import WritePressure
from tests.support.damage import damage_value

SMALL: dict[str, Any] = {"write_buffer_size": 4096, "table_size": 4096, "block_size": 256,
                         "level0_trigger": 2, "compression": None}  # fmt: skip
COUNT = 400
DAMAGED = 100


def key(number: int) -> bytes:
    return b"%04d" % number


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(params=["inline", "threads"])
def background(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def damaged_database(background: str) -> tuple[lsmkv.DB, dict[bytes, bytes]]:
    """Everything at the bottom, one block damaged there."""
    files = MemoryFileSystem()
    model = {key(i): b"<%04d>" % i * 8 for i in range(COUNT)}
    with lsmkv.open("/db", filesystem=files, background="inline", **SMALL) as db:
        db.update(model)
        db.compact()
    damage_value(files, "/db", model[key(DAMAGED)])
    return lsmkv.open("/db", filesystem=files, background=background, **SMALL), model


def unreadable(db: lsmkv.DB) -> set[int]:
    found = set()
    for i in range(COUNT):
        try:
            db.get(key(i))
        except lsmkv.CorruptionError:
            found.add(i)
    return found


def test_writes_flushes_and_compactions_go_on_around_it(background: str) -> None:
    db, model = damaged_database(background)
    with db:
        lost = unreadable(db)
        assert DAMAGED in lost
        assert len(lost) < 10
        for turn in range(5):
            for i in range(0, COUNT, 3):
                db.put(key(i), b"%d" % turn * 50)
                model[key(i)] = b"%d" % turn * 50
            db.flush()
        wait_until(lambda: not db.stats()["compaction_pending"])
        assert len(db._tree.version.levels[0]) <= 2 * SMALL["level0_trigger"]
        assert "checksum" in str(db.stats()["background_error"])
        assert unreadable(db) == {i for i in lost if i % 3}, "what was written anew is no longer"
        assert {k: db.get(k) for k in model if int(k) not in lost} == {
            k: value for k, value in model.items() if int(k) not in lost
        }
        with pytest.raises(lsmkv.CorruptionError):
            db.compact()


def test_a_dropped_range_is_usable_again(background: str) -> None:
    db, model = damaged_database(background)
    with db:
        for i in range(0, COUNT, 2):
            db.put(key(i), b"new" * 9)
        db.flush()
        wait_until(lambda: db.stats()["background_error"] is not None)
        kernel.drop_range(db, key(DAMAGED - 20), key(DAMAGED + 20))
        assert db.stats()["background_error"] is None
        assert unreadable(db) == set()
        db.put(key(DAMAGED), b"filled again")
        db.compact()
        model |= {key(i): b"new" * 9 for i in range(0, COUNT, 2)}
        for i in range(DAMAGED - 20, DAMAGED + 20):
            del model[key(i)]
        assert dict(db.scan()) == {**model, key(DAMAGED): b"filled again"}
        assert db.verify()


def test_a_trimmed_table_that_is_still_damaged_is_found_again(background: str) -> None:
    db, _ = damaged_database(background)
    with db:
        lost = unreadable(db)
        first, last = min(lost), max(lost)
        # Reading up to a key looks at the one behind it: the one before the block goes, too.
        kernel.drop_range(db, key(first - 1), key(last))
        assert unreadable(db) == {last}
        with pytest.raises(lsmkv.CorruptionError):
            db.compact()

        def is_found_by_compactions_of_newer_tables() -> bool:
            db.update({key(i): b"x" * 50 for i in range(0, COUNT, 2) if i != last})
            db.flush()
            return "checksum" in str(db.stats()["background_error"])

        wait_until(is_found_by_compactions_of_newer_tables)
        kernel.drop_range(db, key(last), key(last + 1))
        db.compact()
        assert db.verify()


def test_a_sector_that_cannot_be_read_is_damage_too() -> None:
    """Reads fail from one on, whichever: what a flush needs comes out, what a compaction needs
    costs nothing."""
    files = FaultFileSystem(MemoryFileSystem())
    model = {key(i): b"<%04d>" % i * 8 for i in range(COUNT)}
    left_alone = 0
    with lsmkv.open("/db", filesystem=files, background="inline", **SMALL) as db:
        db.update(model)
        db.compact()
        files.count_reads(True)
        for place in range(1, 30):
            model |= {key(i): b"%d" % place * 50 for i in range(0, COUNT, 2)}
            files.fail(place, errno.EIO, for_ever=True, operations=["read"])
            try:
                db.update(model)
                db.flush()
            except lsmkv.StorageError:
                pass
            files.reset()
            left_alone += "Input/output" in str(db.stats()["background_error"])
            db.update(model)
            db.compact()  # by hand even what was left alone
            assert dict(db.scan()) == model
        assert db.verify()
    assert left_alone > 5


def test_lack_of_space_is_no_damage() -> None:
    files = FaultFileSystem(MemoryFileSystem())
    with lsmkv.open("/db", filesystem=files, background="inline", **SMALL) as db:
        db.update({key(i): b"x" * 50 for i in range(COUNT)})
        db.flush()
        files.fail(1, errno.ENOSPC, for_ever=True, operations=["append"])
        with pytest.raises(lsmkv.StorageError):
            db.update({key(i): b"y" * 50 for i in range(COUNT)})
        files.reset()
        db.update({key(i): b"z" * 50 for i in range(COUNT)})
        db.flush()
        assert not db.stats()["compaction_pending"]
        assert db.stats()["background_error"] is None


def test_writers_that_would_wait_for_ever_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    db, _ = damaged_database("threads")
    with db:
        db.update({key(i): b"x" * 50 for i in range(0, COUNT, 2)})
        db.flush()
        wait_until(lambda: not db.stats()["compaction_pending"])
        assert "checksum" in str(db.stats()["background_error"])
        stop = WritePressure(1.0, True, "level 0 tables")
        monkeypatch.setattr("lsmkv.engine.write_pressure", lambda *_: stop)
        db._set_slow(True)
        with pytest.raises(lsmkv.Error, match="checksum"):
            db.update({key(i): b"y" * 50 for i in range(COUNT)})
            for i in range(COUNT):
                db.put(key(i), b"y" * 50)
        monkeypatch.undo()
        db._set_slow(False)
        db.put(key(1), b"writes go on")


def wait_until(condition: Any, deadline_s: float = 20.0) -> None:
    """Whatever background there is must come to it."""
    event = threading.Event()
    for _ in range(int(deadline_s / 0.01)):
        if condition():
            return
        event.wait(0.01)
    pytest.fail("it does not happen")


def test_a_bounded_scan_leaves_alone_what_lies_outside(background: str) -> None:
    """Where a range was dropped a scan of it used to look for the next key, in a damaged block."""
    db, model = damaged_database(background)
    with db:
        kernel.drop_range(db, key(50), key(DAMAGED))
        for start, stop in ((60, 90), (50, DAMAGED), (10, 60), (10, DAMAGED)):
            expected = [k for k in model if key(start) <= k < min(key(stop), key(50))]
            assert list(db.keys(key(start), key(stop))) == expected
            assert list(db.keys(key(start), key(stop), reverse=True)) == expected[::-1]
        with pytest.raises(lsmkv.CorruptionError):
            list(db.keys(key(60), key(DAMAGED + 1)))
        assert next(iter(db.keys(key(COUNT - 1)))) == key(COUNT - 1)
