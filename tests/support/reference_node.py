"""The sorted node and the block format in plain Python, for the kernels to agree with.

`search` is the definition (a linear walk over whole keys), not the algorithm. `encode` writes the
block format from its byte table in kernels/block_format.h, column by column, with struct.
An entry is (key, sequence, kind, value).
"""

from __future__ import annotations

import struct

Entry = tuple[bytes, int, int, bytes]

PUT = 1
DELETE = 2
HAS_VALUE_OFFSETS, HAS_TAIL_OFFSETS, HAS_HEAD_SIZES, HAS_KINDS = 1, 2, 4, 8


def order(entry: Entry) -> tuple[bytes, int]:
    """The sort key of an entry: key ascending, sequence descending."""
    return entry[0], -entry[1]


def search(entries: list[Entry], key: bytes, sequence: int) -> int:
    """How many entries come before (key, sequence)."""
    return sum(order(entry) < (key, -sequence) for entry in entries)


def _offsets(items: list[bytes], width: int) -> bytes:
    ends = [0]
    for item in items:
        ends.append(ends[-1] + len(item))
    return b"".join(end.to_bytes(width, "little") for end in ends)


def _shared_prefix(a: bytes, b: bytes) -> bytes:
    while not b.startswith(a):
        a = a[:-1]
    return a


def _differ(items: list[bytes]) -> bool:
    return len({len(item) for item in items}) > 1


def encode(entries: list[Entry]) -> bytes:
    """The block of these entries, which must be in order."""
    if not entries:
        return struct.pack("<BBBBIQIIIB3x", 1, 0, 2, 0, 0, 0, 0, 0, 0, 0)
    keys = [entry[0] for entry in entries]
    sequences = [entry[1] for entry in entries]
    kinds = bytes(entry[2] for entry in entries)
    values = [entry[3] for entry in entries]

    prefix = _shared_prefix(keys[0], keys[-1])
    rests = [key[len(prefix) :] for key in keys]
    heads = [rest[:8] for rest in rests]
    tails = [rest[8:] for rest in rests]
    base = min(sequences)
    spread = max(sequences) - base
    sequence_width = next(width for width in (0, 2, 4, 8) if spread < 1 << (8 * width))

    flags = 0
    widest_region = 0
    columns = []
    if _differ(values):
        flags |= HAS_VALUE_OFFSETS
        widest_region = sum(map(len, values))
        columns.append(values)
    if _differ(tails):
        flags |= HAS_TAIL_OFFSETS
        widest_region = max(widest_region, sum(map(len, tails)))
        columns.append(tails)
    offset_width = 2 if widest_region < 1 << 16 else 4
    if _differ(heads):
        flags |= HAS_HEAD_SIZES
    if kinds != bytes([PUT]) * len(kinds):
        flags |= HAS_KINDS
    header = struct.pack(
        "<BBBBIQIIIB3x",
        1,
        flags,
        offset_width,
        sequence_width,
        len(entries),
        base,
        len(prefix),
        sum(map(len, tails)),
        sum(map(len, values)),
        0 if flags & HAS_HEAD_SIZES else len(heads[0]),
    )
    parts = [header]
    parts += [head.ljust(8, b"\0")[::-1] for head in heads]
    parts += [
        (sequence - base).to_bytes(sequence_width, "little")
        for sequence in sequences
        if sequence_width
    ]
    parts += [_offsets(column, offset_width) for column in columns]
    if flags & HAS_HEAD_SIZES:
        parts.append(bytes(map(len, heads)))
    if flags & HAS_KINDS:
        parts.append(kinds)
    parts += [prefix, *tails, *values]
    return b"".join(parts)


def folded(block: bytes) -> bytes:
    """A block as the compressor gets it, after kernels/block_fold.h."""
    count = struct.unpack_from("<I", block, 4)[0]
    heads = struct.unpack_from(f"<{count}Q", block, 32)
    differences = [
        (head - before) % (1 << 64) for before, head in zip((0, *heads), heads, strict=False)
    ]
    planes = b"".join(
        bytes((difference >> (8 * plane)) & 0xFF for difference in differences[start : start + 64])
        for start in range(0, count, 64)
        for plane in range(8)
    )
    return block[:32] + planes + block[32 + 8 * count :]
