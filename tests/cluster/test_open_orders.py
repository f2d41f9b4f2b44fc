"""A result goes to the machine that gave the order, with its token; and everything is counted."""

from __future__ import annotations

from lsmkv_cluster.open_orders import OpenOrders, Passed
from lsmkv_cluster.ports import Stored
from lsmkv_cluster.storage.backlog import Backlog
from lsmkv_cluster.storage.storage_orders import Done, Failure, Merge, Merged, Space, Sync
from lsmkv_cluster.versions.actor import ActorSource, Identity

MERGE = Merge(Space.DATA, ((b"k", b"record"), (b"l", b"record")))


def make() -> tuple[OpenOrders, Backlog]:
    backlog = Backlog()
    return OpenOrders(ActorSource(Identity(1, 7), ended_cleanly=True, peers_needed=0), backlog), (
        backlog
    )


def test_results_find_their_way_in_any_order():
    orders, backlog = make()
    first = orders.give(3, "a", MERGE)
    second = orders.give(5, "a", Sync())
    assert (first.order, second.order) == (MERGE, Sync())
    assert backlog.count == 3
    assert orders.take(Stored(second.token, Done())) == Passed(5, Stored("a", Done()), Sync())
    result = Merged((True, False))
    assert orders.take(Stored(first.token, result)) == Passed(3, Stored("a", result), MERGE)
    assert backlog.count == 0


def test_a_merge_that_is_held_back_does_not_wait_for_the_store_any_more():
    orders, backlog = make()
    given = orders.give(3, "a", MERGE)
    assert orders.take(Stored(given.token, Merged((True, Failure.LOST_DOT)))) is None
    assert backlog.count == 0
    [again] = orders.persisted()
    assert again.order == Merge(Space.DATA, (MERGE.records[1],))
    passed = orders.take(Stored(again.token, Merged((True,))))
    assert passed == Passed(3, Stored("a", Merged((True, True))), MERGE)


def test_what_is_held_back_is_refused_when_the_topology_changes():
    orders, _ = make()
    given = orders.give(3, "a", MERGE)
    outcomes = Merged((True, Failure.LOST_DOT))
    orders.take(Stored(given.token, outcomes))
    assert orders.refuse() == [Passed(3, Stored("a", outcomes), MERGE)]
    assert list(orders.persisted()) == []


def test_it_tells_once_that_this_node_runs_twice():
    orders, _ = make()
    given = orders.give(3, "a", MERGE)
    orders.take(Stored(given.token, Merged((True, Failure.LOST_DOT))))
    [again] = orders.persisted()
    assert not orders.take_run_twice()
    orders.take(Stored(again.token, Merged((Failure.LOST_DOT,))))
    assert [orders.take_run_twice() for _ in range(2)] == [True, False]
