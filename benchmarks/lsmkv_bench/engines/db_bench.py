"""RocksDB's own benchmark tool, for scale: the same kind of work without Python.

Not a peer: it draws keys with repetition, makes values itself, and says nothing of drains or
checks. It is run once, as a process, for all the workloads it knows; its lines are parsed.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Collection
from pathlib import Path

from lsmkv_bench.engines.interface import (
    BACKGROUND_JOBS,
    BLOOM_BITS,
    CACHE_SIZE_BYTES,
    WRITE_BUFFER_SIZE_BYTES,
    ZSTD_LEVEL,
)
from lsmkv_bench.results import Case, Outcome

KEY_SIZE = 16
SEEK_ENTRIES = 10
KNOWN = (  # in the order in which they run, under the tool's own names
    "fillseq",
    "fillrandom",
    "overwrite",
    "readrandom",
    "readmissing",
    "seekrandom",
    "readseq",
    "readreverse",
    "deleterandom",
)
SETTLE = ("flush", "waitforcompaction", "compact", "waitforcompaction")
LINE = re.compile(r"^(\w+)\s*:\s+[\d.]+ micros/op \d+ ops/sec ([\d.]+) seconds (\d+) operations;")


def run(case: Case, wanted: Collection[str], folder: Path) -> list[Outcome]:
    """Those of the wanted workloads that the tool has."""
    names = [name for name in KNOWN if name in wanted]
    if not names:
        return []
    done = subprocess.run(
        command(case, names, folder / "db"), capture_output=True, text=True, check=True
    )
    return parse(done.stdout + done.stderr, names)


def command(case: Case, names: Collection[str], path: Path) -> list[str]:
    """The tool's command line; everything is merged before the first workload that reads."""
    benchmarks: list[str] = []
    for name in names:
        if name.startswith(("read", "seek")) and SETTLE[0] not in benchmarks:
            benchmarks += SETTLE
        benchmarks.append(name)
    if not benchmarks[0].startswith("fill"):
        benchmarks.insert(0, "fillrandom")
    return [
        "db_bench",
        f"--db={path}",
        f"--benchmarks={','.join(benchmarks)}",
        f"--num={case.entries}",
        f"--key_size={KEY_SIZE}",
        f"--value_size={case.value_size}",
        "--compression_ratio=0.5",
        "--compression_type=zstd",
        f"--compression_level={ZSTD_LEVEL}",
        f"--cache_size={CACHE_SIZE_BYTES}",
        f"--write_buffer_size={WRITE_BUFFER_SIZE_BYTES}",
        f"--bloom_bits={BLOOM_BITS}",
        f"--max_background_jobs={BACKGROUND_JOBS}",
        f"--seek_nexts={SEEK_ENTRIES}",
    ]


def parse(text: str, names: Collection[str]) -> list[Outcome]:
    """One outcome for each of the names that the tool reported on."""
    found: dict[str, Outcome] = {}
    for line in re.split("[\r\n]", text):
        match = LINE.match(line)
        if match and match[1] in names:
            # It prints milliseconds only: what is shorter than one is one.
            seconds = max(float(match[2]), 0.001)
            found[match[1]] = Outcome(match[1], int(match[3]), seconds, cpu_seconds=0.0)
    return list(found.values())


def settings() -> dict[str, str]:
    """As text; without a version where the tool is missing."""
    return {
        "cache": f"{CACHE_SIZE_BYTES >> 20} MiB of blocks",
        "write buffer": f"{WRITE_BUFFER_SIZE_BYTES >> 20} MiB",
        "filter": f"{BLOOM_BITS} bits per key",
        "compression": f"zstd level {ZSTD_LEVEL}",
        "keys": "drawn with repetition: about two thirds of all are there",
    }
