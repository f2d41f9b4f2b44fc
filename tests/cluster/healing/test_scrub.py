"""The scrub reaches every leaf of every ready partition, one order at a time."""

from __future__ import annotations

import random

from lsmkv_cluster.healing.repair_schedule import AntiEntropySettings
from lsmkv_cluster.healing.scrub import Scrubber
from lsmkv_cluster.storage.storage_orders import Failed, Failure, Scrub, Scrubbed

SETTINGS = AntiEntropySettings(scrub_interval_ms=10, scrub_leaf_count=4)


def run(scrubber: Scrubber, until_ms: int, is_ready=lambda partition: True) -> list[Scrub]:
    """Partitions have 8 leaves each."""
    orders = []
    while (now_ms := scrubber.next_deadline()) is not None and now_ms < until_ms:
        order = scrubber.tick(now_ms, is_ready)
        if order is None:
            continue
        orders.append(order)
        assert scrubber.next_deadline() is None
        assert scrubber.tick(now_ms + 10**6, is_ready) is None
        following = order.leaf + order.leaf_count
        scrubber.stored(now_ms, Scrubbed(following if following < 8 else None, 1))
    return orders


def test_round_and_round():
    scrubber = Scrubber([3, 5, 9], random.Random(1), SETTINGS)
    orders = run(scrubber, 12 * 10)
    assert len(orders) == 12
    assert set(orders) == {Scrub(p, leaf, 4) for p in (3, 5, 9) for leaf in (0, 4)}
    assert orders[:6] == orders[6:]
    assert (scrubber.rounds, scrubber.corrected) == (6, 12)


def test_what_is_not_ready_is_passed_over():
    scrubber = Scrubber([3, 5, 9], random.Random(1), SETTINGS)
    assert {order.partition for order in run(scrubber, 100, lambda p: p == 5)} == {5}
    assert run(scrubber, 200, lambda p: False) == []
    assert {order.partition for order in run(scrubber, 400)} == {3, 5, 9}


def test_failures_go_on_with_the_next_partition():
    scrubber = Scrubber([3, 5], random.Random(1), SETTINGS)
    first = scrubber.tick(0, lambda partition: True)
    assert first is not None
    assert scrubber.stored(0, Failed(Failure.CORRUPT)) == first.partition
    second = scrubber.tick(10, lambda partition: True)
    assert second is not None
    assert second.partition != first.partition
    assert scrubber.stored(10, Failed(Failure.BROKEN)) is None


def test_nothing_to_scrub():
    scrubber = Scrubber([], random.Random(1), SETTINGS)
    assert scrubber.next_deadline() is None
    assert scrubber.tick(0, lambda partition: True) is None


def test_the_partition_in_work_goes_on_when_others_come_and_go():
    scrubber = Scrubber([3, 5, 9], random.Random(1), SETTINGS)
    first = scrubber.tick(0, lambda partition: True)
    assert first is not None
    scrubber.follow(sorted({1, first.partition, 20}))
    assert scrubber.next_deadline() is None
    scrubber.stored(0, Scrubbed(4, 1))
    second = scrubber.tick(10, lambda partition: True)
    assert second == Scrub(first.partition, 4, 4)
    assert scrubber.corrected == 1


def test_a_result_for_a_partition_that_is_not_kept_any_more_says_nothing():
    scrubber = Scrubber([3, 5, 9], random.Random(1), SETTINGS)
    first = scrubber.tick(0, lambda partition: True)
    assert first is not None
    others = [partition for partition in (3, 5, 9) if partition != first.partition]
    scrubber.follow(others)
    assert scrubber.tick(10**6, lambda partition: True) is None
    assert scrubber.stored(0, Failed(Failure.CORRUPT)) is None
    assert set(run(scrubber, 50)) == {Scrub(p, leaf, 4) for p in others for leaf in (0, 4)}


def test_all_partitions_go_and_others_come():
    scrubber = Scrubber([3], random.Random(1), SETTINGS)
    assert scrubber.tick(0, lambda partition: True) is not None
    scrubber.follow([])
    scrubber.stored(0, Scrubbed(4, 0))
    assert scrubber.next_deadline() is None
    assert scrubber.tick(10**6, lambda partition: True) is None
    scrubber.follow([7])
    due_ms = scrubber.next_deadline()
    assert due_ms is not None
    assert scrubber.tick(due_ms, lambda partition: True) == Scrub(7, 0, 4)
