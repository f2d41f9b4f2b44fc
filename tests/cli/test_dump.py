"""dump shows every byte of a file once, with the offsets that the readers of that format give.

Behind damage it goes on wherever the format allows it, and says that there is damage.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lsmkv._native.log import LogWriter, SegmentReader
from lsmkv._native.table import TableBuilder, table_layout
from lsmkv._native.vfs import PosixFileSystem
from lsmkv.cli.dump import file_pieces
from lsmkv.cli.piece import Piece
from lsmkv.errors import Error
from lsmkv.manifest import ManifestState, ManifestWriter
from lsmkv.version import TableMeta, Version, VersionEdit

TABLE_ID = bytes(range(16))


def pieces_of(path: Path, entries: bool = False) -> list[Piece]:
    return list(file_pieces(str(path), entries=entries))


def check_cover(pieces: list[Piece], size: int) -> None:
    """The outer pieces follow each other and cover the file."""
    offset = 0
    for piece in pieces:
        if piece.depth == 0:
            assert piece.offset == offset
            offset += piece.size
    assert offset == size


def damage(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 0xFF
    path.write_bytes(data)


# --- log -----------------------------------------------------------------------------------------


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "000007.log"
    writer = LogWriter(PosixFileSystem(), path, number=7, nonce=0xABC, manifest_edit=3)
    writer.append([(1, b"apple", b"red"), (2, b"pear\n", None)])
    writer.sync()
    writer.append([(1, b"k" * 200, b"v" * 300)])
    writer.finish()
    writer.close()
    return path


def test_log(log: Path) -> None:
    pieces = pieces_of(log)
    check_cover(pieces, log.stat().st_size)
    assert not any(piece.damaged for piece in pieces)
    assert pieces[0].meaning.startswith("segment header: number 7, nonce 0000000000000abc")
    assert "manifest edit 3" in pieces[0].meaning
    meanings = [piece.meaning for piece in pieces]
    assert "put 'apple' = 'red' @1" in meanings
    assert r"delete 'pear\n' @2" in meanings
    assert any(meaning.startswith("sync mark") for meaning in meanings)
    assert any(meaning.startswith("close") for meaning in meanings)
    records = [piece.offset for piece in pieces[1:] if piece.depth == 0]
    assert records == [record.offset for record in SegmentReader(log.read_bytes(), log)]


def test_log_operations_stand_where_dump_says(log: Path) -> None:
    data = log.read_bytes()
    operations = [piece for piece in pieces_of(log) if piece.depth == 1]
    for piece, key in zip(operations, [b"apple", b"pear\n", b"k" * 200], strict=True):
        assert key in data[piece.offset : piece.offset + piece.size]
    assert [piece.size for piece in operations] == [1 + 1 + 5 + 1 + 3, 1 + 1 + 5, 505]


def test_damaged_log_as_far_as_it_goes(log: Path) -> None:
    whole = pieces_of(log)
    damage(log, whole[1].offset + 40)  # in the first batch, which later records call durable
    pieces = pieces_of(log)
    check_cover(pieces, log.stat().st_size)
    assert pieces[-1].damaged
    assert pieces[-1].offset == whole[1].offset


def test_torn_log(log: Path) -> None:
    second = [piece for piece in pieces_of(log) if piece.meaning.startswith("batch")][1]
    os.truncate(log, second.offset + 100)
    pieces = pieces_of(log)
    check_cover(pieces, second.offset + 100)
    assert pieces[-1].meaning.startswith("torn end")
    assert not pieces[-1].damaged


# --- table ---------------------------------------------------------------------------------------


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "000009.sst"
    builder = TableBuilder(PosixFileSystem(), path, id=TABLE_ID, block_size=512)
    for i in range(500):
        if i % 50 == 7:
            builder.add(b"key%06d" % i, 1000 + i, 2, b"")
        else:
            builder.add(b"key%06d" % i, 1000 + i, 1, b"value %d" % i * 5)
    builder.finish()
    return path


def test_table_agrees_with_the_reader(table: Path) -> None:
    pieces = pieces_of(table)
    check_cover(pieces, table.stat().st_size)
    assert not any(piece.damaged for piece in pieces)
    layout = table_layout(PosixFileSystem(), table)
    assert [(piece.offset, piece.size) for piece in pieces] == [piece[:2] for piece in layout]
    assert TABLE_ID.hex() in pieces[0].meaning
    assert "data block 0, " in pieces[1].meaning
    assert "'key000000' .." in pieces[1].meaning
    assert any("properties: 500 entries, 10 tombstones" in piece.meaning for piece in pieces)
    assert any("index node: " in piece.meaning for piece in pieces)
    assert any("Bloom filter: " in piece.meaning for piece in pieces)
    assert any("section directory: index at " in piece.meaning for piece in pieces)
    assert pieces[-1].meaning.startswith("footer: ")


def test_table_entries(table: Path) -> None:
    entries = [piece.meaning for piece in pieces_of(table, entries=True) if piece.depth == 1]
    assert len(entries) == 500
    assert entries[0] == "'key000000' @1000 = 'value 0value 0value 0value 0value 0'"
    assert entries[7] == "'key000007' @1007 deleted"


def test_one_damaged_block_hides_only_itself(table: Path) -> None:
    whole = pieces_of(table)
    for victim in (3, len(whole) // 2):
        for position in (0, 5, 13, 20):  # checksum, size, type, payload
            damage(table, whole[victim].offset + position)
            pieces = pieces_of(table)
            check_cover(pieces, table.stat().st_size)
            lost = [piece for piece in pieces if piece.damaged]
            assert [(p.offset, p.size) for p in lost] == [
                (whole[victim].offset, whole[victim].size)
            ]
            damage(table, whole[victim].offset + position)


def test_blocks_are_found_though_the_header_is_lost(table: Path) -> None:
    whole = pieces_of(table)
    damage(table, 20)  # in the table id, to which every checksum is bound
    pieces = pieces_of(table)
    assert pieces[0].damaged
    assert pieces[1:] == whole[1:]


def test_every_truncation_of_a_table_is_shown_as_damage(table: Path) -> None:
    data = table.read_bytes()
    for size in [*range(1, 300, 9), *range(300, len(data), 211), len(data) - 1]:
        table.write_bytes(data[:size])
        pieces = pieces_of(table)
        check_cover(pieces, size)
        assert any(piece.damaged for piece in pieces)


def test_every_flipped_byte_of_a_table_is_shown_as_damage(table: Path) -> None:
    size = table.stat().st_size
    for offset in [*range(0, 200, 7), *range(200, size, 211), *range(size - 64, size, 7)]:
        damage(table, offset)
        pieces = pieces_of(table)
        check_cover(pieces, size)
        assert any(piece.damaged for piece in pieces), offset
        damage(table, offset)


# --- manifest, CURRENT, and what is none of ours -------------------------------------------------


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    table = TableMeta(
        number=4,
        id=TABLE_ID,
        file_size=9000,
        tail_size=1000,
        smallest=b"a\x00",
        largest=b"z",
        first_sequence=1,
        last_sequence=90,
        epoch=1,
        level=0,
        entry_count=90,
        tombstone_count=2,
    )
    state = ManifestState(
        b"d" * 16, version=Version.of_tables([table]), next_file_number=6, last_sequence=90
    )
    writer = ManifestWriter.create(PosixFileSystem(), str(tmp_path), 6, state)
    edit = VersionEdit(
        number=writer.state.last_edit + 1,
        added=(),
        removed=(table.key,),
        next_file_number=9,
        last_sequence=95,
        log_number=0,
        live_logs=(),
    )
    writer.append(edit)
    writer.close()
    return tmp_path / "MANIFEST-000006"


def test_manifest(manifest: Path) -> None:
    pieces = pieces_of(manifest)
    check_cover(pieces, manifest.stat().st_size)
    meanings = [piece.meaning for piece in pieces]
    assert meanings[0].startswith("snapshot, edit 1: lsmkv-manifest version 1, database 6464")
    assert meanings[1].startswith(r"+ table 4 in level 0: 90 entries, 'a\x00' .. 'z'; id 0001")
    assert meanings[2].startswith("edit 2; next_file_number 9; last_sequence 95")
    assert meanings[3] == "- table 4"


def test_damaged_manifest_line_hides_only_itself(manifest: Path) -> None:
    damage(manifest, 30)
    pieces = pieces_of(manifest)
    check_cover(pieces, manifest.stat().st_size)
    assert [piece.damaged for piece in pieces if piece.depth == 0] == [True, False]


def test_torn_manifest(manifest: Path) -> None:
    os.truncate(manifest, manifest.stat().st_size - 3)
    pieces = pieces_of(manifest)
    check_cover(pieces, manifest.stat().st_size)
    assert pieces[-1].meaning.startswith("torn end")
    assert not pieces[-1].damaged


def test_current_and_lock(manifest: Path) -> None:
    current = manifest.parent / "CURRENT"
    assert pieces_of(current)[0].meaning == "the manifest in use is MANIFEST-000006"
    current.write_bytes(b"MANIFEST-6")
    assert pieces_of(current)[0].damaged
    lock = manifest.parent / "LOCK"
    lock.write_bytes(b"")
    assert pieces_of(lock)[0].meaning == "an empty file"


def test_a_file_is_known_by_its_content_wherever_it_lies(log: Path) -> None:
    renamed = log.rename(log.parent / "evidence.bin")
    assert pieces_of(renamed)[0].meaning.startswith("segment header")


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    foreign = tmp_path / "notes.txt"
    foreign.write_text("hello")
    with pytest.raises(Error, match=r"notes\.txt is no file of lsmkv"):
        file_pieces(str(foreign))
    with pytest.raises(Error, match="is a directory"):
        file_pieces(str(tmp_path))
    with pytest.raises(OSError, match=r"000001\.log"):
        file_pieces(str(tmp_path / "000001.log"))
