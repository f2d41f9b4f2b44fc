"""What is intact in a damaged table (format: _native/kernels/table_format.h).

The file is walked block by block from the front and neither index nor footer is needed. Every
checksum is bound to table id and offset: after a damaged stretch the next place where one holds is
the next block, beyond doubt. So one flipped bit costs the entries of one block, and an unfinished
or truncated table gives all that was written of it.

Nothing here guesses: an entry comes from a block whose checksum holds, or not at all. Reading a
sound table is not done here, but in native code.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from lsmkv._native.block import Block, unfolded
from lsmkv._native.codec import decompress_run
from lsmkv._native.hashing import crc32c, crc32c_seed
from lsmkv._native.table import TableBuilder
from lsmkv._native.vfs import FileSystem
from lsmkv.errors import Error

__all__ = [
    "SALVAGE_SIZE_MAX",
    "TABLE_MAGIC",
    "Header",
    "Footer",
    "StoredBlock",
    "read_header",
    "read_footer",
    "intact_blocks",
    "newest_sequence",
    "salvage_table",
]

SALVAGE_SIZE_MAX = 1 << 33  # bytes of a damaged table: whoever salvages it reads it whole

TABLE_MAGIC = b"LSMKVTBL"
END_MAGIC = b"LSMKVEND"
ALIGNMENT = 64

FILE_HEADER = struct.Struct("<8sII16s")  # magic, format version, CRC, table id
BLOCK_HEADER = struct.Struct("<IIIBBH")  # CRC, stored size, raw size, codec, type, zero
# CRC, version, id, file size, tail size, directory offset and size, zero, magic
FOOTER = struct.Struct("<II16sQQQII8s")

RAW, ZSTD = 1, 3
DATA, INDEX, FILTER, PROPERTY_BLOCK, DIRECTORY = range(1, 6)

# Codec, type and two zeros of a block header, CANDIDATE_OFFSET bytes into it.
_CANDIDATE = re.compile(rb"(?=[\x01\x03][\x01-\x05]\x00\x00)")
CANDIDATE_OFFSET = 12

Entry = tuple[bytes, int, int, bytes]  # key, sequence, kind, value


@dataclass(frozen=True)
class Header:
    """The first bytes of a table; what they say counts only when they are `intact`."""

    version: int
    table_id: bytes
    intact: bool


@dataclass(frozen=True)
class Footer:
    """A footer whose checksum holds. Offsets and sizes are bytes."""

    offset: int
    version: int
    table_id: bytes
    file_size: int
    tail_size: int
    directory_offset: int
    directory_size: int


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
        return unfolded(decompress_run([(self.stored, self.raw_size)])[0])


# --- finding the parts ---------------------------------------------------------------------------


def read_header(data: bytes) -> Header | None:
    """None for a file too short to have one."""
    if len(data) < FILE_HEADER.size:
        return None
    magic, version, crc, table_id = FILE_HEADER.unpack_from(data)
    intact = magic == TABLE_MAGIC and crc == crc32c(data[16:32], crc32c(data[:12]))
    return Header(version, table_id, intact)


def read_footer(data: bytes) -> Footer | None:
    """None unless the file ends with an intact footer."""
    offset = len(data) - FOOTER.size
    if offset < FILE_HEADER.size:
        return None
    crc, version, table_id, file_size, tail_size, directory, directory_size, _, magic = (
        FOOTER.unpack_from(data, offset)
    )
    if magic != END_MAGIC or crc != crc32c(data[offset + 4 :], crc32c_seed(table_id, offset)):
        return None
    return Footer(offset, version, table_id, file_size, tail_size, directory, directory_size)


def intact_blocks(data: bytes, table_id: bytes) -> Iterator[StoredBlock]:
    """Every intact block of the table, in file order."""
    offset = FILE_HEADER.size
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


# --- making a table of them ----------------------------------------------------------------------


def salvage_table(
    data: bytes, filesystem: FileSystem, target: str, *, new_id: bytes, known_id: bytes | None
) -> int:
    """Write the entries of the intact data blocks of a table as a new, synced table `target`.

    `data`: the damaged file. `known_id`: the id that the manifest gives the table; without one
    header and footer say it. Returns the number of entries; when it is 0 there is no `target`.
    """
    table_id = _table_id(data, known_id)
    if table_id is None:
        return 0
    builder: TableBuilder | None = None
    try:
        for key, sequence, kind, value in _ordered_entries(data, table_id):
            if builder is None:
                builder = TableBuilder(filesystem, target, id=new_id)
            builder.add(key, sequence, kind, value)
        return 0 if builder is None else builder.finish().entry_count
    except BaseException:
        if builder is not None:
            builder.abandon()
        raise


def newest_sequence(data: bytes) -> int:
    """Of the entries of a table's intact data blocks; 0 where there is none."""
    table_id = _table_id(data, None)
    if table_id is None:
        return 0
    return max((sequence for _, sequence, _, _ in _entries(data, table_id)), default=0)


def _table_id(data: bytes, known_id: bytes | None) -> bytes | None:
    """Blocks of any other table that stands in the place count for nothing."""
    if known_id is not None:
        return known_id
    header, footer = read_header(data), read_footer(data)
    if header is not None and header.intact:
        return header.table_id
    return None if footer is None else footer.table_id


def _ordered_entries(data: bytes, table_id: bytes) -> Iterator[Entry]:
    """Entries of data blocks in table order: keys ascending, newest version first."""
    last: tuple[bytes, int] | None = None
    for key, sequence, kind, value in _entries(data, table_id):
        place = (key, -sequence)
        if last is None or last < place:
            last = place
            yield key, sequence, kind, value


def _entries(data: bytes, table_id: bytes) -> Iterator[Entry]:
    for block in intact_blocks(data, table_id):
        if block.type != DATA:
            continue
        try:
            yield from Block(block.payload).entries()
        except (Error, ValueError):
            continue  # a checksum that holds by chance or by malice: nothing to be had
