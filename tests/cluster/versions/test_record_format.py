"""Records as bytes: the worked example, round trips, one encoding. (Damage: tests/native.)"""

from __future__ import annotations

import pytest
from hypothesis import given

from lsmkv import CorruptionError
from lsmkv_cluster.versions import record_format
from lsmkv_cluster.versions.record import Item, Kind, Record
from lsmkv_cluster.versions.vclock import Actor, Clock, Dot, Entry
from tests.support.record_cases import checksummed, records

ACTOR = Actor(1, 2, 3)
EXAMPLE = bytes.fromhex(
    "8b cf 94 a7  01 00  01 00  01 00 00 00  00 00 00 00"
    "00 00 00 01  00 00 00 02  00 00 00 00 00 00 00 03"
    "01 00 00 00  00 f1 53 65"
    "00 00 01 00  01 00 00 00  00 00 00 68 e5 cf 8b 01  01 76"
)


def example() -> Record:
    item = Item(Dot(ACTOR, 1), Kind.VALUE, 1_700_000_000_000 << 16, b"", b"v")
    return Record(Clock({ACTOR: Entry(1, 1_700_000_000)}), (item,))


def test_the_worked_example():
    assert record_format.encode(example()) == EXAMPLE
    assert record_format.decode(EXAMPLE) == example()


@given(records())
def test_what_is_encoded_decodes_to_the_same(record: Record):
    data = record_format.encode(record)
    assert record_format.decode(data) == record
    assert record_format.encode(record_format.decode(data)) == data


def test_the_order_of_entries_does_not_reach_the_bytes():
    entries = {Actor(2, 0, 0): Entry(1, 1), Actor(1, 0, 0): Entry(1, 1)}
    swapped = dict(reversed(entries.items()))
    assert record_format.encode(Record(Clock(entries))) == record_format.encode(
        Record(Clock(swapped))
    )


def test_what_is_over_a_limit_is_not_encoded():
    entries = {Actor(node, 0, 0): Entry(1, 1) for node in range(4097)}
    with pytest.raises(ValueError, match="4097 clock entries"):
        record_format.encode(Record(Clock(entries)))


def test_large_values_have_longer_sizes():
    for size in (0, 127, 128, 16383, 16384, 70000):
        item = Item(Dot(ACTOR, 1), Kind.FIELD, 1, b"n" * size, b"v" * size, expiry_ms=5)
        record = Record(Clock({ACTOR: Entry(1, 1)}), (item,))
        assert record_format.decode(record_format.encode(record)) == record


def test_no_minted_record_is_larger_than_was_said_before():
    largest = Entry(2**32 - 1, 2**32 - 1)
    for kind, size in ((Kind.TOMBSTONE, 0), (Kind.VALUE, 0), (Kind.VALUE, 1 << 20)):
        for expiry_ms in (0, 2**63):
            value = b"v" * size
            item = Item(Dot(ACTOR, 2**32 - 1), kind, 2**64 - 1, b"", value, expiry_ms)
            encoded = record_format.encode(Record(Clock({ACTOR: largest}), (item,)))
            values = () if kind is Kind.TOMBSTONE else (value,)
            assert len(encoded) <= record_format.minted_size_max(values, context_size=0)


def test_an_over_long_size_is_refused():
    over_long = EXAMPLE[:-2] + b"\x81\x00v"
    with pytest.raises(CorruptionError):
        record_format.decode(checksummed(over_long))
