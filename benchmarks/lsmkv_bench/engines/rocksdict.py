"""RocksDB through rocksdict, in raw mode.

The options must be given for the column family "default" too: otherwise an existing database takes
that one's from its OPTIONS file, which knows neither cache nor filter, and reads go through 8 MiB
of cache and search every absent key. `open` refuses to go on if the cache did not take effect.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from itertools import islice
from pathlib import Path

import rocksdict

from lsmkv_bench.engines.interface import (
    BACKGROUND_JOBS,
    BLOOM_BITS,
    CACHE_SIZE_BYTES,
    WRITE_BUFFER_SIZE_BYTES,
    ZSTD_LEVEL,
    Pairs,
    Reading,
    Writing,
    drained_seconds,
)

QUIET_SECONDS = 0.05
LEVEL_COUNT = 7
BLOCK_SIZE = 4096  # RocksDB's default; the cache estimates by it how many entries it will have
WINDOW_BITS, STRATEGY, DICTIONARY_BYTES = -14, 0, 0  # as RocksDB has them by default
WRITE_BUFFERS = 4  # one active and three frozen, as many as lsmkv lets wait
BUSY = (
    "rocksdb.mem-table-flush-pending",
    "rocksdb.compaction-pending",
    "rocksdb.num-running-flushes",
    "rocksdb.num-running-compactions",
)


class RocksdictEngine:
    """See interface.Engine."""

    def open(self, path: Path, *, is_durable: bool = False) -> None:
        options = _options()
        self._db = rocksdict.Rdict(str(path), options, column_families={"default": options})
        capacity = self._db.property_int_value("rocksdb.block-cache-capacity")
        if capacity != CACHE_SIZE_BYTES:
            raise RuntimeError(f"rocksdict has a cache of {capacity} bytes, not what was set")
        self._synced = rocksdict.WriteOptions()
        self._synced.sync = True
        db = self._db
        self._writing = Writing(
            put=db.put,
            get=db.get,
            delete=db.delete,
            scan_from=lambda key, count: list(islice(db.items(from_key=key), count)),
        )
        self._reading = Reading(
            get=db.get,
            get_many=db.get,  # of a list: its multi-get
            seeker=self._seeker,
            scan=lambda reverse: db.items(backwards=reverse),
        )

    def close(self) -> None:
        self._db.close()

    def writing(self, *, is_ordered: bool = False) -> AbstractContextManager[Writing]:
        return nullcontext(self._writing)

    def reading(self) -> AbstractContextManager[Reading]:
        return nullcontext(self._reading)

    def put_batch(self, pairs: Pairs, *, is_ordered: bool = False) -> None:
        batch = rocksdict.WriteBatch(raw_mode=True)
        put = batch.put
        for key, value in pairs:
            put(key, value)
        self._db.write(batch)

    def put_sync(self, key: bytes, value: bytes) -> None:
        self._db.put(key, value, self._synced)

    def drain(self) -> float:
        started = time.perf_counter()
        self._db.flush()
        flush_seconds = time.perf_counter() - started
        return flush_seconds + drained_seconds(self._is_busy, QUIET_SECONDS)

    def settle(self) -> None:
        self._db.flush()
        self._db.compact_range(None, None)
        self.drain()

    def tree_shape(self) -> str:
        names = (f"rocksdb.num-files-at-level{level}" for level in range(LEVEL_COUNT))
        counts = [int(self._db.property_value(name) or 0) for name in names]
        shape = ", ".join(f"L{level} {count}" for level, count in enumerate(counts) if count)
        return f"{shape} tables" if shape else "no tables"

    def settings(self) -> dict[str, str]:
        return {
            "version": metadata.version("rocksdict"),
            "cache": f"{CACHE_SIZE_BYTES >> 20} MiB of blocks, HyperClockCache",
            "index in blocks": "binary and hash",
            "write buffer": f"{WRITE_BUFFER_SIZE_BYTES >> 20} MiB, {WRITE_BUFFERS} at most",
            "filter": f"{BLOOM_BITS} bits per key",
            "compression": f"zstd level {ZSTD_LEVEL}",
            "background": f"{BACKGROUND_JOBS} jobs",
            "synced by default": "never; a write with sync=True syncs",
            "reads of many": "get() of a list",
            "batches": "WriteBatch",
            "seeks": "one iterator, seek()",
            "mode": "raw: bytes without a type prefix",
        }

    def _is_busy(self) -> bool:
        return any(self._db.property_int_value(name) for name in BUSY)

    def _seeker(self) -> Callable[[bytes, int], Pairs]:
        iterator = self._db.iter()
        seek, valid, advance = iterator.seek, iterator.valid, iterator.next
        key_of, value_of = iterator.key, iterator.value

        def seek_and_take(key: bytes, count: int) -> Pairs:
            seek(key)
            pairs: Pairs = []
            for _ in range(count):
                if not valid():
                    break
                pairs.append((key_of(), value_of()))
                advance()
            return pairs

        return seek_and_take


def _options() -> rocksdict.Options:
    options = rocksdict.Options(raw_mode=True)
    options.create_if_missing(True)
    options.increase_parallelism(BACKGROUND_JOBS)
    options.set_max_background_jobs(BACKGROUND_JOBS)
    options.set_write_buffer_size(WRITE_BUFFER_SIZE_BYTES)
    options.set_max_write_buffer_number(WRITE_BUFFERS)
    options.set_compression_type(rocksdict.DBCompressionType.zstd())
    options.set_compression_options(WINDOW_BITS, ZSTD_LEVEL, STRATEGY, DICTIONARY_BYTES)
    table = rocksdict.BlockBasedOptions()
    table.set_block_cache(rocksdict.Cache.new_hyper_clock_cache(CACHE_SIZE_BYTES, BLOCK_SIZE))
    table.set_bloom_filter(BLOOM_BITS, False)
    table.set_data_block_index_type(rocksdict.DataBlockIndexType.binary_and_hash())
    options.set_block_based_table_factory(table)
    return options
