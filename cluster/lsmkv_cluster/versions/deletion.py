"""Which records say nothing any more, and how old such a record is.

A record is deleted when it has no items, or tombstones only: what is left is what it has seen. A
tombstone beside anything else is not a delete.
"""

from __future__ import annotations

from lsmkv_cluster.versions.hlc import stamp_to_ms
from lsmkv_cluster.versions.record import Kind, Record

__all__ = ["has_expired", "is_deleted", "newest_ms"]


def is_deleted(record: Record) -> bool:
    return all(item.kind is Kind.TOMBSTONE for item in record.items)


def has_expired(record: Record, by_ms: int) -> bool:
    """Whether an item of it had expired by then."""
    return any(0 < item.expiry_ms <= by_ms for item in record.items)


def newest_ms(record: Record) -> int:
    """A wall-clock time that no write in the record is after, also those that it has superseded:
    who supersedes has a later stamp, or touches an entry of the clock (minting.py)."""
    touched_s = max((entry.time_s for entry in record.clock.entries.values()), default=0)
    return max(stamp_to_ms(record.newest_stamp()), touched_s * 1000 + 999)
