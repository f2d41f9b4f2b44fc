"""The pieces of a sorted table (format: _native/kernels/table_format.h), with their meanings.

The file is walked block by block from the front and depends on neither index nor footer, so a table
that no longer opens shows everything in it that is intact: see salvage.py.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from lsmkv._native.block import DELETE, Block
from lsmkv.cli.piece import Piece, show_key, show_value
from lsmkv.errors import Error
from lsmkv.salvage import (
    ALIGNMENT,
    DATA,
    DIRECTORY,
    FILE_HEADER,
    FILTER,
    FOOTER,
    INDEX,
    PROPERTY_BLOCK,
    RAW,
    TABLE_MAGIC,
    ZSTD,
    Footer,
    StoredBlock,
    intact_blocks,
    read_footer,
    read_header,
)

__all__ = ["TABLE_MAGIC", "table_pieces"]

FILTER_HEADER = struct.Struct("<III")  # lines, probes, hash
PROPERTIES = struct.Struct("<QQQQQIIIIII")
SECTION = struct.Struct("<HHIQQ")  # number, flags, zero, offset, size
HANDLE = struct.Struct("<QII")  # offset, size, ordinal

_CODEC_NAMES = {RAW: "raw", ZSTD: "zstd"}
_SECTION_NAMES = {1: "index", 2: "filter", 3: "properties", 4: "range deletes"}


def table_pieces(data: bytes, *, entries: bool = False) -> Iterator[Piece]:
    """Header, blocks, padding, footer. `entries`: each data block with its entries."""
    header = read_header(data)
    if header is None:
        yield Piece(0, len(data), "cut short inside the file header", damaged=True)
        return
    yield Piece(
        0,
        FILE_HEADER.size,
        f"file header: format version {header.version}, table id {header.table_id.hex()}",
        damaged=not header.intact,
    )
    footer = read_footer(data)
    table_id = header.table_id if header.intact or footer is None else footer.table_id
    offset = FILE_HEADER.size
    ordinal = 0
    for block in intact_blocks(data, table_id):
        if block.offset > offset:
            yield _gap(data, offset, block.offset)
        yield from _block_pieces(block, ordinal, entries)
        ordinal += block.type == DATA
        offset = block.offset + block.size
    yield from _end(data, offset, table_id, footer)


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
    meaning = (
        f"footer: format version {footer.version}, file of {footer.file_size} bytes, "
        f"tail of {footer.tail_size}, section directory at {footer.directory_offset} "
        f"of {footer.directory_size}"
    )
    yield Piece(footer.offset, FOOTER.size, meaning, damaged=foreign)


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
