"""Cursors are in the order of keys, below 2**53, and leave nothing out."""

from __future__ import annotations

import random

from lsmkv_cluster.placement.slots import SLOT_COUNT, slot_of
from lsmkv_cluster.scanning.scan_cursor import (
    CURSOR_END,
    cursor_of_slot,
    cursor_of_token,
    slot_of_cursor,
    tokens_between,
)
from lsmkv_cluster.storage.engine_key import KeyScheme, Space, space_tokens

SCHEME = KeyScheme(0x1122334455667788)


def token(key: bytes, space: Space = Space.DATA) -> int:
    return int.from_bytes(SCHEME.engine_key(space, key)[:8], "big")


def test_a_cursor_fits_a_double():
    assert CURSOR_END == 1 << 53
    assert cursor_of_slot(SLOT_COUNT) == CURSOR_END
    last = tokens_between(CURSOR_END - 1, CURSOR_END)
    assert cursor_of_token(last.end - 1) == CURSOR_END - 1


def test_a_key_has_one_cursor_in_the_order_of_its_slot_and_hash():
    rng = random.Random(1)
    keys = [rng.randbytes(rng.randrange(20)) for _ in range(500)]
    for key in keys:
        cursor = cursor_of_token(token(key))
        assert slot_of_cursor(cursor) == slot_of(key)
        assert cursor_of_token(token(key, Space.HINT)) == cursor
        tokens = tokens_between(cursor, cursor + 1)
        assert tokens.first <= token(key) < tokens.end
        assert tokens.end - tokens.first == 2
    ordered = sorted(keys, key=token)
    cursors = [cursor_of_token(token(key)) for key in ordered]
    assert cursors == sorted(cursors)


def test_ranges_of_cursors_are_ranges_of_tokens_without_gaps():
    everything = tokens_between(0, CURSOR_END)
    assert everything.first == space_tokens(Space.DATA).first
    assert tokens_between(0, 77).end == tokens_between(77, 99).first
    assert tokens_between(0, 5, Space.HINT).first == space_tokens(Space.HINT).first


def test_the_worked_example_stays_as_it_is():
    """Cursors that clients hold must mean the same after an upgrade."""
    assert cursor_of_token(0x011DCD37EB7BBB71) == (0x1DCD << 39) | (0x37EB7BBB71 >> 1)
