"""What goes wrong in one place costs that place: a damaged block, a damaged record, a full disk, a
failed sync. Everything else goes on, and trees keep to what readers see."""

from __future__ import annotations

import errno
import logging
from collections.abc import Iterator

import pytest

from lsmkv import Error
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv_cluster.storage.engine_key import Space, partition_tokens
from lsmkv_cluster.storage.storage_orders import (
    Complete,
    Discard,
    Done,
    Drop,
    Entries,
    Failed,
    Failure,
    Lack,
    ListEntries,
    Merge,
    Merged,
    Mint,
    Read,
    Scrub,
    Scrubbed,
    Sync,
    Values,
)
from lsmkv_cluster.versions.vclock import Actor
from tests.support.damage import damage_value
from tests.support.store_lab import (
    FILLED,
    PATH,
    TOPOLOGY,
    StoreLab,
    key_in,
    record_of,
    same_trees,
    unique_record,
)

DATA, HINT = Space.DATA, Space.HINT
CORRUPT = Failure.CORRUPT
OTHER = Actor(3, 30, 1 << 32)
HURT = 2  # the partition with a damaged block
PLACE = 9  # of the record in it that is hit
WHOLE = [partition for partition in FILLED if partition != HURT]
LOG = ("log_reserve", "log_commit")
EVERY = ("append", "truncate", "log_start", *LOG)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.ERROR)
    yield
    logging.disable(logging.NOTSET)


# --- a damaged block -----------------------------------------------------------------------------


@pytest.fixture
def hurt() -> Iterator[StoreLab]:
    """Everything in tables; a byte is flipped on disk while the store is open."""
    with StoreLab() as lab:
        lab.fill(count=40)
        lab.db.compact()
        key = in_order(lab)[PLACE]
        damage_value(lab.filesystem, PATH, lab.model[DATA, key])
        yield lab


def in_order(lab: StoreLab, partition: int = HURT) -> list[bytes]:
    """The keys of a partition as they stand in the engine: its middle is far from its neighbours'
    blocks."""
    keys = [key for _, key in lab.model if TOPOLOGY.partition_of(key) == partition]
    return sorted(keys, key=lambda key: lab.scheme.engine_key(DATA, key))


def newer(lab: StoreLab, key: bytes) -> tuple[bytes, bytes]:
    return key, record_of(b"newer " + key, OTHER, lab.model.get((DATA, key)))


def test_reads_of_the_block_are_corrupt_and_all_others_are_answered(hurt: StoreLab) -> None:
    keys = [key for _, key in hurt.model]
    values = hurt.read(DATA, *keys, b"missing")
    lost = {key for key, value in zip(keys, values, strict=False) if value is CORRUPT}
    assert in_order(hurt)[PLACE] in lost
    assert lost < set(in_order(hurt))
    assert len(lost) < 6
    sound = [(key, value) for key, value in zip(keys, values, strict=False) if key not in lost]
    assert all(value == hurt.model[DATA, key] for key, value in sound)
    assert values[-1] is None


def test_a_batch_fails_only_where_the_block_is_needed(hurt: StoreLab) -> None:
    bad = in_order(hurt)[PLACE]
    records = [newer(hurt, key_in(0, 0)), newer(hurt, bad), newer(hurt, key_in(3, 1))]
    before = hurt.store.tree(HURT).root
    assert hurt.merge(DATA, *records, sync=True).outcomes == (True, CORRUPT, True)
    assert hurt.store.tree(HURT).root == before
    for partition in WHOLE:
        assert same_trees(hurt.store.tree(partition), hurt.rebuilt(partition))

    asked: list[int] = []

    def decide(index: int, stored: bytes | None) -> bytes:
        asked.append(index)
        return record_of(b"minted %d" % index, OTHER, stored)

    keys = (key_in(0, 2), bad, key_in(1, 2))
    assert hurt.do(Mint(DATA, keys, decide)) == Merged((True, CORRUPT, True))
    assert asked[-2:] == [0, 2], "the last word for each key; for the damaged one there is none"
    for index in (0, 2):
        place = (DATA, keys[index])
        hurt.model[place] = record_of(b"minted %d" % index, OTHER, hurt.model[place])
    assert hurt.read(DATA, *keys) == (hurt.model[DATA, keys[0]], CORRUPT, hurt.model[DATA, keys[2]])


def listing(partition: int, space: Space = DATA) -> ListEntries:
    tokens = partition_tokens(space, TOPOLOGY.partitioning, partition)
    return ListEntries(space, tokens.first, tokens.end)


def test_listing_and_scrubbing_meet_it_in_its_partition_only(hurt: StoreLab) -> None:
    for partition in WHOLE:
        assert isinstance(hurt.do(listing(partition)), Entries)
        assert hurt.do(Scrub(partition, 0, 1 << 20)) == Scrubbed(None, 0)
    assert hurt.do(listing(HURT)) == Failed(CORRUPT)
    assert hurt.do(Scrub(HURT, 0, 1 << 20)) == Failed(CORRUPT)


def test_the_rest_is_written_flushed_and_compacted_meanwhile(hurt: StoreLab) -> None:
    keys = [key for _, key in hurt.model]
    values = hurt.read(DATA, *keys)
    sound = [key for key, value in zip(keys, values, strict=True) if value is not CORRUPT]
    assert set(in_order(hurt)) & set(sound)
    for turn in range(10):
        records = [(k, record_of(b"%d" % turn * 90, OTHER, hurt.model[DATA, k])) for k in sound]
        assert hurt.merge(DATA, *records).outcomes == (True,) * len(sound)
    assert "checksum" in str(hurt.db.stats()["background_error"])
    assert not hurt.db.stats()["compaction_pending"]
    assert hurt.read(DATA, *sound) == tuple(hurt.model[DATA, key] for key in sound)
    for partition in FILLED:
        assert same_trees(hurt.store.tree(partition), hurt.rebuilt(partition))


@pytest.mark.parametrize("after_failed_compactions", [False, True])
def test_a_discarded_partition_is_usable_again(
    hurt: StoreLab, after_failed_compactions: bool
) -> None:
    if after_failed_compactions:
        for partition in FILLED:
            hurt.merge(DATA, *(newer(hurt, key_in(partition, n)) for n in range(0, 40, 3)))
        hurt.db.flush()
    assert hurt.do(Discard(HURT)) == Done()
    assert hurt.store.incomplete == {HURT: Lack.LOST}
    assert hurt.store.tree(HURT).entry_count == 0
    hurt.forget(DATA, HURT)
    hurt.check()
    hurt.merge(DATA, *((key_in(HURT, n), unique_record(DATA, HURT, n)) for n in range(40)))
    hurt.check()
    hurt.db.compact()
    assert hurt.db.stats()["background_error"] is None
    assert hurt.db.verify()
    assert hurt.do(Complete(HURT)) == Done()
    hurt.check()
    hurt.close()
    opened = hurt.open()
    assert not opened.damaged
    assert not opened.store.incomplete
    hurt.check()


@pytest.mark.parametrize("survival", [0.0, 0.6, 1.0])
def test_a_crash_while_a_partition_is_discarded_leaves_it_whole_or_marked(survival: float) -> None:
    disk = MemoryFileSystem()
    with StoreLab(disk) as lab:
        lab.fill(count=8)
        assert lab.do(Sync()) == Done()
        model = dict(lab.model)
        lab.close()

    def cut_off(at: int) -> tuple[bool, bool, MemoryFileSystem]:
        """Whether the power went, whether it was done before that, and what is left."""
        faults = FaultFileSystem(disk.clone())
        is_done = False
        try:
            with StoreLab(faults) as lab:
                faults.halt(at)
                is_done = lab.do(Discard(HURT)) == Done()
        except Error:
            pass  # the halted database cannot be closed
        was_cut = faults.halted
        faults.reset()
        image = faults.base.crash(seed=at, survival=survival)  # type: ignore[attr-defined]
        return was_cut, is_done, image

    seen = set()
    for at in range(1, 400):
        was_cut, is_done, image = cut_off(at)
        with StoreLab(image) as lab:
            lab.model = dict(model)
            is_marked = lab.store.incomplete == {HURT: Lack.LOST}
            [value] = lab.read(DATA, key_in(HURT))
            if value is None:
                assert is_marked
                lab.forget(DATA, HURT)
            lab.check()
            assert is_marked or not is_done
            seen.add((is_marked, value is None))
        if not was_cut:
            break
    assert not was_cut
    assert seen >= {(False, False), (True, True)}


# --- a damaged record ----------------------------------------------------------------------------


def test_a_stored_record_that_is_none_is_corrupt(hurt: StoreLab) -> None:
    """Sound blocks around it: whatever wrote it there."""
    bad, good = key_in(0, 0), key_in(0, 1)
    hurt.db.put(hurt.scheme.engine_key(DATA, bad), b"no record")
    assert hurt.read(DATA, bad, good) == (CORRUPT, hurt.model[DATA, good])
    assert hurt.do(Merge(DATA, (newer(hurt, bad), newer(hurt, good)))) == Merged((CORRUPT, True))
    minted = hurt.do(Mint(DATA, (good, bad), lambda _, stored: record_of(b"m", OTHER, stored)))
    assert minted == Merged((True, CORRUPT))


@pytest.mark.parametrize(
    "operand", [b"", b"no record", record_of(b"v")[:-1] + b"?"], ids=["empty", "short", "flipped"]
)
def test_an_operand_that_is_none_is_invalid(operand: bytes) -> None:
    with StoreLab() as lab:
        for space in (DATA, HINT):
            good = (b"good", record_of(b"v"))
            result = lab.merge(space, (b"a", operand), good, (b"good", operand), sync=True)
            assert result.outcomes == (Failure.INVALID, True, Failure.INVALID)
        lab.check()


def test_a_key_that_is_too_long_is_invalid() -> None:
    with StoreLab() as lab:
        long = b"k" * (64 << 10)
        assert lab.merge(DATA, (long, record_of(b"v")), (b"k", record_of(b"v"))).outcomes == (
            Failure.INVALID,
            True,
        )
        lab.check()


def test_a_damaged_hint_keeps_no_other_from_being_dropped() -> None:
    with StoreLab() as lab:
        lab.fill(HINT, count=30)
        lab.db.compact()
        entries = lab.do(listing(1, HINT))
        assert isinstance(entries, Entries)
        hit = entries.entries[15]
        damage_value(lab.filesystem, PATH, lab.model[HINT, hit.key])
        order = Drop(HINT, tuple((entry.key, entry.digest) for entry in entries.entries))
        assert lab.do(order) == Failed(CORRUPT)
        values = lab.read(HINT, *(entry.key for entry in entries.entries))
        assert values[15] is CORRUPT
        assert values.count(None) > 20
        assert set(values) == {CORRUPT, None}
        assert lab.do(Discard(1, HINT)) == Done()
        assert not lab.store.incomplete
        lab.forget(HINT, 1)
        lab.check()
        lab.db.compact()


# --- no space ------------------------------------------------------------------------------------


@pytest.mark.parametrize("operations", [LOG, ("append",), ("log_start",), EVERY])
def test_a_full_disk_refuses_and_is_forgotten(operations: tuple[str, ...]) -> None:
    """Whatever the first write is that finds no room: with the space come the writes, without
    opening anew."""
    files = FaultFileSystem(MemoryFileSystem())
    with StoreLab(files) as lab:
        lab.fill(count=5)
        files.fail(1, errno.ENOSPC, for_ever=True, operations=operations)
        refused = 0
        for number in range(300):
            key = key_in(FILLED[number % 5], number // 5)
            [outcome] = lab.merge(DATA, (key, record_of(b"x" * 300, OTHER))).outcomes
            assert outcome in (True, Failure.FULL)
            refused += outcome is Failure.FULL
        assert refused
        lab.check()
        files.reset()
        assert lab.merge(DATA, (key_in(0), record_of(b"again", OTHER)), sync=True).outcomes != (
            Failure.FULL,
        )
        lab.fill(count=30)
        lab.check()
        lab.close()
        lab.open()
        lab.check()


def test_orders_of_every_kind_on_a_full_disk() -> None:
    files = FaultFileSystem(MemoryFileSystem())
    full = Failed(Failure.FULL)
    with StoreLab(files) as lab:
        lab.fill(count=5)
        files.fail(1, errno.ENOSPC, for_ever=True, operations=LOG)
        key, record = key_in(0), record_of(b"v", OTHER)
        assert lab.do(Merge(DATA, ((key, record),) * 2)) == Merged((Failure.FULL,) * 2)
        assert lab.do(Mint(DATA, (key,), lambda *_: record)) == Merged((Failure.FULL,))
        digest = lab.store.carry_out(listing(0))
        assert isinstance(digest, Entries)
        assert lab.do(Drop(DATA, ((digest.entries[0].key, digest.entries[0].digest),))) == full
        assert lab.do(Discard(0)) == full
        assert lab.do(Complete(0)) == full
        assert not lab.store.incomplete
        lab.check()
        files.reset()
        lab.fill(count=6)
        lab.check()


# --- a failed sync -------------------------------------------------------------------------------


def test_after_a_failed_sync_nothing_is_written_and_trees_say_what_is_read() -> None:
    files = FaultFileSystem(MemoryFileSystem())
    broken = Failed(Failure.BROKEN)
    with StoreLab(files) as lab:
        lab.fill(count=3)
        assert lab.do(Sync()) == Done()
        key, record = key_in(0, 10), record_of(b"v", OTHER)
        files.fail(1, errno.EIO, operations=["log_sync", "sync"])
        assert lab.do(Merge(DATA, ((key, record),), sync=True)) == Merged((Failure.BROKEN,))
        lab.model[DATA, key] = record  # seen, and perhaps lost
        lab.check()
        assert lab.do(Merge(DATA, ((key, record_of(b"w", OTHER, record)),))) == Merged(
            (Failure.BROKEN,)
        )
        assert lab.do(Sync()) == broken
        assert lab.do(Read(DATA, (key,), durable=True)) == Values((Failure.BROKEN,))
        assert lab.do(Discard(0)) == broken
        assert lab.store.close() == broken
        lab.check()
