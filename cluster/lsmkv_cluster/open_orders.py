"""Orders that the store has been given and has not answered: whose they are.

Whatever passes between the machines of a node and its store passes here: it is counted
(backlog.py), and a merge that shows a lost write of this store is held back (merging.py).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from lsmkv_cluster.healing.merging import LostDots
from lsmkv_cluster.ports import Stored, StoreOrder
from lsmkv_cluster.storage.backlog import Backlog
from lsmkv_cluster.storage.storage_orders import Order
from lsmkv_cluster.versions.actor import ActorSource

__all__ = ["OpenOrders", "Passed"]


class _Open(NamedTuple):
    machine: int
    token: Hashable
    order: Order


class Passed(NamedTuple):
    """A result for a machine, with the token that it gave, and what it is the result of."""

    machine: int
    stored: Stored
    order: Order


class OpenOrders:
    """Tokens of the orders that go out are numbers."""

    def __init__(self, actors: ActorSource, backlog: Backlog) -> None:
        self._lost_dots = LostDots(actors)
        self._backlog = backlog
        self._open: dict[int, _Open] = {}
        self._next_number = 0

    def give(self, machine: int, token: Hashable, order: Order) -> StoreOrder:
        self._next_number += 1
        number = self._next_number
        self._open[number] = _Open(machine, token, order)
        self._backlog.ordered(number, order)
        given = StoreOrder(number, order)
        self._lost_dots.ordered(given)
        return given

    def take(self, event: Stored) -> Passed | None:
        """None while it is held back."""
        if isinstance(event.token, int):
            self._backlog.done(event.token, event.result)
        passed = self._lost_dots.stored(event)
        return None if passed is None else self._passed(passed)

    def persisted(self) -> Sequence[StoreOrder]:
        """The distrust of the store is durable: what to do again."""
        return self._lost_dots.persisted()

    def take_run_twice(self) -> bool:
        """Whether another process was found to write as this node, since the last time."""
        return self._lost_dots.take_run_twice()

    def refuse(self) -> list[Passed]:
        """The topology has changed: what was held back is refused."""
        return [self._passed(passed) for passed in self._lost_dots.refuse()]

    def _passed(self, stored: Stored) -> Passed:
        assert isinstance(stored.token, int)
        machine, token, order = self._open.pop(stored.token)
        return Passed(machine, Stored(token, stored.result), order)
