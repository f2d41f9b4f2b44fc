"""What a piece of work costs: wall time, processor time, bytes to the disk, memory.

Reads /proc of this process and the sizes of files; decides nothing. Memory is anonymous and shared
memory: file pages belong to the system, which takes them back when it needs them.
"""

from __future__ import annotations

import ctypes
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

MEMORY_LINE = re.compile(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", re.MULTILINE)
WRITTEN_LINE = re.compile(r"^write_bytes: (\d+)", re.MULTILINE)
READ_SIZE = 1 << 20


def memory_bytes(process: int | str = "self") -> int:
    """Anonymous and shared memory of a process, 0 once it is gone."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return sum(1024 * int(size) for size in MEMORY_LINE.findall(status))


def give_back_memory() -> None:
    """Return what the C library keeps of freed memory to the system, where that can be asked."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def written_bytes() -> int | None:
    """What this process has sent towards the disk; None where the system does not tell."""
    try:
        found = WRITTEN_LINE.search(Path("/proc/self/io").read_text())
    except OSError:
        return None
    return int(found[1]) if found else None


def disk_bytes(folder: Path) -> int:
    """Blocks that the files below a folder take, holes left out."""
    return sum(512 * path.stat().st_blocks for path in folder.rglob("*") if path.is_file())


def warm_page_cache(folder: Path) -> None:
    """Read every file once, so that a cold block cache is not a cold disk; of files that were made
    larger than what was written, as much as takes space."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            left = 512 * path.stat().st_blocks
            with path.open("rb") as file:
                while left > 0 and file.read(READ_SIZE):
                    left -= READ_SIZE


@dataclass
class Stopwatch:
    """Sums over the parts that were timed; what lies between them costs nothing."""

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    _clock: Callable[[], float] = field(default=time.perf_counter, repr=False)
    _cpu_clock: Callable[[], float] = field(default=time.process_time, repr=False)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Time the block."""
        cpu_started, started = self._cpu_clock(), self._clock()
        try:
            yield
        finally:
            self.seconds += self._clock() - started
            self.cpu_seconds += self._cpu_clock() - cpu_started


def core_count() -> int:
    """Processors this process may use."""
    return len(os.sched_getaffinity(0))
