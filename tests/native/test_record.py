"""The native merge of records: byte-identical with the Python one, typed errors for any bytes, and
a hook of merge_batch."""

from __future__ import annotations

import gc
import random
import struct
from collections.abc import Callable
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import lsmkv
from lsmkv import CorruptionError, Error, kernel
from lsmkv._native import memory
from lsmkv.kernel import RecordMerger
from lsmkv_cluster.versions import record_format
from lsmkv_cluster.versions.actor import Identity
from lsmkv_cluster.versions.record import Record, merge
from tests.support import c_program
from tests.support.record_cases import checksummed, encoded, grown_records, records

KERNELS = ["record_merge", "record_check", "crc32c", "status", "allocator"]


@cache
def corpus() -> list[bytes]:
    found = [data for seed in range(4) for data in grown_records(seed, 60, 50 if seed % 2 else 3)]
    assert any(record_format.decode(data).cut_s for data in found)
    return found


def outcome(check: Callable[[bytes], object], data: bytes) -> type[Exception] | None:
    try:
        check(data)
    except Error as error:
        return type(error)
    except ValueError:
        return ValueError
    return None


@given(records(salts=(0, 1)), records(salts=(0, 1)))
@settings(max_examples=300)
def test_the_same_bytes_as_the_reference(a: Record, b: Record):
    merger = RecordMerger()
    expected = merge(a, b)
    assert merger.merge(encoded(a), encoded(b)) == encoded(expected.record)
    assert merger.collisions == len(expected.collisions)


@pytest.mark.parametrize("seed", range(6))
def test_the_same_bytes_for_records_of_real_histories(seed: int):
    choose = random.Random(seed)
    merger = RecordMerger()
    for _ in range(300):
        a, b = choose.choice(corpus()), choose.choice(corpus())
        expected = merge(record_format.decode(a), record_format.decode(b))
        assert merger.merge(a, b) == encoded(expected.record)


@given(records(), st.data())
@settings(max_examples=300)
def test_the_same_judgement_of_damaged_records(record: Record, data: st.DataObject):
    """Under a checksum that fits, so that everything behind it is asked."""
    bad = bytearray(encoded(record))
    for _ in range(data.draw(st.integers(1, 3))):
        bad[data.draw(st.integers(4, len(bad) - 1))] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        del bad[data.draw(st.integers(4, len(bad))) :]
    hostile = checksummed(bytes(bad))
    assert outcome(RecordMerger().check, hostile) == outcome(record_format.decode, hostile)


def test_every_flipped_bit_and_every_truncation_is_damage():
    merger = RecordMerger()
    sound = max(grown_records(3, 30), key=len)
    assert len(sound) > 200
    for bit in range(8 * len(sound)):
        bad = bytearray(sound)
        bad[bit // 8] ^= 1 << bit % 8
        for arguments in ((sound, bad), (bad, sound), (None, bad)):
            with pytest.raises(CorruptionError):
                merger.merge(*arguments)
        with pytest.raises(CorruptionError):
            record_format.decode(bytes(bad))
    for size in range(len(sound)):
        for check in (merger.check, record_format.decode):
            with pytest.raises(CorruptionError):
                check(sound[:size])
    with pytest.raises(CorruptionError):
        merger.check(sound + b"\0")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_laws_and_damage_under_sanitizers(seed: int, tmp_path_factory: pytest.TempPathFactory):
    directory = tmp_path_factory.mktemp("record")
    program = c_program.build(directory, "record_check", KERNELS, c_program.SANITIZED)
    packed = b"".join(struct.pack("<I", len(data)) + data for data in corpus())
    accepted, refused = map(int, c_program.run(program, seed, 1000, stdin=packed).split())
    assert accepted > 500
    assert refused > 3000


def test_limits_are_errors_before_anything_is_built():
    huge = checksummed(struct.pack("<IBBHII", 0, 1, 0, 4097, 1, 0) + bytes(50))
    many = checksummed(struct.pack("<IBBHII", 0, 1, 0, 1, (1 << 20) + 1, 0) + bytes(50))
    short = checksummed(struct.pack("<IBBHII", 0, 1, 0, 4096, 1 << 20, 0) + bytes(50))
    for check in (RecordMerger().check, record_format.decode):
        for data, kind in ((huge, ValueError), (many, ValueError), (short, CorruptionError)):
            with pytest.raises(kind):
                check(data)


def test_what_a_later_version_writes_is_refused():
    sound = bytearray(corpus()[0])
    for position, value in ((4, 2), (5, 1)):
        later = bytearray(sound)
        later[position] = value
        assert outcome(RecordMerger().check, checksummed(bytes(later))) is Error


def test_failed_allocations_and_leaks():
    a, b = corpus()[20], corpus()[100]
    gc.collect()
    before = memory.usage()
    for after in (1, 2):
        memory.fail_allocation(after)
        with pytest.raises(MemoryError):
            RecordMerger().merge(a, b)
    memory.fail_allocation(0)
    merger = RecordMerger()
    for data in corpus():
        merger.merge(a, data)
    hook = merger.hook
    del merger
    with lsmkv.open(":memory:") as db:
        kernel.merge_batch(db, [(b"k", a)], hook)
    del hook, db
    gc.collect()
    assert memory.usage() == before


def test_the_guard_refuses_writes_of_this_store_that_it_lacks():
    first, second = [record_format.decode(data) for data in grown_records(9, 2)]
    actor = next(iter(second.clock.entries))
    assert first.clock.counter(actor) < second.clock.counter(actor)
    own = Identity(actor.node, actor.incarnation).own()
    guarded = RecordMerger(own=own, trusted_epoch=actor.epoch)
    for old in (None, encoded(first)):
        with pytest.raises(Error, match="has lost"):
            guarded.merge(old, encoded(second))
    assert (guarded.missed_epoch, guarded.writes) == (actor.epoch, 0)
    assert guarded.merge(encoded(second), encoded(first)) == encoded(second)
    guarded.trusted_epoch = actor.epoch + 1
    guarded.merge(None, encoded(second))
    other = RecordMerger(own=Identity(actor.node, actor.incarnation + 1).own())
    other.merge(None, encoded(second))
    with pytest.raises(ValueError):
        RecordMerger(own=b"short")


def test_as_a_hook_of_merge_batch():
    merger = RecordMerger()
    choose = random.Random(1)
    model: dict[bytes, bytes] = {}
    with lsmkv.open(":memory:") as db:
        for _ in range(20):
            batch = [(b"%d" % choose.randrange(9), choose.choice(corpus()[:60])) for _ in range(30)]
            before = kernel.merge_batch(db, batch, merger.hook)
            for (key, data), old in zip(batch, before, strict=True):
                assert old == model.get(key)
                model[key] = RecordMerger().merge(old, data)
        assert dict(db.items()) == model
        assert merger.calls == 600
        assert merger.writes < 600, "what was known already is not written again"


def test_a_damaged_record_stops_the_whole_batch_and_says_whose_fault_it_was():
    merger = RecordMerger()
    sound = corpus()[0]
    bad = sound[:-1] + b"?"
    with lsmkv.open(":memory:") as db:
        db.put(b"damaged", bad)
        calls = merger.calls
        for batch, index, side in (
            ([(b"a", sound), (b"b", bad)], 1, "operand"),
            ([(b"damaged", sound), (b"a", sound)], 0, "old"),
        ):
            with pytest.raises(CorruptionError):
                kernel.merge_batch(db, batch, merger.hook)
            assert (merger.calls - calls - 1, merger.failed_side) == (index, side)
            calls = merger.calls
        assert list(db) == [b"damaged"]
