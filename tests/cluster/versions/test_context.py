"""The client's context: what it carries, and that only ours, for this key, comes back."""

from __future__ import annotations

from hashlib import blake2b

import pytest
from hypothesis import given

from lsmkv_cluster.errors import ContextError
from lsmkv_cluster.versions import context
from lsmkv_cluster.versions.context import NOTHING, Context, seen_in
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.vclock import Actor, Clock, Entry
from tests.cluster.versions.test_record_format import ACTOR, example
from tests.support.record_cases import records

SECRET = b"s"
EXAMPLE = bytes.fromhex(
    "77 1b 62 42 99 25 fb c2  01 00  01 00  00 00 00 00  00 00 00 68 e5 cf 8b 01"
    "00 00 00 01  00 00 00 02  00 00 00 00 00 00 00 03  01 00 00 00  00 00 00 00"
)


def test_the_worked_example():
    seen = seen_in(example())
    assert seen == Context(Clock({ACTOR: Entry(1, 0)}), 0, 1_700_000_000_000 << 16)
    assert context.encode(seen, b"k", SECRET) == EXAMPLE
    assert context.decode(EXAMPLE, b"k", SECRET) == seen


@given(records())
def test_it_knows_what_the_record_knows(record: Record):
    seen = seen_in(record)
    assert context.decode(context.encode(seen, b"key", SECRET), b"key", SECRET) == seen
    assert seen.clock.descends(record.clock)
    assert record.clock.descends(seen.clock)
    assert all(item.stamp <= seen.stamp for item in record.items)


def test_who_has_read_nothing_has_seen_nothing():
    assert seen_in(None) == NOTHING
    assert context.decode(context.encode(NOTHING, b"", SECRET), b"", SECRET) == NOTHING


def test_every_flipped_bit_and_every_truncation_is_refused():
    for bit in range(8 * len(EXAMPLE)):
        bad = bytearray(EXAMPLE)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ContextError):
            context.decode(bytes(bad), b"k", SECRET)
    for size in range(len(EXAMPLE)):
        with pytest.raises(ContextError):
            context.decode(EXAMPLE[:size], b"k", SECRET)


def test_a_context_of_another_key_is_refused():
    with pytest.raises(ContextError, match="another key"):
        context.decode(EXAMPLE, b"l", SECRET)


def test_a_forged_context_is_refused():
    """Without the secret nobody can claim to have seen what is yet to be written."""
    forged = context.encode(Context(Clock({ACTOR: Entry(1000, 0)})), b"k", b"guess")
    with pytest.raises(ContextError, match="damaged"):
        context.decode(forged, b"k", SECRET)


@pytest.mark.parametrize(
    ("position", "value", "message"),
    [(8, 2, "version 2"), (9, 1, "version"), (10, 2, "count"), (12, 1, None), (40, 0, "nothing")],
)
def test_a_checksum_that_fits_makes_it_no_better(position: int, value: int, message: str | None):
    bad = bytearray(EXAMPLE)
    bad[position] = value
    bad[:8] = blake2b(b"\1\0\0\0k" + bad[8:], digest_size=8, key=SECRET).digest()
    if message is None:
        assert context.decode(bytes(bad), b"k", SECRET).cut_s == 1
        return
    with pytest.raises(ContextError, match=message):
        context.decode(bytes(bad), b"k", SECRET)


def test_it_is_bounded():
    clock = Clock({Actor(node, 0, 0): Entry(1, 1) for node in range(4097)})
    with pytest.raises(ValueError):
        context.encode(Context(clock), b"k", SECRET)
    with pytest.raises(ContextError, match="bytes"):
        context.decode(bytes(context.CONTEXT_SIZE_MAX + 1), b"k", SECRET)
