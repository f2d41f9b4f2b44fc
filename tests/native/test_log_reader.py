"""Reading a segment: the records written, and for every damaged file the right kind of end.

The decision table of log_reader.c is held against the plain-Python decoder in
tests/support/reference_log.py for every truncation and every flipped bit, and against what the
writer's own steps say must hold: all that was promised durable is there or reported, what is not
there is a tail, and nothing is ever invented.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
import struct

import pytest

from lsmkv._native import memory
from lsmkv._native.log import SegmentReader
from lsmkv._native.segment import BATCH, CLOSE, SYNC_MARK, LogRecord
from lsmkv.errors import CorruptionError, Error
from tests.support import reference_log as reference
from tests.support.log_cases import CASES, SEGMENT, Case, delete, put, reference_bytes

WORKED_EXAMPLE = bytes.fromhex(
    "ff37d96b 09000000 01000000 02000000 0700000000000000 0000000000000000"
    "0101026b76760201 6400000000000000"
)
# A whole closed segment: one batch, a mark, one batch, the close record. Persistent.
GOLDEN = bytes.fromhex(
    """
    4c534d4b564c4f47 010000005ecceffc 0700000000000000 8877665544332211
    0600000000000000 0010000000000000 0600000000000000 0300000000000000
    96ef2c4a05000000 0100000001000000 0700000000000000 0000000000000000 0101016131000000
    32704a9700000000 0200000000000000 0800000000000000 6800000000000000
    356661c303000000 0100000001000000 0800000000000000 6800000000000000 0201610000000000
    a5c7962f00000000 0300000000000000 0900000000000000 6800000000000000
    """
)


@dataclasses.dataclass
class Outcome:
    """What became of reading a segment: as `reference.Decoded`, errors by type and offset."""

    records: list[LogRecord]
    end: str | None
    offset: int
    error: tuple[str, int | None] | None


def read(data: bytes) -> Outcome:
    records: list[LogRecord] = []
    try:
        reader = SegmentReader(data, "a/path")
    except CorruptionError as error:
        return Outcome([], None, 0, ("corrupt", error.offset))
    except Error:
        return Outcome([], None, 0, ("format", None))
    try:
        records.extend(reader)
    except CorruptionError as error:
        where = error.offset if error.path == "a/path" else None
        return Outcome(records, reader.end, reader.offset, ("corrupt", where))
    except Error:
        return Outcome(records, reader.end, reader.offset, ("format", None))
    return Outcome(records, reader.end, reader.offset, None)


def expect(data: bytes) -> Outcome:
    decoded = reference.decode(data)
    error: tuple[str, int | None] | None = None
    if isinstance(decoded.error, reference.Corrupt):
        error = ("corrupt", decoded.error.offset)
    elif decoded.error is not None:
        error = ("format", None)
    return Outcome(decoded.records, decoded.end, decoded.offset, error)


def with_record(data: bytes, **fields: object) -> bytes:
    """`data` and one more intact record, in sequence unless `fields` say otherwise."""
    decoded = reference.decode(data)
    last = sum(record.count for record in decoded.records) + SEGMENT.previous_sequence
    values: dict[str, object] = {"type": BATCH, "base_sequence": last + 1, "synced_to": 0, **fields}
    offset = values.pop("offset", len(data))
    return data + reference.encode_record(SEGMENT.nonce, offset, **values)  # type: ignore[arg-type]


def flipped(data: bytes, bit: int) -> bytes:
    image = bytearray(data)
    image[bit // 8] ^= 1 << bit % 8
    return bytes(image)


BASE = reference_bytes(Case("base", ([put(b"a", b"1"), put(b"b", b"2")],)))
ONE_PUT = reference.encode_operation(put(b"k", b"v"))


# --- what was written is read back ---------------------------------------------------------------


def test_worked_example_of_the_format():
    """The example of log.h, byte for byte."""
    data = reference_bytes(Case("example", ([put(b"k", b"vv"), delete(b"d")],)))
    assert data[64:] == WORKED_EXAMPLE
    (record,) = SegmentReader(data, "path")
    assert record == LogRecord(BATCH, 2, 7, 0, 64, (put(b"k", b"vv"), delete(b"d")))


def test_golden_segment():
    """Persistent: segments written by any earlier version must be read the same."""
    reader = SegmentReader(GOLDEN, "path")
    assert reader.segment == SEGMENT
    records = list(reader)
    assert [(record.type, record.base_sequence, record.synced_to) for record in records] == [
        (BATCH, 7, 0),
        (SYNC_MARK, 8, 104),
        (BATCH, 8, 104),
        (CLOSE, 9, 104),
    ]
    assert [record.operations for record in records] == [
        (put(b"a", b"1"),),
        (),
        (delete(b"a"),),
        (),
    ]
    assert (reader.end, reader.last_sequence, reader.synced_to) == ("closed", 8, 104)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_reads_what_was_written(case):
    data = reference_bytes(case)
    outcome = read(data)
    assert outcome == expect(data)
    assert outcome.offset == len(data)
    assert outcome.end == ("closed" if "finish" in case.steps else "clean")
    batches = [step for step in case.steps if not isinstance(step, str)]
    assert [
        list(record.operations) for record in outcome.records if record.type == BATCH
    ] == batches


def test_the_end_is_known_only_once_it_was_reached():
    reader = SegmentReader(BASE, "path")
    assert (reader.end, reader.offset, reader.last_sequence) == (None, 64, 6)
    next(reader)
    assert (reader.end, reader.offset, reader.last_sequence) == (None, len(BASE), 8)
    assert next(reader, None) is None
    assert (reader.end, reader.offset, reader.last_sequence) == ("clean", len(BASE), 8)
    assert next(reader, None) is None


def test_only_bytes_are_read():
    """A buffer that changes while the GIL is released must never be accepted."""
    with pytest.raises(TypeError):
        SegmentReader(bytearray(BASE), "path")
    with pytest.raises(TypeError):
        SegmentReader(None, "path")


# --- truncated, extended, damaged ----------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=str)
def test_truncated_at_every_length(case):
    """Exactly the batches that are whole; the only lie a cut can hide is one about the tail."""
    data = reference_bytes(case)
    whole = read(data).records
    for size in range(len(data)):
        outcome = read(data[:size])
        assert outcome == expect(data[:size])
        assert outcome.error is None
        ends = [*(record.offset for record in whole[1:]), len(data)]
        assert outcome.records == [
            record for record, end in zip(whole, ends, strict=False) if end <= size
        ]
        assert outcome.end in ("clean", "torn", "closed")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_bit_flipped(case):
    """Damage that a later record claims durable is reported at its place, other drops the tail."""
    data = reference_bytes(case)
    whole = read(data).records
    for bit in range(len(data) * 8):
        outcome = read(flipped(data, bit))
        if bit // 8 < reference.HEADER_SIZE:
            assert outcome.error == ("corrupt", 0)
            assert outcome.records == []
            continue
        index = max(i for i, record in enumerate(whole) if record.offset <= bit // 8)
        offset = whole[index].offset
        assert outcome.records == whole[:index]
        assert outcome.offset == offset
        if any(record.synced_to > offset for record in whole[index + 1 :]):
            assert outcome.error == ("corrupt", offset)
            assert outcome.end is None
        else:
            assert outcome.error is None
            assert outcome.end == "torn"


@pytest.mark.parametrize("case", CASES[-3:], ids=str)
def test_random_damage_equals_the_reference(case):
    """Several places at once, zeroed or overwritten, with and without zeros behind."""
    source = random.Random(case.name)
    data = reference_bytes(case)
    for _ in range(400):
        image = bytearray(data) + bytes(source.choice([0, 0, 24, 4096]))
        for _ in range(source.randint(1, 4)):
            start = source.randrange(len(data))
            size = source.choice([1, 8, 64, 200])
            filler = bytes(size) if source.random() < 0.5 else source.randbytes(size)
            image[start : start + size] = filler
        assert read(bytes(image)) == expect(bytes(image))


@pytest.mark.parametrize("unit", [8, 64, 512])
def test_power_loss_never_looks_like_damage(unit):
    """Whatever unsynced units are missing: synced batches are there, the rest is a prefix."""
    source = random.Random(unit)
    for _ in range(150):
        writer = reference.Writer(SEGMENT)
        promised = []
        batches = []
        synced_bytes = 0
        for number in range(source.randint(1, 12)):
            batch = [put(b"key %d" % number, source.randbytes(source.randint(0, 200)))]
            writer.append(batch)
            batches.append(tuple(batch))
            if source.random() < 0.3:
                synced_bytes = len(writer.data)
                promised = list(batches)
                writer.sync()
        image = bytearray(writer.data) + bytes(unit)
        edges = [0, *range(64, len(image), unit), len(image)]  # the header lies in one sector
        for start, end in itertools.pairwise(edges):
            begin = max(start, synced_bytes)
            if begin < end and source.random() < 0.4:
                image[begin:end] = bytes(end - begin)
        outcome = read(bytes(image))
        assert outcome.error is None
        found = [record.operations for record in outcome.records if record.type == BATCH]
        assert found == batches[: len(found)]
        assert found[: len(promised)] == promised


@pytest.mark.parametrize("size", [1, 7, 8, 31, 32, 4096, 70_000])
def test_zeros_behind_the_records_are_preallocated_space(size):
    for case in CASES:
        data = reference_bytes(case)
        outcome = read(data + bytes(size))
        assert (outcome.error, outcome.offset) == (None, len(data))
        assert outcome.end == ("closed" if "finish" in case.steps else "clean")


def test_garbage_behind_the_records():
    """After a close record nothing may follow; elsewhere it is a torn tail."""
    for case in CASES:
        data = reference_bytes(case)
        outcome = read(data + bytes(100) + b"x")
        if "finish" in case.steps:
            assert outcome.error == ("corrupt", len(data))
        else:
            assert (outcome.error, outcome.end, outcome.offset) == (None, "torn", len(data))


@pytest.mark.parametrize(
    "data", [b"", b"\0", b"LSMKV", bytes(64), bytes(70_000), bytes(64) + BASE[64:]]
)
def test_a_header_that_never_reached_the_disk(data):
    """No sync of such a segment can have succeeded, so there is nothing to report."""
    reader = SegmentReader(data, "path")
    assert (reader.segment, reader.end, reader.offset) == (None, "torn", 0)
    assert list(reader) == []


# --- foreign bytes -------------------------------------------------------------------------------


def test_bytes_of_another_segment_are_not_records():
    """Equal but for the nonce: appended to ours, they are a torn tail, never more records."""
    other = dataclasses.replace(SEGMENT, nonce=SEGMENT.nonce + 1)
    writer = reference.Writer(other, bytearray())
    writer.append([put(b"a", b"1"), put(b"b", b"2")])
    writer.append([put(b"foreign", b"record")])
    assert len(reference.decode(bytes(writer.data)).records) == 2
    outcome = read(BASE + bytes(writer.data)[len(BASE) :])
    assert (len(outcome.records), outcome.end, outcome.error) == (1, "torn", None)


def torn_container(nested_offset_error: int) -> bytes:
    """A segment whose last batch is torn and holds a mark, in a value, that claims the batch.

    The mark is sealed for an offset that is wrong by `nested_offset_error`.
    """
    payload_start = len(BASE) + reference.RECORD_HEADER_SIZE
    prefix_size = -(payload_start + 5) % 8  # so that the mark stands where probes look
    mark_at = payload_start + 5 + prefix_size
    mark = reference.encode_record(
        SEGMENT.nonce, mark_at + nested_offset_error, SYNC_MARK, 10, len(BASE) + 8
    )
    value = bytes(prefix_size) + mark + b"v" * 200
    data = with_record(BASE, payload=reference.encode_operation(put(b"k", value)), count=1)
    assert data[mark_at : mark_at + len(mark)] == mark
    return data[:-8]


def test_log_bytes_in_a_value_never_pass_as_records():
    """Only the seed stops them: sealed for the right place the same bytes would be proof."""
    outcome = read(torn_container(nested_offset_error=8))
    assert (len(outcome.records), outcome.end, outcome.error) == (1, "torn", None)
    assert read(torn_container(nested_offset_error=0)).error == ("corrupt", len(BASE))


def test_a_whole_log_as_a_value():
    """A database that stores copies of its own log, torn at every length inside the copy."""
    original = reference_bytes(
        Case("original", ([put(b"a", b"1")], "sync", [put(b"b", b"2")], "sync"))
    )
    for shift in range(8):
        data = with_record(
            original, payload=reference.encode_operation(put(b"x" * shift, original)), count=1
        )
        expected = read(original).records
        for size in range(len(original) + 1, len(data) - 7, 8):
            outcome = read(data[:size] + bytes(64))
            assert (outcome.records, outcome.error) == (expected, None)


# --- intact, but not what our writer writes ------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"base_sequence": 8, "payload": ONE_PUT, "count": 1}, "corrupt"),  # repeats a sequence
        ({"base_sequence": 10, "payload": ONE_PUT, "count": 1}, "corrupt"),  # skips one
        ({"synced_to": len(BASE) + 8, "payload": ONE_PUT, "count": 1}, "corrupt"),  # claims itself
        ({"synced_to": 2**64 - 1, "payload": ONE_PUT, "count": 1}, "corrupt"),
        ({"payload": b"", "count": 0}, "corrupt"),
        ({"payload": ONE_PUT, "count": 0}, "corrupt"),
        ({"payload": ONE_PUT, "count": 2}, "corrupt"),
        ({"payload": ONE_PUT * 2, "count": 1}, "corrupt"),
        ({"payload": ONE_PUT, "count": 2**32 - 1}, "corrupt"),
        ({"payload": ONE_PUT[:-1], "count": 1}, "corrupt"),
        ({"payload": ONE_PUT + b"\1", "count": 2}, "corrupt"),
        ({"payload": b"\2\x80\0", "count": 1}, "corrupt"),  # over-long varint
        ({"payload": b"\2" + reference.encode_varint(65537) + bytes(65537), "count": 1}, "corrupt"),
        ({"payload": b"\1\1" + reference.encode_varint(2**63) + b"kv", "count": 1}, "corrupt"),
        ({"payload": b"\1\1" + reference.encode_varint(2**30 + 1) + b"kv", "count": 1}, "corrupt"),
        ({"payload": b"\2" + b"\xff" * 11, "count": 1}, "corrupt"),
        ({"payload": b"\0\1k", "count": 1}, "format"),
        ({"payload": b"\3\1\1kv", "count": 1}, "format"),  # MERGE
        ({"payload": ONE_PUT + b"\x11\1\1kv", "count": 2}, "format"),  # an expiring PUT
        ({"type": SYNC_MARK, "payload": b"x"}, "corrupt"),
        ({"type": SYNC_MARK, "count": 1}, "corrupt"),
        ({"type": CLOSE, "base_sequence": 7}, "corrupt"),
        ({"type": 0}, "format"),
        ({"type": 4}, "format"),
        ({"type": 5}, "format"),
        ({"type": 6}, "format"),
        ({"type": 7}, "format"),
        ({"type": 255}, "format"),
        ({"payload": ONE_PUT, "count": 1, "reserved": b"\0\0\1"}, "format"),
    ],
)
def test_intact_but_impossible_records(fields, kind):
    """Reported at their offset, and the reader stays there however often it is asked."""
    data = with_record(BASE, **fields)
    outcome = read(data)
    assert outcome == expect(data)
    assert len(outcome.records) == 1
    assert outcome.offset == len(BASE)
    assert outcome.error == ("corrupt", len(BASE)) if kind == "corrupt" else ("format", None)
    reader = SegmentReader(data, "path")
    next(reader)
    for _ in range(2):
        with pytest.raises(Error):
            next(reader)
        assert (reader.end, reader.offset, reader.last_sequence) == (None, len(BASE), 8)


def test_sequences_end_at_56_bits():
    segment = dataclasses.replace(SEGMENT, previous_sequence=reference.SEQUENCE_MAX - 1)
    header = reference.encode_header(segment)
    one, two = (
        reference.encode_record(
            SEGMENT.nonce, 64, BATCH, reference.SEQUENCE_MAX, 0, ONE_PUT * count, count
        )
        for count in (1, 2)
    )
    close = reference.encode_record(
        SEGMENT.nonce, 64 + len(one), CLOSE, reference.SEQUENCE_MAX + 1, 0
    )
    assert read(header + one + close).end == "closed"
    assert read(header + two).error == ("corrupt", 64)
    beyond = dataclasses.replace(SEGMENT, previous_sequence=reference.SEQUENCE_MAX + 1)
    assert read(reference.encode_header(beyond)).error == ("corrupt", 0)


@pytest.mark.parametrize("payload_size", [2**16, 2**30, 2**31 - 1, 2**31, 2**32 - 8, 2**32 - 1])
def test_oversized_payloads(payload_size):
    """A size is checked against the file before anything is read there."""
    header = struct.pack("<IIIIQQ", 0, payload_size, BATCH, 1, 9, 0)
    for tail in (b"", bytes(8), b"x" * 1000):
        outcome = read(BASE + header + tail)
        assert (len(outcome.records), outcome.end, outcome.offset) == (1, "torn", len(BASE))


@pytest.mark.parametrize("version", [0, 2, 2**32 - 1])
def test_other_versions_are_refused(version):
    outcome = read(reference.encode_header(SEGMENT, version) + BASE[64:])
    assert outcome.error == ("format", None)
    with pytest.raises(Error, match=f"version {version}"):
        SegmentReader(reference.encode_header(SEGMENT, version), "path")


def test_reserved_types_still_prove_what_was_durable():
    """Looking past damage, a record of a reserved type counts as evidence like any other."""
    damaged = flipped(BASE, 8 * 70)
    proof = reference.encode_record(SEGMENT.nonce, len(BASE), 4, 9, len(BASE))
    assert read(damaged + proof).error == ("corrupt", 64)
    assert read(damaged + flipped(proof, 3)).end == "torn"


@pytest.mark.parametrize(
    ("fields", "proves"),
    [
        ({}, True),
        ({"base_sequence": 7}, True),
        ({"base_sequence": 6}, False),  # already there before the damage
        ({"base_sequence": 7 + 24}, True),  # 48 bytes of damage hold at most 24 operations
        ({"base_sequence": 7 + 25}, False),
        ({"synced_to": 64}, False),  # claims nothing of what is damaged
        ({"synced_to": 65}, True),
        ({"synced_to": 113}, False),  # claims itself
        ({"type": 7}, False),
        ({"type": 0}, False),
        ({"reserved": b"\1\0\0"}, False),
        ({"count": 1}, False),  # more operations than bytes
        ({"payload": ONE_PUT, "count": 2}, True),
        ({"payload": ONE_PUT, "count": 3}, False),
    ],
)
def test_what_counts_as_proof_behind_damage(fields, proves):
    """Only what our writer could have written after the damaged record."""
    assert len(BASE) == 112
    values = {"type": SYNC_MARK, "base_sequence": 9, "synced_to": 112, **fields}
    data = flipped(BASE, 8 * 70) + reference.encode_record(SEGMENT.nonce, 112, **values)
    outcome = read(data)
    assert outcome == expect(data)
    assert (outcome.error, outcome.end) == ((("corrupt", 64), None) if proves else (None, "torn"))


def test_looking_past_damage_is_bounded():
    """A file full of plausible headers would take quadratic time; it is refused instead."""
    count = 2**15
    image = bytearray(BASE + b"bad record, 32 bytes in all.....")
    damage = len(BASE)
    for index in range(count):
        left = (count - index - 1) * 32
        sequence = 9 + index
        image += struct.pack("<IIIIQQ", 1, left, BATCH, 0, sequence, damage + 8)
    with pytest.raises(CorruptionError, match="too many") as raised:
        list(SegmentReader(bytes(image), "path"))
    assert raised.value.offset == damage


def test_reading_allocates_nothing():
    before = memory.call_count(), memory.usage()
    for case in CASES:
        read(reference_bytes(case))
    assert (memory.call_count(), memory.usage()) == before
