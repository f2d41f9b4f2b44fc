"""Orders are carried out one at a time and in their order, syncs are shared, and a result is given
when it is true; the thread is run by hand, step by step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lsmkv_cluster.ports import Stored, StoreOrder
from lsmkv_cluster.serving import store_runner
from lsmkv_cluster.serving.store_runner import StoreRunner
from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.storage.storage_orders import (
    Complete,
    Done,
    Failed,
    Failure,
    Merge,
    Merged,
    Order,
    Read,
    Remember,
    Result,
    Sync,
    Values,
)

DEADLINE_S = 20.0
READ = Read(Space.DATA, (b"k",))
MERGE = Merge(Space.DATA, ((b"k", b"r"),))
SYNCED = Merge(Space.DATA, ((b"k", b"r"),), sync=True)
SLOW = Remember(b"note", b"v")


class FakeStore:
    """Notes what it is given, and by which thread; `gate` holds up what is done on the other."""

    def __init__(self) -> None:
        self.done: list[Order] = []
        self.others: list[Order] = []  # done on the thread
        self.is_braking = False
        self.sync_result: Result = Done()
        self.gate = threading.Event()
        self.gate.set()
        self._main = threading.get_ident()
        self._busy = threading.Lock()

    def carry_out(self, order: Order) -> Result:
        assert self._busy.acquire(blocking=isinstance(order, Sync)), "two callers at once"
        try:
            if threading.get_ident() != self._main:
                self._busy.release()
                try:
                    assert self.gate.wait(DEADLINE_S)
                finally:
                    self._busy.acquire()
                self.others.append(order)
            self.done.append(order)
        finally:
            self._busy.release()
        match order:
            case Read(_, keys):
                return Values((b"record",) * len(keys))
            case Merge(_, records):
                return Merged((True,) * len(records))
            case Sync():
                return self.sync_result
            case _:
                return Done()


class Bench:
    """A runner whose loop is this test."""

    def __init__(self) -> None:
        self.store = FakeStore()
        self.posted: list[Callable[[], None]] = []
        self.has_posted = threading.Condition()
        self.results: list[Stored] = []
        self.failures: list[BaseException] = []
        self.now_s = 100.0
        self.runner = StoreRunner(
            self.store, self.post, self.results.extend, self.failures.append, lambda: self.now_s
        )

    def post(self, function: Callable[[], None]) -> None:
        with self.has_posted:
            self.posted.append(function)
            self.has_posted.notify()

    def give(self, *orders: Order) -> list[Any]:
        return self.runner.give([StoreOrder(i, order) for i, order in enumerate(orders)])

    def turn(self) -> None:
        """What the thread has posted, once there is something."""
        with self.has_posted:
            assert self.has_posted.wait_for(lambda: bool(self.posted), DEADLINE_S)
            posted, self.posted = self.posted, []
        for function in posted:
            function()

    def settle(self) -> None:
        while not self.runner.is_idle:
            self.turn()


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.store.gate.set()
    made.settle()
    made.runner.close()


def test_quick_orders_are_done_at_once(bench: Bench) -> None:
    results = bench.give(READ, MERGE)
    assert [result.token for result in results] == [0, 1]
    assert bench.store.others == []
    assert bench.runner.is_idle


def test_those_that_want_a_sync_share_the_next_one(bench: Bench) -> None:
    bench.store.gate.clear()
    assert bench.give(SYNCED) == []
    assert [r.token for r in bench.give(READ)] == [0], "orders go on meanwhile"
    assert bench.give(SYNCED, SYNCED, Read(Space.DATA, (b"k",), durable=True)) == []
    bench.store.gate.set()
    bench.settle()
    assert bench.store.others == [Sync(), Sync()], "one for the first, one for all others"
    assert [result.token for result in bench.results] == [0, 0, 1, 2]
    assert bench.store.done[1] == READ
    assert all(not getattr(order, "sync", False) for order in bench.store.done)


def test_what_a_failed_sync_was_for_has_failed(bench: Bench) -> None:
    bench.store.sync_result = Failed(Failure.BROKEN)
    durable = Read(Space.DATA, (b"k", b"l"), durable=True)
    assert bench.give(SYNCED, durable, Complete(3), Sync()) == []
    bench.settle()
    assert [result.result for result in bench.results] == [
        Merged((Failure.BROKEN,)),
        Values((Failure.BROKEN, Failure.BROKEN)),
        Failed(Failure.BROKEN),
        Failed(Failure.BROKEN),
    ]


def test_slow_orders_have_the_store_for_themselves_and_others_wait(bench: Bench) -> None:
    bench.store.gate.clear()
    assert [result.token for result in bench.give(READ, SLOW, MERGE)] == [0]
    assert bench.give(READ, SYNCED) == []
    assert not bench.runner.is_free
    bench.store.gate.set()
    bench.settle()
    order = [type(each) for each in bench.store.done]
    assert order[:3] == [Read, Remember, Merge]
    assert order.count(Read) == order.count(Merge) == 2
    assert [r.token for r in bench.results if isinstance(r.result, Done)] == [1]
    assert len(bench.results) == 4


def test_writes_wait_on_the_thread_while_the_engine_brakes(bench: Bench) -> None:
    bench.store.is_braking = True
    assert bench.give(MERGE) == []
    bench.settle()
    assert bench.store.others == [MERGE]
    assert [r.token for r in bench.give(READ)] == [0], "reads need not wait"


def test_after_a_slow_read_reads_go_to_the_thread_for_a_while(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out = bench.store.carry_out

    def slowly(order: Order) -> Result:
        bench.now_s += 2 * store_runner.READ_SLOW_S
        return carry_out(order)

    monkeypatch.setattr(bench.store, "carry_out", slowly)
    assert bench.give(READ)
    assert bench.give(READ) == []
    bench.settle()
    bench.now_s += store_runner.READ_SLOW_FOR_S
    assert bench.give(READ)


def test_jobs_take_their_turn_and_who_wants_the_store_gets_it_free(bench: Bench) -> None:
    said: list[str] = []
    bench.store.gate.clear()
    bench.give(SLOW)
    bench.runner.run(lambda: said.append("job"), lambda: said.append("done"))
    bench.runner.when_free(lambda: said.append("free"))
    assert said == []
    bench.store.gate.set()
    bench.settle()
    assert said == ["job", "done", "free"]
    bench.runner.when_free(lambda: said.append("again"))
    bench.turn()
    assert said[-1] == "again", "never before the wish was made"


def test_an_error_that_is_no_answer_ends_it(bench: Bench) -> None:
    def broken() -> None:
        raise RuntimeError("a broken promise")

    bench.runner.run(broken, lambda: None)
    bench.turn()
    [failure] = bench.failures
    assert isinstance(failure, RuntimeError)
    bench.runner._is_exclusive = False  # nobody waits for it any more
