"""Every native allocation of a workload fails: once, and from there on until the operation has
given up (tests/test_memory_failures.py). MemoryError, nothing lost, nothing leaked.

Case by case through all allocations, CHUNK at a time, and from the beginning again.
"""

from __future__ import annotations

import gc
from functools import cache
from pathlib import Path

from lsmkv._native import memory
from tests.soak.part import Counts, Part, noted
from tests.test_memory_failures import run

__all__ = ["PART"]

CHUNK = 60


@cache
def allocation_count() -> int:
    return run(0, for_ever=False)


def run_case(case: int, directory: Path) -> Counts:
    count = allocation_count()
    chunks = -(-count // CHUNK)
    for_ever = case // chunks % 2 == 1
    first = case % chunks * CHUNK + 1
    gc.collect()
    before = memory.usage()
    last = min(first + CHUNK, count + 1)
    for failing in range(first, last):
        with noted(f"allocation {failing} of {count}, {'for ever' if for_ever else 'once'}"):
            run(failing, for_ever=for_ever)
            if memory.usage() != before:
                gc.collect()
            assert memory.usage() == before, "leaked"
    return {"allocations": last - first}


PART = Part("allocations", run_case)
