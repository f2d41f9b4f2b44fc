"""The allocator's chunks: kept for the next memtable, counted as free, given back when idle.

What is resident is a matter of the whole process, so each case has one of its own.
"""

from __future__ import annotations

import subprocess
import sys

import pytest

PRELUDE = """
from pathlib import Path
from lsmkv._native import memory
from lsmkv._native.memtable import Memtable
from lsmkv._native.merge import KIND_PUT

MIB = 1 << 20

def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))

def fill_and_drop(size):
    memtable = Memtable()
    for number in range(size // 4096):
        memtable.insert(b"%08d" % number, number + 1, KIND_PUT, bytes(4000))

fill_and_drop(MIB)
before, start = memory.usage(), resident()
"""

CASES = {
    "kept, used again, and not counted": """
fill_and_drop(64 * MIB)
assert memory.usage() == before
assert resident() - start > 32 * MIB
fill_and_drop(64 * MIB)
assert resident() - start < 100 * MIB
memory.trim()
assert resident() - start < 16 * MIB
""",
    "only idle ones are trimmed": """
fill_and_drop(64 * MIB)
fill_and_drop(64 * MIB)
memory.trim(only_if_idle=True)  # used since the last call
assert resident() - start > 32 * MIB
memory.trim(only_if_idle=True)
assert resident() - start < 16 * MIB
""",
    "one that cannot be had is reported": """
fill_and_drop(64 * MIB)
memory.fail_allocation(1, for_ever=True)
try:
    fill_and_drop(16 * MIB)
except MemoryError:
    memory.fail_allocation(0)
else:
    raise AssertionError("no allocation failed")
assert memory.usage() == before
""",
}


@pytest.mark.parametrize("case", CASES)
def test_chunks_of_memtables(case: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + CASES[case]],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
