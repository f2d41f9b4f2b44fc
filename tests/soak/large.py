"""Mixed load for minutes: writers, readers, checkpoints, reopening and kills; memory, file
descriptors and disk stay bounded, and space comes back after deletes.

A case is a few rounds on one directory: in each a process works on it and is killed or ends well;
this one looks at what it reported and what is on the disk.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import lsmkv
from tests.soak.part import Counts, Part

__all__ = ["OPTIONS", "PART", "Limits", "run_round"]

ROOT = Path(__file__).resolve().parents[2]
ROUNDS = 3  # in one directory
SECONDS = 8.0
OPTIONS = {
    "write_buffer_size": 1 << 20,
    "table_size": 1 << 20,
    "block_cache_size": 2 << 20,
    "row_cache_size": 1 << 20,
    "max_open_files": 32,
}


@dataclass(frozen=True)
class Limits:
    """What a process may use. Disk: of the live data, beside what waits for compaction."""

    resident_growth_bytes: int = 160 << 20  # 96 MiB of it may be kept chunks of memtables
    descriptors: int = 32 + 24  # open tables, and log, lock, manifest, standard streams, threads
    disk_factor: float = 3.0
    disk_slack_bytes: int = 24 << 20


def run_round(path: str, seed: int, seconds: float, limits: Limits) -> Counts:
    """AssertionError when something grew beyond its limit or is lost."""
    command = [sys.executable, "-m", "tests.support.large_worker", path, str(seed), str(seconds)]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    first = process.stdout.readline()  # it has come to work
    rng = random.Random(seed)
    kills = rng.random() < 0.5
    if kills:
        time.sleep(seconds * rng.uniform(0.2, 0.8))
        process.send_signal(signal.SIGKILL)
    output, errors = process.communicate(timeout=seconds * 10 + 120)
    output = first + output
    assert process.returncode == (-signal.SIGKILL if kills else 0), errors.decode()[-3000:]
    reports = [json.loads(line) for line in output.splitlines() if line.endswith(b"}")]
    assert reports, "it did not come to work"
    for report in reports:
        grown = report["resident_bytes"] - reports[0]["resident_bytes"]
        assert grown < limits.resident_growth_bytes, f"memory grew by {grown} bytes"
        assert report["descriptors"] < limits.descriptors, f"{report['descriptors']} descriptors"
    _check_disk(path, limits)
    return {"operations": reports[-1]["operations"], "kills": int(kills), "rounds": 1}


def _check_disk(path: str, limits: Limits) -> None:
    with lsmkv.open(path, **OPTIONS) as db:
        live = sum(len(key) + len(value) for key, value in db.scan())
        assert db.verify()
        db.compact()
    used = _disk_bytes(path)
    assert used < limits.disk_factor * live + limits.disk_slack_bytes, f"{used} for {live} bytes"


def check_space_comes_back(path: str, limits: Limits) -> None:
    with lsmkv.open(path, **OPTIONS) as db:
        for key in list(db.keys()):
            del db[key]
        db.compact()
    used = _disk_bytes(path)
    assert used < limits.disk_slack_bytes // 4, f"{used} bytes are left of nothing"


def _disk_bytes(path: str) -> int:
    return sum(entry.stat().st_size for entry in os.scandir(path) if entry.is_file())


def run_case(case: int, directory: Path) -> Counts:
    limits = Limits()
    totals: Counts = {"operations": 0, "kills": 0, "rounds": 0}
    path = str(directory / "db")
    for number in range(ROUNDS):
        for what, count in run_round(path, case * ROUNDS + number, SECONDS, limits).items():
            totals[what] += count
    check_space_comes_back(path, limits)
    return totals


PART = Part("operations", run_case)
