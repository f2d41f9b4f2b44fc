"""The process of tests/soak/large.py: mixed load on one database, until its time is over or it is
killed.

    python -m tests.support.large_worker DIRECTORY SEED SECONDS

In DIRECTORY lie the database and the slots (large_slots.py). Two writers, a reader and a scanner
work beside each other; now and then a checkpoint is made and opened. One more thread fills a part
of the keys with ballast, deletes it, and waits for the space to come back, which nobody asks for:
background compaction alone has to see to it. Every read is compared with what may be there. Every
SECTION_S the database is closed and opened again.

Each SAMPLE_S one line of JSON on standard output: a Sample. Whatever is raised ends the process
with status BROKEN.
"""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import lsmkv
from lsmkv._native import memory
from tests.support.large_slots import (
    BALLAST,
    MIXED,
    WRITERS,
    Slots,
    explains,
    key_of,
    slots_of,
)

__all__ = ["BROKEN", "DATABASE", "OPTIONS", "SLOTS_FILE", "Load", "Sample", "disk_bytes", "main"]

BROKEN = 98
DATABASE, SLOTS_FILE = "db", "slots"
SECTION_S = 20.0
SAMPLE_S = 0.2
COPY_S = 1.0  # between two checkpoints
LULL_PAUSE_S = 0.001  # of a writer before each write
RECLAIM_S = 60.0  # by then space must be back; it takes a few
WINDOW = 200  # slots of a scan
BATCH = 20
OPTIONS = {
    "write_buffer_size": 1 << 20,
    "table_size": 1 << 20,
    "block_cache_size": 2 << 20,
    "row_cache_size": 1 << 20,
    "max_open_files": 32,
}
# Without ballast: what is live, twice (old versions wait for compaction), logs, write buffers.
SPACE_FACTOR, SPACE_SLACK_BYTES = 2, 8 << 20


@dataclass(frozen=True)
class Sample:
    """The process and its database at one moment under load; counts are since its start."""

    operations: int
    reclaims: int  # how often space came back after deletes
    resident_bytes: int
    native_bytes: int  # of them by lsmkv's own account
    descriptors: int
    disk_bytes: int


def disk_bytes(path: Path) -> int:
    """Of all files of a database; one that goes meanwhile does not count."""
    total = 0
    for entry in os.scandir(path):
        try:
            total += entry.stat().st_size
        except FileNotFoundError:
            continue
    return total


class Load:
    """One database and the threads around it, from open to close."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.path = directory / DATABASE
        self._seed = seed
        self._slots = Slots(directory / SLOTS_FILE)
        self.db = lsmkv.open(str(self.path), **OPTIONS)
        self.operations = self.reclaims = 0
        self._is_storm = True
        self._carries_on = True
        self._works = True

    # --- what threads do, again and again

    def write(self, rng: random.Random, writer: int) -> None:
        slots = slots_of(writer)
        if not self._is_storm:
            time.sleep(LULL_PAUSE_S)
        if rng.random() < 0.05:
            self._commit(rng.sample(slots, BATCH))
        else:
            self._commit([rng.choice(slots)], sync=rng.random() < 0.001)

    def _commit(self, slots: list[int], *, sync: bool = False) -> None:
        changes = self._slots.begin(slots)
        if len(changes) > 1:
            with self.db.write_batch(sync=sync) as batch:
                for key, value in changes.items():
                    if value is None:
                        batch.delete(key)
                    else:
                        batch.put(key, value)
        else:
            ((key, value),) = changes.items()
            if value is None:
                self.db.delete(key, sync=sync)
            else:
                self.db.put(key, value, sync=sync)
        self._slots.acknowledge(slots)

    def read(self, rng: random.Random, _: int) -> None:
        slot = rng.randrange(MIXED)
        self._look([slot], lambda: {key_of(slot): self.db.get(key_of(slot))})

    def scan(self, rng: random.Random, _: int) -> None:
        slots = self._window(rng)

        def look() -> dict[bytes, bytes]:
            with self.db.snapshot() as snapshot:
                found = dict(snapshot.scan(*_ends(slots)))
                assert dict(snapshot.scan(*_ends(slots))) == found, "a snapshot has changed"
            return found

        self._look(slots, look)

    def copy(self, rng: random.Random, _: int) -> None:
        copy = str(self.path) + ".copy"
        shutil.rmtree(copy, ignore_errors=True)
        slots = self._window(rng)

        def look() -> dict[bytes, bytes]:
            self.db.checkpoint(copy)
            with lsmkv.open(copy, **OPTIONS) as db:
                return dict(db.scan(*_ends(slots)))

        self._look(slots, look)
        shutil.rmtree(copy)
        time.sleep(COPY_S)

    def _window(self, rng: random.Random) -> range:
        first = rng.randrange(MIXED - WINDOW)
        return range(first, first + WINDOW)

    def _look(self, slots: Sequence[int], look: Callable[[], Mapping[bytes, bytes | None]]) -> None:
        """Whatever is found is of a time between before and after."""
        firsts = [self._slots.acknowledged(slot) for slot in slots]
        found = look()
        for slot, first in zip(slots, firsts, strict=True):
            value, last = found.get(key_of(slot)), self._slots.begun(slot)
            assert explains(slot, value, first, last), f"slot {slot}, {first} to {last}: {value!r}"

    def carry_ballast(self, rng: random.Random, _: int) -> None:
        """Fill, delete, and wait for the space of it.

        The others go on, for deletes that are still in memory free nothing; but not in a storm: a
        background that writers are always ahead of sees to tombstones last.
        """
        self._is_storm = True
        self.turn_ballast(is_there=False)
        self.turn_ballast(is_there=True)
        self._is_storm = False
        deadline = time.monotonic() + RECLAIM_S
        while (used := disk_bytes(self.path)) > (limit := self._space_limit()):
            assert time.monotonic() < deadline, f"space does not come back: {used}, not {limit}"
            time.sleep(0.05)
        self.reclaims += 1

    def turn_ballast(self, *, is_there: bool) -> None:
        """Delete what is there, or fill what is not."""
        slots = [slot for slot in BALLAST if self._slots.acknowledged(slot) % 2 == is_there]
        for first in range(0, len(slots), BATCH):
            self._commit(slots[first : first + BATCH])

    def _space_limit(self) -> int:
        return SPACE_FACTOR * self._slots.live_bytes(range(MIXED)) + SPACE_SLACK_BYTES

    # --- how it runs

    def _guard(self, role: Callable[[random.Random, int], None], number: int) -> None:
        rng = random.Random(self._seed * 10 + number)
        try:
            while self._works:
                role(rng, number)
                self.operations += 1
        except BaseException:  # whatever it is, it must be told
            traceback.print_exc()
            os._exit(BROKEN)

    def _carry(self, rng: random.Random, number: int) -> None:
        while self._carries_on:
            self.carry_ballast(rng, number)
        self._works = False

    def run(self, seconds: float, tell: Callable[[Load], None]) -> None:
        """At least until space came back once."""
        roles = [*[self.write] * WRITERS, self.read, self.scan, self.copy, self._carry]
        threads = [
            threading.Thread(target=self._guard, args=(role, number))
            for number, role in enumerate(roles)
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + seconds
        while self._works:
            time.sleep(SAMPLE_S)
            self._carries_on = time.monotonic() < deadline
            tell(self)
        for thread in threads:
            thread.join()
        self.db.close()
        self._slots.close()


def _ends(slots: range) -> tuple[bytes, bytes]:
    return key_of(slots.start), key_of(slots.stop)


def main(directory: str, seed: str, seconds: str, make: type[Load] = Load) -> None:
    logging.basicConfig(level=logging.WARNING)  # what the engine warns of is a failure, too
    sections = max(1, round(float(seconds) / SECTION_S))
    operations = reclaims = 0

    def tell(load: Load) -> None:
        with open("/proc/self/statm", encoding="ascii") as file:
            pages = int(file.read().split()[1])
        sample = Sample(
            operations + load.operations,
            reclaims + load.reclaims,
            pages * os.sysconf("SC_PAGESIZE"),
            memory.usage()[0],
            len(os.listdir("/proc/self/fd")),
            disk_bytes(load.path),
        )
        print(json.dumps(asdict(sample)), flush=True)

    for section in range(sections):
        load = make(Path(directory), int(seed) * 100 + section)
        load.run(float(seconds) / sections, tell)
        operations, reclaims = operations + load.operations, reclaims + load.reclaims


if __name__ == "__main__":
    main(*sys.argv[1:])
