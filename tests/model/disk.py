"""The store of a node of the model: one key, as data and as a hint, and what a crash leaves of it.

Orders are carried out as storage_orders.py says and as the engine does it: whatever is synced takes
with it all that was written before. Merges are those of the product, guard included. The mark of an
incomplete copy, the identity and the document are durable at once, as all that the node does
about them is.
"""

from __future__ import annotations

from collections.abc import Callable

from lsmkv import Error
from lsmkv.kernel import RecordMerger
from lsmkv_cluster.storage.storage_orders import (
    Complete,
    Discard,
    Done,
    Failure,
    Lack,
    MakeRoom,
    Merge,
    Merged,
    Mint,
    Order,
    Read,
    Release,
    Result,
    Space,
    Suspect,
    Sync,
    Values,
)
from lsmkv_cluster.versions.actor import Identity

__all__ = ["Disk"]

Noted = Callable[[bytes | None, bytes], None]
PARTITION = 0  # there is no other


class Disk:
    """`minted(before, after)` is told of each version that is made. `is_lazy`: broken, says of
    records that they are synced when they are not."""

    def __init__(self, identity: Identity, minted: Noted, *, is_lazy: bool = False) -> None:
        self.records: dict[Space, bytes] = {}
        self.durable: dict[Space, bytes] = {}
        self.lack: Lack | None = None
        self.identity = identity
        self.epoch = 1
        self._minted = minted
        self._is_lazy = is_lazy

    def lose_power(self) -> None:
        self.records = dict(self.durable)

    def sync(self) -> None:
        self.durable = dict(self.records)

    def persist(self, identity: Identity) -> None:
        self.identity = identity
        self.sync()

    def remember(self, epoch: int) -> None:
        self.epoch = epoch
        self.sync()

    def carry_out(self, order: Order) -> Result:
        match order:
            case Read(space, keys, durable):
                if durable and not self._is_lazy:
                    self.sync()
                return Values((self.records.get(space),) * len(keys))
            case Merge(space, records, sync):
                outcomes = tuple([self._merge(space, record) for _, record in records])
                if sync and not self._is_lazy:
                    self.sync()
                return Merged(outcomes)
            case Mint(space, keys, decide):
                assert len(keys) == 1
                return Merged((self._mint(space, decide),))
            case Discard(partition, Space.DATA):
                self.lack = Lack.LOST
                self._drop(partition)
            case MakeRoom(partitions):
                assert partitions == (PARTITION,)
                self.lack = Lack.LOST
                self._drop(PARTITION)
            case Release(kept) if PARTITION not in kept:
                self._drop(PARTITION)
                self.lack = None
            case Suspect(_, lack):
                self.lack = lack
            case Complete():
                self.lack = None
            case Sync():
                if self._is_lazy:
                    return Done()
            case Release():
                pass
            case _:
                raise AssertionError(f"an order that no node of the model gives: {order}")
        self.sync()
        return Done()

    def _drop(self, partition: int) -> None:
        assert partition == PARTITION
        self.records.pop(Space.DATA, None)
        self.durable.pop(Space.DATA, None)

    def _merge(self, space: Space, record: bytes) -> bool | Failure:
        guard = (self.identity.own(), self.identity.trusted_epoch) if space is Space.DATA else ()
        merger = RecordMerger(*guard)
        old = self.records.get(space)
        try:
            new = merger.merge(old, record)
        except (Error, ValueError):
            return Failure.LOST_DOT if merger.missed_epoch else Failure.INVALID
        self.records[space] = new
        return new != old

    def _mint(self, space: Space, decide: Callable[[int, bytes | None], bytes | None]) -> bool:
        old = self.records.get(space)
        new = decide(0, old)
        if new is None or new == old:
            return False
        self.records[space] = new
        self._minted(old, new)
        return True
