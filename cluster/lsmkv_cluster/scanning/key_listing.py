"""The keys of a range of cursors out of one store: complete up to some cursor, in a few orders.

A store lists so many entries and then stops; keys of the last cursor may then be missing, so they
are left for the next page. If all entries have one cursor, that one alone is listed, in full. If
the keys would be too large to travel, or their records to be read, less is listed.
"""

from __future__ import annotations

from lsmkv.kernel import key_token
from lsmkv_cluster.scanning.scan_cursor import cursor_of_token, tokens_between
from lsmkv_cluster.storage.engine_key import KeyScheme, Space
from lsmkv_cluster.storage.storage_orders import Entries, ListEntries

__all__ = ["KEYS_SIZE_MAX", "LISTED_COUNT_MAX", "RECORDS_SIZE_MAX", "KeyListing"]

LISTED_COUNT_MAX = 1024  # keys of one answer, but for those of one cursor
KEYS_SIZE_MAX = 1 << 20  # bytes of them, but for those of one cursor
RECORDS_SIZE_MAX = 16 << 20  # bytes of their records, but for those of one cursor
CROWD_COUNT_MAX = 256  # keys of one cursor: their hashes are keyed, so that nobody can make more


class KeyListing:
    """Give `order` to the store and its result to `listed`, until that is true. Then these are the
    keys of the cursors in [first, complete_to), and their records have `size` bytes, or less."""

    __slots__ = ("_count", "_end", "_first", "_scheme", "complete_to", "keys", "order", "size")

    def __init__(self, scheme: KeyScheme, first: int, end: int, count: int) -> None:
        self._scheme = scheme
        self._first = first
        self._end = end
        self._count = max(1, min(count, LISTED_COUNT_MAX))
        self.keys: tuple[bytes, ...] = ()
        self.complete_to = first
        self.size = 0
        self.order = self._order()

    def _order(self) -> ListEntries:
        tokens = tokens_between(self._first, self._end)
        return ListEntries(Space.DATA, tokens.first, tokens.end, b"", self._count)

    def listed(self, page: Entries) -> bool:
        is_single = self._end == self._first + 1
        keys_size = sum(len(entry.key) for entry in page.entries)
        self.size = sum(entry.size for entry in page.entries)
        is_large = keys_size > KEYS_SIZE_MAX or self.size > RECORDS_SIZE_MAX
        if is_large and self._count > 1 and not is_single:
            self._count //= 2
            self.order = self._order()
            return False
        keys, end = [entry.key for entry in page.entries], self._end
        if page.after is not None and not is_single:
            end = cursor_of_token(key_token(page.after))
            if end == self._first:
                self._end, self._count = end + 1, CROWD_COUNT_MAX
                self.order = self._order()
                return False
            keys = [key for key in keys if self.cursor_of(key) < end]
        self.keys, self.complete_to = tuple(keys), end
        return True

    def cursor_of(self, key: bytes) -> int:
        return cursor_of_token(key_token(self._scheme.engine_key(Space.DATA, key)))
