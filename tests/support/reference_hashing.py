"""CRC-32C, MurmurHash3 x64-128 and the blocked Bloom filter, straight from their definitions.

Without tables or tricks: slow, short, and easy to compare with the papers.
"""

from __future__ import annotations

MASK64 = 2**64 - 1


def crc32c(data: bytes, crc: int = 0) -> int:
    """RFC 3720 section B.4: reflected polynomial 0x1EDC6F41, all ones before and after."""
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def rotate_left(value: int, bits: int) -> int:
    return (value << bits | value >> (64 - bits)) & MASK64


def finalize(value: int) -> int:
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        value = (value ^ value >> 33) * factor & MASK64
    return value ^ value >> 33


def murmur3_x64_128(data: bytes, seed: int = 0) -> tuple[int, int]:
    first_constant, second_constant = 0x87C37B91114253D5, 0x4CF5AD432745937F

    def scramble_first(word: int) -> int:
        return rotate_left(word * first_constant & MASK64, 31) * second_constant & MASK64

    def scramble_second(word: int) -> int:
        return rotate_left(word * second_constant & MASK64, 33) * first_constant & MASK64

    h1 = h2 = seed
    body_size = len(data) // 16 * 16
    for start in range(0, body_size, 16):
        h1 ^= scramble_first(int.from_bytes(data[start : start + 8], "little"))
        h1 = ((rotate_left(h1, 27) + h2) * 5 + 0x52DCE729) & MASK64
        h2 ^= scramble_second(int.from_bytes(data[start + 8 : start + 16], "little"))
        h2 = ((rotate_left(h2, 31) + h1) * 5 + 0x38495AB5) & MASK64
    tail = data[body_size:]
    h2 ^= scramble_second(int.from_bytes(tail[8:], "little"))
    h1 ^= scramble_first(int.from_bytes(tail[:8], "little"))
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & MASK64
    h2 = (h2 + h1) & MASK64
    h1, h2 = finalize(h1), finalize(h2)
    h1 = (h1 + h2) & MASK64
    return h1, (h2 + h1) & MASK64


def bloom_bits(hash_value: int, line_count: int, probe_count: int) -> list[int]:
    """The positions, in bits from the start of the filter, that one hash sets."""
    line = (hash_value >> 32) * line_count >> 32
    bits = []
    x = hash_value & 0xFFFFFFFF
    for _ in range(probe_count):
        bits.append(line * 512 + (x >> 23))
        x = x * 0x9E3779B1 & 0xFFFFFFFF
    return bits


def bloom_lines(hashes: list[int], line_count: int, probe_count: int) -> bytes:
    lines = bytearray(64 * line_count)
    for hash_value in hashes:
        for bit in bloom_bits(hash_value, line_count, probe_count):
            lines[bit // 8] |= 1 << bit % 8
    return bytes(lines)
