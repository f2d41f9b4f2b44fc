"""What is found of a segment behind damage: exactly its intact records, in bounded time.

Held against `intact_records` of tests/support/reference_log.py, and against the records that the
segment had before it was damaged.
"""

from __future__ import annotations

import struct

import pytest

from lsmkv._native.log import IntactRecords
from lsmkv._native.segment import BATCH, LogRecord, Operation
from lsmkv.errors import CorruptionError, Error
from tests.support import reference_log as reference
from tests.support.log_cases import CASES, SEGMENT, Case, put, reference_bytes

HEADER_SIZE = reference.HEADER_SIZE
STEPS: tuple[list[Operation], ...] = tuple([put(b"%d" % n, b"v" * n)] for n in range(12))
BASE = reference_bytes(Case("base", STEPS))
RECORDS = reference.decode(BASE).records


def found(data: bytes, last_sequence: int | None = None, **changed: int) -> list[LogRecord]:
    place = {"nonce": SEGMENT.nonce, "offset": HEADER_SIZE} | changed
    return list(IntactRecords(data, "a/path", last_sequence=last_sequence, **place))


def flipped(data: bytes, bit: int) -> bytes:
    image = bytearray(data)
    image[bit // 8] ^= 1 << bit % 8
    return bytes(image)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_one_flipped_bit_costs_the_record_it_is_in(case: Case) -> None:
    data = reference_bytes(case)
    records = reference.decode(data).records
    assert found(data) == records
    ends = [record.offset for record in records[1:]] + [len(data)]
    for bit in range(8 * HEADER_SIZE, 8 * len(data), 7):
        image = flipped(data, bit)
        left = [
            record
            for record, end in zip(records, ends, strict=True)
            if not 8 * record.offset <= bit < 8 * end
        ]
        assert len(left) == len(records) - 1
        for last_sequence in (None, SEGMENT.previous_sequence):
            assert found(image, last_sequence) == left
            assert (
                reference.intact_records(image, SEGMENT.nonce, HEADER_SIZE, last_sequence) == left
            )


def test_every_truncation_leaves_the_records_before_it() -> None:
    for size in range(len(BASE)):
        left = found(BASE[:size])
        assert left == RECORDS[: len(left)]
        assert left == reference.intact_records(BASE[:size], SEGMENT.nonce)


def test_every_hole_leaves_the_records_around_it() -> None:
    """Also when many operations are missing: the bytes between could have held them."""
    for first in range(len(RECORDS)):
        for last in range(first + 1, len(RECORDS)):
            start, end = RECORDS[first].offset, RECORDS[last].offset
            image = BASE[:start] + bytes(end - start) + BASE[end:]
            assert found(image, SEGMENT.previous_sequence) == RECORDS[:first] + RECORDS[last:]


def test_a_record_counts_in_its_own_segment_and_place_only() -> None:
    assert found(BASE, nonce=SEGMENT.nonce + 1) == []
    assert found(bytes(8) + BASE) == []
    assert found(BASE[:64] + BASE[96:]) == []
    inside = reference_bytes(Case("a log in a value", ([put(b"k", BASE)], STEPS[0])))
    assert [record.count for record in found(flipped(inside, 8 * 70))] == [1]


def test_sequences_only_grow() -> None:
    middle = RECORDS[5]
    assert found(BASE, middle.base_sequence - 1, offset=middle.offset) == RECORDS[5:]
    assert found(BASE, middle.base_sequence, offset=middle.offset) == RECORDS[6:]
    assert found(BASE, RECORDS[-1].base_sequence) == []


@pytest.mark.parametrize(
    "fields",
    [
        {"count": 0},
        {"count": 2},
        {"base_sequence": 0},
        {"base_sequence": 2**56},
        {"base_sequence": 2**64 - 1},
        {"synced_to": 65},
        {"payload": b"\x01\x05"},
    ],
    ids=str,
)
def test_what_our_writer_never_wrote_is_passed_over(fields: dict[str, int | bytes]) -> None:
    """With a checksum that holds; what stands behind it is found."""
    payload = reference.encode_operation(put(b"k", b"v"))
    values = {"base_sequence": 7, "synced_to": 0, "payload": payload, "count": 1} | fields
    forged = reference.encode_record(SEGMENT.nonce, 64, BATCH, **values)  # type: ignore[arg-type]
    good = reference.encode_record(SEGMENT.nonce, 64 + len(forged), BATCH, 9, 0, payload, 1)
    image = BASE[:64] + forged + good
    assert [record.base_sequence for record in found(image)] == [9]
    assert found(image) == reference.intact_records(image, SEGMENT.nonce)


def test_what_a_newer_version_wrote_is_refused() -> None:
    record = reference.encode_record(SEGMENT.nonce, 80, 4, 7, 0)
    with pytest.raises(Error, match="newer version") as caught:
        found(BASE[:64] + b"\xff" * 16 + record)
    assert not isinstance(caught.value, CorruptionError)


@pytest.mark.parametrize("size", [0, 8, 31, 32, 64, 65])
def test_nothing_is_found_in_what_is_too_short(size: int) -> None:
    assert found(b"\x01" * size) == []
    with pytest.raises(ValueError, match="no record begins at byte 63"):
        found(b"\x01" * size, offset=63)


def test_a_file_that_only_looks_like_records_is_given_up() -> None:
    """Each claims to reach to the end of the file, so checking them all would take its square."""
    size = 1 << 20
    words = []
    for offset in range(0, size, 32):
        payload_size = max(0, size - offset - 32)
        words.append(struct.pack("<IIIIQQ", 0, payload_size, 1, 1, 1, 0))
    image = BASE[:64] + b"".join(words)[64:]
    with pytest.raises(CorruptionError, match="too many that look like records") as caught:
        found(image)
    assert (caught.value.path, caught.value.offset) == ("a/path", 64)
    few = b"".join(words)[-160:]
    assert found(BASE + few) == RECORDS
