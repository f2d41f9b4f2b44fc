"""The table format in plain Python, after kernels/table_format.h: a writer, and seals to forge.

Entries are (key, sequence, kind, value). Payloads of data and index blocks come from the block
kernel, which has a reference of its own; everything around them is written here a second time.
Only raw blocks.
"""

import struct

import crc32c
import mmh3

from lsmkv._native.block import PUT, BlockBuilder
from tests.support.reference_hashing import bloom_lines

DATA, INDEX, FILTER, PROPERTIES, DIRECTORY = 1, 2, 3, 4, 5
FAN_OUT = 256
NODE_SIZE = 65536


def seed(id, offset):
    return crc32c.crc32c(id + struct.pack("<Q", offset))


def sealed(id, offset, covered):
    return struct.pack("<I", crc32c.crc32c(covered, seed(id, offset))) + covered


def stored(id, offset, payload, type, *, codec=1, raw_size=None):
    """A stored block: header and payload."""
    raw_size = len(payload) if raw_size is None else raw_size
    return sealed(
        id, offset, struct.pack("<IIBBH", len(payload), raw_size, codec, type, 0) + payload
    )


def file_header(id):
    start = b"LSMKVTBL" + struct.pack("<I", 1)
    return start + struct.pack("<I", crc32c.crc32c(start + id)) + id


def footer(id, offset, tail_size, directory_offset, directory_size):
    file_size = offset + 64
    fields = struct.pack(
        "<I16sQQQII", 1, id, file_size, tail_size, directory_offset, directory_size, 0
    )
    return sealed(id, offset, fields + b"LSMKVEND")


def reseal(data, id, offset, size):
    """Make the checksum of a forged block or footer right again."""
    data[offset : offset + size] = sealed(id, offset, bytes(data[offset + 4 : offset + size]))


def separator(last, after):
    """The shortest key k with last <= k < after."""
    for size in range(1, len(last)):
        if last[size - 1] != 0xFF:
            candidate = last[: size - 1] + bytes([last[size - 1] + 1])
            if candidate < after:
                return candidate
    return last


def block_payload(entries):
    builder = BlockBuilder()
    for key, sequence, kind, value in entries:
        builder.add(key, sequence, kind, value)
    return builder.finish()


def split_blocks(entries, block_size):
    """Data blocks as the writer cuts them, and the separator after each."""
    blocks, builder, open_block = [], BlockBuilder(), []
    for entry in entries:
        if open_block and builder.size_estimate + len(entry[0]) + len(entry[3]) > block_size:
            blocks.append(open_block)
            builder.reset()
            open_block = []
        builder.add(*entry)
        open_block.append(entry)
    blocks.append(open_block)
    separators = []
    for block, following in zip(blocks, [*blocks[1:], None], strict=True):
        key, sequence = block[-1][:2]
        if following is None:
            separators.append((key, 0))
        elif following[0][0] == key:
            separators.append((key, sequence))
        else:
            separators.append((separator(key, following[0][0]), 0))
    return blocks, separators


class Writer:
    """Collects the file; `sections` as (number, flags, offset, size)."""

    def __init__(self, id):
        self.id = id
        self.data = bytearray(file_header(id))
        self.sections = []

    def align(self):
        self.data += bytes(-(len(self.data) + 16) % 64)

    def block(self, payload, type):
        """Returns (offset, size)."""
        offset = len(self.data)
        self.data += stored(self.id, offset, payload, type)
        return offset, len(self.data) - offset

    def section(self, number, flags, payload, type):
        self.align()
        self.sections.append((number, flags, *self.block(payload, type)))

    def index_level(self, children):
        """One level over (separator, offset, size); returns the same for its nodes."""
        nodes, builder, last = [], BlockBuilder(), None
        for ordinal, (key, offset, size) in enumerate(children):
            if len(builder) >= FAN_OUT or (
                len(builder) >= 2 and builder.size_estimate >= NODE_SIZE
            ):
                self.align()
                nodes.append((last, *self.block(builder.finish(), INDEX)))
                builder.reset()
            builder.add(*key, PUT, struct.pack("<QII", offset, size, ordinal))
            last = key
        self.align()
        nodes.append((last, *self.block(builder.finish(), INDEX)))
        return nodes

    def index(self, children):
        self.align()
        start, levels = len(self.data), 0
        while levels == 0 or len(children) > 1:
            children = self.index_level(children)
            levels += 1
        self.sections.append((1, 1, start, len(self.data) - start))
        return levels

    def finish(self, data_end, rest=b""):
        """The file; `rest` stands behind the directory's entries."""
        self.align()
        directory = b"".join(
            struct.pack("<HHIQQ", number, flags, 0, offset, size)
            for number, flags, offset, size in self.sections
        )
        directory += rest
        directory_offset, directory_size = self.block(directory, DIRECTORY)
        self.data += bytes(-len(self.data) % 64)
        offset = len(self.data)
        self.data += footer(
            self.id, offset, offset + 64 - data_end, directory_offset, directory_size
        )
        return bytes(self.data)


def properties(entries, block_count, level_count, block_size):
    sequences = [entry[1] for entry in entries]
    smallest, largest = entries[0][0], entries[-1][0]
    fields = struct.pack(
        "<QQQQQIIIIII",
        len(entries),
        sum(entry[2] != PUT for entry in entries),
        sum(len(entry[0]) + len(entry[3]) for entry in entries),
        min(sequences),
        max(sequences),
        block_count,
        level_count,
        block_size,
        0,
        len(smallest),
        len(largest),
    )
    return fields + smallest + largest


def build(entries, id, *, block_size=4096, filter_shape=None, extra_sections=()):
    """The file the native builder writes without compression; `filter_shape` = (lines, probes)."""
    writer = Writer(id)
    blocks, separators = split_blocks(entries, block_size)
    children = [
        (key, *writer.block(block_payload(block), DATA))
        for key, block in zip(separators, blocks, strict=True)
    ]
    data_end = len(writer.data)
    level_count = writer.index(children)
    if filter_shape is not None:
        keys = dict.fromkeys(entry[0] for entry in entries)
        hashes = [mmh3.hash64(key, 0, True, False)[0] for key in keys]
        payload = struct.pack("<III52x", *filter_shape, 1) + bloom_lines(hashes, *filter_shape)
        writer.section(2, 0, payload, FILTER)
    writer.section(3, 1, properties(entries, len(blocks), level_count, block_size), PROPERTIES)
    for number, flags, payload in extra_sections:
        writer.section(number, flags, payload, number)
    return writer.finish(data_end)
