"""A process in which everything happens at once, and which then ends in some way.

    python -m tests.support.race_worker DIRECTORY STATUS SEED SECONDS

Threads read, write, scan, hold snapshots, flush, compact, fork, collect garbage, drop handles and
open the database a second time; then it is closed, forgotten, or the interpreter just ends. What is
not a clean refusal is printed, and the exit status is BROKEN.

Status file: a byte that is 1 while the database is certainly open, then for each slot of each
writer the number of its newest acknowledged write, eight bytes each.
"""

from __future__ import annotations

import gc
import logging
import mmap
import os
import random
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable

import lsmkv

__all__ = ["BROKEN", "OPTIONS", "SLOTS", "STATUS_SIZE", "WRITERS", "key_of", "read_slots"]

BROKEN = 98
WRITERS, SLOTS = 2, 40
HEADER_SIZE = 8
STATUS_SIZE = HEADER_SIZE + WRITERS * SLOTS * 8
OPTIONS = {
    "write_buffer_size": 16384,
    "table_size": 8192,
    "block_size": 512,
    "level0_trigger": 2,
    "block_cache_size": 4096,
    "row_cache_size": 4096,
    "max_open_files": 16,
}
ENDINGS = ("close", "close twice", "forget", "exit", "exit at once", "cycle")


def key_of(writer: int, slot: int) -> bytes:
    return b"%d/%03d" % (writer, slot)


def value_of(key: bytes, number: int, rng: random.Random) -> bytes:
    return b"%s=%d:" % (key, number) + b"." * rng.choice((0, 50, 300))


def read_slots(status: bytes) -> dict[bytes, int]:
    """The newest acknowledged write of each key; 0 for none."""
    numbers = struct.unpack_from(f"<{WRITERS * SLOTS}Q", status, HEADER_SIZE)
    keys = [key_of(writer, slot) for writer in range(WRITERS) for slot in range(SLOTS)]
    return dict(zip(keys, numbers, strict=True))


class Chaos:
    """One database and the threads around it."""

    def __init__(self, directory: str, status: mmap.mmap, seed: int) -> None:
        self._directory = directory
        self._status = status
        self._seed = seed
        self.rng = random.Random(seed)
        log_mode = self.rng.choice(("written", "mapped"))
        self.db = lsmkv.open(directory, **OPTIONS, log_mode=log_mode)
        status[0] = 1

    # --- what threads do; each returns when the database is closed

    def write(self, rng: random.Random, writer: int) -> None:
        number = 0
        while True:
            number += 1
            slot = rng.randrange(SLOTS)
            key = key_of(writer, slot)
            if rng.random() < 0.1:
                with self.db.write_batch() as batch:
                    batch.put(key, value_of(key, number, rng))
            else:
                self.db.put(key, value_of(key, number, rng), sync=rng.random() < 0.01)
            offset = HEADER_SIZE + (writer * SLOTS + slot) * 8
            struct.pack_into("<Q", self._status, offset, number)

    def read(self, rng: random.Random, _: int) -> None:
        while True:
            key = key_of(rng.randrange(WRITERS), rng.randrange(SLOTS))
            value = self.db.get(key)
            assert value is None or value.startswith(key + b"="), (key, value)

    def scan(self, rng: random.Random, _: int) -> None:
        while True:
            reverse = rng.random() < 0.5
            last = None
            for key, value in self.db.scan(reverse=reverse, limit=rng.randrange(1, 100)):
                assert value.startswith(key + b"=")
                assert last is None or (key < last) == reverse
                last = key

    def hold(self, rng: random.Random, _: int) -> None:
        """Snapshots and iterators, dropped in any order."""
        held: list[object] = []
        while True:
            snapshot = self.db.snapshot()
            scan = snapshot.scan()
            first = next(scan, None)
            held += [snapshot, scan]
            if first is not None:
                assert snapshot.get(first[0]) == first[1]
            while len(held) > 6:
                held.pop(rng.randrange(len(held)))

    def maintain(self, rng: random.Random, _: int) -> None:
        while True:
            rng.choice((self.db.flush, self.db.compact, self.db.sync, self.db.verify))()
            time.sleep(rng.random() * 0.01)

    def collect(self, rng: random.Random, _: int) -> None:
        """Cycles that hold iterators, and the collector."""
        while True:
            cycle: list[object] = [self.db.scan(), self.db.snapshot()]
            cycle.append(cycle)
            del cycle
            gc.collect(rng.randrange(3))

    def fork(self, rng: random.Random, _: int) -> None:
        while True:
            self.db.get(b"is it open?")
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    self.db.get(b"")
                except (lsmkv.ForkError, lsmkv.ClosedError):
                    status = 0
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0, "the child did not end well"
            time.sleep(0.01)

    def open_again(self, rng: random.Random, _: int) -> None:
        while True:
            is_open = self._status[0]
            try:
                lsmkv.open(self._directory, **OPTIONS).close()
                # Perhaps it was closed meanwhile; it was not if it is open still.
                assert not (is_open and self._status[0]), "two openers in one process"
            except lsmkv.LockedError:
                pass
            self.db.get(b"is it open?")
            time.sleep(0.005)

    # --- how it runs

    def guard(self, role: Callable[[random.Random, int], None], number: int) -> None:
        try:
            role(random.Random(self._seed * 1000 + number), number % WRITERS)
        except lsmkv.ClosedError:
            pass
        except BaseException:
            traceback.print_exc()
            os._exit(BROKEN)

    def run(self, seconds: float) -> str:
        others = [self.read, self.scan, self.hold, self.maintain, self.collect, self.fork]
        others += [self.open_again, self.read, self.scan]
        roles = [self.write] * WRITERS + self.rng.sample(others, self.rng.randrange(2, 6))
        threads = [
            threading.Thread(target=self.guard, args=(role, number), daemon=True)
            for number, role in enumerate(roles)
        ]
        for thread in threads:
            thread.start()
        time.sleep(self.rng.random() * seconds)
        ending = self.rng.choice(ENDINGS)
        self._status[0] = 0
        if ending in {"close", "close twice"}:
            closers = [threading.Thread(target=self.db.close) for _ in range(len(ending) // 6 + 1)]
            for closer in closers:
                closer.start()
            for thread in [*closers, *threads]:
                thread.join(60)
                assert not thread.is_alive(), "a thread does not end after close()"
        return ending


def main(directory: str, status_path: str, seed: str, seconds: str) -> None:
    logging.disable(logging.CRITICAL)
    sys.setswitchinterval(random.Random(seed).choice((1e-6, 1e-4, 5e-3)))
    with open(status_path, "r+b") as file:
        status = mmap.mmap(file.fileno(), STATUS_SIZE)
    chaos = Chaos(directory, status, int(seed))
    ending = chaos.run(float(seconds))
    if ending == "exit at once":
        os._exit(0)
    if ending == "cycle":
        chaos.cycle = chaos  # type: ignore[attr-defined]
    if ending != "exit":
        del chaos
    # The interpreter ends, with threads in the middle of things.


if __name__ == "__main__":
    main(*sys.argv[1:])
