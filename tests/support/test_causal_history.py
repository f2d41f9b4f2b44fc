"""The oracle itself: the textbook cases by hand."""

from __future__ import annotations

from tests.support.causal_history import Histories, History

NOTHING: History = frozenset()


def test_a_write_replaces_what_its_author_had_seen_and_nothing_else():
    all_writes = Histories()
    first = all_writes.write(NOTHING, NOTHING, b"first")
    blind = all_writes.write(first, NOTHING, b"blind")
    assert all_writes.live_values(blind) == [b"blind", b"first"]
    informed = all_writes.write(blind, first, b"informed")
    assert all_writes.live_values(informed) == [b"blind", b"informed"]


def test_concurrent_writes_stay_until_somebody_has_seen_both():
    all_writes = Histories()
    start = all_writes.write(NOTHING, NOTHING, b"1")
    left = all_writes.write(start, start, b"left")
    right = all_writes.write(start, start, b"right")
    both = left | right
    assert all_writes.live_values(both) == [b"left", b"right"]
    merged = all_writes.write(left, both, b"merged")
    assert all_writes.live_values(merged) == [b"merged"]
    assert all_writes.live_values(merged | right) == [b"merged"]


def test_an_old_copy_brings_nothing_back():
    all_writes = Histories()
    old = all_writes.write(NOTHING, NOTHING, b"old")
    new = all_writes.write(old, old, b"new")
    assert all_writes.live_values(new | old) == [b"new"]
