"""Which partitions a result shows to be unreadable."""

from __future__ import annotations

import pytest

from lsmkv_cluster.healing.damage import unreadable_partitions
from lsmkv_cluster.placement.slots import Partitioning, slot_of
from lsmkv_cluster.storage.engine_key import Space, partition_tokens
from lsmkv_cluster.storage.storage_orders import (
    Collect,
    Confirm,
    Confirmed,
    Done,
    Failed,
    Failure,
    ListDeleted,
    ListEntries,
    Merge,
    Merged,
    Mint,
    Order,
    Read,
    Result,
    Scrub,
    Sync,
    Values,
)

PARTITIONS = Partitioning(16)
KEYS = (b"a", b"b", b"c")
RECORDS = tuple((key, b"record") for key in KEYS)
BAD = Failure.CORRUPT
A, B, C = (PARTITIONS.partition_of(slot_of(key)) for key in KEYS)
ENTRIES = tuple((key, 1) for key in KEYS)
DATA = partition_tokens(Space.DATA, PARTITIONS, 5)
TOKENS = partition_tokens(Space.HINT, PARTITIONS, 5)


@pytest.mark.parametrize(
    ("order", "result", "found"),
    [
        (Read(Space.DATA, KEYS), Values((b"", BAD, None)), [(Space.DATA, B)]),
        (Read(Space.HINT, KEYS), Values((BAD, BAD, BAD)), [(Space.HINT, p) for p in (A, B, C)]),
        (Read(Space.DATA, (b"a", b"a")), Values((BAD, BAD)), [(Space.DATA, A)]),
        (Read(Space.DATA, KEYS), Values((Failure.BROKEN,) * 3), []),
        (Merge(Space.DATA, RECORDS), Merged((True, True, BAD)), [(Space.DATA, C)]),
        (Mint(Space.HINT, KEYS, lambda i, old: old), Merged((BAD, True, False)), [(Space.HINT, A)]),
        (ListEntries(Space.HINT, TOKENS.first, TOKENS.end), Failed(BAD), [(Space.HINT, 5)]),
        (ListEntries(Space.HINT, TOKENS.first, TOKENS.end), Failed(Failure.BROKEN), []),
        (ListDeleted(DATA.first, DATA.end, b"", 1, 1, 0), Failed(BAD), [(Space.DATA, 5)]),
        (Confirm(ENTRIES), Failed(BAD), [(Space.DATA, A)]),
        (Confirm(ENTRIES), Confirmed((True,) * 3), []),
        (Collect(ENTRIES), Merged((True, BAD, False)), [(Space.DATA, B)]),
        (Scrub(7, 0, 1), Failed(BAD), [(Space.DATA, 7)]),
        (Sync(), Failed(BAD), []),
        (Sync(), Done(), []),
    ],
)  # fmt: skip
def test_unreadable_partitions(
    order: Order, result: Result, found: list[tuple[Space, int]]
) -> None:
    assert unreadable_partitions(PARTITIONS, order, result) == found
