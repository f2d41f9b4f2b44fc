"""What is found when a store is opened is what was there: after a clean end, after a crash at any
moment, and with damage, which costs the partitions it is in and no others."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator
from dataclasses import replace

import pytest

import lsmkv
from lsmkv import CorruptionError, StorageError
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv_cluster.storage.engine_key import Space, named_key
from lsmkv_cluster.storage.storage_orders import (
    Complete,
    Discard,
    Done,
    Failed,
    Failure,
    Lack,
    Merge,
    Persist,
    Remember,
    Suspect,
)
from lsmkv_cluster.storage.store_marks import CLOSED_KEY, IDENTITY_KEY
from lsmkv_cluster.storage.store_opening import open_store
from lsmkv_cluster.versions.actor import Identity
from tests.support.damage import damage_value
from tests.support.store_lab import (
    FILLED,
    ME,
    PATH,
    TOPOLOGY,
    StoreLab,
    key_in,
    record_of,
    unique_record,
)

DATA, HINT = Space.DATA, Space.HINT
IDENTITY = Identity(node=1, incarnation=7, start_number=3, leased=200, trusted=100)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


def test_a_new_store_holds_nothing() -> None:
    with StoreLab() as lab:
        opened = lab.opened
        assert (opened.identity, dict(opened.notes), opened.sequence) == (None, {}, 0)
        assert not opened.was_closed
        assert not opened.damaged | opened.damaged_hints
        assert not lab.store.incomplete
        assert list(lab.store.trees) == list(range(13))
        lab.check()


def test_what_was_remembered_is_found() -> None:
    with StoreLab() as lab:
        lab.do(Persist(IDENTITY))
        lab.do(Persist(replace(IDENTITY, start_number=4)))
        lab.do(Remember(b"boot", b"1"))
        lab.do(Remember(b"boot", b"2"))
        lab.do(Remember(b"", b""))
        lab.do(Suspect((2, 5), Lack.UNSYNCED))
        lab.do(Suspect((7,), Lack.LOST))
        lab.do(Complete(5))
        sequence = lab.store.sequence
        lab.close()
        opened = lab.open()
        assert opened.identity == replace(IDENTITY, start_number=4)
        assert opened.notes == {b"boot": b"2", b"": b""}
        assert opened.store.incomplete == {2: Lack.UNSYNCED, 7: Lack.LOST}
        assert opened.sequence == sequence


# --- clean and other ends ------------------------------------------------------------------------


def test_a_clean_end_counts_once() -> None:
    with StoreLab() as lab:
        lab.fill()
        lab.end_cleanly()
        assert lab.open().was_closed
        lab.check()
        lab.close()
        assert not lab.open().was_closed
        lab.check()


def test_a_power_loss_after_opening_does_not_bring_the_clean_end_back() -> None:
    disk = MemoryFileSystem()
    with StoreLab(disk) as lab:
        lab.fill(count=1)
        lab.end_cleanly()
        assert lab.open().was_closed
        lab.do(Merge(DATA, ((b"k", record_of(b"unsynced")),)))
        assert not lab.crash(disk).was_closed
        lab.check()


def test_after_a_clean_end_trees_come_from_checkpoints_and_otherwise_from_the_entries() -> None:
    """The checkpoint is one of another tree, to tell which was taken."""
    with StoreLab() as lab:
        lab.fill()
        right = lab.store.tree(0).root
        lab.store.tree(0).update(lab.store.tree(0).start, 0, 12345)
        wrong = lab.store.tree(0).root
        lab.end_cleanly()
        lab.open()
        assert lab.store.tree(0).root == wrong
        lab.close()
        lab.open()
        assert lab.store.tree(0).root == right


def test_after_a_repair_a_clean_end_before_it_does_not_count() -> None:
    """What the repair left out is in the checkpoints still: simulated cluster 1909."""
    with StoreLab() as lab:
        lab.fill()
        right = lab.store.tree(0).root
        lab.store.tree(0).update(lab.store.tree(0).start, 0, 12345)
        lab.end_cleanly()
        assert not lab.open(is_log_sound=False).was_closed
        assert lab.store.tree(0).root == right


def test_a_damaged_checkpoint_costs_a_rebuild() -> None:
    with StoreLab() as lab:
        lab.fill()
        lab.store.close()
        slots = TOPOLOGY.partitioning.slots_of(1)
        key = named_key(Space.TREE, slots.start)
        data = lab.db[key]
        # Written behind the mark, and the mark again: as damage that the engine does not see.
        lab.db.put(key, data[:-1] + bytes([data[-1] ^ 1]))
        lab.db.put(CLOSED_KEY, (lab.store.sequence + 1).to_bytes(8, "little"))
        lab.close()
        assert lab.open().was_closed
        lab.check()


def test_who_writes_after_a_clean_end_undoes_it() -> None:
    with StoreLab() as lab:
        lab.fill()
        lab.end_cleanly()
        with lsmkv.open(PATH, filesystem=lab.filesystem) as db:
            db.delete(lab.scheme.engine_key(DATA, key_in(0, 3)))
        del lab.model[DATA, key_in(0, 3)]
        assert not lab.open().was_closed
        lab.check()


@pytest.mark.parametrize("survival", [0.0, 0.5, 1.0])
def test_a_crash_at_any_moment_of_opening_or_closing(survival: float) -> None:
    """The mark is found only with everything that it stands for."""
    disk = MemoryFileSystem()
    with StoreLab(disk) as lab:
        lab.fill(count=4)
        lab.end_cleanly()
        model = lab.model

    def cut_off(at: int) -> tuple[bool, MemoryFileSystem]:
        """Open and close until the `at`-th operation on files: whether it came to that, and what
        is left."""
        faults = FaultFileSystem(disk.clone())
        faults.halt(at)
        try:
            with StoreLab(faults) as lab:
                lab.store.close()
        except lsmkv.Error:
            pass
        was_cut = faults.halted
        faults.reset()
        return was_cut, faults.base.crash(seed=at, survival=survival)  # type: ignore[attr-defined]

    found_closed = []
    for at in range(1, 2000, 7):
        was_cut, image = cut_off(at)
        with StoreLab(image) as lab:
            lab.model = model
            lab.check()
            found_closed.append(lab.opened.was_closed)
        if not was_cut:
            break
    assert not was_cut
    assert found_closed[0], "before the mark is taken away"
    assert found_closed[-1], "after it was left again"
    assert not all(found_closed)


def test_an_end_that_fails_is_no_clean_one() -> None:
    files = FaultFileSystem(MemoryFileSystem())
    with StoreLab(files) as lab:
        lab.fill(count=2)
        files.fail(1, errno.ENOSPC, for_ever=True, operations=["log_reserve", "log_commit"])
        assert lab.store.close() == Failed(Failure.FULL)
        files.reset()
        lab.close()
        assert not lab.open().was_closed
        lab.check()


# --- damage --------------------------------------------------------------------------------------


def damaged_lab(*values: bytes) -> StoreLab:
    """A filled store, closed, in which the blocks with these records are damaged on disk."""
    lab = StoreLab()
    lab.fill(DATA)
    lab.fill(HINT)
    lab.db.compact()
    lab.close()
    for value in values:
        damage_value(lab.filesystem, PATH, value)
    return lab


def test_damaged_partitions_are_named_and_the_others_are_as_they_were() -> None:
    lab = damaged_lab(unique_record(DATA, 1, 7), unique_record(HINT, 3, 7))
    with lab:
        opened = lab.open()
        assert opened.damaged == {1}
        assert opened.damaged_hints == {3}
        assert lab.store.tree(1).entry_count == 0
        for partition in set(lab.store.trees) - {1}:
            assert lab.store.tree(partition).root == lab.rebuilt(partition).root
        assert lab.do(Discard(1)) == Done()
        assert lab.do(Discard(3, HINT)) == Done()
        assert lab.store.incomplete == {1: Lack.LOST}
        lab.forget(DATA, 1)
        lab.forget(HINT, 3)
        lab.check()
        lab.close()
        opened = lab.open()
        assert not opened.damaged | opened.damaged_hints
        assert opened.store.incomplete == {1: Lack.LOST}
        lab.check()


def test_a_damaged_mark_is_fatal() -> None:
    with StoreLab() as lab:
        lab.db.put(IDENTITY_KEY, b"\1?")
        with pytest.raises(CorruptionError, match="identity"):
            open_store(lab.db, TOPOLOGY, ME)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.EIO])
def test_a_refusal_of_the_system_is_no_damage_unless_the_device_cannot_read(number: int) -> None:
    """Reads fail from one on, whichever."""
    files = FaultFileSystem(MemoryFileSystem())
    damaged: set[int] = set()
    with StoreLab(files) as lab:
        lab.fill()
        lab.do(Persist(IDENTITY))
        lab.db.compact()
        for place in range(1, 200):
            files.count_reads(True)
            files.fail(place, number, for_ever=True, operations=["read", "read_cached"])
            try:
                opened = open_store(lab.db, TOPOLOGY, ME)
            except StorageError as error:
                assert error.errno == number
            else:
                damaged |= opened.damaged
            files.reset()
        opened = open_store(lab.db, TOPOLOGY, ME)
        assert (opened.damaged, opened.identity) == (frozenset(), IDENTITY)
    # An empty partition is known to be empty by what comes after it.
    assert damaged >= set(FILLED) if number == errno.EIO else not damaged


def test_marks_mean_the_same_slots_when_partitions_are_cut_otherwise() -> None:
    with StoreLab() as lab:
        lab.do(Suspect((3,), Lack.LOST))
        lab.merge(DATA, (key_in(3), record_of(b"v")))
        halved = replace(TOPOLOGY, owners=TOPOLOGY.owners[::2], placed=())
        assert open_store(lab.db, halved, ME).store.incomplete == {1: Lack.LOST}
        rows = tuple(row for row in TOPOLOGY.owners for _ in range(2))
        doubled = replace(TOPOLOGY, owners=rows, placed=())
        opened = open_store(lab.db, doubled, ME)
        assert opened.store.incomplete == {6: Lack.LOST, 7: Lack.LOST}
        assert sum(opened.store.tree(p).entry_count for p in (6, 7)) == 1
