"""One page of keys out of one store: listed in whole cursors, then read.

    order -> Entries -> order -> ... -> Values -> page

A store lists so many entries and then stops; keys of the last cursor may then be missing, so they
are left for the next page. If all entries have one cursor, that one alone is listed, in full.
"""

from __future__ import annotations

from lsmkv.kernel import key_token
from lsmkv_cluster.scanning.scan_cursor import cursor_of_slot, cursor_of_token, tokens_between
from lsmkv_cluster.storage.engine_key import KeyScheme, Space
from lsmkv_cluster.storage.storage_orders import Entries, Failure, ListEntries, Read, Values

__all__ = ["PAGE_COUNT_MAX", "PageListing"]

PAGE_COUNT_MAX = 1024
CROWD_COUNT_MAX = 1 << 16  # keys of one cursor; with a keyed hash there are never two by accident


class PageListing:
    """Give `order` to the store and its result to `done`, until that is true; then `keys`,
    `records` (None: gone meanwhile, or unreadable) and `cursor` (None: the end) are the page."""

    __slots__ = ("_count", "_end", "_first", "_scheme", "cursor", "keys", "order", "records")

    def __init__(self, scheme: KeyScheme, cursor: int, count: int, end_slot: int) -> None:
        self._scheme = scheme
        self._first = cursor
        self._end = cursor_of_slot(end_slot)
        self._count = max(1, min(count, PAGE_COUNT_MAX))
        self.keys: tuple[bytes, ...] = ()
        self.records: tuple[bytes | None, ...] = ()
        self.cursor: int | None = None
        self.order: ListEntries | Read = self._listing(self._end, self._count)

    def _listing(self, end: int, count: int) -> ListEntries:
        tokens = tokens_between(self._first, end)
        return ListEntries(Space.DATA, tokens.first, tokens.end, b"", count)

    def done(self, result: Entries | Values) -> bool:
        if isinstance(result, Values):
            self.records = tuple(
                None if isinstance(value, Failure) else value for value in result.values
            )
            return True
        keys = [entry.key for entry in result.entries]
        if result.after is not None:
            last = cursor_of_token(key_token(result.after))
            if last == self._first and self._count < CROWD_COUNT_MAX:
                self._count = CROWD_COUNT_MAX
                self.order = self._listing(last + 1, CROWD_COUNT_MAX)
                return False
            keys = [key for key in keys if self._cursor_of(key) < last]
            self.cursor = last
        elif self.order_ends_before_end:
            self.cursor = self._first + 1
        self.keys = tuple(keys)
        self.order = Read(Space.DATA, self.keys)
        return not keys

    @property
    def order_ends_before_end(self) -> bool:
        """Only one cursor was listed."""
        assert isinstance(self.order, ListEntries)
        return self.order.end < tokens_between(0, self._end).end

    def _cursor_of(self, key: bytes) -> int:
        return cursor_of_token(key_token(self._scheme.engine_key(Space.DATA, key)))
