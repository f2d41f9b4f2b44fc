"""The control of the sustained fill: as many bytes at the same pace, without any database.

Each "put" is one copy into a file that is mapped shared and was allocated beforehand; a second
thread calls fdatasync once a second, as a database with mapped logs does. What a put waits for here
is the kernel and the disk: it is what a database's longest stall is compared with.

Files are made and given up between puts, outside of what is timed.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from lsmkv_bench import meters
from lsmkv_bench.histogram import Histogram
from lsmkv_bench.meters import Stopwatch
from lsmkv_bench.results import Outcome

FILE_SIZE_BYTES = 128 << 20
FRAME_SIZE = 16 + 16  # a key and what a log adds to a record
KEY_SIZE = 16
SYNC_SECONDS = 1.0
BURST_PUTS = 1000


class MappedFile:
    """Allocated, mapped, and gone when closed."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        os.posix_fallocate(self.descriptor, 0, FILE_SIZE_BYTES)
        self.map = mmap.mmap(self.descriptor, FILE_SIZE_BYTES)
        self._path = path

    def sync(self) -> None:
        os.fdatasync(self.descriptor)

    def close(self) -> None:
        self.map.close()
        os.close(self.descriptor)
        self._path.unlink()


class Syncer(threading.Thread):
    """Syncs the current file once a second until it is stopped, and closes those that are full."""

    def __init__(self) -> None:
        super().__init__(name="sync", daemon=True)
        self._changed = threading.Condition()
        self._current: MappedFile | None = None
        self._full: list[MappedFile] = []
        self._stopped = False

    def use(self, file: MappedFile | None) -> None:
        """The file to sync from now on; the one before is full."""
        with self._changed:
            if self._current is not None:
                self._full.append(self._current)
            self._current = file

    def stop(self) -> None:
        self.use(None)
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self.join()

    def run(self) -> None:
        while True:
            with self._changed:
                if not self._stopped:
                    self._changed.wait(SYNC_SECONDS)
                stopped, current, full = self._stopped, self._current, self._full
                self._full = []
            for file in full:
                file.sync()
                file.close()
            if stopped:
                return
            if current is not None:
                current.sync()


def run(folder: Path, puts: int, values: Sequence[bytes], pace: float) -> Outcome:
    """`pace`: bytes of keys and values per second."""
    histogram, watch, syncer = Histogram(), Stopwatch(), Syncer()
    user_size = KEY_SIZE + len(values[0])
    written_before = meters.written_bytes()
    syncer.start()
    started = time.perf_counter()
    try:
        _write(folder, puts, values, pace / user_size, histogram, syncer, started)
    finally:
        watch.seconds = time.perf_counter() - started
        syncer.stop()
    written_after = meters.written_bytes()
    return Outcome(
        "sustainedfill",
        puts,
        watch.seconds,
        cpu_seconds=time.process_time(),
        latency=histogram.summary(),
        written_bytes=(written_after or 0) - (written_before or 0),
        user_bytes=puts * user_size,
        note="a control: copies into a mapped file at the pace of the fill, no database",
    )


def _write(
    folder: Path,
    puts: int,
    values: Sequence[bytes],
    puts_per_second: float,
    histogram: Histogram,
    syncer: Syncer,
    started: float,
) -> None:
    records = [b"k" * FRAME_SIZE + value for value in values]
    size, n, clock = len(records[0]), len(records), time.perf_counter_ns
    burst_size = BURST_PUTS * size
    file, offset, number = None, FILE_SIZE_BYTES, 0
    for start in range(0, puts, BURST_PUTS):
        if offset + burst_size > FILE_SIZE_BYTES:
            number += 1
            file = MappedFile(folder / f"{number}.mapped")
            syncer.use(file)
            offset = 0
        assert file is not None
        target = file.map
        times: list[int] = []
        for i in range(start, min(start + BURST_PUTS, puts)):
            record = records[i % n]
            before = clock()
            target[offset : offset + size] = record
            times.append(clock() - before)
            offset += size
        histogram.add(times)
        ahead = started + (start + len(times)) / puts_per_second - time.perf_counter()
        if ahead > 0:
            time.sleep(ahead)


def settings() -> dict[str, str]:
    return {
        "what": "copies into mapped files, no database",
        "files": f"{FILE_SIZE_BYTES >> 20} MiB, allocated beforehand",
        "synced": "fdatasync every second, by a thread",
    }
