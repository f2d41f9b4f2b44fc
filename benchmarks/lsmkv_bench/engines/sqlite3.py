"""SQLite through the standard library: one table without row ids.

WAL, transactions of SESSION_OPERATIONS; synchronous=OFF where nothing is to be synced, FULL where
every commit is. Each thread has its own connection, as the manual wants it; writers take turns at a
lock instead of at SQLite's busy handler, which sleeps. Its drain is the checkpoint and a sync.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from lsmkv_bench.engines.interface import CACHE_SIZE_BYTES, Pairs, Reading, Writing

TABLE = "CREATE TABLE IF NOT EXISTS pairs (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID"
PUT = "INSERT OR REPLACE INTO pairs VALUES (?, ?)"
GET = "SELECT v FROM pairs WHERE k = ?"
DELETE = "DELETE FROM pairs WHERE k = ?"
SCAN_FROM = "SELECT k, v FROM pairs WHERE k >= ? ORDER BY k LIMIT ?"
SCAN = "SELECT k, v FROM pairs ORDER BY k"
STATEMENTS_CACHED = 256


class Sqlite3Engine:
    """See interface.Engine."""

    def open(self, path: Path, *, is_durable: bool = False) -> None:
        path.mkdir(exist_ok=True)
        self._file = path / "pairs.sqlite"
        self._synchronous = "FULL" if is_durable else "OFF"
        self._connections: list[sqlite3.Connection] = []
        self._local = threading.local()
        self._write_lock = threading.Lock()
        self._connection().execute(TABLE)

    def close(self) -> None:
        for connection in self._connections:
            connection.close()

    @contextmanager
    def writing(self, *, is_ordered: bool = False) -> Iterator[Writing]:
        connection = self._connection()
        execute = connection.execute
        with self._write_lock:
            execute("BEGIN IMMEDIATE")
            yield Writing(
                put=lambda key, value: execute(PUT, (key, value)),
                get=partial(_get, execute),
                delete=lambda key: execute(DELETE, (key,)),
                scan_from=partial(_scan_from, execute),
            )
            execute("COMMIT")

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        execute = self._connection().execute
        execute("BEGIN")
        yield Reading(
            get=partial(_get, execute),
            get_many=partial(_get_many, execute),
            seeker=lambda: partial(_scan_from, execute),
            scan=lambda reverse: execute(SCAN + " DESC" if reverse else SCAN),
        )
        execute("COMMIT")

    def put_batch(self, pairs: Pairs, *, is_ordered: bool = False) -> None:
        connection = self._connection()
        with self._write_lock:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(PUT, pairs)
            connection.execute("COMMIT")

    def put_sync(self, key: bytes, value: bytes) -> None:
        execute = self._connection().execute
        with self._write_lock:
            execute(PUT, (key, value))

    def drain(self) -> float:
        started = time.perf_counter()
        self._connection().execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        descriptor = os.open(self._file, os.O_RDWR)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return time.perf_counter() - started

    def settle(self) -> None:
        self.drain()

    def tree_shape(self) -> str:
        [(pages,)] = self._connection().execute("PRAGMA page_count").fetchall()
        return f"{pages} pages"

    def settings(self) -> dict[str, str]:
        return {
            "version": sqlite3.sqlite_version,
            "cache": f"{CACHE_SIZE_BYTES >> 20} MiB of pages",
            "write buffer": "a write-ahead log of 64 MiB before it is copied",
            "filter": "none",
            "compression": "none: there is none",
            "synced by default": "never: synchronous=OFF",
            "synced writes": "synchronous=FULL",
            "puts": "in transactions of 1000",
            "reads of many": "SELECT ... IN (...)",
            "batches": "executemany(), one transaction each",
            "table": "WITHOUT ROWID, blob key, write-ahead log",
        }

    def _connection(self) -> sqlite3.Connection:
        """This thread's."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._file,
                isolation_level=None,
                check_same_thread=False,
                cached_statements=STATEMENTS_CACHED,
            )
            pages = CACHE_SIZE_BYTES // 1024
            for pragma in (
                "journal_mode=WAL",
                f"synchronous={self._synchronous}",
                f"cache_size=-{pages}",
                "wal_autocheckpoint=16384",
            ):
                connection.execute(f"PRAGMA {pragma}").fetchall()
            self._local.connection = connection
            self._connections.append(connection)
        return connection


Execute = Callable[..., sqlite3.Cursor]


def _get(execute: Execute, key: bytes) -> bytes | None:
    row = execute(GET, (key,)).fetchone()
    return row[0] if row else None


def _get_many(execute: Execute, keys: Sequence[bytes]) -> list[bytes | None]:
    marks = ",".join("?" * len(keys))
    found = dict(execute(f"SELECT k, v FROM pairs WHERE k IN ({marks})", keys).fetchall())
    return [found.get(key) for key in keys]


def _scan_from(execute: Execute, key: bytes, count: int) -> Pairs:
    return execute(SCAN_FROM, (key, count)).fetchall()
