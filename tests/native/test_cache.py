"""The block cache keeps its budget, prefers what is read again, and takes nothing from a reader."""

import random

import pytest

from lsmkv._native import memory
from lsmkv._native.block import PUT
from lsmkv._native.table import TableSpace, table_layout
from lsmkv._native.vfs import MemoryFileSystem
from tests.support import c_program
from tests.support.table_cases import PATH, make, write

ENTRIES = [(b"%06d" % i, 1, PUT, b"%06d" % i * 15) for i in range(1000)]
BLOCK_SIZE = 1000
CHARGE = 192 + 1000  # bytes of a block at most, its record included


def block_keys(table):
    """The first key of each data block, in order."""
    keys, cursor = [], table.cursor(use_cache=False)
    cursor.first()
    while cursor.entry is not None:
        reads = cursor.block_reads
        if len(keys) < reads:
            keys.append(cursor.entry[0])
        cursor.next()
    return keys


def opened(cache_size_bytes):
    file_system, space, table = make(
        ENTRIES, cache_size_bytes, block_size=BLOCK_SIZE, compression=None
    )
    keys = block_keys(table)
    assert len(keys) == sum(
        piece.what.startswith("data") for piece in table_layout(file_system, PATH)
    )
    return space, table, keys


def misses_of(space, read):
    before = space.cache_stats()["misses"]
    read()
    return space.cache_stats()["misses"] - before


def test_a_block_is_read_once_while_it_fits():
    space, table, keys = opened(1 << 20)
    for _ in range(3):
        for entry in ENTRIES:
            assert table.get(entry[0]) == entry[1:]
    stats = space.cache_stats()
    assert stats["misses"] == stats["insertions"] == len(keys)
    assert stats["hits"] == 3 * len(ENTRIES) - len(keys)
    assert stats["evictions"] == 0
    assert len(keys) * 192 < stats["usage_bytes"] <= len(keys) * CHARGE
    assert stats["capacity_bytes"] == 1 << 20


@pytest.mark.parametrize("capacity", [CHARGE, 5 * CHARGE, 20 * CHARGE + 7])
def test_budget_holds_at_every_moment(capacity):
    space, table, _ = opened(capacity)
    source = random.Random(1)
    for _ in range(2000):
        entry = source.choice(ENTRIES)
        assert table.get(entry[0]) == entry[1:]
        assert 0 < space.cache_stats()["usage_bytes"] <= capacity
    stats = space.cache_stats()
    assert stats["hits"] + stats["misses"] == 2000
    assert stats["evictions"] >= stats["misses"] - capacity // (CHARGE - 200) > 0


def test_what_is_read_again_survives_a_scan():
    space, table, keys = opened(10 * CHARGE)
    hot = keys[:4]

    def read_hot():
        for key in hot:
            table.get(key)

    read_hot()
    for key in keys[4:]:
        read_hot()
        table.get(key)
    assert misses_of(space, read_hot) == 0


def test_one_scan_turns_the_whole_cache_over_without_hits():
    space, table, keys = opened(10 * CHARGE)
    for key in keys:
        table.get(key)
    assert misses_of(space, lambda: table.get(keys[-1])) == 0
    assert misses_of(space, lambda: table.get(keys[0])) == 1


def test_capacity_zero_keeps_nothing_and_reads_right():
    space, table, _ = opened(0)
    for entry in ENTRIES[:50]:
        assert table.get(entry[0]) == entry[1:]
    stats = space.cache_stats()
    assert (stats["usage_bytes"], stats["hits"], stats["misses"], stats["insertions"]) == (
        0,
        0,
        50,
        0,
    )
    assert list(table.entries()) == ENTRIES


def test_a_block_larger_than_the_cache_is_not_kept():
    entries = [(b"a", 1, PUT, b"x" * 5000), (b"b", 1, PUT, b"y")]
    _, space, table = make(entries, 3000, compression=None)
    for _ in range(2):
        assert table.get(b"a") == (1, PUT, b"x" * 5000)
        assert table.get(b"b") == (1, PUT, b"y")
    stats = space.cache_stats()
    assert (stats["misses"], stats["hits"], stats["insertions"]) == (3, 1, 1)


def test_a_pinned_block_outlives_its_eviction():
    space, table, keys = opened(2 * CHARGE)
    cursor = table.cursor()
    cursor.seek(keys[5], 1)
    position = ENTRIES.index(cursor.entry)
    for key in keys[10:]:
        table.get(key)
    assert space.cache_stats()["evictions"] > 50
    assert cursor.entry == ENTRIES[position]
    cursor.next()
    assert cursor.entry == ENTRIES[position + 1]
    assert misses_of(space, lambda: table.get(keys[5])) == 1  # it had been evicted
    assert misses_of(space, lambda: table.get(keys[5])) == 0


def test_closing_a_table_empties_its_slots():
    before = memory.usage()
    file_system = MemoryFileSystem()
    space = TableSpace(file_system, cache_size_bytes=1 << 20)
    for number in range(3):
        write(file_system, ENTRIES, path=f"{number}")
    tables = [space.open(f"{number}", number) for number in range(3)]
    for table in tables:
        for entry in ENTRIES[::10]:
            table.get(entry[0])
    usage = space.cache_stats()["usage_bytes"]
    cursor = tables[1].entries()
    del table, tables[1]
    assert space.cache_stats()["usage_bytes"] == usage  # the cursor keeps the table
    del cursor
    assert space.cache_stats()["usage_bytes"] == usage // 3 * 2
    del tables
    assert space.cache_stats()["usage_bytes"] == 0
    del space, file_system
    assert memory.usage() == before


HUGE_PAGE_SIZE = 2 << 20


def test_slots_of_the_pool_never_overlap_and_all_come_back(tmp_path):
    """A C program under sanitizers; an empty pool keeps at most one chunk of a size class."""
    program = c_program.build(
        tmp_path, "block_pool_check", ["block_pool", "allocator"], [*c_program.SANITIZED]
    )
    most, when_empty = map(int, c_program.run(program, 1, 200_000).split())
    assert most > 20 * HUGE_PAGE_SIZE
    assert when_empty <= 162 * HUGE_PAGE_SIZE


def test_a_large_cache_takes_its_blocks_from_huge_pages():
    """Once some megabytes are cached; what it counts is what the slots take, and closing gives all
    of it back."""
    before = memory.usage()
    entries = [(b"%06d" % i, 1, PUT, bytes(2000)) for i in range(6000)]
    file_system, space, table = make(entries, 64 << 20, block_size=4096, compression=None)
    for entry in entries:
        assert table.get(entry[0]) == entry[1:]
    stats = space.cache_stats()
    assert stats["misses"] == stats["insertions"] == 6000 // 2
    block_size = 192 + 32 + 2 * 2009  # and some bytes that vary
    assert 4 << 20 < stats["usage_bytes"] < 3000 * (block_size * 17 // 16 + 64)
    assert memory.usage()[0] - before[0] > 2 * HUGE_PAGE_SIZE
    del table, space, file_system
    assert memory.usage() == before
