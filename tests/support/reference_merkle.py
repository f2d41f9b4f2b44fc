"""SipHash-2-4 and the Merkle tree in plain Python, for the kernels to agree with.

The tree is its definition: the digest of a node is the sum of the hashes of the entries whose
tokens lie in its range. It keeps the entries themselves, in a dict by (token, hash), and no levels.
`checkpoint` writes the format from the byte table in kernels/merkle.h.
"""

from __future__ import annotations

import struct
from collections import Counter

from crc32c import crc32c

MASK = (1 << 64) - 1
FANOUT_BITS = 4


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & MASK


def _round(v: list[int]) -> None:
    v[0] = (v[0] + v[1]) & MASK
    v[2] = (v[2] + v[3]) & MASK
    v[1] = _rotate(v[1], 13) ^ v[0]
    v[3] = _rotate(v[3], 16) ^ v[2]
    v[0] = _rotate(v[0], 32)
    v[2] = (v[2] + v[1]) & MASK
    v[0] = (v[0] + v[3]) & MASK
    v[1] = _rotate(v[1], 17) ^ v[2]
    v[3] = _rotate(v[3], 21) ^ v[0]
    v[2] = _rotate(v[2], 32)


def siphash(key: bytes, data: bytes) -> int:
    k0, k1 = struct.unpack("<QQ", key)
    v = [
        k0 ^ 0x736F6D6570736575,
        k1 ^ 0x646F72616E646F6D,
        k0 ^ 0x6C7967656E657261,
        k1 ^ 0x7465646279746573,
    ]
    whole = len(data) // 8 * 8
    last = data[whole:].ljust(7, b"\0") + bytes([len(data) & 0xFF])
    for word in struct.unpack(f"<{whole // 8 + 1}Q", data[:whole] + last):
        v[3] ^= word
        _round(v)
        _round(v)
        v[0] ^= word
    v[2] ^= 0xFF
    for _ in range(4):
        _round(v)
    return v[0] ^ v[1] ^ v[2] ^ v[3]


def entry_hash(hash_key: bytes, key: bytes, record: bytes) -> int:
    return siphash(hash_key, struct.pack("<I", len(key)) + key + record) or 1


def key_token(key: bytes) -> int:
    return int.from_bytes(key[:8].ljust(8, b"\0"), "big")


class ReferenceTree:
    """The definition."""

    def __init__(self, start: int, span_bits: int, depth: int) -> None:
        self.start, self.span_bits, self.depth = start, span_bits, depth
        self.entries: Counter[tuple[int, int]] = Counter()

    def update(self, token: int, old_hash: int, new_hash: int) -> None:
        assert 0 <= token - self.start < 1 << self.span_bits
        if old_hash:
            self.entries[token, old_hash] -= 1
        if new_hash:
            self.entries[token, new_hash] += 1

    @property
    def entry_count(self) -> int:
        return sum(self.entries.values()) & MASK

    def level(self, level: int) -> tuple[int, ...]:
        digests = [0] * (1 << FANOUT_BITS * level)
        for (token, value), count in self.entries.items():
            node = (token - self.start) >> (self.span_bits - FANOUT_BITS * level)
            digests[node] = (digests[node] + count * value) & MASK
        return tuple(digests)

    def checkpoint(self) -> bytes:
        leaves = self.level(self.depth)
        beginning = struct.pack("<8sI", b"LSMKVMKL", 1)
        rest = struct.pack(
            f"<QQBB6x{len(leaves)}Q",
            self.start,
            self.entry_count,
            self.span_bits,
            self.depth,
            *leaves,
        )
        return beginning + struct.pack("<I", crc32c(rest, crc32c(beginning))) + rest
