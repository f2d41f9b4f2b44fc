"""One script of operations, played on a dict and on databases of different make: the answers must
be the same, whatever the options, and whatever happens to the files in between.

    draw_script    operations as data, from a seed
    draw_setting   options, and how often the run is disturbed: flushed, compacted, closed and
                   opened with other options, killed, or continued in a checkpoint
    play, expect   the answers of a database, and of a dict
    shrink         a shorter script that still fails
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import lsmkv
from lsmkv import Column, kernel
from lsmkv._native.vfs import MemoryFileSystem
from tests.support.checked_database import appended

__all__ = ["Operation", "Setting", "draw_script", "draw_setting", "expect", "play", "shrink"]

HANDLES = 4  # snapshots and iterators
FAMILIES = (b"", b"a", b"user/", b"user/\xff", b"\x00\x00", b"\xff\xff")
SIZES = (0, 1, 8, 30, 30, 100, 100, 400, 3000)
Answer = Any
Pairs = list[tuple[bytes, bytes]]


@dataclass(frozen=True)
class Operation:
    """A name of Player, and its arguments: bytes, numbers, None, and lists of those."""

    name: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Setting:
    """How a database is made, and disturbed once in `disturbed_every` operations."""

    options: dict[str, Any]
    disturbed_every: int
    seed: int


# --- drawing -------------------------------------------------------------------------------------


class _Script:
    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"script/{seed}")

    def key(self) -> bytes:
        family = self.rng.choice(FAMILIES)
        kind = self.rng.random()
        if kind < 0.03:
            return family + self.rng.choice((b"", b"\x00", b"\xff")) * self.rng.randrange(1, 10)
        return family + b"%03d" % self.rng.randrange(150)

    def value(self) -> bytes:
        size = self.rng.choice(SIZES)
        return self.rng.randbytes(min(size, 12)) + b"." * max(0, size - 12)

    def bound(self) -> bytes | None:
        return self.key() if self.rng.random() < 0.7 else None

    def pairs(self, count: int) -> list[list[bytes]]:
        return [[self.key(), self.value()] for _ in range(count)]

    def draw(self, name: str) -> Operation:
        rng = self.rng
        make: dict[str, Callable[[], tuple[Any, ...]]] = {
            "put": lambda: (self.key(), self.value(), rng.random() < 0.01),
            "delete": lambda: (self.key(),),
            "get": lambda: (self.key(),),
            "put_many": lambda: (self.pairs(rng.randrange(20)),),
            "put_columns": lambda: (self.pairs(rng.randrange(20)),),
            "get_many": lambda: ([self.key() for _ in range(rng.randrange(20))],),
            "batch": lambda: (
                [[self.key(), self.value() if rng.random() < 0.6 else None] for _ in range(8)],
                rng.random() < 0.2,
            ),
            "merge": lambda: ([[self.key(), rng.choice((b"", b"x", b"yy"))] for _ in range(4)],),
            "scan": lambda: (self.bound(), self.bound(), rng.random() < 0.5, rng.randrange(30)),
            "count": lambda: (self.key()[:-1],),
            "columns": lambda: (self.bound(), self.bound(), rng.randrange(1, 9)),
            "drop_range": lambda: tuple(sorted((self.key(), self.key()))),
            "clear": lambda: (),
            "open_snapshot": lambda: (rng.randrange(HANDLES),),
            "read_snapshot": lambda: (rng.randrange(HANDLES), self.key(), self.bound()),
            "open_scan": lambda: (
                rng.randrange(HANDLES),
                self.bound(),
                self.bound(),
                rng.random() < 0.5,
            ),
            "step_scan": lambda: (rng.randrange(HANDLES), rng.randrange(1, 20)),
            "everything": lambda: (),
        }
        return Operation(name, make[name]())


WEIGHTS = {
    "put": 300,
    "delete": 80,
    "get": 150,
    "put_many": 20,
    "put_columns": 15,
    "get_many": 20,
    "batch": 30,
    "merge": 15,
    "scan": 30,
    "count": 8,
    "columns": 6,
    "drop_range": 1,
    "open_snapshot": 4,
    "read_snapshot": 8,
    "open_scan": 8,
    "step_scan": 20,
    "everything": 1,
}


def draw_script(seed: int, count: int) -> list[Operation]:
    script = _Script(seed)
    # Swarm testing: some runs lack some operations, and so get far with the others.
    chosen = {name: weight for name, weight in WEIGHTS.items() if script.rng.random() < 0.8}
    chosen |= {"put": 300, "get": 100}
    names = script.rng.choices(list(chosen), list(chosen.values()), k=count)
    return [script.draw(name) for name in names]


def draw_options(rng: random.Random) -> dict[str, Any]:
    return {
        "write_buffer_size": rng.choice((4096, 16384, 65536, 1 << 20)),
        "table_size": rng.choice((4096, 16384, 65536)),
        "level_size_ratio": rng.choice((2, 4, 10)),
        "level0_trigger": rng.choice((1, 2, 4)),
        "block_cache_size": rng.choice((0, 20_000, 1 << 20)),
        "row_cache_size": rng.choice((0, 2000, 1 << 20)),
        "block_size": rng.choice((256, 512, 4096)),
        "bloom_bits_per_key": rng.choice((0, 5, 10)),
        "max_open_files": rng.choice((16, 512)),
        "compression": rng.choice((None, "zstd")),
        "compression_level": rng.choice((-7, 1, 3)),
        "log_mode": rng.choice(("written", "mapped")),
        "background": rng.choice(("inline", "inline", "threads")),
    }


def draw_setting(seed: int) -> Setting:
    rng = random.Random(f"setting/{seed}")
    return Setting(draw_options(rng), rng.choice((20, 100, 500, 2000)), seed)


# --- answers -------------------------------------------------------------------------------------


class Player:
    """Plays on a database in memory."""

    def __init__(self, setting: Setting) -> None:
        self._rng = random.Random(f"disturbances/{setting.seed}")
        self._setting = setting
        self._options = setting.options
        self._files = MemoryFileSystem()
        self._path = "/db"
        self._copies = 0
        self._db = self._open()
        self._snapshots: dict[int, lsmkv.Snapshot] = {}
        self._scans: dict[int, Any] = {}

    def _open(self) -> lsmkv.DB:
        return lsmkv.open(self._path, filesystem=self._files, **self._options)

    def close(self) -> None:
        assert self._db.verify()
        self._db.close()

    def play(self, operation: Operation) -> Answer:
        return getattr(self, operation.name)(*operation.arguments)

    # --- disturbances

    def disturb(self) -> None:
        if self._rng.randrange(self._setting.disturbed_every) == 0:
            self._rng.choice((self._flush, self._compact, self._reopen, self._kill, self._copy))()

    def _flush(self) -> None:
        self._db.flush()

    def _compact(self) -> None:
        self._db.compact()

    def _begin_anew(self, make_files: Callable[[], None]) -> None:
        """Only when nothing is open that would be closed."""
        if not self._snapshots and not self._scans:
            make_files()
            self._options = self._options | draw_options(self._rng)
            self._db = self._open()

    def _reopen(self) -> None:
        self._begin_anew(lambda: self._db.close())

    def _kill(self) -> None:
        def take_files() -> None:
            files = self._files.clone()
            self._db.close()
            self._files = files

        self._begin_anew(take_files)

    def _copy(self) -> None:
        def go_over() -> None:
            self._copies += 1
            self._path = f"/copy{self._copies}"
            self._db.checkpoint(self._path)
            self._db.close()

        self._begin_anew(go_over)

    # --- operations

    def put(self, key: bytes, value: bytes, sync: bool) -> None:
        self._db.put(key, value, sync=sync)

    def delete(self, key: bytes) -> None:
        self._db.delete(key)

    def get(self, key: bytes) -> Answer:
        return self._db.get(key), key in self._db

    def put_many(self, pairs: Pairs) -> None:
        self._db.put_many([(key, value) for key, value in pairs])

    def put_columns(self, pairs: Pairs) -> None:
        keys, values = [key for key, _ in pairs], [value for _, value in pairs]
        self._db.put_columns(Column.from_bytes(keys), Column.from_bytes(values))

    def get_many(self, keys: list[bytes]) -> Answer:
        return self._db.get_many(keys)

    def batch(self, changes: list[tuple[bytes, bytes | None]], fails: bool) -> None:
        try:
            with self._db.write_batch() as batch:
                for key, value in changes:
                    batch.delete(key) if value is None else batch.put(key, value)
                if fails:
                    raise LookupError
        except LookupError:
            pass

    def merge(self, records: Pairs) -> Answer:
        pairs = [(key, operand) for key, operand in records]
        return kernel.merge_batch(self._db, pairs, appended)

    def scan(self, start: bytes | None, stop: bytes | None, reverse: bool, limit: int) -> Answer:
        return list(self._db.scan(start, stop, reverse=reverse, limit=limit))

    def count(self, prefix: bytes) -> int:
        return self._db.keys(prefix=prefix).count()

    def columns(self, start: bytes | None, stop: bytes | None, size: int) -> Answer:
        found = []
        for keys, values in self._db.scan_columns(start, stop, batch_count=size):
            found += list(zip(keys.to_list(), values.to_list(), strict=True))
        return found

    def drop_range(self, start: bytes, stop: bytes) -> None:
        kernel.drop_range(self._db, start, stop)

    def clear(self) -> None:
        self._db.clear()

    def open_snapshot(self, handle: int) -> None:
        """Or close it, if it is open."""
        open_one = self._snapshots.pop(handle, None)
        if open_one is None:
            self._snapshots[handle] = self._db.snapshot()
        else:
            open_one.close()

    def read_snapshot(self, handle: int, key: bytes, start: bytes | None) -> Answer:
        snapshot = self._snapshots.get(handle)
        if snapshot is None:
            return None
        return snapshot.get(key), list(snapshot.scan(start, limit=20))

    def open_scan(
        self, handle: int, start: bytes | None, stop: bytes | None, reverse: bool
    ) -> None:
        open_one = self._scans.pop(handle, None)
        if open_one is None:
            self._scans[handle] = self._db.scan(start, stop, reverse=reverse)

    def step_scan(self, handle: int, count: int) -> Answer:
        scan = self._scans.get(handle, ())
        return [next(scan, None) for _ in range(count)] if scan != () else None

    def everything(self) -> Answer:
        pairs = list(self._db.items())
        digest = kernel.digest_range(self._db)
        return pairs, len(self._db), bool(self._db), digest.entry_count


class Dictionary:
    """The same operations on a dict."""

    def __init__(self) -> None:
        self._state: dict[bytes, bytes] = {}
        self._snapshots: dict[int, dict[bytes, bytes]] = {}
        self._scans: dict[int, Pairs] = {}

    def play(self, operation: Operation) -> Answer:
        return getattr(self, operation.name)(*operation.arguments)

    def _select(
        self, state: dict[bytes, bytes], start: bytes | None, stop: bytes | None, reverse: bool
    ) -> Pairs:
        chosen = sorted(
            (key, value)
            for key, value in state.items()
            if (start is None or key >= start) and (stop is None or key < stop)
        )
        return chosen[::-1] if reverse else chosen

    def put(self, key: bytes, value: bytes, sync: bool) -> None:
        self._state[key] = value

    def delete(self, key: bytes) -> None:
        self._state.pop(key, None)

    def get(self, key: bytes) -> Answer:
        return self._state.get(key), key in self._state

    def put_many(self, pairs: Pairs) -> None:
        self._state.update((key, value) for key, value in pairs)

    put_columns = put_many

    def get_many(self, keys: list[bytes]) -> Answer:
        return [self._state.get(key) for key in keys]

    def batch(self, changes: list[tuple[bytes, bytes | None]], fails: bool) -> None:
        for key, value in () if fails else changes:
            self.delete(key) if value is None else self.put(key, value, False)

    def merge(self, records: Pairs) -> Answer:
        before = []
        for key, operand in records:
            before.append(self._state.get(key))
            new = appended(key, self._state.get(key), operand)
            self.delete(key) if new is None else self.put(key, new, False)
        return before

    def scan(self, start: bytes | None, stop: bytes | None, reverse: bool, limit: int) -> Answer:
        return self._select(self._state, start, stop, reverse)[:limit]

    def count(self, prefix: bytes) -> int:
        return sum(key.startswith(prefix) for key in self._state)

    def columns(self, start: bytes | None, stop: bytes | None, size: int) -> Answer:
        return self._select(self._state, start, stop, False)

    def drop_range(self, start: bytes, stop: bytes) -> None:
        for key, _ in self._select(self._state, start, stop, False):
            del self._state[key]

    def clear(self) -> None:
        self._state.clear()

    def open_snapshot(self, handle: int) -> None:
        if self._snapshots.pop(handle, None) is None:
            self._snapshots[handle] = dict(self._state)

    def read_snapshot(self, handle: int, key: bytes, start: bytes | None) -> Answer:
        state = self._snapshots.get(handle)
        if state is None:
            return None
        return state.get(key), self._select(state, start, None, False)[:20]

    def open_scan(
        self, handle: int, start: bytes | None, stop: bytes | None, reverse: bool
    ) -> None:
        if self._scans.pop(handle, None) is None:
            self._scans[handle] = self._select(self._state, start, stop, reverse)

    def step_scan(self, handle: int, count: int) -> Answer:
        pairs = self._scans.get(handle)
        if pairs is None:
            return None
        taken: list[Any] = pairs[:count]
        del pairs[:count]
        return taken + [None] * (count - len(taken))

    def everything(self) -> Answer:
        count = len(self._state)
        return sorted(self._state.items()), count, bool(count), count


def expect(script: Sequence[Operation]) -> list[Answer]:
    dictionary = Dictionary()
    return [dictionary.play(operation) for operation in script]


def play(script: Sequence[Operation], setting: Setting) -> list[Answer]:
    """With disturbances between the operations, and everything checked at the end."""
    player = Player(setting)
    answers = []
    for operation in script:
        player.disturb()
        answers.append(player.play(operation))
    player.close()
    return answers


# --- shrinking -----------------------------------------------------------------------------------


def shrink(
    script: Sequence[Operation], fails: Callable[[Sequence[Operation]], bool], tries: int = 2000
) -> list[Operation]:
    """Leave out ever smaller pieces as long as it fails. REQUIRES: `fails(script)`."""
    current = list(script)
    size = max(1, len(current) // 2)
    while tries > 0:
        start, shortened = 0, False
        while start < len(current) and tries > 0:
            shorter = current[:start] + current[start + size :]
            tries -= 1
            if shorter and fails(shorter):
                current, shortened = shorter, True
            else:
                start += size
        if size == 1 and not shortened:
            break
        size = max(1, size // 2)
    return current
