"""Listings of a store's keys hold every key once, also where several share a cursor."""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.scanning.key_listing import KEYS_SIZE_MAX, KeyListing
from lsmkv_cluster.scanning.scan_cursor import CURSOR_END, cursor_of_slot, cursor_of_token
from lsmkv_cluster.storage.engine_key import KeyScheme, Space
from tests.support.key_store import KeyStore

SCHEME = KeyScheme(7)
HALF = cursor_of_slot(8192)


class Crowded(KeyScheme):
    """Few hashes: many keys share a token, or a cursor."""

    def __init__(self, hashes: int) -> None:
        super().__init__(7)
        self._hashes = hashes

    def engine_key(self, space: Space, key: bytes) -> bytes:
        return super().engine_key(space, b"")[:7] + bytes([sum(key) % self._hashes]) + key


def listed(listing: KeyListing, store: KeyStore) -> KeyListing:
    for _ in range(20):
        if listing.listed(store.list(listing.order)):
            return listing
    raise AssertionError("a listing without end")


@pytest.mark.parametrize("scheme", [SCHEME, Crowded(3), Crowded(40)], ids=["usual", "3", "40"])
@pytest.mark.parametrize("count", [1, 2, 7, 100, 5000])
def test_listings_together_have_every_key_once(scheme: KeyScheme, count: int):
    rng = random.Random(count)
    keys = {rng.randbytes(6) for _ in range(200)}
    store = KeyStore(scheme, keys)
    found: list[bytes] = []
    cursor = 0
    while cursor < CURSOR_END:
        listing = listed(KeyListing(scheme, cursor, CURSOR_END, count), store)
        assert cursor < listing.complete_to <= CURSOR_END
        assert all(cursor <= listing.cursor_of(key) < listing.complete_to for key in listing.keys)
        found += listing.keys
        cursor = listing.complete_to
    assert sorted(found) == sorted(keys)


def test_a_listing_ends_with_its_range():
    keys = {b"%d" % n for n in range(300)}
    listing = listed(KeyListing(SCHEME, 0, HALF, 1000), KeyStore(SCHEME, keys))
    assert set(listing.keys) == {key for key in keys if listing.cursor_of(key) < HALF}
    assert listing.complete_to == HALF


def test_what_would_be_too_large_to_travel_is_cut():
    keys = {b"%d" % n + bytes(60_000) for n in range(64)}
    store = KeyStore(SCHEME, keys)
    found: list[bytes] = []
    cursor = 0
    while cursor < CURSOR_END:
        listing = listed(KeyListing(SCHEME, cursor, CURSOR_END, 1000), store)
        assert sum(map(len, listing.keys)) <= KEYS_SIZE_MAX
        found += listing.keys
        cursor = listing.complete_to
    assert sorted(found) == sorted(keys)


def test_what_would_be_too_large_to_be_read_is_cut():
    store = KeyStore(SCHEME, {b"%d" % n for n in range(100)})
    store.record_size = 4 << 20
    listing = listed(KeyListing(SCHEME, 0, CURSOR_END, 1000), store)
    assert 0 < len(listing.keys) <= 4
    store.record_size = 1 << 30
    assert len(listed(KeyListing(SCHEME, 0, CURSOR_END, 1000), store).keys) <= 1


def test_tokens_of_its_order_are_those_of_its_cursors():
    listing = KeyListing(SCHEME, 5, 6, 10)
    assert cursor_of_token(listing.order.first) == 5
    assert cursor_of_token(listing.order.end - 1) == 5
