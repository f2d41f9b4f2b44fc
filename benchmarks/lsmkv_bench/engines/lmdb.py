"""LMDB: a copy-on-write B+ tree in one mapped file, nothing compressed.

Writes are grouped into transactions of SESSION_OPERATIONS, without which every put would copy a
path of pages. Unsynced work runs with MDB_NOSYNC, WRITEMAP and MAPASYNC, the fastest the manual
has; a database for synced writes is opened with none of them. Its drain is the sync of what was
left to the system. Pages of the map are file pages and do not count as memory.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from pathlib import Path

import lmdb

from lsmkv_bench.engines.interface import Pairs, Reading, Writing

MAP_SIZE_BYTES = 64 << 30  # address space, not memory
MAX_READERS = 64


class LmdbEngine:
    """See interface.Engine."""

    def open(self, path: Path, *, is_durable: bool = False) -> None:
        is_fast = not is_durable
        self._environment = lmdb.open(
            str(path),
            map_size=MAP_SIZE_BYTES,
            sync=is_durable,
            metasync=is_durable,
            writemap=is_fast,
            map_async=is_fast,
            max_readers=MAX_READERS,
        )

    def close(self) -> None:
        self._environment.close()

    @contextmanager
    def writing(self, *, is_ordered: bool = False) -> Iterator[Writing]:
        with self._environment.begin(write=True) as transaction:
            cursor = transaction.cursor()

            def scan_from(key: bytes, count: int) -> Pairs:
                if not cursor.set_range(key):
                    return []
                return list(islice(cursor.iternext(), count))

            put = partial(transaction.put, append=True) if is_ordered else transaction.put
            yield Writing(put, transaction.get, transaction.delete, scan_from)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        with self._environment.begin() as transaction:
            yield Reading(
                get=transaction.get,
                get_many=partial(_get_many, transaction.cursor()),
                seeker=partial(_seeker, transaction),
                scan=partial(_scan, transaction),
            )

    def put_batch(self, pairs: Pairs, *, is_ordered: bool = False) -> None:
        with self._environment.begin(write=True) as transaction:
            transaction.cursor().putmulti(pairs, append=is_ordered)

    def put_sync(self, key: bytes, value: bytes) -> None:
        with self._environment.begin(write=True) as transaction:
            transaction.put(key, value)

    def drain(self) -> float:
        started = time.perf_counter()
        self._environment.sync(True)
        return time.perf_counter() - started

    def settle(self) -> None:
        self.drain()

    def tree_shape(self) -> str:
        state = self._environment.stat()
        return f"depth {state['depth']}, {state['leaf_pages']} leaf pages"

    def settings(self) -> dict[str, str]:
        version = ".".join(map(str, lmdb.version()))
        return {
            "version": f"{lmdb.__version__} (LMDB {version})",
            "cache": "the system's: a mapped file",
            "write buffer": "the system's",
            "filter": "none",
            "compression": "none: there is none",
            "synced by default": "never: sync=False, writemap=True, map_async=True",
            "synced writes": "sync=True, writemap=False, one transaction each",
            "puts": "in transactions of 1000; append=True in key order",
            "reads": "one long read transaction",
            "reads of many": "cursor.getmulti()",
            "batches": "cursor.putmulti(), one transaction each",
            "seeks": "one cursor, set_range()",
        }


def _get_many(cursor: lmdb.Cursor, keys: Sequence[bytes]) -> list[bytes | None]:
    return [value for _, value in cursor.getmulti(keys)]  # absent keys are left out


def _seeker(transaction: lmdb.Transaction) -> Callable[[bytes, int], Pairs]:
    cursor = transaction.cursor()
    set_range, iterate = cursor.set_range, cursor.iternext

    def seek_and_take(key: bytes, count: int) -> Pairs:
        if not set_range(key):
            return []
        return list(islice(iterate(), count))

    return seek_and_take


def _scan(transaction: lmdb.Transaction, reverse: bool) -> Iterator[tuple[bytes, bytes]]:
    cursor = transaction.cursor()
    found = cursor.last() if reverse else cursor.first()
    if not found:
        return iter(())
    pairs: Iterator[tuple[bytes, bytes]] = cursor.iterprev() if reverse else cursor.iternext()
    return pairs
