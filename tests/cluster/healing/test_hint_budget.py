"""Windows open and close as they should, the table says nothing too much, counts stay bounds."""

from __future__ import annotations

import pytest

from lsmkv_cluster.healing.hint_budget import Confirmations, HintSettings, Receivers, Usage, Window

SETTINGS = HintSettings(
    window_first=4, window_max=6, window_record_bytes=100, retry_ms=1000, retry_max_ms=3000
)


def test_a_window_is_records_and_bytes():
    window = Window(SETTINGS)
    for _ in range(4):
        assert window.has_room(100)
        window.take(100)
    assert not window.has_room(1)
    window.give_back(100)
    assert window.has_room(100)
    assert not window.has_room(101)
    empty = Window(SETTINGS)
    assert empty.has_room(10**9)


def test_a_window_opens_by_one_for_each_windowful():
    window = Window(SETTINGS)
    limits = []
    for _ in range(4 + 5 + 6 + 6):
        window.opened()
        limits.append(window.limit)
    assert limits == [4] * 3 + [5] * 5 + [6] * 13


def test_a_window_closes_once_for_what_was_on_its_way():
    window = Window(SETTINGS)
    window.closed(100, sent_ms=10)
    window.closed(105, sent_ms=90)
    assert window.limit == 2
    assert (window.is_paused(1099), window.is_paused(1100)) == (True, False)
    window.closed(1200, sent_ms=1100)
    assert (window.limit, window.paused_until_ms) == (1, 3200)
    window.closed(3300, sent_ms=3200)
    assert (window.limit, window.paused_until_ms) == (1, 6300)
    window.opened()
    window.closed(7000, sent_ms=6500)
    assert window.paused_until_ms == 8000


def test_credit_of_all_owners_or_of_none():
    receivers = Receivers(b"me", lambda other: other != b"gone", SETTINGS)
    for _ in range(4):
        receivers.take([b"a"], 1)
    assert not receivers.take([b"b", b"a"], 1)
    assert receivers.window(b"b").unanswered == 0
    receivers.give_back([b"a"], 1)
    assert receivers.take([b"b", b"a"], 1)
    assert receivers.unanswered == 5
    receivers.window(b"b").closed(0, 0)
    assert receivers.available(10, [b"a", b"b", b"gone", b"me"]) == {b"a", b"me"}
    assert receivers.available(1000, [b"a", b"b"]) == {b"a", b"b"}


def test_a_confirmation_is_of_one_state():
    table = Confirmations()
    table.add(1, b"k", 7, 10, b"a")
    table.add(2, b"other", 7, 10, b"a")
    table.add(3, b"k", 7, 10, b"b")
    assert table.owners_of(b"k", 7) == {b"a", b"b"}
    assert table.owners_of(b"k", 8) == table.owners_of(b"none", 7) == frozenset()
    assert [(key, found.since_ms) for key, found in table.oldest()] == [(b"k", 1), (b"other", 2)]
    table.add(4, b"k", 8, 12, b"c")
    assert table.owners_of(b"k", 8) == {b"c"}
    assert [key for key, _ in table.oldest()] == [b"other", b"k"]
    table.forget(b"k")
    assert len(table) == 1


def test_usage():
    usage = Usage()
    assert usage.oldest_ms is None
    usage.add(3, 100, 5000)
    usage.add(3, 100, 6000)
    usage.add(4, 50, 5500)
    assert (usage.count, usage.size, usage.oldest_ms) == (3, 250, 5000)
    usage.recounted(3, 1, 120)
    assert (usage.count, usage.size) == (2, 170)
    assert usage.by_partition[3].is_exact
    usage.remove(3, 120)
    assert (usage.count, usage.size, usage.oldest_ms) == (1, 50, 5000)
    usage.recounted(3, 0, 0)
    assert usage.oldest_ms == 5500
    usage.remove(4, 80)
    usage.remove(9, 80)
    assert (usage.count, usage.size) == (0, 0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"reserve_bytes": 1 << 30},
        {"window_first": 0},
        {"window_first": 257},
        {"retry_ms": 0},
        {"retry_ms": 30_001},
        {"page_count_max": 0},
        {"settle_ms": -1},
    ],
)
def test_settings(wrong):
    with pytest.raises(ValueError, match="must be"):
        HintSettings(**wrong)
