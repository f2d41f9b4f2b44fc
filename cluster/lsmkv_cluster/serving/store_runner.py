"""Carries out the orders of a node: at once where nothing has to be waited for, else on a thread.

    quick      reads, and merges without their sync      here, in the loop
    sync       all that a sync was asked for              one thread; orders go on meanwhile, and
                                                          those that want a sync share the next one
    slow       all others, and quick ones as long as      the same thread; whatever comes behind
               reads were slow lately or the engine       them waits
               brakes its writers

What holds: orders are carried out in the order in which they were given, one at a time (the store
wants that); a sync begins after all that was given before it; a result is handed over once, when
it is true: a merge that asked for a sync has none before that sync has ended.

The thread runs one job at a time and knows nothing of the loop but `post`, which may be called from
any thread. An error that is not an answer goes to `fail`, and nothing is carried out after it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from queue import SimpleQueue
from threading import Thread
from time import perf_counter
from typing import Protocol

from lsmkv_cluster.ports import Stored, StoreOrder
from lsmkv_cluster.storage.storage_orders import (
    Complete,
    Done,
    Failed,
    Merge,
    Merged,
    Mint,
    Order,
    Read,
    Result,
    Sync,
    Values,
)

__all__ = ["RunnableStore", "StoreRunner"]

READ_SLOW_S = 0.002  # a read in the loop that takes longer makes the next ones go to the thread
READ_SLOW_FOR_S = 0.5
DRAIN_LOOK_S = 0.005
READ_COUNT_MAX = 512  # keys that are read in the loop at once

Task = Callable[[], object]


@dataclass(frozen=True, slots=True)
class _Job:
    """Work on the store that is no order of the node; `done` is called in the loop."""

    function: Callable[[], None]
    done: Callable[[], None]


Held = list[tuple[StoreOrder, Result]]  # done, and true after the next sync


class RunnableStore(Protocol):
    def carry_out(self, order: Order) -> Result: ...

    @property
    def is_braking(self) -> bool:
        """Whether a write may have to wait for the engine's background."""


class StoreRunner:
    """`post(function)` runs it in the loop; `deliver` and `fail` are called there, as `give` is."""

    def __init__(
        self,
        store: RunnableStore,
        post: Callable[[Callable[[], None]], None],
        deliver: Callable[[Sequence[Stored]], None],
        fail: Callable[[BaseException], None],
        timer: Callable[[], float] = perf_counter,
    ) -> None:
        self._store = store
        self._post = post
        self._deliver = deliver
        self._fail = fail
        self._timer = timer
        self._waiting: deque[StoreOrder | _Job] = deque()  # behind what the thread does
        self._wishes: list[Callable[[], None]] = []  # of who wants the store once it is free
        self._unsynced: Held = []
        self._is_exclusive = False  # the thread works on the store
        self._is_syncing = False
        self._reads_slowly_until_s = 0.0
        self._jobs: SimpleQueue[Task | None] = SimpleQueue()
        self._thread = Thread(target=self._work, name="lsmkv storage", daemon=True)
        self._thread.start()

    @property
    def is_idle(self) -> bool:
        return not (self._waiting or self._unsynced or self._is_exclusive or self._is_syncing)

    @property
    def is_free(self) -> bool:
        """Whether somebody else in the loop may read and write the store now, as if by an order."""
        return not (self._waiting or self._is_exclusive)

    def give(self, orders: Sequence[StoreOrder]) -> list[Stored]:
        """The results that are known at once; `deliver` gets the others."""
        if self._is_exclusive or self._waiting:
            self._waiting += orders
            return []
        results: list[Stored] = []
        for place, given in enumerate(orders):
            if not self._is_quick(given.order):
                self._waiting += orders[place:]
                break
            self._carry_out(given, results)
        self._go_on()
        return results

    def run(self, function: Callable[[], None], done: Callable[[], None]) -> None:
        """`function` has the store for itself, on the thread, in its turn; then `done` is called
        in the loop."""
        self._waiting.append(_Job(function, done))
        self._go_on()

    def when_free(self, function: Callable[[], None]) -> None:
        """Called once, in the loop, when the store is free."""
        self._wishes.append(function)
        if self.is_free:
            self._post(self._grant)

    async def drained(self) -> None:
        """Until nothing is left to do."""
        while not self.is_idle:
            await asyncio.sleep(DRAIN_LOOK_S)

    def close(self) -> None:
        """Ends the thread, after what it has to do. Results that come meanwhile are lost."""
        self._jobs.put(None)
        self._thread.join()

    # --- in the loop

    def _is_quick(self, order: Order) -> bool:
        if isinstance(order, Read):
            return len(order.keys) <= READ_COUNT_MAX and self._timer() >= self._reads_slowly_until_s
        return isinstance(order, Sync) or (
            isinstance(order, Merge | Mint) and not self._store.is_braking
        )

    def _carry_out(self, given: StoreOrder, results: list[Stored]) -> None:
        began_s = self._timer()
        result, wants_sync = _without_sync(self._store, given.order)
        if isinstance(given.order, Read):
            ended_s = self._timer()
            if ended_s - began_s > READ_SLOW_S:
                self._reads_slowly_until_s = ended_s + READ_SLOW_FOR_S
        if wants_sync:
            self._unsynced.append((given, result))
        else:
            results.append(Stored(given.token, result))

    def _go_on(self) -> None:
        """What the thread does next: a sync first, as somebody waits for it already."""
        if self._is_exclusive or self._is_syncing:
            return
        if self._unsynced:
            synced, self._unsynced = self._unsynced, []
            self._is_syncing = True
            self._jobs.put(lambda: self._sync(synced))
        elif self._waiting:
            batch = list(self._waiting)
            self._waiting.clear()
            self._is_exclusive = True
            self._jobs.put(lambda: self._run(batch))

    def _synced(self, results: list[Stored]) -> None:
        self._is_syncing = False
        self._take_up(results)

    def _ran(self, results: list[Stored]) -> None:
        self._is_exclusive = False
        self._take_up(results)

    def _take_up(self, results: list[Stored]) -> None:
        """What has waited, as far as it is quick now."""
        while self._waiting and not self._is_exclusive:
            first = self._waiting[0]
            if isinstance(first, _Job) or not self._is_quick(first.order):
                break
            self._waiting.popleft()
            self._carry_out(first, results)
        self._go_on()
        if results:
            self._deliver(results)
        self._grant()

    def _grant(self) -> None:
        if self.is_free and self._wishes:
            wishes, self._wishes = self._wishes, []
            for wish in wishes:
                wish()

    # --- on the thread

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001  the loop ends the node for it
                self._post(partial(self._fail, error))
                return

    def _sync(self, held: Held) -> None:
        results = self._after_sync(held)
        self._post(lambda: self._synced(results))

    def _run(self, batch: list[StoreOrder | _Job]) -> None:
        results: list[Stored] = []
        held: Held = []
        for given in batch:
            if isinstance(given, _Job):
                given.function()
                self._post(given.done)
                continue
            result, wants_sync = _without_sync(self._store, given.order)
            if wants_sync:
                held.append((given, result))
            else:
                results.append(Stored(given.token, result))
        if held:
            results += self._after_sync(held)
        self._post(lambda: self._ran(results))

    def _after_sync(self, held: Held) -> list[Stored]:
        """All with one sync."""
        outcome = self._store.carry_out(Sync())
        return [Stored(given.token, _true_after(given.order, result, outcome))
                for given, result in held]  # fmt: skip


def _without_sync(store: RunnableStore, order: Order) -> tuple[Result, bool]:
    """The result, and whether it is true only after a sync."""
    if isinstance(order, Sync):
        return Done(), True
    if isinstance(order, Read) and order.durable:
        return store.carry_out(replace(order, durable=False)), True
    if isinstance(order, Merge | Mint | Complete) and order.sync:
        return store.carry_out(replace(order, sync=False)), True
    return store.carry_out(order), False


def _true_after(order: Order, result: Result, outcome: Result) -> Result:
    """What is true after a sync that ended so."""
    if isinstance(order, Sync):
        return outcome
    if not isinstance(outcome, Failed):
        return result
    if isinstance(order, Complete):
        return outcome
    if isinstance(result, Values):
        return Values((outcome.failure,) * len(result.values))
    assert isinstance(result, Merged)
    return Merged((outcome.failure,) * len(result.outcomes))
