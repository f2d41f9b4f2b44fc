"""LevelDB through plyvel.

LevelDB has no multi-get (single gets stand for it) and no way to flush: draining waits for what
runs. It says nothing about running compactions, so a changing list of tables or a busy processor
counts as work.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from pathlib import Path

import plyvel

from lsmkv_bench.engines.interface import (
    BLOOM_BITS,
    CACHE_SIZE_BYTES,
    WRITE_BUFFER_SIZE_BYTES,
    Changes,
    Pairs,
    Reading,
    Writing,
    drained_seconds,
)

QUIET_SECONDS = 0.3
LEVEL_COUNT = 7


class PlyvelEngine:
    """See interface.Engine."""

    def open(self, path: Path, *, is_durable: bool = False) -> None:
        self._db = plyvel.DB(
            str(path),
            create_if_missing=True,
            lru_cache_size=CACHE_SIZE_BYTES,
            write_buffer_size=WRITE_BUFFER_SIZE_BYTES,
            bloom_filter_bits=BLOOM_BITS,
        )
        db = self._db
        self._writing = Writing(
            put=db.put,
            get=db.get,
            delete=db.delete,
            scan_from=lambda key, count: list(islice(db.iterator(start=key), count)),
        )
        self._reading = Reading(
            get=db.get,
            get_many=self._get_many,
            seeker=self._seeker,
            scan=lambda reverse: db.iterator(reverse=reverse),
        )

    def close(self) -> None:
        self._db.close()

    def writing(self, *, is_ordered: bool = False) -> AbstractContextManager[Writing]:
        return nullcontext(self._writing)

    def reading(self) -> AbstractContextManager[Reading]:
        return nullcontext(self._reading)

    def put_batch(self, pairs: Pairs, *, is_ordered: bool = False) -> None:
        batch = self._db.write_batch()
        put = batch.put
        for key, value in pairs:
            put(key, value)
        batch.write()

    def put_sync(self, key: bytes, value: bytes) -> None:
        self._db.put(key, value, sync=True)

    def drain(self) -> float:
        return drained_seconds(Changes(lambda: self._property("leveldb.sstables")), QUIET_SECONDS)

    def settle(self) -> None:
        self._db.compact_range()
        self.drain()

    def tree_shape(self) -> str:
        counts = [
            (level, int(self._property(f"leveldb.num-files-at-level{level}")))
            for level in range(LEVEL_COUNT)
        ]
        shape = ", ".join(f"L{level} {count}" for level, count in counts if count)
        return f"{shape} tables" if shape else "no tables"

    def settings(self) -> dict[str, str]:
        return {
            "version": f"{plyvel.__version__} (LevelDB {plyvel.__leveldb_version__})",
            "cache": f"{CACHE_SIZE_BYTES >> 20} MiB of blocks",
            "write buffer": f"{WRITE_BUFFER_SIZE_BYTES >> 20} MiB",
            "filter": f"{BLOOM_BITS} bits per key",
            "compression": "snappy, the only one there is",
            "synced by default": "never; a sync=True write syncs",
            "reads of many": "a loop over get(): there is no other",
            "batches": "write_batch()",
            "seeks": "one iterator, seek()",
        }

    def _property(self, name: str) -> str:
        return (self._db.get_property(name.encode()) or b"0").decode()

    def _get_many(self, keys: Sequence[bytes]) -> list[bytes | None]:
        get = self._db.get
        return [get(key) for key in keys]

    def _seeker(self) -> Callable[[bytes, int], Pairs]:
        iterator = self._db.iterator()
        seek = iterator.seek

        def seek_and_take(key: bytes, count: int) -> Pairs:
            seek(key)
            return list(islice(iterator, count))

        return seek_and_take
