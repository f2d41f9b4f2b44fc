"""Ten million entries: load, reopen, scan, and the memory that takes.

    python benchmarks/memory_bound.py [--entries N] [--path DIR]

A child process loads in random order, closes, reopens, scans everything; the parent samples its
anonymous and shared memory (RssAnon + RssShmem of /proc/PID/status: mapped log and page cache
aside) every 100 ms. The bound: block cache + write buffers (one active and three frozen) + 150 MB.
Exit status 1 when exceeded.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CACHE_SIZE = 64 << 20
BUFFER_SIZE = 16 << 20
BUFFERS = 4
ALLOWANCE = 150_000_000
PERIOD_S = 0.1


def work(path: str, entries: int) -> None:
    import lsmkv

    value = bytes(random.Random(3).randbytes(50)) + b"x" * 50
    options = {"block_cache_size": CACHE_SIZE, "write_buffer_size": BUFFER_SIZE}
    step = 7_368_787  # a prime that does not divide the count: every key once, in scattered order
    started = time.perf_counter()
    with lsmkv.open(path, **options) as db:
        for i in range(entries):
            db.put(b"%016d" % (i * step % entries), value)
        print(
            f"loaded in {time.perf_counter() - started:.0f} s, "
            f"{db.stats()['stall_seconds']:.1f} s stalled"
        )
    started = time.perf_counter()
    with lsmkv.open(path, **options) as db:
        print(f"reopened in {time.perf_counter() - started:.2f} s")
        started = time.perf_counter()
        count = sum(1 for _ in db.scan())
        assert count == entries, f"{count} entries instead of {entries}"
        print(f"scanned in {time.perf_counter() - started:.0f} s")
        print(db.stats_text().partition("\n\n")[0])


def sample(pid: int) -> int:
    """RssAnon + RssShmem in bytes, 0 once the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    return sum(
        1024 * int(size) for size in re.findall(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", status, re.M)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="memory while loading and scanning many entries")
    parser.add_argument("--entries", type=int, default=10_000_000)
    parser.add_argument("--path")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work:
        work(arguments.work, arguments.entries)
        return 0
    with tempfile.TemporaryDirectory(dir=arguments.path) as folder:
        command = [
            sys.executable,
            __file__,
            "--work",
            f"{folder}/db",
            "--entries",
            str(arguments.entries),
        ]
        peak = 0
        with subprocess.Popen(command) as process:
            while process.poll() is None:
                peak = max(peak, sample(process.pid))
                time.sleep(PERIOD_S)
        bound = CACHE_SIZE + BUFFERS * BUFFER_SIZE + ALLOWANCE
        print(f"peak {peak / 1e6:.0f} MB, bound {bound / 1e6:.0f} MB")
        return 1 if process.returncode or peak > bound else 0


if __name__ == "__main__":
    sys.exit(main())
