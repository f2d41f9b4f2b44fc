"""The allocator's chunks: kept for the next memtable, counted as free, given back when idle."""

from __future__ import annotations

from pathlib import Path

from lsmkv._native import memory
from lsmkv._native.memtable import Memtable
from lsmkv._native.merge import KIND_PUT

MIB = 1 << 20


def resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon in /proc/self/status")


def fill_and_drop(size: int) -> None:
    memtable = Memtable()
    for number in range(size // 4096):
        memtable.insert(b"%08d" % number, number + 1, KIND_PUT, bytes(4000))


def test_chunks_of_a_memtable_are_kept_and_do_not_count():
    memory.trim()
    before, resident = memory.usage(), resident_bytes()
    fill_and_drop(64 * MIB)
    assert memory.usage() == before
    assert resident_bytes() - resident > 32 * MIB  # they wait to be used again
    fill_and_drop(64 * MIB)
    assert resident_bytes() - resident < 100 * MIB  # and were
    memory.trim()
    assert resident_bytes() - resident < 16 * MIB


def test_only_idle_chunks_are_trimmed():
    memory.trim()
    resident = resident_bytes()
    fill_and_drop(64 * MIB)
    fill_and_drop(64 * MIB)
    memory.trim(only_if_idle=True)  # used since the last call
    assert resident_bytes() - resident > 32 * MIB
    memory.trim(only_if_idle=True)
    assert resident_bytes() - resident < 16 * MIB


def test_a_chunk_that_cannot_be_had_is_reported():
    memory.trim()
    fill_and_drop(64 * MIB)
    before = memory.usage()
    memory.fail_allocation(1, for_ever=True)
    try:
        failed = False
        try:
            fill_and_drop(16 * MIB)
        except MemoryError:
            failed = True
    finally:
        memory.fail_allocation(0)
    assert failed
    assert memory.usage() == before
    memory.trim()
