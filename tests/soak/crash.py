"""SIGKILL at random times of a process that writes from several threads: a database and its kills
for each case, with the worker and the oracle of tests/test_crash.py.
"""

from __future__ import annotations

from pathlib import Path

from lsmkv._native.vfs import PosixFileSystem
from tests.soak.part import Counts, Part, noted
from tests.support.crash_worker import Supervisor, read_status
from tests.test_crash import CYCLES_PER_DATABASE, Oracle, make_cycle, open_and_read

__all__ = ["PART"]


def run_case(case: int, directory: Path) -> Counts:
    can_map = PosixFileSystem().can_map_log(str(directory))
    mode = "mapped" if case % 2 == 0 and can_map else "written"
    oracle = Oracle()
    totals: Counts = {"kills": 0, "kills in the background's work": 0, "operations": 0}
    with Supervisor() as supervisor:
        for number in range(case * CYCLES_PER_DATABASE, (case + 1) * CYCLES_PER_DATABASE):
            cycle = make_cycle(number, mode, directory)
            with noted(f"{cycle}"):
                supervisor.run(cycle)
                acknowledged, is_running = read_status(cycle.status_path, cycle.thread_count)
                oracle.check(cycle, acknowledged, open_and_read(cycle))
            totals["kills"] += 1
            totals["kills in the background's work"] += is_running
            totals["operations"] += sum(acknowledged)
    return totals


PART = Part("kills", run_case)
