"""The pieces of a sorted table (format: _native/kernels/table_format.h).

The file is walked block by block from the front and depends on neither index nor footer, so a table
that no longer opens shows everything in it that is intact. Every checksum is bound to table id and
offset: after a damaged stretch the next place where one holds is the next block, beyond doubt.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lsmkv._native.block import DELETE, Block
from lsmkv._native.codec import decompress_run
from lsmkv._native.hashing import crc32c, crc32c_seed
from lsmkv.cli.piece import Piece, show_key, show_value
from lsmkv.errors import Error

__all__ = ["TABLE_MAGIC", "table_pieces"]

TABLE_MAGIC = b"LSMKVTBL"
END_MAGIC = b"LSMKVEND"
ALIGNMENT = 64

FILE_HEADER = struct.Struct("<8sII16s")  # magic, format version, CRC, table id
BLOCK_HEADER = struct.Struct("<IIIBBH")  # CRC, stored size, raw size, codec, type, zero
# CRC, version, id, file size, tail size, directory offset and size, zero, magic
FOOTER = struct.Struct("<II16sQQQII8s")
FILTER_HEADER = struct.Struct("<III")  # lines, probes, hash
PROPERTIES = struct.Struct("<QQQQQIIIIII")
SECTION = struct.Struct("<HHIQQ")  # number, flags, zero, offset, size
HANDLE = struct.Struct("<QII")  # offset, size, ordinal

RAW, ZSTD = 1, 2
DATA, INDEX, FILTER, PROPERTY_BLOCK, DIRECTORY = range(1, 6)
_CODEC_NAMES = {RAW: "raw", ZSTD: "zstd"}
_SECTION_NAMES = {1: "index", 2: "filter", 3: "properties", 4: "range deletes"}

# Codec, type and two zeros of a block header, CANDIDATE_OFFSET bytes into it.
_CANDIDATE = re.compile(rb"(?=[\x01\x02][\x01-\x05]\x00\x00)")
CANDIDATE_OFFSET = 12


@dataclass(frozen=True)
class StoredBlock:
    """A block whose checksum holds. `size` includes the header, `stored` does not."""

    offset: int
    size: int
    codec: int
    type: int
    raw_size: int
    stored: bytes

    @property
    def payload(self) -> bytes:
        """Decompressed; an error if it is not what the header says."""
        if self.codec == RAW:
            return self.stored
        return decompress_run([(self.stored, self.raw_size)])[0]


def table_pieces(data: bytes, *, entries: bool = False) -> Iterator[Piece]:
    """Header, blocks, padding, footer. `entries`: each data block with its entries."""
    if len(data) < FILE_HEADER.size:
        yield Piece(0, len(data), "cut short inside the file header", damaged=True)
        return
    magic, version, crc, header_id = FILE_HEADER.unpack_from(data)
    intact = magic == TABLE_MAGIC and crc == crc32c(data[16:32], crc32c(data[:12]))
    yield Piece(
        0,
        FILE_HEADER.size,
        f"file header: format version {version}, table id {header_id.hex()}",
        damaged=not intact,
    )
    footer = _read_footer(data)
    table_id = header_id if intact or footer is None else footer.table_id
    offset = FILE_HEADER.size
    ordinal = 0
    for block in _blocks(data, offset, table_id):
        if block.offset > offset:
            yield _gap(data, offset, block.offset)
        yield from _block_pieces(block, ordinal, entries)
        ordinal += block.type == DATA
        offset = block.offset + block.size
    yield from _end(data, offset, table_id, footer)


# --- finding the parts ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Footer:
    """A footer whose checksum holds."""

    offset: int
    table_id: bytes
    file_size: int
    meaning: str


def _read_footer(data: bytes) -> Footer | None:
    offset = len(data) - FOOTER.size
    if offset < FILE_HEADER.size:
        return None
    crc, version, table_id, file_size, tail_size, directory, directory_size, _, magic = (
        FOOTER.unpack_from(data, offset)
    )
    if magic != END_MAGIC or crc != crc32c(data[offset + 4 :], crc32c_seed(table_id, offset)):
        return None
    meaning = (
        f"footer: format version {version}, file of {file_size} bytes, tail of {tail_size}, "
        f"section directory at {directory} of {directory_size}"
    )
    return Footer(offset, table_id, file_size, meaning)


def _blocks(data: bytes, offset: int, table_id: bytes) -> Iterator[StoredBlock]:
    """Every intact block from `offset` on."""
    while (block := _next_block(data, offset, table_id)) is not None:
        yield block
        offset = block.offset + block.size


def _next_block(data: bytes, offset: int, table_id: bytes) -> StoredBlock | None:
    """The first intact block at or after `offset`."""
    for match in _CANDIDATE.finditer(data, offset + CANDIDATE_OFFSET):
        block = _block_at(data, match.start() - CANDIDATE_OFFSET, table_id)
        if block is not None:
            return block
    return None


def _block_at(data: bytes, offset: int, table_id: bytes) -> StoredBlock | None:
    crc, stored_size, raw_size, codec, block_type, _ = BLOCK_HEADER.unpack_from(data, offset)
    end = offset + BLOCK_HEADER.size + stored_size
    if end > len(data):
        return None
    if crc != crc32c(memoryview(data)[offset + 4 : end], crc32c_seed(table_id, offset)):
        return None
    stored = data[offset + BLOCK_HEADER.size : end]
    return StoredBlock(offset, end - offset, codec, block_type, raw_size, stored)


def _gap(data: bytes, start: int, end: int) -> Piece:
    """What lies between two blocks: padding, or bytes that fit no checksum."""
    padding = end - start < ALIGNMENT and not any(data[start:end])
    if padding:
        return Piece(start, end - start, "padding")
    return Piece(start, end - start, "no intact block in these bytes", damaged=True)


def _end(data: bytes, offset: int, table_id: bytes, footer: Footer | None) -> Iterator[Piece]:
    """What follows the last block: padding and the footer."""
    if footer is None or footer.offset < offset:
        rest = len(data) - offset
        yield Piece(offset, rest, "no footer: the file is cut short or damaged here", damaged=True)
        return
    if footer.offset > offset:
        yield _gap(data, offset, footer.offset)
    foreign = footer.table_id != table_id or footer.file_size != len(data)
    yield Piece(footer.offset, FOOTER.size, footer.meaning, damaged=foreign)


# --- meanings ------------------------------------------------------------------------------------


def _block_pieces(block: StoredBlock, ordinal: int, entries: bool) -> Iterator[Piece]:
    describe: dict[int, Callable[[], str]] = {
        DATA: lambda: f"data block {ordinal}, {_describe_data(block)}",
        INDEX: lambda: _describe_index(block),
        FILTER: lambda: _describe_filter(block.payload),
        PROPERTY_BLOCK: lambda: _describe_properties(block.payload),
        DIRECTORY: lambda: _describe_directory(block.payload),
    }
    try:
        yield Piece(block.offset, block.size, describe[block.type]())
        if entries and block.type == DATA:
            for key, sequence, kind, value in Block(block.payload).entries():
                shown = "deleted" if kind == DELETE else f"= {show_value(value)}"
                meaning = f"{show_key(key)} @{sequence} {shown}"
                yield Piece(block.offset, 0, meaning, depth=1)
    except (Error, ValueError, IndexError, OverflowError, struct.error) as error:
        # The checksum holds: somebody wrote this, but not as the format says.
        yield Piece(block.offset, block.size, f"block of type {block.type}: {error}", damaged=True)


def _describe_data(block: StoredBlock) -> str:
    content = Block(block.payload)
    size = f"{_CODEC_NAMES[block.codec]}, {block.raw_size} bytes raw"
    if not len(content):
        return f"{size}, empty"
    first, last = show_key(content.key(0)), show_key(content.key(len(content) - 1))
    return f"{size}, {len(content)} entries, {first} .. {last}"


def _describe_index(block: StoredBlock) -> str:
    content = Block(block.payload)
    first, _, first_ordinal = HANDLE.unpack(content.value(0))
    last = show_key(content.key(len(content) - 1))
    return (
        f"index node: {len(content)} children from number {first_ordinal} at {first}, "
        f"keys up to {last}"
    )


def _describe_filter(payload: bytes) -> str:
    lines, probes, _ = FILTER_HEADER.unpack_from(payload)
    return f"Bloom filter: {lines} lines of 64 bytes, {probes} probes"


def _describe_properties(payload: bytes) -> str:
    fields = PROPERTIES.unpack_from(payload)
    entries, tombstones, raw_size, first, last, blocks, levels, block_size, _, small, large = fields
    keys = payload[PROPERTIES.size :]
    smallest, largest = show_key(keys[:small]), show_key(keys[small : small + large])
    return (
        f"properties: {entries} entries, {tombstones} tombstones, {raw_size} bytes raw, "
        f"sequences {first}..{last}, {blocks} data blocks of about {block_size}, "
        f"{levels} index levels, {smallest} .. {largest}"
    )


def _describe_directory(payload: bytes) -> str:
    sections = [
        f"{_SECTION_NAMES.get(number, f'section {number}')} at {offset} of {size}"
        + (" (must understand)" if flags & 1 else "")
        for number, flags, _, offset, size in SECTION.iter_unpack(payload)
    ]
    return "section directory: " + ", ".join(sections)
