"""A whole database driven by bytes, beside a dict: any order of operations, flushes, merges, ends
of the process and losses of power, with options that the first bytes choose.

After a loss of power the state must be one of those since the last sync.
"""

from __future__ import annotations

from typing import Any

import lsmkv
from lsmkv import kernel
from lsmkv._native.vfs import MemoryFileSystem
from tests.fuzz.choices import Choices

__all__ = ["run_input"]

OPERATIONS_MAX = 60
SIZES = (0, 1, 7, 30, 200, 1500)
SURVIVALS = (0.0, 0.3, 0.7, 1.0)
State = dict[bytes, bytes]


class Subject:
    """The database and what it must show. `states`: what a loss of power may leave."""

    def __init__(self, source: Choices) -> None:
        self.source = source
        pick = source.below
        self.options: dict[str, Any] = {
            "background": "inline",
            "write_buffer_size": (4096, 16384)[pick(2)],
            "table_size": (4096, 16384)[pick(2)],
            "level0_trigger": 1 + pick(3),
            "level_size_ratio": 2 + pick(3),
            "block_size": (256, 1024, 4096)[pick(3)],
            "block_cache_size": (0, 5000)[pick(2)],
            "row_cache_size": (0, 1000, 1 << 20)[pick(3)],
            "bloom_bits_per_key": (0, 10)[pick(2)],
            "compression": (None, "zstd")[pick(2)],
            "log_mode": ("written", "mapped")[pick(2)],
        }
        self.files = MemoryFileSystem()
        self.model: State = {}
        self.states: list[State] = [{}]
        self.number = 0
        self.db = self.open()
        self.snapshot: tuple[lsmkv.Snapshot, State] | None = None

    def open(self) -> lsmkv.DB:
        return lsmkv.open("/db", filesystem=self.files, **self.options)

    def key(self) -> bytes:
        number = self.source.below(64)
        return (b"k%d" % number, b"k", b"k\x00\x00", b"\xff" * 9)[number % 4] + b"%d" % (number % 5)

    def value(self) -> bytes:
        self.number += 1
        return b"%d" % self.number + b"v" * SIZES[self.source.below(len(SIZES))]

    def commit(self, changes: dict[bytes, bytes | None], *, durable: bool) -> None:
        self.model = {k: v for k, v in (self.model | changes).items() if v is not None}
        self.states = [self.model] if durable else [*self.states, self.model]

    # --- operations

    def put(self) -> None:
        key, value, sync = self.key(), self.value(), self.source.below(4) == 0
        self.db.put(key, value, sync=sync)
        self.commit({key: value}, durable=sync)

    def delete(self) -> None:
        key = self.key()
        self.db.delete(key)
        self.commit({key: None}, durable=False)

    def batch(self) -> None:
        changes: dict[bytes, bytes | None] = {}
        with self.db.write_batch() as batch:
            for _ in range(self.source.below(6)):
                key = self.key()
                changes[key] = self.value() if self.source.below(3) else None
                value = changes[key]
                batch.delete(key) if value is None else batch.put(key, value)
        self.commit(changes, durable=False)

    def get(self) -> None:
        key = self.key()
        assert self.db.get(key) == self.model.get(key)

    def scan(self) -> None:
        start, stop, reverse = self.key(), self.key(), self.source.below(2) == 1
        pairs = sorted((k, v) for k, v in self.model.items() if start <= k < stop)
        assert list(self.db.scan(start, stop, reverse=reverse)) == pairs[:: -1 if reverse else 1]

    def sync(self) -> None:
        self.db.sync()
        self.states = [self.model]

    def flush(self) -> None:
        self.db.flush()
        self.states = [self.model]

    def compact(self) -> None:
        self.db.compact()
        self.states = [self.model]

    def drop_range(self) -> None:
        start, stop = sorted((self.key(), self.key()))
        kernel.drop_range(self.db, start, stop)
        gone = dict.fromkeys(key for key in self.model if start <= key < stop)
        self.commit(gone, durable=bool(gone))

    def take_snapshot(self) -> None:
        if self.snapshot is not None:
            snapshot, model = self.snapshot
            assert dict(snapshot.scan()) == model
            snapshot.close()
            self.snapshot = None
        else:
            self.snapshot = self.db.snapshot(), self.model

    def reopen(self) -> None:
        self.db.close()
        self._opened([self.model])

    def kill(self) -> None:
        files = self.files.clone()
        self.db.close()
        self.files = files
        self._opened([self.model])

    def lose_power(self) -> None:
        survival = SURVIVALS[self.source.below(4)]
        files = self.files.crash(seed=self.source.below(256), survival=survival)
        self.db.close()
        self.files = files
        self._opened(self.states)

    def change_tree(self) -> None:
        (self.compact, self.drop_range)[self.source.below(2)]()

    def start_anew(self) -> None:
        (self.reopen, self.kill, self.lose_power, self.lose_power)[self.source.below(4)]()

    def _opened(self, allowed: list[State]) -> None:
        self.snapshot = None
        self.db = self.open()
        found = dict(self.db.scan())
        assert found in allowed, "a state that never was, or is too old"
        self.model = found
        self.states = [found]

    def run(self) -> None:
        operations = (self.put, self.put, self.put, self.delete, self.batch, self.get, self.scan)
        operations += (self.sync, self.take_snapshot, self.flush)
        # Dear, so that together they are drawn as often as each of the others.
        operations += (self.change_tree, self.start_anew)
        for _ in range(OPERATIONS_MAX):
            if self.source.ended:
                break
            operations[self.source.below(len(operations))]()
        assert dict(self.db.scan()) == self.model
        assert self.db.verify()


def run_input(data: bytes) -> None:
    """AssertionError, or any other exception, for what must not be."""
    subject = Subject(Choices(data))
    try:
        subject.run()
    finally:
        subject.db.close()
