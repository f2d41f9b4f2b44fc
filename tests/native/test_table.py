"""Tables hold what was added, find it by every way of reading, and are the bytes of their format.

Damage is the business of test_table_damage.py, the cache of test_cache.py.
"""

import bisect
import errno
import itertools
import os
import random

import pytest

from lsmkv._native import memory
from lsmkv._native.block import DELETE, PUT
from lsmkv._native.bloom import BloomFilter
from lsmkv._native.table import (
    SEQUENCE_MAX,
    Table,
    TableBuilder,
    TableCursor,
    TableSpace,
    table_layout,
)
from lsmkv._native.vfs import MemoryFileSystem, PosixFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.errors import CorruptionError, Error, OptionsError, StorageError
from tests.support import reference_table
from tests.support.table_cases import (
    FAMILIES,
    ID,
    PATH,
    make,
    newest,
    read_file,
    replace_file,
    sequential,
    write,
)

family = pytest.mark.parametrize("entries", FAMILIES.values(), ids=FAMILIES)
shape = pytest.mark.parametrize(
    "options",
    [{"compression": None}, {}, {"block_size": 1}, {"block_size": 200, "bloom_bits_per_key": 0}],
    ids=["raw", "zstd", "one entry a block", "small blocks, no filter"],
)


@family
@shape
def test_every_entry_comes_back_in_order(entries, options):
    _, _, table = make(entries, **options)
    assert list(table.entries()) == entries
    assert list(table.entries(readahead=1)) == entries
    assert list(table.entries(readahead=3000)) == entries
    table.verify()


@family
def test_summary_counts_what_was_added(entries):
    file_system, space, table = make(entries)
    summary = table.summary()
    sequences = [entry[1] for entry in entries]
    assert summary.id == ID
    assert (summary.number, table.number, table.path) == (1, 1, PATH)
    assert summary.file_size == file_system.file_size(PATH)
    assert summary.entry_count == len(entries)
    assert summary.tombstone_count == sum(entry[2] == DELETE for entry in entries)
    assert summary.raw_size == sum(len(entry[0]) + len(entry[3]) for entry in entries)
    assert (summary.first_sequence, summary.last_sequence) == (min(sequences), max(sequences))
    assert (summary.smallest, summary.largest) == (entries[0][0], entries[-1][0])
    assert space.open(PATH, 1).summary() == summary
    assert 0 < table.memory_usage < summary.tail_size + 65536


@family
@shape
def test_get_finds_the_newest_visible_version(entries, options):
    _, _, table = make(entries, **options)
    for key, sequence, _, _ in random.Random(1).sample(entries, min(200, len(entries))):
        for limit in (SEQUENCE_MAX, sequence, sequence - 1, 0):
            assert table.get(key, limit) == newest(entries, key, limit)


@family
def test_get_of_absent_keys(entries):
    _, _, table = make(entries, block_size=300)
    present = {entry[0] for entry in entries}
    near = set()
    for key in list(present)[:150]:
        near |= {key + b"\0", key[:-1], key + b"\xff", b"!" + key}
    for key in near - present:
        if len(key) <= 65536:
            assert table.get(key) is None


@family
@pytest.mark.parametrize("readahead", [0, 1000])
def test_cursor_seeks_and_turns(entries, readahead):
    _, _, table = make(entries, block_size=300)
    cursor = table.cursor(readahead=readahead)
    order = [(entry[0], -entry[1]) for entry in entries]
    source = random.Random(3)
    keys = [entry[0] for entry in entries]
    targets = [source.choice(keys) for _ in range(60)]
    targets += [key + b"\0" for key in targets[:20] if len(key) < 65536] + [b"", b"\xff" * 50]
    for key in targets:
        sequence = source.choice((SEQUENCE_MAX, 0, 3, source.randrange(SEQUENCE_MAX)))
        place = bisect.bisect_left(order, (key, -sequence))
        cursor.seek(key, sequence)
        assert cursor.entry == (entries[place] if place < len(entries) else None)
        cursor.seek_before(key, sequence)
        assert cursor.entry == (entries[place - 1] if place else None)
        for _ in range(source.randrange(12)):
            if cursor.entry is None:
                break
            step = source.choice((1, -1))
            place = entries.index(cursor.entry) + step
            cursor.next() if step == 1 else cursor.previous()
            assert cursor.entry == (entries[place] if 0 <= place < len(entries) else None)


@family
@pytest.mark.parametrize("readahead", [0, 5000])
def test_cursor_walks_backward(entries, readahead):
    _, _, table = make(entries, block_size=300)
    cursor = table.cursor(readahead=readahead)
    cursor.last()
    found = []
    while cursor.entry is not None:
        found.append(cursor.entry)
        cursor.previous()
    assert found == entries[::-1]


def test_readahead_reads_each_block_once_and_leaves_the_cache_alone():
    file_system, space, table = make(sequential(2000), block_size=500)
    blocks = sum(piece.what.startswith("data block") for piece in table_layout(file_system, PATH))
    for readahead in (1, 4096, 1 << 20):
        cursor = table.entries(readahead=readahead)
        assert sum(1 for _ in cursor) == 2000
        assert cursor.block_reads == blocks
    stats = space.cache_stats()
    assert (stats["hits"], stats["misses"], stats["insertions"]) == (0, 0, 0)


# --- the format ----------------------------------------------------------------------------------


@family
@pytest.mark.parametrize("block_size", [1, 300, 4096])
def test_bytes_are_those_of_the_reference_writer(entries, block_size):
    file_system = MemoryFileSystem()
    write(file_system, entries, block_size=block_size, compression=None)
    bloom = BloomFilter.build({entry[0] for entry in entries})
    filter_shape = (bloom.line_count, bloom.probe_count)
    expected = reference_table.build(entries, ID, block_size=block_size, filter_shape=filter_shape)
    assert read_file(file_system) == expected


def test_index_grows_levels():
    entries = [(b"%08d" % i, 1, PUT, b"") for i in range(70_000)]
    file_system, _, table = make(entries, block_size=1, bloom_bits_per_key=0, compression=None)
    nodes = [what for _, _, what in table_layout(file_system, PATH) if what.startswith("index")]
    assert sum("level 1," in node for node in nodes) == -(-70_000 // 256)
    assert sum("level 2," in node for node in nodes) == 2
    assert sum("level 3," in node for node in nodes) == 1
    for key in (b"00000000", b"00065535", b"00065536", b"00069999"):
        assert table.get(key) == (1, PUT, b"")


def test_nodes_of_large_separators_are_bounded_by_their_size():
    """Neighbours differ in their ends alone, so that separators are as long: few to a node."""
    groups = [bytes([group]) * 60_000 for group in range(80)]
    entries = [(group + bytes([end]), 1, PUT, b"v") for group in groups for end in range(3)]
    file_system, _, table = make(entries, block_size=1, bloom_bits_per_key=0, compression=None)
    nodes = [piece for piece in table_layout(file_system, PATH) if piece.what.startswith("index")]
    assert len(nodes) > 60
    assert max(node.size for node in nodes) < 3 * 65536
    assert list(table.entries()) == entries
    for key, *wanted in entries[::7]:
        assert table.get(key) == tuple(wanted)


@family
def test_layout_covers_the_file(entries):
    file_system, _, table = make(entries, block_size=300)
    pieces = table_layout(file_system, PATH)
    offset = 0
    for piece in pieces:
        assert piece.offset == offset
        assert piece.size > 0
        offset += piece.size
    assert offset == table.summary().file_size
    assert pieces[0].what == "file header"
    assert pieces[-1].what == "footer"
    data_size = sum(piece.size for piece in pieces if piece.what.startswith("data block"))
    assert 32 + data_size + table.summary().tail_size == table.summary().file_size


GOLDEN = {
    0: "4c534d4b 5654424c 01000000 c5114e65 00010203 04050607 08090a0b 0c0d0e0f"
    "7ae1d817 2a000000 2a000000 01010000 01000200 01000000 01000000 00000000"
    "01000000 00000000 01000000 00000000 00000000 00000000 6b76",
    112: "064fb0f9 39000000 39000000 01020000 01000200 01000000 00000000 00000000"
    "01000000 00000000 10000000 00000000 00000000 00000000 6b"
    "20000000 00000000 3a000000 00000000",
    240: "e6e8bd1b 42000000 42000000 01040000 01000000 00000000 00000000 00000000"
    "02000000 00000000 01000000 00000000 01000000 00000000 01000000 01000000"
    "00100000 00000000 01000000 01000000 6b6b",
    368: "aefc94d3 30000000 30000000 01050000 01000100 00000000 70000000 00000000"
    "49000000 00000000 03000100 00000000 f0000000 00000000 52000000 00000000",
    448: "f5455a93 01000000 00010203 04050607 08090a0b 0c0d0e0f 00020000 00000000"
    "a6010000 00000000 70010000 00000000 40000000 00000000 4c534d4b 56454e44",
}


def test_worked_example():
    # The bytes printed in kernels/table_format.h; zeros between the pieces.
    expected = bytearray(512)
    for offset, text in GOLDEN.items():
        piece = bytes.fromhex(text)
        expected[offset : offset + len(piece)] = piece
    file_system = MemoryFileSystem()
    write(file_system, [(b"k", 1, PUT, b"v")], compression=None, bloom_bits_per_key=0)
    assert read_file(file_system) == expected
    assert table_layout(file_system, PATH) == [
        (0, 32, "file header"),
        (32, 58, "data block 0"),
        (90, 22, "padding"),
        (112, 73, "index node, level 1, 1 entries"),
        (185, 55, "padding"),
        (240, 82, "properties"),
        (322, 46, "padding"),
        (368, 64, "section directory"),
        (432, 16, "padding"),
        (448, 64, "footer"),
    ]


def test_unknown_section_that_may_be_ignored_is_ignored():
    file_system = MemoryFileSystem()
    replace_file(
        file_system, reference_table.build(sequential(20), ID, extra_sections=[(77, 0, b"later")])
    )
    table = TableSpace(file_system).open(PATH, 1)
    assert list(table.entries()) == sequential(20)
    assert "section 77, ignored" in [piece.what for piece in table_layout(file_system, PATH)]


@pytest.mark.parametrize(("number", "flags"), [(77, 1), (4, 1), (4, 0)])
def test_section_that_must_be_understood_is_refused(number, flags):
    file_system = MemoryFileSystem()
    data = reference_table.build(sequential(20), ID, extra_sections=[(number, flags, b"later")])
    replace_file(file_system, data)
    with pytest.raises(Error, match=f"section {number}") as caught:
        TableSpace(file_system).open(PATH, 1)
    assert not isinstance(caught.value, CorruptionError)


def test_separators_are_shortest_and_separate():
    alphabet = b"\x00\x01\x7f\xfe\xff"
    words = [itertools.product(alphabet, repeat=size) for size in range(4)]
    keys = sorted(bytes(word) for group in words for word in group)
    pairs = random.Random(5).sample(list(itertools.combinations(keys, 2)), 400)
    for last, after in pairs:
        k = reference_table.separator(last, after)
        assert last <= k < after
        assert not any(last <= shorter < after for shorter in keys if len(shorter) < len(k))


# --- builder -------------------------------------------------------------------------------------


def test_builder_refuses_disorder_and_repeats_its_failure():
    builder = TableBuilder(MemoryFileSystem(), PATH, id=ID)
    builder.add(b"b", 5, PUT, b"")
    for _ in range(2):
        with pytest.raises(CorruptionError, match="out of order"):
            builder.add(b"a", 5, PUT, b"")
    with pytest.raises(CorruptionError, match="out of order"):
        builder.finish()


@pytest.mark.parametrize("second", [(b"b", 5), (b"b", 6), (b"", 9)])
def test_builder_wants_strict_internal_order(second):
    builder = TableBuilder(MemoryFileSystem(), PATH, id=ID)
    builder.add(b"b", 5, PUT, b"")
    with pytest.raises(CorruptionError):
        builder.add(*second, PUT, b"")


def test_builder_limits():
    file_system = MemoryFileSystem()
    with pytest.raises(ValueError, match="at least one entry"):
        TableBuilder(file_system, "a", id=ID).finish()
    with pytest.raises(ValueError, match="limit"):
        TableBuilder(file_system, "b", id=ID).add(b"k" * 65537, 1, PUT, b"")
    with pytest.raises(Error, match="kind 9"):
        TableBuilder(file_system, "c", id=ID).add(b"k", 1, 9, b"")
    with pytest.raises(ValueError, match="56 bits"):
        TableBuilder(file_system, "d", id=ID).add(b"k", SEQUENCE_MAX + 1, PUT, b"")
    with pytest.raises(ValueError, match="16 bytes"):
        TableBuilder(file_system, "e", id=b"short")
    with pytest.raises(OptionsError):
        TableBuilder(file_system, "f", id=ID, compression="lz4")
    with pytest.raises(OptionsError):
        TableBuilder(file_system, "g", id=ID, bloom_bits_per_key=0.5)


def test_builder_never_overwrites():
    file_system = MemoryFileSystem()
    write(file_system, sequential(10))
    before = read_file(file_system)
    with pytest.raises(StorageError):
        TableBuilder(file_system, PATH, id=ID)
    assert read_file(file_system) == before


def test_builder_estimates_its_size():
    for compression in (None, "zstd"):
        builder = TableBuilder(MemoryFileSystem(), PATH, id=ID, compression=compression)
        for entry in sequential(60_000):
            builder.add(*entry)
        assert builder.entry_count == 60_000
        estimate = builder.size_estimate
        assert builder.finish().file_size == pytest.approx(estimate, rel=0.1)


def test_finished_builder_is_closed():
    builder = TableBuilder(MemoryFileSystem(), PATH, id=ID)
    builder.add(b"k", 1, PUT, b"v")
    builder.finish()
    for call in (
        builder.finish,
        lambda: builder.add(b"l", 1, PUT, b"v"),
        lambda: builder.size_estimate,
    ):
        with pytest.raises(ValueError, match="finished"):
            call()
    builder.abandon()


# --- reader --------------------------------------------------------------------------------------


def test_range_size():
    entries = sequential(2000)
    _, _, table = make(entries, block_size=500)
    summary = table.summary()
    everything = summary.file_size - summary.tail_size - 32
    assert table.range_size() == everything
    assert table.range_size(b"", b"\xff") == everything
    half = table.range_size(b"%016d" % 0, b"%016d" % 1000)
    assert 0 < half < everything
    assert half + table.range_size(b"%016d" % 1000) == pytest.approx(everything, rel=0.05)
    one = table.range_size(b"%016d" % 700, b"%016d" % 701)
    assert 0 < one < 1200
    for start, stop in (
        (b"b", None),
        (None, b""),
        (b"%016d" % 9, b"%016d" % 9),
        (b"%016d" % 9, b"%016d" % 3),
    ):
        assert table.range_size(start, stop) == 0


def test_pool_bounds_open_files():
    file_system = MemoryFileSystem()
    space = TableSpace(file_system, open_files_max=2, cache_size_bytes=0)
    entries = sequential(50)
    tables = []
    for number in range(5):
        write(file_system, entries, path=f"{number}")
        tables.append(space.open(f"{number}", number))
    assert space.open_file_count == 0
    for table in [*tables, *tables[::-1], tables[0]]:
        assert table.get(entries[7][0]) == entries[7][1:]
        assert 1 <= space.open_file_count <= 2
    del tables, table
    assert space.open_file_count == 0


def test_expectations_are_checked_at_open():
    file_system = MemoryFileSystem()
    summary = write(file_system, sequential(50))
    space = TableSpace(file_system)
    for wrong in (
        {"id": b"x" * 16},
        {"file_size": summary.file_size + 1},
        {"tail_size": summary.tail_size + 64},
        {"tail_size": summary.tail_size - 64},
        {"tail_size": 1},
        {"tail_size": summary.file_size + 1},
    ):
        with pytest.raises(CorruptionError) as caught:
            space.open(PATH, 1, **wrong)
        assert caught.value.path == PATH
        assert caught.value.offset is not None
    with pytest.raises(StorageError):
        space.open("absent", 2)


def test_cold_posix_file(tmp_path):
    file_system = PosixFileSystem()
    path = tmp_path / PATH
    entries = sequential(3000)
    write(file_system, entries, path=path)
    descriptor = os.open(path, os.O_RDONLY)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)
    table = TableSpace(file_system).open(path, 1)
    for entry in entries[::97]:
        assert table.get(entry[0]) == entry[1:]
    assert list(table.entries(readahead=65536)) == entries


def test_objects_die_in_any_order():
    file_system, space, table = make(sequential(200), block_size=200)
    cursor = table.entries()
    del file_system, space, table
    assert sum(1 for _ in cursor) == 200


def test_unmade_objects_raise():
    for made in (Table, TableCursor):
        with pytest.raises(TypeError):
            made()
    table = Table.__new__(Table)
    for call in (
        lambda: table.get(b""),
        table.summary,
        table.verify,
        table.cursor,
        lambda: table.number,
    ):
        with pytest.raises(TypeError):
            call()
    space = TableSpace.__new__(TableSpace)
    with pytest.raises(TypeError):
        space.open("x", 1)
    assert space.open_file_count == 0
    with pytest.raises(ValueError, match="never opened"):
        TableCursor.__new__(TableCursor).drain()
    assert list(TableCursor.__new__(TableCursor)) == []
    TableBuilder.__new__(TableBuilder).abandon()


# --- memory --------------------------------------------------------------------------------------


def use_everything(file_system):
    entries = sequential(60)
    write(file_system, entries, block_size=300)
    space = TableSpace(file_system, cache_size_bytes=3000)
    table = space.open(PATH, 1)
    for entry in entries[::9]:
        assert table.get(entry[0]) == entry[1:]
    assert list(table.entries()) == entries
    assert list(table.entries(readahead=700)) == entries
    table.verify()


def test_nothing_leaks_when_an_allocation_fails():
    before = memory.usage()
    use_everything(MemoryFileSystem())
    assert memory.usage() == before
    failures = 0
    for for_ever in (False, True):
        for after in itertools.count(1):
            file_system = MemoryFileSystem()
            memory.fail_allocation(after, for_ever)
            try:
                use_everything(file_system)
                done = True
            except MemoryError:
                done = False
                failures += 1
            finally:
                memory.fail_allocation(0)
            del file_system
            assert memory.usage() == before
            if done:
                break
    assert failures > 200


# --- input and output ----------------------------------------------------------------------------


def test_every_failed_operation_is_reported_or_harmless():
    before = memory.usage()
    reported = []
    for at in itertools.count(1):
        file_system = FaultFileSystem(MemoryFileSystem())
        file_system.count_reads(True)
        file_system.fail(at, errno.EIO)
        try:
            use_everything(file_system)
        except StorageError as error:
            reported.append((error.errno, error.filename))
        finished = file_system.operation_count < at
        del file_system
        assert memory.usage() == before
        if finished:
            break
    assert len(reported) > 10
    assert set(reported) == {(errno.EIO, PATH)}


def test_a_failed_sync_is_a_failed_table():
    file_system = FaultFileSystem(MemoryFileSystem())
    file_system.fail(1, errno.EIO, operations=["sync"])
    with pytest.raises(StorageError):
        write(file_system, sequential(10))


def test_a_short_read_is_damage():
    file_system = FaultFileSystem(MemoryFileSystem())
    entries = sequential(300)
    write(file_system, entries)
    table = TableSpace(file_system, cache_size_bytes=0).open(PATH, 1)
    file_system.count_reads(True)
    file_system.short(1, 5, operations=["read"])
    with pytest.raises(CorruptionError, match="ends early") as caught:
        list(table.entries(readahead=1000))
    assert caught.value.path == PATH
    assert list(table.entries(readahead=1000)) == entries
