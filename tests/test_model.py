"""Equivalence: whatever is done to a database, it answers as a dict would.

Two ways to choose what is done. A hypothesis state machine with small random options over files in
memory, which finds short counterexamples; and a long seeded run over real files, which gets the
tree into shapes that short runs never reach. LSMKV_MODEL_EXAMPLES and LSMKV_MODEL_STEPS make both
longer, LSMKV_MODEL_SEED makes them different.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lsmkv._native.vfs import MemoryFileSystem
from tests.support.checked_database import CheckedDatabase, Range

EXAMPLES = int(os.environ.get("LSMKV_MODEL_EXAMPLES", "60"))
STEPS = int(os.environ.get("LSMKV_MODEL_STEPS", "21000"))
SEED = os.environ.get("LSMKV_MODEL_SEED")

LONG_PREFIX = b"a long prefix that all keys of this family share/" * 3
FAMILIES = [b"", b"\x00", b"\xff", b"\xff\xff", b"key", LONG_PREFIX]
HANDLES_MAX = 5  # snapshots and iterators kept open at a time

keys = st.builds(
    lambda family, rest: family + rest, st.sampled_from(FAMILIES), st.binary(max_size=2)
)
values = st.one_of(
    st.binary(max_size=8),
    # Longer than a block, than the largest value a reverse scan copies, than a write buffer.
    st.builds(
        lambda byte, size: bytes([byte]) * size,
        st.integers(0, 255),
        st.sampled_from([40, 300, 4097, 20000]),
    ),
)
pairs = st.tuples(keys, values)
ranges = st.one_of(
    st.builds(
        Range,
        st.none() | keys,
        st.none() | keys,
        reverse=st.booleans(),
        limit=st.none() | st.integers(0, 5),
    ),
    st.builds(
        Range,
        prefix=st.sampled_from(FAMILIES),
        reverse=st.booleans(),
        limit=st.none() | st.integers(0, 5),
    ),
)
options = st.fixed_dictionaries(
    {
        "write_buffer_size": st.sampled_from([4096, 16384, 1 << 20]),
        "block_size": st.sampled_from([256, 1024, 4096]),
        "table_size": st.sampled_from([4096, 32768]),
        "level0_trigger": st.sampled_from([1, 2, 4]),
        "level_size_ratio": st.sampled_from([2, 10]),
        "block_cache_size": st.sampled_from([0, 2048, 1 << 20]),
        "row_cache_size": st.sampled_from([0, 1000, 1 << 20]),
        "bloom_bits_per_key": st.sampled_from([0, 10]),
        "compression": st.sampled_from(["zstd", None]),
        "max_open_files": st.sampled_from([16, 512]),
        "log_mode": st.sampled_from(["written", "mapped"]),
        "background": st.sampled_from(["inline", "inline", "threads"]),
    }
)


class DatabaseMachine(RuleBasedStateMachine):
    """One database in memory against one dict."""

    def __init__(self) -> None:
        super().__init__()
        self.pair: CheckedDatabase | None = None

    @property
    def checked(self) -> CheckedDatabase:
        assert self.pair is not None
        return self.pair

    @initialize(options=options)
    def open(self, options: dict[str, Any]) -> None:
        self.pair = CheckedDatabase("/db", MemoryFileSystem(), **options)

    @rule(key=keys, value=values, sync=st.booleans())
    def put(self, key: bytes, value: bytes, sync: bool) -> None:
        self.checked.put(key, value, sync=sync)

    @rule(key=keys)
    def delete(self, key: bytes) -> None:
        self.checked.delete(key)

    @rule(several=st.lists(pairs, max_size=30))
    def put_many(self, several: list[tuple[bytes, bytes]]) -> None:
        self.checked.put_many(several)

    @rule(
        operations=st.lists(st.tuples(keys, st.none() | values), max_size=20), fails=st.booleans()
    )
    def batch(self, operations: list[tuple[bytes, bytes | None]], fails: bool) -> None:
        self.checked.batch(operations, fails=fails)

    @rule(records=st.lists(st.tuples(keys, st.binary(max_size=3)), max_size=8))
    def merge(self, records: list[tuple[bytes, bytes]]) -> None:
        self.checked.merge(records)

    @rule(several=st.lists(keys, max_size=8))
    def read(self, several: list[bytes]) -> None:
        self.checked.get_many(several)
        for key in several:
            self.checked.get(key)

    @rule(chosen=ranges)
    def scan(self, chosen: Range) -> None:
        self.checked.scan(chosen)

    @rule(prefix=st.sampled_from(FAMILIES), key=keys, value=st.binary(max_size=8))
    def prefixed(self, prefix: bytes, key: bytes, value: bytes) -> None:
        self.checked.prefixed(prefix, key, value)

    @precondition(lambda self: len(self.checked.snapshots) < HANDLES_MAX)
    @rule()
    def open_snapshot(self) -> None:
        self.checked.open_snapshot()

    @precondition(lambda self: self.checked.snapshots)
    @rule(data=st.data(), chosen=ranges, several=st.lists(keys, max_size=4))
    def read_snapshot(self, data: st.DataObject, chosen: Range, several: list[bytes]) -> None:
        index = data.draw(st.integers(0, len(self.checked.snapshots) - 1))
        self.checked.check_snapshot(index, chosen, several)

    @precondition(lambda self: self.checked.snapshots)
    @rule(data=st.data())
    def close_snapshot(self, data: st.DataObject) -> None:
        self.checked.close_snapshot(data.draw(st.integers(0, len(self.checked.snapshots) - 1)))

    @precondition(lambda self: len(self.checked.scans) < HANDLES_MAX)
    @rule(data=st.data(), chosen=ranges)
    def open_scan(self, data: st.DataObject, chosen: Range) -> None:
        numbers = [None, *range(len(self.checked.snapshots))]
        self.checked.open_scan(chosen, data.draw(st.sampled_from(numbers)))

    @precondition(lambda self: self.checked.scans)
    @rule(data=st.data(), count=st.integers(1, 20))
    def step_scan(self, data: st.DataObject, count: int) -> None:
        data.draw(st.sampled_from(self.checked.scans)).step(count)

    @precondition(lambda self: self.checked.scans)
    @rule(data=st.data(), key=keys)
    def seek_scan(self, data: st.DataObject, key: bytes) -> None:
        data.draw(st.sampled_from(self.checked.scans)).seek(key)

    @precondition(lambda self: self.checked.scans)
    @rule(data=st.data())
    def drop_scan(self, data: st.DataObject) -> None:
        self.checked.scans.remove(data.draw(st.sampled_from(self.checked.scans)))

    @rule()
    def flush(self) -> None:
        self.checked.db.flush()

    @rule(start=st.none() | keys, stop=st.none() | keys)
    def compact(self, start: bytes | None, stop: bytes | None) -> None:
        self.checked.db.compact(start, stop)

    @rule(start=st.none() | keys, stop=st.none() | keys)
    def drop_range(self, start: bytes | None, stop: bytes | None) -> None:
        self.checked.drop_range(start, stop)

    @rule()
    def clear(self) -> None:
        self.checked.clear()

    @rule(changed=st.none() | options)
    def reopen(self, changed: dict[str, Any] | None) -> None:
        self.checked.reopen(**(changed or {}))

    @rule()
    def reopen_read_only(self) -> None:
        self.checked.reopen_read_only()

    @rule()
    def kill(self) -> None:
        filesystem = self.checked.filesystem
        assert isinstance(filesystem, MemoryFileSystem)
        self.checked.replace_files(filesystem.clone)

    def teardown(self) -> None:
        if self.pair is not None:
            self.pair.close()


def test_any_sequence_of_operations() -> None:
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=50,
        derandomize=SEED is None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(DatabaseMachine, settings=chosen)


# --- the long run --------------------------------------------------------------------------------


class LongRun:
    """Weighted random operations over a few thousand keys of several families."""

    def __init__(self, path: Path, seed: int, **options: Any) -> None:
        self.random = random.Random(seed)
        self.checked = CheckedDatabase(str(path), **options)
        self.actions: list[tuple[int, Callable[[], None]]] = [
            (300, self.put),
            (60, self.delete),
            (25, self.put_many),
            (20, self.batch),
            (10, self.merge),
            (150, self.get),
            (20, self.get_many),
            (25, self.scan),
            (4, self.open_snapshot),
            (5, self.read_snapshot),
            (4, self.close_snapshot),
            (6, self.open_scan),
            (12, self.step_scan),
            (3, self.seek_scan),
            (1, self.drop_range),
            (1, self.flush),
            (1, self.compact),
        ]

    def key(self) -> bytes:
        family = self.random.choice(FAMILIES)
        kind = self.random.random()
        if kind < 0.02:
            return family
        if kind < 0.1:
            return family + self.random.choice([b"\x00", b"\xff"]) * self.random.randrange(1, 12)
        return family + b"%03d" % self.random.randrange(400)

    def value(self) -> bytes:
        size = self.random.choice([0, 8, 30, 30, 100, 100, 400, 5000])
        return self.random.randbytes(min(size, 20)) + b"." * max(0, size - 20)

    def range(self, limit: int | None = None) -> Range:
        reverse = self.random.random() < 0.5
        if self.random.random() < 0.3:
            return Range(prefix=self.key()[:-1], reverse=reverse, limit=limit)
        start = self.key() if self.random.random() < 0.8 else None
        stop = self.key() if self.random.random() < 0.5 else None
        return Range(start, stop, reverse=reverse, limit=limit)

    def put(self) -> None:
        self.checked.put(self.key(), self.value(), sync=self.random.random() < 0.002)

    def delete(self) -> None:
        self.checked.delete(self.key())

    def put_many(self) -> None:
        self.checked.put_many([(self.key(), self.value()) for _ in range(20)])

    def batch(self) -> None:
        operations = [
            (self.key(), self.value() if self.random.random() < 0.6 else None) for _ in range(10)
        ]
        self.checked.batch(operations, fails=self.random.random() < 0.2)

    def merge(self) -> None:
        self.checked.merge([(self.key(), self.random.choice([b"", b"x", b"yy"])) for _ in range(5)])

    def get(self) -> None:
        self.checked.get(self.key())

    def get_many(self) -> None:
        self.checked.get_many([self.key() for _ in range(20)])

    def scan(self) -> None:
        self.checked.scan(self.range(limit=self.random.randrange(30)))

    def open_snapshot(self) -> None:
        if len(self.checked.snapshots) < HANDLES_MAX:
            self.checked.open_snapshot()

    def read_snapshot(self) -> None:
        if self.checked.snapshots:
            index = self.random.randrange(len(self.checked.snapshots))
            several = [self.key() for _ in range(5)]
            self.checked.check_snapshot(index, self.range(limit=50), several)

    def close_snapshot(self) -> None:
        if self.checked.snapshots:
            self.checked.close_snapshot(self.random.randrange(len(self.checked.snapshots)))

    def open_scan(self) -> None:
        if len(self.checked.scans) >= HANDLES_MAX:
            self.checked.scans.pop(self.random.randrange(HANDLES_MAX))
        count = len(self.checked.snapshots)
        snapshot = self.random.randrange(count) if count and self.random.random() < 0.5 else None
        self.checked.open_scan(self.range(), snapshot)

    def step_scan(self) -> None:
        if self.checked.scans:
            self.random.choice(self.checked.scans).step(self.random.randrange(1, 60))

    def seek_scan(self) -> None:
        if self.checked.scans:
            self.random.choice(self.checked.scans).seek(self.key())

    def drop_range(self) -> None:
        first, last = sorted((self.key(), self.key()))
        self.checked.drop_range(first, min(last, first + b"\x40"))

    def flush(self) -> None:
        self.checked.db.flush()

    def compact(self) -> None:
        self.checked.db.compact(self.key(), None)

    def run(self, steps: int) -> None:
        weights = [weight for weight, _ in self.actions]
        calls = [call for _, call in self.actions]
        for step, call in enumerate(self.random.choices(calls, weights, k=steps), 1):
            call()
            if step % (steps // 5) == 0:
                self.checked.check()
                if step % (2 * (steps // 5)) == 0:
                    self.checked.reopen()
        self.checked.close()


@pytest.mark.parametrize(
    ("seed", "chosen"),
    [
        (1, {"background": "inline", "block_cache_size": 0, "bloom_bits_per_key": 0}),
        (2, {"background": "threads", "row_cache_size": 20_000, "log_mode": "written"}),
        (3, {"background": "threads", "compression": None, "write_buffer_size": 16384}),
    ],
)
def test_a_long_run_over_files(tmp_path: Path, seed: int, chosen: dict[str, Any]) -> None:
    small = {
        "write_buffer_size": 32768,
        "table_size": 16384,
        "block_size": 512,
        "level0_trigger": 2,
        "level_size_ratio": 4,
        "max_open_files": 16,
    }
    run = LongRun(tmp_path / "db", seed if SEED is None else int(SEED), **(small | chosen))
    run.run(STEPS // 3)
