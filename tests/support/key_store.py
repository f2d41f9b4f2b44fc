"""A store of keys alone: it lists them, and reads a record that says which key it is of."""

from __future__ import annotations

from collections.abc import Iterable

from lsmkv.kernel import key_token
from lsmkv_cluster.storage.engine_key import HEAD_SIZE, KeyScheme, Space
from lsmkv_cluster.storage.storage_orders import (
    Entries,
    Entry,
    Failed,
    Failure,
    ListEntries,
    Order,
    Read,
    Result,
    Values,
)

__all__ = ["KeyStore"]


class KeyStore:
    def __init__(self, scheme: KeyScheme, keys: Iterable[bytes]) -> None:
        self.engine_keys = sorted(scheme.engine_key(Space.DATA, key) for key in keys)
        self.is_broken = False
        self.record_size = 1

    def carry_out(self, order: Order) -> Result:
        if self.is_broken:
            return Failed(Failure.BROKEN)
        if isinstance(order, Read):
            return Values(tuple(b"record of " + key for key in order.keys))
        assert isinstance(order, ListEntries)
        return self.list(order)

    def list(self, order: ListEntries) -> Entries:
        found = [
            each
            for each in self.engine_keys
            if order.first <= key_token(each) < order.end and each > order.after
        ]
        page = found[: order.count_max]
        entries = tuple(Entry(each[HEAD_SIZE:], 1, self.record_size) for each in page)
        return Entries(entries, page[-1] if len(found) > len(page) else None)
