"""Everything at once in a process of its own (support/race_worker.py), which then ends in any way,
while this one tries to open the same database.

No crash, no hang, no error but clean refusals, never two openers; what was acknowledged is there.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import lsmkv
from tests.soak.part import Counts, Part
from tests.support.race_worker import OPTIONS, STATUS_SIZE, read_slots

__all__ = ["PART", "run_case"]

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 0.6
DEADLINE_S = 120.0


def _try_to_open(path: str, status: Path) -> bool:
    """Whether that was refused."""
    was_open = status.read_bytes()[0]
    try:
        db = lsmkv.open(path, **OPTIONS)
    except lsmkv.LockedError:
        return True
    with db:
        pass
    assert not (was_open and status.read_bytes()[0]), "two processes have it open"
    return False


def run_case(case: int, directory: Path) -> Counts:
    path, status = str(directory / "db"), directory / "status"
    status.write_bytes(bytes(STATUS_SIZE))
    command = [sys.executable, "-m", "tests.support.race_worker", path, str(status)]
    process = subprocess.Popen(
        [*command, str(case), str(SECONDS)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    refusals = 0
    deadline = time.monotonic() + DEADLINE_S
    while process.poll() is None and status.read_bytes()[0] == 0 and time.monotonic() < deadline:
        time.sleep(0.005)
    while process.poll() is None and status.read_bytes()[0] and time.monotonic() < deadline:
        refusals += _try_to_open(path, status)
        time.sleep(0.01)
    try:
        _, errors = process.communicate(timeout=max(1.0, deadline - time.monotonic()))
    finally:
        process.kill()
    assert process.returncode == 0, f"status {process.returncode}\n{errors[-4000:]}"
    assert not errors, errors[-4000:]
    acknowledged = read_slots(status.read_bytes())
    with lsmkv.open(path, **OPTIONS) as db:
        for key, number in acknowledged.items():
            value = db.get(key)
            found = 0 if value is None else int(value.split(b"=")[1].split(b":")[0])
            assert found >= number, f"{key!r}: write {number} is lost, {found} is there"
        assert db.verify()
    return {"races": 1, "refusals": refusals, "writes": max(acknowledged.values())}


PART = Part("races", run_case)
