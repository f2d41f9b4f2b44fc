"""A damaged or hostile table is refused, naming its path, or reads as a whole one. Never a crash.

Honest damage (flips, cuts, swaps) must be noticed by checksums. Forged damage has its checksums
made right again, so that the structural checks stand alone.
"""

import random
from itertools import pairwise

import pytest

from lsmkv._native import memory
from lsmkv._native.block import PUT
from lsmkv._native.table import TableSpace, table_layout
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv.errors import CorruptionError, Error
from tests.support import c_program, reference_table
from tests.support.table_cases import ID, PATH, read_file, replace_file, sequential, versions, write

SMALL = [(b"key%02d" % i, i + 1, PUT, b"value%d" % i * 3) for i in range(12)]
OTHER_ID = bytes(range(100, 116))


def image(entries, **options):
    file_system = MemoryFileSystem()
    write(file_system, entries, **options)
    return read_file(file_system), table_layout(file_system, PATH)


def read_everything(data):
    """The entries, by every way of reading; they must agree."""
    file_system = MemoryFileSystem()
    replace_file(file_system, data)
    table = TableSpace(file_system).open(PATH, 1)
    entries = list(table.entries())
    assert list(table.entries(readahead=400)) == entries
    backward = table.cursor()
    backward.last()
    assert backward.drain(reverse=True) == len(entries)
    for key, sequence, kind, value in entries:
        found = table.get(key, sequence)
        assert found is None or found == (sequence, kind, value)
    table.verify()
    return entries


def outcome(data):
    """What reading gives: entries, or the error, which must name the file."""
    try:
        return read_everything(data)
    except Error as caught:
        error = caught.with_traceback(None)  # which would keep the table alive
    assert PATH in str(error)
    if isinstance(error, CorruptionError):
        assert error.path == PATH
        assert error.offset is None or 0 <= error.offset <= len(data)
    return error


@pytest.mark.parametrize(
    "options", [{"compression": None}, {"block_size": 150}], ids=["raw", "zstd"]
)
def test_a_flipped_bit_anywhere_is_noticed(options):
    data, _ = image(SMALL, **options)
    source = random.Random(2)
    for offset in range(len(data)):
        damaged = bytearray(data)
        damaged[offset] ^= 1 << source.randrange(8)
        assert isinstance(outcome(damaged), Error), f"byte {offset}"


def test_a_cut_anywhere_is_noticed():
    data, _ = image(SMALL, block_size=150)
    for size in range(len(data)):
        assert isinstance(outcome(data[:size]), CorruptionError), f"{size} bytes"
    for more in (b"\0", data[-64:], data):
        assert isinstance(outcome(data + more), CorruptionError)


def two_blocks_of_one_size(pieces):
    blocks = [piece for piece in pieces if piece.what.startswith("data block")]
    for first, second in pairwise(blocks):
        if first.size == second.size:
            return first, second
    raise AssertionError("no such blocks")


def test_another_table_in_the_place_is_noticed():
    file_system = MemoryFileSystem()
    ours = write(file_system, SMALL)
    theirs = write(file_system, SMALL, path="other", id=OTHER_ID)
    assert (ours.file_size, ours.tail_size) == (theirs.file_size, theirs.tail_size)
    file_system.rename("other", PATH)
    with pytest.raises(CorruptionError, match="another table") as caught:
        TableSpace(file_system).open(
            PATH, 1, id=ours.id, file_size=ours.file_size, tail_size=ours.tail_size
        )
    assert caught.value.path == PATH


def test_a_file_swapped_under_an_open_table_is_noticed():
    file_system = MemoryFileSystem()
    entries = sequential(200)
    write(file_system, entries, block_size=300)
    table = TableSpace(file_system).open(PATH, 1)
    write(file_system, entries, path="other", id=OTHER_ID, block_size=300)
    file_system.rename("other", PATH)
    for call in (
        lambda: table.get(entries[0][0]),
        lambda: list(table.entries(readahead=999)),
        table.verify,
    ):
        with pytest.raises(CorruptionError) as caught:
            call()
        assert caught.value.path == PATH


def test_a_block_copied_to_another_place_is_noticed():
    # Equal sizes, so only the seed of the checksum can tell.
    entries = [(b"%04d" % i, 1, PUT, b"v") for i in range(40)]
    data, pieces = image(entries, block_size=100, compression=None)
    first, second = two_blocks_of_one_size(pieces)
    damaged = bytearray(data)
    damaged[second.offset : second.offset + second.size] = data[
        first.offset : first.offset + first.size
    ]
    error = outcome(damaged)
    assert isinstance(error, CorruptionError)
    assert error.offset == second.offset


def test_damage_in_a_data_block_costs_only_that_block():
    entries = sequential(300)
    data, pieces = image(entries, block_size=400)
    piece = [piece for piece in pieces if piece.what.startswith("data block")][3]
    damaged = bytearray(data)
    damaged[piece.offset + 20] ^= 1
    file_system = MemoryFileSystem()
    replace_file(file_system, damaged)
    table = TableSpace(file_system).open(PATH, 1)
    places = []
    for entry in entries:
        try:
            assert table.get(entry[0]) == entry[1:]
        except CorruptionError as error:
            places.append((error.path, error.offset))
    assert 0 < len(places) < 40
    assert set(places) == {(PATH, piece.offset)}
    with pytest.raises(CorruptionError):
        table.verify()


# --- forged: every checksum right ----------------------------------------------------------------


def forge(data, piece, change):
    forged = bytearray(data)
    body = bytearray(data[piece.offset : piece.offset + piece.size])
    change(body)
    forged[piece.offset : piece.offset + piece.size] = body
    reference_table.reseal(forged, ID, piece.offset, piece.size)
    return forged


@pytest.mark.parametrize("entries", [SMALL, versions(12)], ids=["small", "versions"])
@pytest.mark.parametrize("compression", [None, "zstd"])
def test_forged_bytes_never_crash(entries, compression):
    before = memory.usage()
    data, pieces = image(entries, block_size=150, compression=compression)
    source = random.Random(4)
    refused = read = 0
    for piece in pieces[1:]:
        if piece.what == "padding":
            continue
        for position in range(4, piece.size):
            for value in {0, 0xFF, source.randrange(256)} - {data[piece.offset + position]}:
                forged = bytearray(data)
                forged[piece.offset + position] = value
                reference_table.reseal(forged, ID, piece.offset, piece.size)
                result = outcome(forged)
                refused += isinstance(result, Error)
                read += not isinstance(result, Error)
    assert refused > 1000
    assert read > 10  # values, counts of the filter: changes that no structure contradicts
    del result
    assert memory.usage() == before


def test_blocks_that_contradict_their_separators_are_noticed():
    # Two blocks exchanged, each sealed for its new place: only their keys are wrong.
    entries = [(b"%04d" % i, 1, PUT, b"v") for i in range(40)]
    data, pieces = image(entries, block_size=100, compression=None)
    first, second = two_blocks_of_one_size(pieces)
    forged = bytearray(data)
    forged[first.offset : first.offset + first.size] = data[
        second.offset : second.offset + second.size
    ]
    forged[second.offset : second.offset + second.size] = data[
        first.offset : first.offset + first.size
    ]
    reference_table.reseal(forged, ID, first.offset, first.size)
    reference_table.reseal(forged, ID, second.offset, second.size)
    error = outcome(forged)
    assert isinstance(error, CorruptionError)
    assert "outside its bounds" in str(error)


def test_a_huge_stated_size_allocates_nothing():
    data, pieces = image(SMALL, compression=None)

    def grow(body):
        body[8:12] = (0x7FFFFFFF).to_bytes(4, "little")

    for piece in pieces:
        if piece.what.startswith(("data", "index", "filter", "properties", "section")):
            assert isinstance(outcome(forge(data, piece, grow)), CorruptionError)


def test_unknown_versions_and_codecs_are_refused_as_such():
    data, pieces = image(SMALL, compression=None)
    block = next(piece for piece in pieces if piece.what.startswith("data"))
    error = outcome(forge(data, block, lambda body: body.__setitem__(12, 9)))
    assert "codec 9" in str(error)
    assert not isinstance(error, CorruptionError)
    error = outcome(forge(data, pieces[-1], lambda body: body.__setitem__(4, 2)))
    assert "format version 2" in str(error)
    assert not isinstance(error, CorruptionError)


def test_verify_finds_what_reading_does_not():
    entries = sequential(100)
    data, pieces = image(entries, block_size=500)
    properties = next(piece for piece in pieces if piece.what == "properties")
    filter_piece = next(piece for piece in pieces if piece.what == "filter")

    def count_one_more(body):
        body[16] += 1

    def empty_filter(body):
        body[16 + 64 :] = bytes(len(body) - 80)

    cases = [(properties, count_one_more, "disagree"), (filter_piece, empty_filter, "filter")]
    for piece, change, words in cases:
        file_system = MemoryFileSystem()
        replace_file(file_system, forge(data, piece, change))
        table = TableSpace(file_system).open(PATH, 1)
        assert list(table.entries()) == entries
        with pytest.raises(CorruptionError, match=words):
            table.verify()


@pytest.mark.slow
def test_forgeries_lifetimes_and_waits_under_sanitizers(tmp_path):
    tables = [path.stem for path in c_program.KERNELS.glob("table_*.c")]
    below = [
        "allocator",
        "status",
        "block",
        "block_builder",
        "block_fold",
        "bloom",
        "murmur3",
        "crc32c",
        "cache",
        "block_pool",
    ]
    files = ["file_pool", "vfs_memory", "vfs_memory_tree", "fork", "codec_zstd"]
    flags = [*c_program.SANITIZED, "-lpthread"]
    program = c_program.build(tmp_path, "table_check", [*tables, *below, *files], flags)
    whole, refused = map(int, c_program.run(program, 1, 300).split())
    assert whole > 5
    assert refused > 200


@pytest.mark.parametrize("readahead", [0, 1000, 1 << 20])
@pytest.mark.parametrize("backward", [False, True])
def test_damage_ahead_is_met_when_the_cursor_gets_there(readahead, backward):
    entries = sequential(300)
    data, pieces = image(entries, block_size=400)
    blocks = [piece for piece in pieces if piece.what.startswith("data block")]
    previous = -1
    for piece in blocks:
        damaged = bytearray(data)
        damaged[piece.offset + 20] ^= 1
        file_system = MemoryFileSystem()
        replace_file(file_system, damaged)
        cursor = TableSpace(file_system).open(PATH, 1).cursor(readahead=readahead)
        seen = 0
        with pytest.raises(CorruptionError) as caught:
            _ = cursor.last() if backward else cursor.first()
            while cursor.entry is not None:
                assert cursor.entry == entries[-1 - seen if backward else seen]
                seen += 1
                _ = cursor.previous() if backward else cursor.next()
        assert caught.value.offset == piece.offset
        before = len(entries) - seen if backward else seen
        assert before > previous, "all that stands in front of the damage was seen"
        previous = before
