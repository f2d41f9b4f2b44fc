"""The client's context: what it carries, and that only ours, for this key, comes back."""

from __future__ import annotations

import pytest
from crc32c import crc32c
from hypothesis import given

from lsmkv_cluster import context
from lsmkv_cluster.context import NOTHING, Context, ContextError, seen_in
from lsmkv_cluster.record import Record
from lsmkv_cluster.vclock import Actor, Clock, Entry
from tests.cluster.test_record_format import ACTOR, example
from tests.support.record_cases import records

EXAMPLE = bytes.fromhex(
    "2b 0e 2c 49  01 00  01 00  00 00 00 00  00 00 00 68 e5 cf 8b 01"
    "00 00 00 01  00 00 00 02  00 00 00 00 00 00 00 03  01 00 00 00  00 00 00 00"
)


def test_the_worked_example():
    seen = seen_in(example())
    assert seen == Context(Clock({ACTOR: Entry(1, 0)}), 0, 1_700_000_000_000 << 16)
    assert context.encode(seen, b"k") == EXAMPLE
    assert context.decode(EXAMPLE, b"k") == seen


@given(records())
def test_it_knows_what_the_record_knows(record: Record):
    seen = seen_in(record)
    assert context.decode(context.encode(seen, b"key"), b"key") == seen
    assert seen.clock.descends(record.clock)
    assert record.clock.descends(seen.clock)
    assert all(item.stamp <= seen.stamp for item in record.items)


def test_who_has_read_nothing_has_seen_nothing():
    assert seen_in(None) == NOTHING
    assert context.decode(context.encode(NOTHING, b""), b"") == NOTHING


def test_every_flipped_bit_and_every_truncation_is_refused():
    for bit in range(8 * len(EXAMPLE)):
        bad = bytearray(EXAMPLE)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ContextError):
            context.decode(bytes(bad), b"k")
    for size in range(len(EXAMPLE)):
        with pytest.raises(ContextError):
            context.decode(EXAMPLE[:size], b"k")


def test_a_context_of_another_key_is_refused():
    with pytest.raises(ContextError, match="another key"):
        context.decode(EXAMPLE, b"l")


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [(4, 2, "version 2"), (5, 1, "version"), (6, 2, "count"), (8, 1, None), (36, 0, "nothing")],
)
def test_a_checksum_that_fits_makes_it_no_better(position: int, value: int, message: str | None):
    bad = bytearray(EXAMPLE)
    bad[position] = value
    bad[:4] = crc32c(bytes(bad[4:]), crc32c(b"k")).to_bytes(4, "little")
    if message is None:
        assert context.decode(bytes(bad), b"k").cut_s == 1
        return
    with pytest.raises(ContextError, match=message):
        context.decode(bytes(bad), b"k")


def test_it_is_bounded():
    clock = Clock({Actor(node, 0, 0): Entry(1, 1) for node in range(4097)})
    with pytest.raises(ValueError):
        context.encode(Context(clock), b"k")
    with pytest.raises(ContextError, match="bytes"):
        context.decode(bytes(context.CONTEXT_SIZE_MAX + 1), b"k")
