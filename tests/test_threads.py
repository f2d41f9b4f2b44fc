"""Many threads, one database: clean exceptions only, values that belong together, no hang, no
crash.

The block cache is tiny and few files stay open, so that reads wait for the disk (and let other
threads in) all the time. LSMKV_STRESS_SECONDS makes the big one longer. Signals in the middle of
things: test_interrupts.py; objects dropped in odd orders: test_lifetimes.py.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmkv
from lsmkv import kernel

STRESS_S = float(os.environ.get("LSMKV_STRESS_SECONDS", "20"))
DEADLINE_S = 60.0  # nothing here takes a fraction of it, unless it hangs
READER_COUNT = 8
KEY_COUNT = 1500

SMALL: dict[str, Any] = {
    "write_buffer_size": 16384,
    "table_size": 16384,
    "block_size": 256,
    "level0_trigger": 2,
    "level_size_ratio": 3,
    "block_cache_size": 4096,
    "row_cache_size": 4096,
    "max_open_files": 16,
    "sync_interval_ms": 10,
}


def finish(threads: list[threading.Thread]) -> None:
    """Wait for all of them, together no longer than the deadline."""
    limit = time.monotonic() + DEADLINE_S
    for thread in threads:
        thread.join(max(0.0, limit - time.monotonic()))
        assert not thread.is_alive(), "a thread hangs"


def wait_until(condition: Callable[[], bool]) -> None:
    limit = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.001)


class Crew:
    """Threads that run until the database is closed, and what went wrong in them."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.failures: list[BaseException] = []
        self.turns = 0

    def start(self, work: Callable[[], None]) -> None:
        """Repeat `work` in a thread of its own until it raises; only ClosedError is expected."""

        def body() -> None:
            try:
                while True:
                    work()
                    self.turns += 1
            except lsmkv.ClosedError:
                pass
            except BaseException as error:
                self.failures.append(error)

        thread = threading.Thread(target=body)
        self.threads.append(thread)
        thread.start()

    def finish(self) -> None:
        finish(self.threads)
        for failure in self.failures:
            raise failure

    def wait_for_turns(self, count: int) -> None:
        wait_until(lambda: self.turns >= count or bool(self.failures))


# --- everything at once --------------------------------------------------------------------------


def key_of(number: int) -> bytes:
    return b"%05d" % number


def twin_of(number: int) -> bytes:
    return b"twin/%05d" % number


def value_of(key: bytes, turn: int) -> bytes:
    """Says what it belongs to and when it was written; of very different lengths."""
    text = b"%s=%010d|" % (key, turn)
    return text + text[-7:] * (turn % 97)


def turn_in(key: bytes, value: bytes | None) -> int:
    """When `value` was written; -1 for none. Fails if it is not a value of `key`."""
    if value is None:
        return -1
    turn = int(value[len(key) + 1 : len(key) + 11])
    assert value == value_of(key, turn)
    return turn


class Stress:
    """One database from open to close, with one writer that remembers what was acknowledged.

    A number has two keys, always written together with the same turn, which only grows.
    """

    def __init__(self, path: str, seed: int, **options: Any) -> None:
        self.seed = seed
        self.db = lsmkv.open(path, **(SMALL | options))
        self.turn = 1 + max(
            (turn_in(key, value) for key, value in self.db.scan(stop=b"t")), default=0
        )
        self.written: dict[int, int] = {}
        self.attempt: int | None = None

    def write(self, chooser: random.Random) -> Callable[[], None]:
        def work() -> None:
            number = chooser.randrange(KEY_COUNT)
            key, twin, turn = key_of(number), twin_of(number), self.turn
            self.attempt = number
            self.turn += 1
            if chooser.random() < 0.5:
                with self.db.write_batch(sync=chooser.random() < 0.05) as batch:
                    batch.put(key, value_of(key, turn))
                    batch.put(twin, value_of(twin, turn))
            else:
                self.db.put_many({key: value_of(key, turn), twin: value_of(twin, turn)})
            self.written[number] = turn

        return work

    def read(self, chooser: random.Random) -> Callable[[], None]:
        seen: defaultdict[bytes, int] = defaultdict(lambda: -1)

        def look(key: bytes, value: bytes | None) -> int:
            turn = turn_in(key, value)
            assert turn >= seen[key], "an older value came back"
            seen[key] = turn
            return turn

        def get() -> None:
            key = key_of(chooser.randrange(KEY_COUNT))
            look(key, self.db.get(key))

        def get_many() -> None:
            numbers = [chooser.randrange(KEY_COUNT) for _ in range(20)]
            keys = [key_of(number) for number in numbers] + [twin_of(number) for number in numbers]
            turns = [turn_in(*pair) for pair in zip(keys, self.db.get_many(keys), strict=True)]
            assert turns[:20] == turns[20:], "half a batch"

        def scan() -> None:
            start = key_of(chooser.randrange(KEY_COUNT))
            reverse = chooser.random() < 0.5
            with self.db.scan(start, b"a", reverse=reverse, limit=100) as pairs:
                found = [(key, turn_in(key, value)) for key, value in pairs]
            assert [key for key, _ in found] == sorted(dict(found), reverse=reverse)

        def snapshot() -> None:
            with self.db.snapshot() as moment:
                first = {key: turn_in(key, value) for key, value in moment.scan(stop=b"a")}
                twins = moment.scan(prefix=b"twin/")
                again = {key[5:]: turn_in(key, value) for key, value in twins}
                assert first == again, "a snapshot that moves"

        actions = [get] * 40 + [get_many] * 3 + [scan] * 4 + [snapshot]
        return lambda: chooser.choice(actions)()

    def look_after(self, chooser: random.Random) -> Callable[[], None]:
        def work() -> None:
            start = key_of(chooser.randrange(KEY_COUNT))
            chooser.choice(
                [
                    self.db.flush,
                    self.db.sync,
                    self.db.stats,
                    self.db.approximate_len,
                    lambda: self.db.compact(start, None),
                    lambda: kernel.digest_range(self.db, start, b"a"),
                    lambda: kernel.drop_range(self.db, b"nothing/", b"nothing0"),
                    lambda: kernel.merge_batch(self.db, [(b"zz", b"x")], lambda key, old, new: new),
                ]
            )()
            time.sleep(0.002)

        return work

    def run(self, duration_s: float) -> None:
        crew = Crew()
        for index in range(READER_COUNT):
            crew.start(self.read(random.Random(self.seed * 100 + index)))
        crew.start(self.write(random.Random(self.seed)))
        crew.start(self.look_after(random.Random(self.seed + 1)))
        time.sleep(duration_s)
        self.db.close()
        crew.finish()

    def check(self, path: str) -> None:
        """Acknowledged writes are there; the one under way at the end is there whole or not at
        all."""
        with lsmkv.open(path) as db:
            assert db.verify()
            for number in range(KEY_COUNT):
                turn = turn_in(key_of(number), db.get(key_of(number)))
                assert turn == turn_in(twin_of(number), db.get(twin_of(number)))
                acknowledged = self.written.get(number, -1)
                assert turn >= acknowledged
                if number != self.attempt and number in self.written:
                    assert turn == acknowledged


@pytest.mark.slow
def test_readers_a_writer_and_close(tmp_path: Path) -> None:
    path = str(tmp_path / "db")
    limit = time.monotonic() + STRESS_S
    chooser = random.Random(5)
    seed = 0
    while time.monotonic() < limit:
        stress = Stress(
            path,
            seed,
            log_mode=chooser.choice(["written", "mapped"]),
            background=chooser.choice(["threads", "threads", "inline"]),
            block_cache_size=chooser.choice([0, 4096, 1 << 20]),
        )
        stress.run(chooser.uniform(0.2, 3.0))
        stress.check(path)
        seed += 1


# --- close() beside one kind of operation --------------------------------------------------------


def fill(db: lsmkv.DB, count: int = 3000) -> None:
    db.put_many({key_of(number): value_of(key_of(number), 7) for number in range(count)})
    db.flush()


OPERATIONS: dict[str, Callable[[lsmkv.DB], object]] = {
    "get": lambda db: [db.get(key_of(number)) for number in range(0, 3000, 50)],
    "get_many": lambda db: db.get_many([key_of(number) for number in range(0, 3000, 7)]),
    "scan": lambda db: sum(1 for _ in db.scan()),
    "count": len,
    "snapshot": lambda db: list(db.snapshot().scan(limit=500)),
    "put": lambda db: db.put(b"new", b"x" * 500),
    "put sync": lambda db: db.put(b"new", b"x" * 500, sync=True),
    "batch": lambda db: db.put_many([(key_of(number), b"y" * 50) for number in range(100)]),
    "sync": lambda db: (db.put(b"new", b"x"), db.sync()),
    "flush": lambda db: (db.put(b"new", b"x"), db.flush()),
    "compact": lambda db: (db.put(b"new", b"x"), db.compact()),
    "drop_range": lambda db: (db.put(b"new", b"x"), kernel.drop_range(db, b"n", b"o")),
    "merge": lambda db: kernel.merge_batch(db, [(b"k", b"z" * 99)], lambda key, old, new: new),
    "verify": lambda db: db.verify(),
    "stats": lambda db: db.stats(),
}


@pytest.mark.parametrize("background", ["threads", "inline"])
@pytest.mark.parametrize("name", list(OPERATIONS))
def test_close_beside(tmp_path: Path, name: str, background: str) -> None:
    db = lsmkv.open(tmp_path / "db", background=background, **SMALL)
    fill(db)
    crew = Crew()
    for _ in range(3):
        crew.start(lambda: OPERATIONS[name](db))
    crew.wait_for_turns(4)
    db.close()
    with pytest.raises(lsmkv.ClosedError):
        OPERATIONS[name](db)
    crew.finish()
    with lsmkv.open(tmp_path / "db", **SMALL) as again:
        assert again.verify()
        assert again.get(key_of(2999)) is not None


def test_every_close_waits_for_the_first(tmp_path: Path) -> None:
    db = lsmkv.open(tmp_path / "db", **SMALL)
    fill(db)
    opened: list[bool] = []

    def close_and_open() -> None:
        db.close()
        try:
            lsmkv.open(tmp_path / "db").close()
        except lsmkv.LockedError:
            pass  # by another of these threads
        opened.append(True)

    threads = [threading.Thread(target=close_and_open) for _ in range(4)]
    for thread in threads:
        thread.start()
    finish(threads)
    assert len(opened) == 4


def test_a_stalled_writer_hears_of_close(tmp_path: Path) -> None:
    db = lsmkv.open(tmp_path / "db", **SMALL)
    crew = Crew()
    with db._flush_lock:  # no flush can begin: writers stall when enough memtables are full
        crew.start(lambda: db.put(b"key", b"x" * 1000))
        wait_until(lambda: len(db._frozen) >= 3)
        db._shut()
        crew.finish()
    db.close()


def test_a_writer_behind_too_many_tables_hears_of_close(tmp_path: Path) -> None:
    db = lsmkv.open(tmp_path / "db", **(SMALL | {"level0_trigger": 1}))
    crew = Crew()
    with db._compaction_lock:  # no compaction can begin: level 0 grows until writers must wait
        crew.start(lambda: db.put(b"key", b"x" * 5000))
        wait_until(lambda: db.stats()["stall_seconds"] > 0)
        db._shut()
        crew.finish()
    db.close()


def test_a_writer_behind_a_merge_hears_of_close(tmp_path: Path) -> None:
    db = lsmkv.open(tmp_path / "db", **SMALL)
    entered, leave = threading.Event(), threading.Event()

    def slow(_key: bytes, _old: bytes | None, operand: bytes) -> bytes:
        entered.set()
        leave.wait(DEADLINE_S)
        return operand

    merging, writing = Crew(), Crew()
    merging.start(lambda: kernel.merge_batch(db, [(b"merged", b"x")], slow))
    assert entered.wait(DEADLINE_S)
    for _ in range(3):
        writing.start(lambda: db.put(b"key", b"x"))
    db.close()
    writing.finish()
    leave.set()
    merging.finish()
    with lsmkv.open(tmp_path / "db") as again:
        assert len(again) == 0


# --- one object, several threads -----------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_two_threads_on_one_iterator(tmp_path: Path, reverse: bool) -> None:
    options = SMALL | {"block_cache_size": 0}
    with lsmkv.open(tmp_path / "db", **options) as db:
        fill(db)
        for _ in range(5):
            scan = db.keys(reverse=reverse)
            taken: list[list[bytes]] = [[], [], []]
            refused = []

            def work(mine: list[bytes], scan: Any = scan, refused: Any = refused) -> None:
                while True:
                    try:
                        mine.append(next(scan))
                    except StopIteration:
                        return
                    except lsmkv.ClosedError:
                        raise
                    except lsmkv.Error as error:
                        assert "another thread" in str(error)
                        refused.append(error)

            threads = [threading.Thread(target=work, args=(mine,)) for mine in taken]
            for thread in threads:
                thread.start()
            finish(threads)
            everything = [key for mine in taken for key in mine]
            assert sorted(everything) == [key_of(number) for number in range(3000)]
            for mine in taken:
                assert mine == sorted(mine, reverse=reverse)


def test_an_iterator_closed_by_another_thread(tmp_path: Path) -> None:
    with lsmkv.open(tmp_path / "db", **(SMALL | {"block_cache_size": 0})) as db:
        fill(db)
        for count in range(0, 60, 2):
            scan = db.scan()
            crew = Crew()
            crew.start(lambda scan=scan, key=key_of(count): (next(scan), scan.seek(key)))
            crew.wait_for_turns(count)
            scan.close()
            crew.finish()
        assert db.stats()["pinned_sequences"] == 0
