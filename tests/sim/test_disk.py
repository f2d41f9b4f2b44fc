"""A simulated disk keeps what a real one would: after kills, losses of power, wipes, old copies,
damage, and while it is full."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

import lsmkv
from lsmkv import CorruptionError, StorageError
from lsmkv.filenames import FileKind
from tests.sim.disk import DIRECTORY, Disk

SMALL = {"write_buffer_size": 4096, "block_cache_size": 0, "compression": None}


MADE: list[Disk] = []


@pytest.fixture(autouse=True)
def _tidy() -> Iterator[None]:
    """What a test leaves open is let go."""
    yield
    for disk in MADE:
        disk.release()
    MADE.clear()


def make_disk(seed: int = 1) -> Disk:
    MADE.append(Disk(Random(seed), SMALL))
    return MADE[-1]


def content(disk: Disk) -> dict[bytes, bytes]:
    found = dict(disk.open().scan())
    disk.close()
    return found


def test_a_kill_keeps_everything_that_was_written():
    disk = make_disk()
    disk.open().put(b"a", b"1")
    disk.killed()
    assert content(disk) == {b"a": b"1"}


def test_a_dead_process_writes_no_more():
    disk = make_disk()
    database = disk.open()
    database.put(b"a", b"1")
    disk.killed()
    with pytest.raises(lsmkv.Error):
        database.put(b"b", b"2")
    assert content(disk) == {b"a": b"1"}


def test_a_loss_of_power_takes_what_was_not_synced():
    disk = make_disk()
    database = disk.open()
    database.put(b"a", b"1", sync=True)
    database.put(b"b", b"2")
    disk.lost_power(seed=1, survival=0.0)
    assert content(disk) == {b"a": b"1"}


def test_all_may_survive_a_loss_of_power():
    disk = make_disk()
    disk.open().put(b"b", b"2")
    disk.lost_power(seed=1, survival=1.0)
    assert content(disk) == {b"b": b"2"}


def test_the_ticker_syncs():
    disk = make_disk()
    disk.open().put(b"a", b"1")
    disk.sync()
    disk.lost_power(seed=1, survival=0.0)
    assert content(disk) == {b"a": b"1"}


def test_a_wiped_disk_is_empty():
    disk = make_disk()
    disk.open().put(b"a", b"1")
    disk.killed()
    disk.wipe()
    assert content(disk) == {}


def test_an_old_copy_is_as_it_was():
    disk = make_disk()
    database = disk.open()
    database.put(b"a", b"1")
    copy = disk.copy()
    database.put(b"a", b"2")
    disk.killed()
    disk.restore(copy)
    assert content(disk) == {b"a": b"1"}


def test_a_full_disk_refuses_until_there_is_space_also_across_a_start():
    disk = make_disk()
    database = disk.open()
    database.put(b"a", b"1")
    disk.set_full(True)
    with pytest.raises(StorageError):
        database.put(b"big", bytes(100_000))
    disk.killed()
    with pytest.raises(StorageError):
        disk.open()
    disk.set_full(False)
    assert content(disk) == {b"a": b"1"}


def test_a_sync_that_fails_leaves_a_database_to_be_opened_again():
    disk = make_disk()
    database = disk.open()
    database.put(b"a", b"1", sync=True)
    disk.fail_next_sync()
    with pytest.raises(StorageError):
        database.put(b"b", b"2", sync=True)
    with pytest.raises(lsmkv.Error):
        database.put(b"c", b"3")
    disk.killed()
    assert content(disk)[b"a"] == b"1"


def test_damage_to_a_table_is_seen_when_it_is_read():
    disk = make_disk()
    database = disk.open()
    for number in range(50):
        database.put(b"%03d" % number, bytes(100))
    database.flush()
    name = disk.damage((FileKind.TABLE,), Random(3))
    assert name is not None
    assert name.endswith(".sst")
    assert disk.hides_damage()
    with pytest.raises(CorruptionError):
        dict(database.scan())


def test_damage_can_be_repaired():
    disk = make_disk()
    database = disk.open()
    for number in range(50):
        database.put(b"%03d" % number, bytes(100))
    database.flush()
    disk.killed()
    assert disk.damage((FileKind.MANIFEST,), Random(3)) == "MANIFEST-000001"
    with pytest.raises(CorruptionError):
        disk.open()
    assert disk.hides_damage()
    disk.repair()
    assert not disk.hides_damage()
    assert len(content(disk)) == 50


def test_there_may_be_nothing_to_damage():
    disk = make_disk()
    assert disk.damage((FileKind.TABLE,), Random(3)) is None
    assert not disk.hides_damage()


def test_reads_can_be_made_to_fail():
    disk = make_disk()
    database = disk.open()
    database.put(b"a", b"1")
    disk.fail_reads(True)
    with pytest.raises(StorageError):
        database.get(b"a")
    disk.fail_reads(False)
    assert database.get(b"a") == b"1"


def test_equal_seeds_write_equal_bytes():
    images = []
    for _ in range(2):
        disk = make_disk(seed=7)
        database = disk.open()
        for number in range(60):
            database.put(b"%03d" % number, bytes(100))
        disk.close()
        names = disk.files.list_directory(DIRECTORY)
        images.append(
            {
                name: disk.files.read_file(f"{DIRECTORY}/{name}", 1 << 20)
                for name in names
                if name != "LOCK"
            }
        )
    assert images[0] == images[1]
