"""Mixed load for as long as wanted on one directory: writers, readers, scans, checkpoints,
reopening and kills. Memory, file descriptors and disk stay bounded, space comes back after deletes,
and what was acknowledged is there.

A case is one life of a process (support/large_worker.py), which works on what the last one left, a
minute or two. Every other one is killed at a random time. What it told of itself under load is held
against large_limits.py: memory and descriptors of each process, the disk over all of them. What it
left is held against what it had acknowledged (support/large_slots.py).

    python -m tests.soak large --minutes 30   one directory, about twenty lives
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import lsmkv
from tests.soak.large_limits import DISK, PROCESS, complaints
from tests.soak.part import Counts, Part, noted
from tests.support.crash_lab import check_files
from tests.support.large_slots import Slots
from tests.support.large_worker import DATABASE, OPTIONS, SLOTS_FILE, Sample

__all__ = ["PART", "judge", "live", "run_life"]

ROOT = Path(__file__).resolve().parents[2]
WORKER = "tests.support.large_worker"
SAMPLES_FILE = "samples"
LIFE_S = 120.0
SHORT_LIFE_S = 15.0  # what is left at the end of a soak is divided down to this
LATE_S = 180.0  # beyond its time; a process that takes longer hangs
# malloc has a heap for each thread, and for two minutes all of them grow, by 30 MiB together, to
# what they need. With one heap a smaller leak is seen, and sooner.
ONE_HEAP = {"MALLOC_ARENA_MAX": "1"}


def life_s(seconds_left: float) -> float:
    """There are two lives at least, one killed and one not, if there is any time for them."""
    return min(LIFE_S, seconds_left if seconds_left < 2 * SHORT_LIFE_S else seconds_left / 2)


def live(
    directory: Path, seed: int, seconds: float, *, kill_after_s: float | None, worker: str = WORKER
) -> list[Sample]:
    """Let a process work, and kill it that long after it has come to work; what it told."""
    process = subprocess.Popen(
        [sys.executable, "-m", worker, str(directory), str(seed), str(seconds)],
        cwd=ROOT,
        env=os.environ | ONE_HEAP | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,  # the first line is read alone
    )
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        patience_s = seconds + LATE_S if kill_after_s is None else kill_after_s
        output, errors = process.communicate(timeout=patience_s)
    except subprocess.TimeoutExpired:
        assert kill_after_s is not None, "it does not come to an end"
        process.kill()
        output, errors = process.communicate()
    finally:
        process.kill()
    expected = 0 if kill_after_s is None else -signal.SIGKILL
    story = errors.decode()[-3000:]
    assert (process.returncode, story) == (expected, ""), f"status {process.returncode}\n{story}"
    lines = (first + output).splitlines()
    return [Sample(**json.loads(line)) for line in lines if line.endswith(b"}")]


def judge(directory: Path) -> int:
    """Open what is left; how many writes had been under way. AssertionError when something is lost
    or wrong."""
    slots = Slots(directory / SLOTS_FILE)
    with lsmkv.open(str(directory / DATABASE), **OPTIONS, background="inline") as db:
        under_way = slots.settle(dict(db.scan()))
        assert db.verify()
        check_files(db, may_lose=False)
    slots.close()
    return under_way


def _samples_with(directory: Path, samples: Sequence[Sample]) -> list[Sample]:
    """Those of all lives in the directory, these being the newest."""
    path = directory / SAMPLES_FILE
    with path.open("a", encoding="ascii") as file:
        file.writelines(json.dumps(vars(sample)) + "\n" for sample in samples)
    with path.open(encoding="ascii") as file:
        return [Sample(**json.loads(line)) for line in file]


def run_life(case: int, directory: Path, seconds: float) -> Counts:
    rng = random.Random(f"large/{case}")
    seconds = life_s(seconds)
    kills = case % 2 == 0
    after_s = seconds * rng.uniform(0.3, 0.9) if kills else None
    with noted(f"killed after {after_s:.3f} s" if after_s is not None else "not killed"):
        samples = live(directory, case, seconds, kill_after_s=after_s)
        under_way = judge(directory)
    found = complaints(samples, PROCESS) + complaints(_samples_with(directory, samples), DISK)
    assert not found, "; ".join(found)
    return {
        "operations": samples[-1].operations,
        "lives": 1,
        "kills": int(kills),
        "writes under way": under_way,
        "reclaims": samples[-1].reclaims,
    }


def run_case(case: int, directory: Path) -> Counts:
    """One life, on a new directory."""
    return run_life(case, directory, LIFE_S)


PART = Part("operations", run_case, run_life)
