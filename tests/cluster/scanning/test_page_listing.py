"""Pages of a store's keys hold every key once, also where several share a cursor."""

from __future__ import annotations

import random

import pytest

from lsmkv.kernel import key_token
from lsmkv_cluster.placement.slots import SLOT_COUNT
from lsmkv_cluster.scanning.page_listing import PageListing
from lsmkv_cluster.scanning.scan_cursor import cursor_of_slot, cursor_of_token
from lsmkv_cluster.storage.engine_key import HEAD_SIZE, KeyScheme, Space
from lsmkv_cluster.storage.storage_orders import Entries, Entry, Failure, ListEntries, Read, Values

SCHEME = KeyScheme(7)


class Crowded(KeyScheme):
    """Few hashes: many keys share a token, or a cursor."""

    def __init__(self, hashes: int) -> None:
        super().__init__(7)
        self._hashes = hashes

    def engine_key(self, space: Space, key: bytes) -> bytes:
        return super().engine_key(space, b"")[:7] + bytes([sum(key) % self._hashes]) + key


class Store:
    """Lists and reads as storage_orders.py says."""

    def __init__(self, scheme: KeyScheme, keys: set[bytes]) -> None:
        self.engine_keys = sorted(scheme.engine_key(Space.DATA, key) for key in keys)

    def carry_out(self, order: ListEntries | Read) -> Entries | Values:
        if isinstance(order, Read):
            return Values(tuple(b"record of " + key for key in order.keys))
        found = [
            each
            for each in self.engine_keys
            if order.first <= key_token(each) < order.end and each > order.after
        ]
        page = found[: order.count_max]
        entries = tuple(Entry(each[HEAD_SIZE:], 1, 1) for each in page)
        return Entries(entries, page[-1] if len(found) > len(page) else None)


def listed(listing: PageListing, store: Store) -> PageListing:
    for _ in range(5):
        if listing.done(store.carry_out(listing.order)):
            return listing
    raise AssertionError("a page without end")


@pytest.mark.parametrize("scheme", [SCHEME, Crowded(3), Crowded(40)], ids=["usual", "3", "40"])
@pytest.mark.parametrize("count", [1, 2, 7, 100, 5000])
def test_pages_together_have_every_key_once_with_its_record(scheme: KeyScheme, count: int):
    rng = random.Random(count)
    keys = {rng.randbytes(6) for _ in range(200)}
    store = Store(scheme, keys)
    found: list[bytes] = []
    cursor: int | None = 0
    while cursor is not None:
        page = listed(PageListing(scheme, cursor, count, SLOT_COUNT), store)
        assert page.records == tuple(b"record of " + key for key in page.keys)
        assert page.cursor is None or page.cursor > cursor
        found += page.keys
        cursor = page.cursor
    assert sorted(found) == sorted(keys)


def test_a_page_ends_with_its_slots():
    keys = {b"%d" % n for n in range(300)}
    store = Store(SCHEME, keys)
    half = SLOT_COUNT // 2
    page = listed(PageListing(SCHEME, 0, 1000, half), store)
    below = {key for key in keys if _cursor(key) < cursor_of_slot(half)}
    assert set(page.keys) == below
    assert page.cursor is None
    rest = listed(PageListing(SCHEME, cursor_of_slot(half), 1000, SLOT_COUNT), store)
    assert set(rest.keys) == keys - below


def test_what_cannot_be_read_is_a_key_without_a_record():
    listing = PageListing(SCHEME, 0, 10, SLOT_COUNT)
    assert not listing.done(Entries((Entry(b"a", 1, 1), Entry(b"b", 1, 1)), None))
    assert listing.done(Values((Failure.CORRUPT, None)))
    assert listing.keys == (b"a", b"b")
    assert listing.records == (None, None)


def test_an_empty_range_needs_no_reading():
    listing = PageListing(SCHEME, 5, 10, SLOT_COUNT)
    assert listing.done(Entries((), None))
    assert (listing.keys, listing.records, listing.cursor) == ((), (), None)


def _cursor(key: bytes) -> int:
    return cursor_of_token(key_token(SCHEME.engine_key(Space.DATA, key)))
