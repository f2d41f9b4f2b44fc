"""The store holds what merging by the reference gives, whatever the batches, ends and starts; its
trees are always those of what it holds. What goes wrong: test_store_damage.py."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lsmkv
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.kernel import entry_hash
from lsmkv_cluster.storage.engine_key import Space, TokenRange, partition_tokens, space_tokens
from lsmkv_cluster.storage.storage_orders import (
    Complete,
    Done,
    Drop,
    Entries,
    Entry,
    Failed,
    Failure,
    Lack,
    ListEntries,
    MakeRoom,
    Merged,
    Mint,
    Persist,
    Read,
    Remember,
    Scrub,
    Scrubbed,
    Suspect,
    Sync,
    Values,
)
from lsmkv_cluster.versions import record_format
from lsmkv_cluster.versions.actor import Identity
from lsmkv_cluster.versions.vclock import Actor
from tests.support.record_cases import records
from tests.support.store_lab import TOPOLOGY, StoreLab, key_in, record_of

DATA, HINT = Space.DATA, Space.HINT
THIRD = Actor(3, 30, 1 << 32)
IDENTITY = Identity(node=1, incarnation=7, start_number=1, leased=100, trusted=1)


@pytest.fixture
def lab() -> Iterator[StoreLab]:
    with StoreLab() as made:
        yield made


# --- merging and reading -------------------------------------------------------------------------


def test_a_record_is_merged_and_read(lab: StoreLab) -> None:
    first = record_of(b"first")
    assert lab.merge(DATA, (b"k", first), (b"k", first)).outcomes == (True, False)
    second = record_of(b"second", THIRD, first)
    assert lab.merge(DATA, (b"k", second)).outcomes == (True,)
    assert lab.merge(DATA, (b"k", first)).outcomes == (False,)
    assert lab.read(DATA, b"k", b"missing") == (second, None)
    assert lab.read(HINT, b"k") == (None,)
    lab.check()


@settings(max_examples=60)
@given(st.data())
def test_any_records_in_any_batches(data: st.DataObject) -> None:
    keys = [key_in(partition, number) for partition in (0, 1, 15) for number in range(2)]
    one = st.tuples(st.sampled_from(keys), records().map(record_format.encode))
    with StoreLab() as lab:
        for _ in range(data.draw(st.integers(1, 6))):
            batch = data.draw(st.lists(one, max_size=6))
            lab.merge(data.draw(st.sampled_from([DATA, HINT])), *batch)
            if data.draw(st.booleans()):
                lab.db.flush()
        lab.check()
        is_clean = data.draw(st.booleans())
        if is_clean:
            lab.store.close()
        lab.close()
        assert lab.open().was_closed == is_clean
        lab.check()


# --- minting -------------------------------------------------------------------------------------


def test_mint_sees_what_is_stored_and_may_leave_it(lab: StoreLab) -> None:
    lab.merge(DATA, (b"a", record_of(b"old")))
    seen: dict[int, bytes | None] = {}

    def decide(index: int, stored: bytes | None) -> bytes | None:
        seen[index] = stored
        return None if index == 2 else record_of(b"new%d" % index, THIRD, stored)

    result = lab.do(Mint(DATA, (b"a", b"b", b"c", b"a"), decide))
    assert result == Merged((True, True, False, True))
    assert seen[0] == lab.model[DATA, b"a"]
    assert (seen[1], seen[2]) == (None, None)
    assert seen[3] == record_of(b"new0", THIRD, seen[0])
    lab.model[DATA, b"a"] = record_of(b"new3", THIRD, seen[3])
    lab.model[DATA, b"b"] = record_of(b"new1", THIRD)
    lab.check()


def test_what_decide_raises_comes_out_and_nothing_is_written(lab: StoreLab) -> None:
    def decide(index: int, _: bytes | None) -> bytes:
        if index == 1:
            raise lsmkv.CorruptionError("not the store's")
        return record_of(b"x")

    with pytest.raises(lsmkv.CorruptionError, match="not the store's"):
        lab.do(Mint(DATA, (b"a", b"b"), decide))
    lab.check()


# --- the guard -----------------------------------------------------------------------------------


def test_a_lost_write_of_the_own_store_is_refused_and_takes_nothing_with_it(lab: StoreLab) -> None:
    own = record_of(b"mine", Actor(1, 7, 1 << 32))
    assert lab.do(Persist(IDENTITY)) == Done()
    other = record_of(b"other")
    assert lab.merge(DATA, (b"a", other), (b"b", own), (b"c", other)).outcomes == (
        True,
        Failure.LOST_DOT,
        True,
    )
    assert lab.merge(HINT, (b"b", own)).outcomes == (True,)
    assert lab.do(Persist(replace(IDENTITY, trusted=2))) == Done()
    assert lab.merge(DATA, (b"b", own)).outcomes == (True,)
    lab.check()


def test_the_guard_follows_what_is_durable_only() -> None:
    files = FaultFileSystem(MemoryFileSystem())
    own = (b"k", record_of(b"mine", Actor(1, 7, 5 << 32)))
    with StoreLab(files) as lab:
        lab.do(Persist(IDENTITY))
        files.fail(1, errno.ENOSPC, operations=["log_commit"])
        distrusting = replace(IDENTITY, trusted=6)
        assert lab.do(Persist(distrusting)) == Failed(Failure.FULL)
        assert lab.merge(DATA, own).outcomes == (Failure.LOST_DOT,)
        assert lab.do(Persist(distrusting)) == Done()
        assert lab.merge(DATA, own).outcomes == (True,)
        lab.close()
        lab.open()
        lost = (b"other", record_of(b"mine", Actor(1, 7, 6 << 32)))
        assert lab.merge(DATA, lost).outcomes == (Failure.LOST_DOT,), "after a restart, too"
        lab.check()


# --- durability ----------------------------------------------------------------------------------


def test_what_was_synced_survives_a_power_loss() -> None:
    disk = MemoryFileSystem()
    with StoreLab(disk) as lab:
        lab.merge(DATA, (b"a", record_of(b"1")), sync=True)
        lab.do(Persist(IDENTITY))
        lab.do(Remember(b"boot", b"id"))
        kept = dict(lab.model)
        lab.merge(DATA, (b"b", record_of(b"2")))
        lab.model = kept
        opened = lab.crash(disk)
        assert (opened.identity, dict(opened.notes)) == (IDENTITY, {b"boot": b"id"})
        assert not opened.was_closed
        lab.check()


@pytest.mark.parametrize("how", ["sync", "durable read"])
def test_sync_and_durable_reads_cover_what_came_before(how: str) -> None:
    disk = MemoryFileSystem()
    with StoreLab(disk) as lab:
        lab.merge(DATA, (b"a", record_of(b"1")))
        if how == "sync":
            assert lab.do(Sync()) == Done()
        else:
            assert lab.do(Read(DATA, (b"a",), durable=True)) == Values((lab.model[DATA, b"a"],))
        lab.crash(disk)
        lab.check()


@settings(max_examples=60)
@given(st.data())
def test_a_power_loss_leaves_a_moment_from_the_last_sync_on(
    data: st.DataObject,
) -> None:
    disk = MemoryFileSystem()
    one = st.tuples(
        st.sampled_from([key_in(partition, n) for partition in (0, 1) for n in range(3)]),
        records().map(record_format.encode),
    )
    moments: list[dict[tuple[Space, bytes], bytes]] = [{}]
    durable = 0
    with StoreLab(disk) as lab:
        for _ in range(data.draw(st.integers(1, 12))):
            sync = data.draw(st.booleans())
            space = data.draw(st.sampled_from([DATA, HINT]))
            lab.merge(space, *data.draw(st.lists(one, max_size=4)), sync=sync)
            moments.append(dict(lab.model))
            if data.draw(st.integers(0, 3)) == 0:
                lab.db.flush()
            durable = len(moments) - 1 if sync else durable
        survival = data.draw(st.sampled_from([0.0, 0.5, 1.0]))
        image = disk.crash(seed=data.draw(st.integers(0, 99)), survival=survival)
    with StoreLab(image) as lab:
        held = {
            (space, key): value
            for space in (DATA, HINT)
            for key in {key for model in moments for place, key in model if place is space}
            if (value := lab.read(space, key)[0]) is not None
        }
        assert held in moments[durable:]
        lab.model = held
        lab.check()


def test_a_batch_that_fails_in_the_engine_leaves_the_trees(lab: StoreLab) -> None:
    """One bad key of a thousand: the rest is there, and nothing was counted twice."""
    good = [(key_in(n % 13, n // 13), record_of(b"%d" % n)) for n in range(390)]
    result = lab.merge(DATA, *good[:200], (b"bad", b"damaged"), *good[200:], *good[:50], sync=True)
    assert result.outcomes == (True,) * 200 + (Failure.INVALID,) + (True,) * 190 + (False,) * 50
    lab.check()


# --- listing and dropping ------------------------------------------------------------------------


def list_all(lab: StoreLab, space: Space, first: int, end: int, count_max: int) -> list[Entry]:
    found: list[Entry] = []
    after: bytes | None = b""
    while after is not None:
        page = lab.do(ListEntries(space, first, end, after, count_max))
        assert isinstance(page, Entries)
        assert len(page.entries) == count_max or page.after is None
        found += page.entries
        after = page.after
    return found


@pytest.mark.parametrize("space", [DATA, HINT])
@pytest.mark.parametrize("count_max", [1, 7, 20, 1000])
def test_entries_are_listed_in_pages(lab: StoreLab, space: Space, count_max: int) -> None:
    lab.fill(DATA)
    lab.fill(HINT)
    found: list[Entry] = []
    for partition in range(16):
        tokens = partition_tokens(space, TOPOLOGY.partitioning, partition)
        inside = list_all(lab, space, tokens.first, tokens.end, count_max)
        assert {TOPOLOGY.partition_of(entry.key) for entry in inside} <= {partition}
        found += inside
    assert {entry.key: entry.size for entry in found} == {
        key: len(record) for (place, key), record in lab.model.items() if place is space
    }
    for entry in found:
        engine_key = lab.scheme.engine_key(space, entry.key)
        assert entry.digest == entry_hash(
            lab.scheme.tree_key, engine_key, lab.model[space, entry.key]
        )
    whole = space_tokens(space)
    assert list_all(lab, space, whole.first, whole.end, count_max) == found


def test_the_nodes_of_a_tree_list_what_they_digest(lab: StoreLab) -> None:
    lab.fill()
    tree = lab.store.tree(0)
    for index, digest in enumerate(tree.level(1)):
        tokens = TokenRange(*tree.token_range(1, index))
        listed = list_all(lab, DATA, tokens.first, tokens.end, 5)
        assert sum(entry.digest for entry in listed) % (1 << 64) == digest


def test_listing_to_the_end_of_all_tokens(lab: StoreLab) -> None:
    lab.merge(DATA, (b"k", record_of(b"v")))
    assert lab.do(ListEntries(DATA, 0, (1 << 56) + 1)) == Entries((), None)
    assert [entry.key for entry in list_all(lab, DATA, 0, 1 << 57, 5)] == [b"k"]
    assert lab.do(ListEntries(DATA, 1 << 64, 1 << 64)) == Entries((), None)
    assert lab.do(ListEntries(Space.META, 5 << 56, 1 << 64)) == Entries((), None)


def test_what_has_changed_since_it_was_listed_is_not_dropped(lab: StoreLab) -> None:
    lab.fill(HINT, count=3)
    lab.fill(DATA, count=3)
    tokens = space_tokens(HINT)
    listed = list_all(lab, HINT, tokens.first, tokens.end, 100)
    changed, gone = key_in(0, 1), key_in(1, 1)
    lab.merge(HINT, (changed, record_of(b"newer", THIRD, lab.model[HINT, changed])))
    [digest] = [entry.digest for entry in listed if entry.key == gone]
    assert lab.do(Drop(HINT, ((gone, digest), (gone, digest), (b"missing", 5)))) == Done()
    del lab.model[HINT, gone]
    lab.check()
    assert lab.do(Drop(HINT, tuple((entry.key, entry.digest) for entry in listed))) == Done()
    for entry in listed:
        if entry.key != changed:
            lab.model.pop((HINT, entry.key), None)
    lab.check()


def test_a_dropped_record_leaves_its_tree(lab: StoreLab) -> None:
    lab.fill(count=2)
    tokens = lab.store.trees.tokens(0)
    [first, _] = list_all(lab, DATA, tokens.first, tokens.end, 9)
    assert lab.do(Drop(DATA, ((first.key, first.digest),))) == Done()
    del lab.model[DATA, first.key]
    lab.check()


# --- trees and marks -----------------------------------------------------------------------------


def test_scrubbing_finds_what_the_tree_was_not_told(lab: StoreLab) -> None:
    lab.fill()
    leaf_count = 16 ** lab.store.tree(1).depth
    assert lab.do(Scrub(1, 0, leaf_count)) == Scrubbed(None, 0)
    key = key_in(1, 4)
    lab.db.put(lab.scheme.engine_key(DATA, key), lab.model[DATA, key_in(1, 5)])
    lab.model[DATA, key] = lab.model[DATA, key_in(1, 5)]
    assert lab.do(Scrub(1, 0, leaf_count)) == Scrubbed(None, 1)
    lab.check()


def test_a_partition_is_suspected_and_completed(lab: StoreLab) -> None:
    lab.fill()
    assert lab.do(Suspect((1, 3), Lack.UNSYNCED)) == Done()
    assert lab.store.incomplete == {1: Lack.UNSYNCED, 3: Lack.UNSYNCED}
    assert lab.do(Complete(1)) == Done()
    assert lab.do(Complete(2)) == Done()
    assert lab.store.incomplete == {3: Lack.UNSYNCED}
    lab.check()


def test_room_is_made_for_copies_that_come(lab: StoreLab) -> None:
    """What was there goes, others stay, and one sync is enough for all marks."""
    lab.fill()
    before = lab.db.stats()["sync_count"]
    assert lab.do(MakeRoom((3, 1, 2))) == Done()
    assert lab.db.stats()["sync_count"] - before <= 1 + 3 * 3, "a drop flushes"
    assert lab.store.incomplete == dict.fromkeys((1, 2, 3), Lack.LOST)
    for partition in (1, 2, 3):
        lab.forget(DATA, partition)
    lab.check()
    before = lab.db.stats()["sync_count"]
    assert lab.do(MakeRoom((1, 2, 3))) == Done()
    assert lab.db.stats()["sync_count"] - before == 1, "there is nothing to be dropped"


def test_sequences_follow_what_is_done(lab: StoreLab) -> None:
    before = lab.store.sequence
    lab.merge(DATA, (b"k", record_of(b"v")))
    assert lab.store.sequence == before + 1
    assert lab.store.durable_sequence < before + 1
    lab.do(Sync())
    assert lab.store.durable_sequence == before + 1
