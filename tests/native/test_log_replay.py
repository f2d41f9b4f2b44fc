"""Replay: batches go into a memtable in order and whole or not at all, and it can go on later."""

from __future__ import annotations

import gc

import pytest

from lsmkv._native import memory
from lsmkv._native.log import SegmentReader
from lsmkv._native.memtable import Memtable
from lsmkv._native.segment import BATCH
from lsmkv.errors import CorruptionError, Error
from tests.support import reference_log as reference
from tests.support.log_cases import CASES, SEGMENT, Case, delete, put, reference_bytes

NO_LIMIT = 2**63


def expected_entries(data: bytes) -> list[tuple[bytes, int, int, bytes]]:
    """The newest operation of each key, in key order, as the memtable lists them."""
    newest: dict[bytes, tuple[bytes, int, int, bytes]] = {}
    for record in reference.decode(data).records:
        for index, (kind, key, value) in enumerate(record.operations):
            newest[key] = (key, record.base_sequence + index, kind, value or b"")
    return [newest[key] for key in sorted(newest)]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_replay_applies_every_batch(case):
    data = reference_bytes(case)
    reader, memtable = SegmentReader(data, "path"), Memtable()
    applied = reader.replay(memtable, NO_LIMIT)
    assert applied == sum(record.count for record in reference.decode(data).records)
    assert memtable.entries() == expected_entries(data)
    assert reader.end == ("closed" if "finish" in case.steps else "clean")
    assert reader.last_sequence == SEGMENT.previous_sequence + applied
    assert reader.replay(memtable, NO_LIMIT) == 0


def test_replay_stops_after_the_batch_that_exceeds_the_limit():
    """A big segment is replayed into several memtables, cut between batches."""
    batches = [[put(b"%03d-%d" % (n, i), b"v" * 500) for i in range(3)] for n in range(200)]
    data = reference_bytes(Case("many", tuple(batches)))
    reader = SegmentReader(data, "path")
    entries, tables = [], 0
    while reader.end is None:
        memtable = Memtable()
        applied = reader.replay(memtable, 20_000)
        assert applied % 3 == 0
        usage = memtable.usage()
        assert reader.end is not None or 20_000 < usage.arena_bytes < 40_000
        assert usage.last_sequence == reader.last_sequence
        entries += memtable.entries()
        tables += 1
    assert tables > 5
    assert entries == expected_entries(data)
    full = Memtable()
    full.insert(b"k", 1, 1, b"v" * 30_000)
    reader = SegmentReader(data, "path")
    assert (reader.replay(full, 20_000), reader.end, reader.offset) == (0, None, 64)


def test_replay_of_a_torn_tail_keeps_the_prefix():
    data = reference_bytes(Case("torn", ([put(b"a", b"1")], [put(b"b", b"2"), put(b"c", b"3")])))
    reader, memtable = SegmentReader(data[:-1], "path"), Memtable()
    assert reader.replay(memtable, NO_LIMIT) == 1
    assert (reader.end, memtable.entries()) == ("torn", [(b"a", 7, 1, b"1")])


@pytest.mark.parametrize(
    ("last_operation", "error"),
    [(b"\2\5kkk", CorruptionError), (b"\3\1\1kv", Error), (b"", CorruptionError)],
)
def test_a_bad_batch_leaves_nothing_behind(last_operation, error):
    """Its good operations come first, and still none of them is applied."""
    good = reference_bytes(Case("good", ([put(b"a", b"1")],)))
    payload = reference.encode_operation(put(b"b", b"2")) + last_operation
    data = good + reference.encode_record(SEGMENT.nonce, len(good), BATCH, 8, 0, payload, 2)
    reader, memtable = SegmentReader(data, "path"), Memtable()
    for _ in range(2):
        with pytest.raises(error, match="path"):
            reader.replay(memtable, NO_LIMIT)
        assert (reader.end, reader.offset, reader.last_sequence) == (None, len(good), 7)
        assert memtable.entries() == [(b"a", 7, 1, b"1")]


def test_damage_to_synced_batches_is_reported():
    data = bytearray(
        reference_bytes(
            Case("synced", ([put(b"a", b"1")], [put(b"b", b"2")], "sync", [delete(b"a")]))
        )
    )
    data[110] ^= 1
    reader, memtable = SegmentReader(bytes(data), "path"), Memtable()
    with pytest.raises(CorruptionError) as raised:
        reader.replay(memtable, NO_LIMIT)
    assert raised.value.offset == 104
    assert memtable.entries() == [(b"a", 7, 1, b"1")]


def test_a_memtable_that_is_ahead_is_refused():
    """The sequences of a memtable only ascend; replay in the wrong order must not break that."""
    memtable = Memtable()
    memtable.insert(b"k", 7, 1, b"v")
    reader = SegmentReader(reference_bytes(CASES[2]), "path")
    with pytest.raises(CorruptionError, match="sequence 7"):
        reader.replay(memtable, NO_LIMIT)
    assert reader.offset == 64


def test_a_failed_allocation_can_be_repeated():
    """No batch is lost, applied twice or applied in part, whichever allocation fails."""
    batches = [[put(b"%03d" % n, b"v" * 2000), delete(b"%03d" % n + b"d")] for n in range(60)]
    data = reference_bytes(Case("many", tuple(batches)))
    gc.collect()
    before = memory.usage()
    reader, memtable = SegmentReader(data, "path"), Memtable()
    failures = 0
    while reader.end is None:
        memory.fail_allocation(1)
        try:
            reader.replay(memtable, NO_LIMIT)
        except MemoryError:
            failures += 1
            memory.fail_allocation(0)
            reader.replay(memtable, memtable.usage().arena_bytes)  # one batch
        finally:
            memory.fail_allocation(0)
    assert failures > 1
    assert memtable.entries() == expected_entries(data)
    del reader, memtable
    gc.collect()
    assert memory.usage() == before


def test_iteration_and_replay_share_the_position():
    data = reference_bytes(Case("two", ([put(b"a", b"1")], [put(b"b", b"2")])))
    reader, memtable = SegmentReader(data, "path"), Memtable()
    assert next(reader).base_sequence == 7
    assert reader.replay(memtable, NO_LIMIT) == 1
    assert memtable.entries() == [(b"b", 8, 1, b"2")]
    assert list(reader) == []
