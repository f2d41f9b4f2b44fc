"""Merges that showed a lost write of this store: distrust first, then merge.

When a record from elsewhere shows a dot of this store that the store lacks, the store refuses to
merge it (LOST_DOT): counting on from what is here would use dots twice. So all epochs so far are
distrusted; once that is on stable storage the same records are merged again, and whoever ordered
the merge gets one result, as if nothing had happened.

A dot that is lost even then is of an epoch that this run has not come to: another process mints
under the name of this store, on a copy of its disk (`take_run_twice`).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from lsmkv_cluster.ports import Stored, StoreOrder
from lsmkv_cluster.storage.storage_orders import Failure, Merge, Merged
from lsmkv_cluster.versions.actor import ActorSource

__all__ = ["LostDots"]


@dataclass(slots=True)
class _Held:
    token: Hashable
    order: Merge
    outcomes: list[bool | Failure]
    again: list[int]  # of the records that are merged again


class LostDots:
    """Stands between the machines and the store; tokens are those of the node."""

    def __init__(self, actors: ActorSource) -> None:
        self._actors = actors
        self._ordered: dict[Hashable, Merge] = {}
        self._held: list[_Held] = []
        self._repeated: dict[int, _Held] = {}
        self._next_id = 0
        self.found = 0
        self._is_run_twice = False

    def take_run_twice(self) -> bool:
        """Whether that was found since the last time."""
        found, self._is_run_twice = self._is_run_twice, False
        return found

    def ordered(self, order: StoreOrder) -> None:
        if isinstance(order.order, Merge):
            self._ordered[order.token] = order.order

    def stored(self, stored: Stored) -> Stored | None:
        """The result to pass on, or None while it is held back."""
        token, result = stored
        if isinstance(token, _Again):
            return self._repeated_result(token, result)
        order = self._ordered.pop(token, None)
        if order is None or not isinstance(result, Merged):
            return stored
        again = [i for i, outcome in enumerate(result.outcomes) if outcome is Failure.LOST_DOT]
        if not again:
            return stored
        self.found += len(again)
        if not self._held:
            self._actors.distrust_epochs()
        self._held.append(_Held(token, order, list(result.outcomes), again))
        return None

    def persisted(self) -> Sequence[StoreOrder]:
        """The distrust is on stable storage: what to merge again."""
        orders: list[StoreOrder] = []
        for held in self._held:
            self._next_id += 1
            self._repeated[self._next_id] = held
            records = tuple([held.order.records[i] for i in held.again])
            order = Merge(held.order.space, records, held.order.sync)
            orders.append(StoreOrder(_Again(self._next_id), order))
        self._held = []
        return orders

    def refuse(self) -> list[Stored]:
        """The topology has changed: what was taken before and is not done is refused. Whoever
        compares copies afterwards would miss what came late."""
        for repeated in self._repeated.values():
            repeated.again.clear()
        refused = [Stored(held.token, Merged(tuple(held.outcomes))) for held in self._held]
        self._held = []
        return refused

    def _repeated_result(self, token: _Again, result: object) -> Stored:
        held = self._repeated.pop(token.id)
        outcomes = result.outcomes if isinstance(result, Merged) else ()
        for index, outcome in zip(held.again, outcomes, strict=False):
            held.outcomes[index] = outcome
            self._is_run_twice |= outcome is Failure.LOST_DOT
        return Stored(held.token, Merged(tuple(held.outcomes)))


@dataclass(frozen=True, slots=True)
class _Again:
    id: int
