"""The store holds what merging by the reference gives, whatever the batches, ends and starts; its
trees and tallies are always those of what it holds; what fails takes nothing else with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lsmkv
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv_cluster import record_format
from lsmkv_cluster.actor import Identity
from lsmkv_cluster.engine_key import Space
from lsmkv_cluster.storage_orders import (
    Done,
    Failure,
    Merged,
    Mint,
    Persist,
    Read,
    Remember,
    Sync,
    Values,
)
from lsmkv_cluster.vclock import Actor
from tests.support.record_cases import records
from tests.support.store_lab import StoreLab, key_in, record_of

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


@settings(max_examples=60, deadline=None)
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
