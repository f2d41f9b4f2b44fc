"""The ledger sees every mint and merge, and at once what must never happen."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from lsmkv_cluster.storage.engine_key import Space
from lsmkv_cluster.storage.storage_orders import (
    Discard,
    Done,
    Drop,
    Failed,
    Failure,
    MakeRoom,
    Merge,
    Merged,
    Mint,
    Order,
    Read,
    Result,
    Sync,
    Values,
)
from lsmkv_cluster.versions.record import Item, Kind, Record
from lsmkv_cluster.versions.record_format import encode
from lsmkv_cluster.versions.vclock import Actor, Clock, Dot, Entry
from tests.sim.ledger import Ledger
from tests.sim.loop import Loop
from tests.sim.trace import Trace

A = Actor(1, 1, 1 << 32)


def record(*values: bytes, known: int = 0) -> Record:
    """Values with the dots that come last of those that are known."""
    count = max(known, len(values))
    first = count - len(values) + 1
    items = tuple(
        Item(Dot(A, first + n), Kind.VALUE, first + n, b"", value) for n, value in enumerate(values)
    )
    return Record(Clock({A: Entry(count, 1)}), items)


class Store:
    """Answers as it is told."""

    def __init__(self, stored: bytes | None = None, failure: Failure | None = None) -> None:
        self.stored = stored
        self.failure = failure

    def carry_out(self, order: Order) -> Result:
        if isinstance(order, Mint):
            for index in range(len(order.keys)):
                self.stored = order.decide(index, self.stored) or self.stored
            return Merged(tuple(self.failure or True for _ in order.keys))
        if isinstance(order, Merge):
            return Merged(tuple(self.failure or True for _ in order.records))
        if isinstance(order, Read):
            return Values(tuple(self.failure or self.stored for _ in order.keys))
        if isinstance(order, Drop) and not self.failure:
            self.stored = None
        return Failed(self.failure) if self.failure else Done()

    def close(self) -> None:
        """Nothing to do."""


class Book:
    def __init__(self) -> None:
        loop = Loop()
        self.found: list[str] = []
        self.ledger = Ledger(
            2,
            Trace(loop),
            lambda promise, where, text: self.found.append(promise),
            lambda key: 0,
            lambda machine, key: frozenset([0, 1]),
        )
        world = SimpleNamespace(loop=loop)
        self.machines: list[Any] = [
            SimpleNamespace(number=n, name=f"n{n}", world=world) for n in range(2)
        ]

    def mint(self, made: Record, before: Record | None = None, **how: Any) -> None:
        stored = encode(before) if before else None
        order = Mint(Space.DATA, (b"k",), lambda index, old: encode(made))
        self.ledger.carried_out(self.machines[0], Store(stored, **how), order)

    def merge(self, made: Record, machine: int = 1, **how: Any) -> None:
        order = Merge(Space.DATA, ((b"k", encode(made)),))
        self.ledger.carried_out(self.machines[machine], Store(**how), order)


@pytest.fixture
def book() -> Book:
    return Book()


def test_a_mint_tells_what_is_new_and_what_went(book: Book):
    book.mint(record(b"a"))
    book.mint(record(b"b", known=2), before=record(b"a"))
    first, second = book.ledger.mints
    assert (first.dots, first.superseded) == ((Dot(A, 1),), ())
    assert (second.dots, second.superseded) == ((Dot(A, 2),), (Dot(A, 1),))
    assert first.number < second.number
    assert book.found == []


def test_mints_of_one_order_have_numbers_of_their_own(book: Book):
    made = iter([record(b"a"), record(b"b", known=2)])
    order = Mint(Space.DATA, (b"k", b"k"), lambda index, old: encode(next(made)))
    book.ledger.carried_out(book.machines[0], Store(), order)
    assert len({mint.number for mint in book.ledger.mints}) == 2


def test_a_dot_that_is_used_twice(book: Book):
    book.mint(record(b"a"))
    book.mint(record(b"b"))
    assert book.found == ["dot used twice"]


def test_the_same_dot_of_another_key_is_another_event(book: Book):
    book.mint(record(b"a"))
    order = Mint(Space.DATA, (b"other",), lambda index, old: encode(record(b"b")))
    book.ledger.carried_out(book.machines[0], Store(), order)
    assert book.found == []


def test_an_item_that_nobody_minted(book: Book):
    book.merge(record(b"a"))
    assert book.found == ["an item that nobody minted"]


def test_an_item_that_changed_on_its_way(book: Book):
    book.mint(record(b"a"))
    book.merge(record(b"A"))
    assert book.found == ["a dot with two items"]


def test_damaged_bytes_that_a_store_accepts(book: Book):
    order = Merge(Space.DATA, ((b"k", b"rubbish"),))
    book.ledger.carried_out(book.machines[0], Store(failure=Failure.INVALID), order)
    assert book.found == []
    book.ledger.carried_out(book.machines[0], Store(), order)
    assert book.found == ["a damaged record was accepted"]


def test_a_mint_that_failed_may_show_later_or_its_dot_be_used_again(book: Book):
    book.mint(record(b"a"), failure=Failure.BROKEN)
    assert book.ledger.mints == []
    book.merge(record(b"a"))
    assert book.found == []
    other = Book()
    other.mint(record(b"a"), failure=Failure.FULL)
    other.mint(record(b"b"))
    assert other.found == []
    other.merge(record(b"a"))
    assert other.found == ["a dot with two items"]


def test_changes_are_those_by_merges_of_data(book: Book):
    book.mint(record(b"a"))
    book.merge(record(b"a"))
    book.merge(record(b"a"), failure=Failure.FULL)
    assert [(machine, key) for _, machine, key in book.ledger.changes] == [(1, b"k")]


def test_a_loss_of_power_takes_what_came_since_the_last_sync(book: Book):
    book.mint(record(b"a"))
    book.ledger.carried_out(book.machines[0], Store(), Sync())
    book.mint(record(b"b", known=2), before=record(b"a"))
    book.ledger.lost_power(0)
    old, new = book.ledger.holdings[0]
    assert book.ledger.loss_of(0, old) is None
    loss = book.ledger.loss_of(0, new)
    assert loss is not None
    assert loss.kind == "power"


DURABLE = (Sync(), Read(Space.DATA, (b"k",), durable=True))


@pytest.mark.parametrize("order", DURABLE)
@pytest.mark.parametrize("failure", [None, Failure.BROKEN])
def test_what_was_synced_is_kept_unless_the_sync_failed(
    book: Book, order: Order, failure: Failure | None
):
    book.mint(record(b"a"))
    book.ledger.carried_out(book.machines[0], Store(encode(record(b"a")), failure), order)
    book.ledger.lost_power(0)
    is_lost = book.ledger.loss_of(0, book.ledger.holdings[0][0]) is not None
    assert is_lost is (failure is not None)


class Keeping(Store):
    """A hint has changed: it stays."""

    def carry_out(self, order: Order) -> Result:
        return Done() if isinstance(order, Drop) else super().carry_out(order)


def test_a_hint_that_was_dropped_is_noted_as_it_was(book: Book):
    stored = record(b"a")
    for store in (Store(encode(stored)), Keeping(encode(stored)), Store()):
        book.ledger.carried_out(book.machines[1], store, Drop(Space.HINT, ((b"k", 0),)))
    noted = [(drop.machine, drop.key, drop.record) for drop in book.ledger.drops]
    assert noted == [(1, b"k", stored)]


def test_what_strict_readers_get_is_noted(book: Book):
    stored = record(b"a")
    for store, durable in (
        (Store(encode(stored)), True),
        (Store(), True),
        (Store(encode(stored)), False),
        (Store(failure=Failure.CORRUPT), True),
    ):
        order = Read(Space.DATA, (b"k",), durable)
        book.ledger.carried_out(book.machines[0], store, order)
    assert [lookup.record for lookup in book.ledger.lookups] == [stored, None]


def test_a_merge_whose_sync_failed_keeps_nothing(book: Book):
    """Simulated cluster 2180: what it lost counted as kept."""
    book.merge(record(b"a"))
    order = Merge(Space.DATA, ((b"k", encode(record(b"a"))),), sync=True)
    book.ledger.carried_out(book.machines[1], Store(failure=Failure.BROKEN), order)
    book.ledger.lost_power(1)
    [held] = book.ledger.holdings[1]
    assert book.ledger.loss_of(1, held) is not None


def test_what_is_held_after_a_loss_is_not_lost_by_it(book: Book):
    book.ledger.lost(0, "wiped", 0)
    book.mint(record(b"a"))
    assert book.ledger.loss_of(0, book.ledger.holdings[0][0]) is None
    book.ledger.lost(0, "wiped", 0)
    assert book.ledger.loss_of(0, book.ledger.holdings[0][0])


def test_an_old_copy_loses_what_came_after_it_was_taken(book: Book):
    book.mint(record(b"a"))
    taken = book.ledger.number
    book.mint(record(b"b", known=2), before=record(b"a"))
    book.ledger.lost(0, "restored", taken)
    old, new = book.ledger.holdings[0]
    assert book.ledger.loss_of(0, old) is None
    assert book.ledger.loss_of(0, new)


def test_a_discarded_partition_loses_what_was_in_it_alone(book: Book):
    book.mint(record(b"a"))
    [held] = book.ledger.holdings[0]
    for order, is_lost in [
        (Discard(1), False),
        (Discard(0, Space.HINT), False),
        (MakeRoom((1, 2)), False),
        (MakeRoom((1, 0)), True),
    ]:
        book.ledger.carried_out(book.machines[0], Store(), order)
        assert bool(book.ledger.loss_of(0, held)) is is_lost
