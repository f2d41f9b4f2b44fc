"""Of a store: which records are deleted, and whether they are still what they were.

Looking at a range is done in pieces, each bounded in records and bytes. Most records are neither
deleted nor do they expire, and are passed over after a look at three fields. A record that is
damaged is passed over, too: whoever reads it finds out.
"""

from __future__ import annotations

from lsmkv import DB
from lsmkv.kernel import entry_hash
from lsmkv_cluster.storage.engine_key import KeyScheme, Space, TokenRange, client_key
from lsmkv_cluster.storage.storage_orders import (
    Confirm,
    Confirmed,
    DeletedEntries,
    DeletedEntry,
    Failed,
    ListDeleted,
)
from lsmkv_cluster.storage.store_failures import REFUSALS, read_failure, write_failure
from lsmkv_cluster.versions.deletion import has_expired, is_deleted, newest_ms
from lsmkv_cluster.versions.record_format import decode, is_plain

__all__ = ["Deletions"]


class Deletions:
    def __init__(self, db: DB, scheme: KeyScheme) -> None:
        self._db = db
        self._scheme = scheme

    def listed(self, order: ListDeleted) -> DeletedEntries | Failed:
        keys = TokenRange(order.first, order.end).keys
        start = max(keys.start, order.after + b"\0") if order.after else keys.start
        looked_at, size = 0, 0
        interesting: list[tuple[bytes, bytes]] = []
        after = None
        try:
            with self._db.scan(start, keys.stop, limit=order.count_max) as scan:
                for key, record in scan:
                    looked_at += 1
                    size += len(record)
                    if not is_plain(record):
                        interesting.append((key, record))
                    if looked_at == order.count_max or size >= order.size_max_bytes:
                        after = key
                        break
        except REFUSALS as error:
            return Failed(read_failure(error))
        return self._sorted_out(interesting, order.expired_by_ms, after)

    def _sorted_out(
        self, pairs: list[tuple[bytes, bytes]], expired_by_ms: int, after: bytes | None
    ) -> DeletedEntries:
        entries: list[DeletedEntry] = []
        expired: list[bytes] = []
        for key, data in pairs:
            try:
                record = decode(data)
            except REFUSALS:
                continue
            if is_deleted(record):
                digest = entry_hash(self._scheme.tree_key, key, data)
                entries.append(DeletedEntry(client_key(key), digest, newest_ms(record)))
            elif has_expired(record, expired_by_ms):
                expired.append(client_key(key))
        return DeletedEntries(tuple(entries), tuple(expired), after)

    def confirmed(self, order: Confirm) -> Confirmed | Failed:
        """What is told apart was read before the sync, and so is covered by it."""
        keys = [self._scheme.engine_key(Space.DATA, key) for key, _ in order.entries]
        try:
            found = self._db.get_many(keys)
        except REFUSALS as error:
            return Failed(read_failure(error))
        same = tuple(
            record is not None and entry_hash(self._scheme.tree_key, key, record) == digest
            for key, record, (_, digest) in zip(keys, found, order.entries, strict=True)
        )
        if any(same):
            try:
                self._db.sync()
            except REFUSALS as error:
                return Failed(write_failure(error, self._db))
        return Confirmed(same)
