"""lsmkv through its public interface."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import lsmkv
from lsmkv_bench.engines.interface import (
    BLOOM_BITS,
    CACHE_SIZE_BYTES,
    WRITE_BUFFER_SIZE_BYTES,
    ZSTD_LEVEL,
    Bulk,
    Pairs,
    Reading,
    Writing,
    drained_seconds,
)

QUIET_SECONDS = 0.05
ROWS_PER_CALL = 100_000
KEYS_PER_CALL = 10_000


class LsmkvEngine:
    """See interface.Engine."""

    def open(self, path: Path, *, is_durable: bool = False) -> None:
        self._db = lsmkv.open(
            path,
            block_cache_size=CACHE_SIZE_BYTES,
            write_buffer_size=WRITE_BUFFER_SIZE_BYTES,
            bloom_bits_per_key=BLOOM_BITS,
            compression_level=ZSTD_LEVEL,
        )
        db = self._db
        self._writing = Writing(
            put=db.put,
            get=db.get,
            delete=db.delete,
            scan_from=lambda key, count: list(db.scan(key, limit=count)),
        )
        self._reading = Reading(
            get=db.get,
            get_many=db.get_many,
            seeker=self._seeker,
            scan=lambda reverse: db.scan(reverse=reverse),
        )

    def close(self) -> None:
        self._db.close()

    def writing(self, *, is_ordered: bool = False) -> AbstractContextManager[Writing]:
        return nullcontext(self._writing)

    def reading(self) -> AbstractContextManager[Reading]:
        return nullcontext(self._reading)

    def put_batch(self, pairs: Pairs, *, is_ordered: bool = False) -> None:
        self._db.put_many(pairs)

    def put_sync(self, key: bytes, value: bytes) -> None:
        self._db.put(key, value, sync=True)

    def drain(self) -> float:
        started = time.perf_counter()
        self._db.flush()
        flush_seconds = time.perf_counter() - started
        return flush_seconds + drained_seconds(
            lambda: bool(self._db.stats()["compaction_pending"]), QUIET_SECONDS
        )

    def settle(self) -> None:
        self._db.compact()
        self.drain()

    def bulk(self) -> Bulk:
        return _Columns(self._db)

    def tree_shape(self) -> str:
        tables = [(level["level"], level["table_count"]) for level in self._db.stats()["levels"]]
        counts = [f"L{level} {count}" for level, count in tables if count]
        return ", ".join(counts) + " tables" if counts else "no tables"

    def settings(self) -> dict[str, str]:
        return {
            "version": metadata.version("lsmkv"),
            "cache": f"{CACHE_SIZE_BYTES >> 20} MiB of blocks",
            "write buffer": f"{WRITE_BUFFER_SIZE_BYTES >> 20} MiB",
            "filter": f"{BLOOM_BITS} bits per key",
            "compression": f"zstd level {ZSTD_LEVEL}",
            "synced by default": "every second, in the background",
            "reads of many": "get_many()",
            "batches": "put_many()",
            "bulk": "put_columns() and get_columns() of numpy arrays",
            "seeks": "one scan, seek()",
        }

    def _seeker(self) -> Callable[[bytes, int], Pairs]:
        scan = self._db.scan()

        def seek_and_take(key: bytes, count: int) -> Pairs:
            nonlocal scan
            scan.seek(key)
            pairs = list(islice(scan, count))
            if len(pairs) < count:  # at its end a scan is closed
                scan = self._db.scan()
            return pairs

        return seek_and_take


class _Columns:
    """See interface.Bulk: keys and values as columns of offsets and bytes."""

    keys_per_call = KEYS_PER_CALL

    def __init__(self, db: lsmkv.DB) -> None:
        self._db = db

    def prepare(self, lab: Any, keys: list[bytes]) -> list[object]:
        values = cycle(lab.data.values)
        portions: list[object] = []
        for start in range(0, len(keys), ROWS_PER_CALL):
            part = keys[start : start + ROWS_PER_CALL]
            column = lsmkv.Column.from_bytes(list(islice(values, len(part))))
            portions.append((lsmkv.Column.from_bytes(part), column))
        return portions

    def write(self, portion: Any) -> None:
        self._db.put_columns(*portion)

    def prepare_keys(self, keys: list[bytes]) -> object:
        return lsmkv.Column.from_bytes(keys)

    def read(self, keys: Any) -> object:
        return self._db.get_columns(keys)

    def values(self, result: Any) -> list[bytes | None]:
        values, found = result
        rows = values.to_list()
        return [row if there else None for row, there in zip(rows, found, strict=True)]
