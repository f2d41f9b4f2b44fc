"""Cursors of SCAN: a place in the order of tokens, the same on all nodes and for ever.

    cursor    slot (14 bits), then the upper 39 of the 40 bits of a key's hash (engine_key.py)

It is below 2**53, so that clients may keep it in a double. Of the hash one bit is missing: two
neighbouring tokens share a cursor, and a page never ends between them. A cursor names no node and
no epoch, only what has been listed: so a scan goes on whoever answers it, and a key that is there
from its beginning to its end is listed, whatever moves meanwhile. 0 is the beginning.
"""

from __future__ import annotations

from lsmkv_cluster.placement.slots import SLOT_COUNT
from lsmkv_cluster.storage.engine_key import HASH_BITS, Space, TokenRange, space_tokens

__all__ = ["CURSOR_END", "cursor_of_slot", "cursor_of_token", "slot_of_cursor", "tokens_between"]

DROPPED_BITS = 1
STEP_BITS = HASH_BITS - DROPPED_BITS
CURSOR_END = SLOT_COUNT << STEP_BITS  # 2**53


def cursor_of_slot(slot: int) -> int:
    """Its first."""
    return slot << STEP_BITS


def slot_of_cursor(cursor: int) -> int:
    return cursor >> STEP_BITS


def cursor_of_token(token: int) -> int:
    """In any space."""
    return (token - space_tokens(Space(token >> (HASH_BITS + 16))).first) >> DROPPED_BITS


def tokens_between(first: int, end: int, space: Space = Space.DATA) -> TokenRange:
    """The tokens of the cursors in [first, end)."""
    start = space_tokens(space).first
    return TokenRange(start + (first << DROPPED_BITS), start + (end << DROPPED_BITS))
