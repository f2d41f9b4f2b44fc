"""What waits for the store is bounded: the less is done for it already, the sooner it is refused.
The bound follows how fast the store is, and overload is announced when it lasts."""

from __future__ import annotations

import random
from collections import deque

import pytest

from lsmkv_cluster.storage.backlog import STREAK_GAP_MS, Backlog, BacklogSettings, Work
from lsmkv_cluster.storage.storage_orders import (
    Done,
    Failure,
    Merge,
    Merged,
    Mint,
    Read,
    Space,
    Sync,
    Values,
)

SETTINGS = BacklogSettings(operation_count_max=100, operation_count_min=4, size_max_bytes=1000)


def merge(count: int, size: int = 0) -> Merge:
    """Of `count` records and `size` bytes for each."""
    return Merge(Space.DATA, ((b"", bytes(size)),) * count)


def taken(backlog: Backlog, work: Work, size: int = 0) -> int:
    count = 0
    while backlog.take(work, size):
        count += 1
    return count


def test_who_has_done_more_may_fill_more():
    for work, count in ((Work.BULK, 50), (Work.CALLS, 75), (Work.BEGUN, 100)):
        assert taken(Backlog(SETTINGS), work) == count
    backlog = Backlog(SETTINGS)
    assert [taken(backlog, work) for work in Work] == [50, 25, 25]


def test_bytes_are_bounded_alike():
    backlog = Backlog(SETTINGS)
    assert [taken(backlog, work, 50) for work in Work] == [10, 5, 5]
    assert backlog.take(Work.BEGUN, 0)


def test_one_alone_may_be_larger_than_all_that_is_allowed():
    assert Backlog(SETTINGS).take(Work.BULK, 10_000)


def test_what_was_taken_is_counted_once_when_it_is_ordered():
    backlog = Backlog(SETTINGS)
    backlog.look(0)
    for _ in range(60):
        assert backlog.take(Work.CALLS, 10)
    backlog.ordered(1, merge(60, 10))
    assert (backlog.count, backlog.size) == (60, 600)
    assert taken(backlog, Work.CALLS) == 15


def test_what_was_taken_and_never_ordered_counts_for_its_step_only():
    backlog = Backlog(SETTINGS)
    taken(backlog, Work.BEGUN)
    backlog.look(1)
    assert taken(backlog, Work.BEGUN) == 100


def test_room_comes_back_with_results():
    backlog = Backlog(SETTINGS)
    backlog.look(0)
    backlog.ordered(1, merge(40))
    backlog.ordered(2, Mint(Space.DATA, (b"k",) * 30, lambda *_: None))
    backlog.ordered(3, Read(Space.DATA, (b"k",) * 20))
    backlog.ordered(4, Sync())
    assert taken(backlog, Work.BEGUN) == 9
    backlog.look(1)
    backlog.done(2, Merged((True,) * 30))
    backlog.done(1, Merged((True,) * 40))
    backlog.done(3, Values((None,) * 20))
    assert (backlog.count, backlog.size) == (1, 0)
    assert taken(backlog, Work.BEGUN) == 99


def test_orders_that_nobody_may_refuse_are_counted_beyond_every_limit():
    backlog = Backlog(SETTINGS)
    backlog.ordered(1, merge(500))
    assert backlog.count == 500
    assert not backlog.has_room(Work.BEGUN)


def test_a_long_wait_shows_how_much_may_wait():
    """30 operations took twice the target: half as many may wait from now on."""
    backlog = Backlog(SETTINGS)
    backlog.look(0)
    for number in range(30):
        backlog.ordered(number, merge(1))
    backlog.look(500)
    for number in range(30):
        backlog.done(number, Merged((True,)))
    assert backlog.limit == 15
    assert taken(backlog, Work.BEGUN) == 15


def test_the_limit_has_a_floor_and_grows_again_by_what_is_done_quickly():
    backlog = Backlog(SETTINGS)
    backlog.look(0)
    backlog.ordered(0, merge(1))
    backlog.look(60_000)
    backlog.done(0, Merged((True,)))
    assert backlog.limit == 4
    found = []
    for number in range(1, 8):
        backlog.ordered(number, merge(backlog.limit))
        backlog.done(number, Merged(()))
        found.append(backlog.limit)
    assert found == [8, 16, 32, 64, 100, 100, 100]


def test_nothing_is_taken_while_the_oldest_order_waits_for_too_long():
    backlog = Backlog(SETTINGS)
    backlog.look(0)
    backlog.ordered(0, Sync())
    backlog.look(SETTINGS.wait_max_ms - 1)
    assert backlog.has_room(Work.BULK)
    backlog.look(SETTINGS.wait_max_ms)
    assert not any(backlog.has_room(work) for work in Work)
    backlog.woke()
    assert all(backlog.has_room(work) for work in Work)
    backlog.look(2 * SETTINGS.wait_max_ms)
    backlog.done(0, Done())
    backlog.look(2 * SETTINGS.wait_max_ms)
    assert all(backlog.has_room(work) for work in Work)


def refuse(backlog: Backlog, now_ms: int, work: Work = Work.CALLS) -> None:
    backlog.look(now_ms)
    backlog.ordered(now_ms, merge(200))
    assert not backlog.take(work, 0)
    backlog.done(now_ms, Merged(()))


def test_overload_is_announced_when_it_lasts_and_for_a_while_after():
    backlog = Backlog(SETTINGS)
    seen = {}
    for now_ms in range(1000, 2001, 100):
        refuse(backlog, now_ms)
        seen[now_ms] = backlog.is_overloaded
    assert [now_ms for now_ms, is_seen in seen.items() if is_seen] == list(range(1500, 2001, 100))
    backlog.look(2000 + SETTINGS.calm_ms - 1)
    assert backlog.is_overloaded
    backlog.look(2000 + SETTINGS.calm_ms)
    assert not backlog.is_overloaded


def test_refusals_now_and_then_are_no_overload():
    backlog = Backlog(SETTINGS)
    for now_ms in range(0, 100_000, STREAK_GAP_MS + 1):
        refuse(backlog, now_ms)
        assert not backlog.is_overloaded
    assert backlog.refused == 100


def test_a_background_that_has_to_wait_is_no_overload():
    backlog = Backlog(SETTINGS)
    for now_ms in range(0, 10_000, 100):
        refuse(backlog, now_ms, Work.BULK)
    assert not backlog.is_overloaded


@pytest.mark.parametrize("failure", [Failure.FULL, Failure.BROKEN])
def test_a_store_that_cannot_write_is_read_only_for_a_while(failure):
    backlog = Backlog(SETTINGS)
    backlog.look(1000)
    backlog.ordered(1, merge(2))
    backlog.ordered(2, merge(1))
    backlog.done(2, Merged((Failure.INVALID,)))
    assert not backlog.is_read_only
    backlog.done(1, Merged((True, failure)))
    assert backlog.is_read_only
    backlog.look(1000 + SETTINGS.read_only_ms)
    assert not backlog.is_read_only


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("batch_ms", [0, 1, 40, 400])
def test_a_flood_waits_for_a_bounded_time_whatever_the_store_can_do(seed, batch_ms):
    """Ten times of what the store can do, for a minute, one batch after the other: once the first
    waits have shown how slow it is, nobody waits much longer than the target, or two batches."""
    choose = random.Random(seed)
    settings = BacklogSettings()
    backlog = Backlog(settings)
    per_ms = 0.2  # operations that the store can do
    queue: deque[tuple[int, int]] = deque()
    begun, free_ms, number, done = 0, 0.0, 0, 0
    worst_ms = 0
    for now_ms in range(60_000):
        backlog.look(now_ms)
        while begun and now_ms >= free_ms:
            one, since_ms = queue.popleft()
            begun -= 1
            backlog.done(one, Merged((True,)))
            if now_ms >= 10_000:
                done += 1
                worst_ms = max(worst_ms, now_ms - since_ms)
        if queue and not begun:
            begun = len(queue) if batch_ms else 1
            free_ms = now_ms + batch_ms + begun / per_ms
        for _ in range(choose.randrange(5)):
            if backlog.take(Work.BEGUN, 10):
                number += 1
                queue.append((number, now_ms))
                backlog.ordered(number, merge(1, 10))
    least_ms = settings.operation_count_min / per_ms
    assert worst_ms <= 2 * (max(settings.wait_target_ms, least_ms) + batch_ms)
    share = least_ms / (least_ms + batch_ms)  # of its time that the store spends on operations
    assert done > 0.6 * share * per_ms * 50_000
    assert backlog.is_overloaded


@pytest.mark.parametrize(
    "bad",
    [
        {"operation_count_min": 0},
        {"operation_count_min": 9000},
        {"bulk_share": 0.9},
        {"call_share": 1.1},
        {"wait_max_ms": 0},
    ],
)
def test_limits_that_make_no_sense_are_refused(bad):
    with pytest.raises(ValueError):
        BacklogSettings(**bad)
