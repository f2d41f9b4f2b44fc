"""SIGKILL at chosen file operations of a real process, before, inside and after them, and twice
more during the recovery: what was acknowledged is there, and nothing else.

A slice of `python -m tests.soak kill`, which takes every operation. Kills at random times, beside
threads: test_crash.py.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from lsmkv._native.vfs import PosixFileSystem
from tests.soak.kill import LOG_MODES, fixed_workload, kill_once
from tests.support.kill_lab import MOMENTS, Subject

STRIDE = 113  # operations; prime, so that every kind of them has its turn


@pytest.mark.slow
@pytest.mark.parametrize("log_mode", LOG_MODES)
def test_a_process_killed_at_an_operation_loses_nothing(log_mode: str, tmp_path: Path) -> None:
    if log_mode == "mapped" and not PosixFileSystem().can_map_log(str(tmp_path)):
        pytest.skip("no mapped log on this file system")
    workload = fixed_workload(log_mode)
    rng = random.Random(log_mode)
    kills = recoveries = 0
    for at in range(1, workload.operation_count + 1, STRIDE):
        for moment in MOMENTS:
            directory = tmp_path / f"{at}-{moment}"
            directory.mkdir()
            counts = kill_once(workload, (at, moment), directory, rng)
            kills += counts["kills"]
            recoveries += counts["kills of recoveries"]
    assert kills >= workload.operation_count // STRIDE * len(MOMENTS)
    assert recoveries > kills // 2


def test_a_process_that_is_not_killed_comes_to_its_end(tmp_path: Path) -> None:
    workload = fixed_workload("written")
    subject = Subject(str(tmp_path), workload)
    assert not subject.write(workload.operation_count + 1, "before").killed
    assert subject.check() == len(workload.states) - 1
