"""CRC-32C and MurmurHash3 give the bits of their definitions, on every path, size and alignment.

Oracles: the vectors of RFC 3720, the packages crc32c and mmh3, and a plain-Python reference.
"""

from __future__ import annotations

import random

import crc32c as crc32c_package
import mmh3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv._native import hashing, memory
from tests.support import reference_hashing as reference

ISCSI_READ_COMMAND = bytes.fromhex(
    "01c00000 00000000 00000000 00000000 14000000 00000400"
    "00000014 00000018 28000000 00000000 02000000 00000000"
)

# RFC 3720 section B.4, and the customary check value.
RFC_3720 = [
    (bytes(32), 0x8A9136AA),
    (b"\xff" * 32, 0x62A8AB43),
    (bytes(range(32)), 0x46DD794E),
    (bytes(reversed(range(32))), 0x113FDB5C),
    (ISCSI_READ_COMMAND, 0xD9963A56),
    (b"123456789", 0xE3069283),
    (b"", 0),
]

BOTH_PATHS = pytest.mark.parametrize(
    "checksum", [hashing.crc32c, hashing.crc32c_table], ids=["chosen", "table"]
)

# Persistent: the Bloom filters of every table ever written depend on these.
KEY_HASHES = [
    (b"", 0),
    (b"a", 0x85555565F6597889),
    (b"hello", 0xCBD8A7B341BD9B02),
    (b"0123456789abcdef", 0x4BE06D94CF4AD1A7),
    (b"0123456789abcdefghijklm", 0x25239974A83067C2),
]


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


@BOTH_PATHS
@pytest.mark.parametrize(("data", "expected"), RFC_3720)
def test_published_vectors(checksum, data, expected):
    assert checksum(data) == expected
    assert reference.crc32c(data) == expected


@BOTH_PATHS
def test_every_small_size_and_alignment(checksum):
    data = noise(700)
    view = memoryview(data)
    for size in range(640):
        start = size % 17
        piece = view[start : start + size]
        assert checksum(piece) == crc32c_package.crc32c(bytes(piece)), size


@BOTH_PATHS
@pytest.mark.parametrize("words", [5, 6, 7, 255, 256, 257, 511, 512, 513])
def test_sizes_around_the_limits_of_a_lane(checksum, words):
    for size in range(3 * 8 * words - 2, 3 * 8 * words + 26):
        data = noise(size, size)
        assert checksum(data) == crc32c_package.crc32c(data), size


def test_the_plain_reference_agrees():
    for size in [*range(40), 383, 384, 385, 1000]:
        data = noise(size, size)
        assert hashing.crc32c(data, 7) == reference.crc32c(data, 7)


@given(st.binary(max_size=2000), st.binary(max_size=2000))
def test_a_checksum_can_be_continued(first, second):
    whole = hashing.crc32c(first + second)
    assert hashing.crc32c(second, hashing.crc32c(first)) == whole
    assert hashing.crc32c_table(second, hashing.crc32c(first)) == whole


def test_seed_is_the_checksum_of_id_and_offset():
    table_id = bytes(range(16))
    offset = 0x0123456789ABCDEF
    assert hashing.crc32c_seed(table_id, offset) == hashing.crc32c(
        table_id + offset.to_bytes(8, "little")
    )
    assert hashing.crc32c_seed(table_id, 0) != hashing.crc32c_seed(table_id, 4096)


def test_implementation_has_a_known_name():
    assert hashing.crc32c_implementation() in {"sse4.2", "armv8", "table"}


@pytest.mark.parametrize("seed", [0, 1, 0x9747B28C, 0xFFFFFFFF])
def test_murmur3_equals_the_package(seed):
    for size in range(130):
        data = noise(size, size)
        assert hashing.murmur3_x64_128(data, seed) == mmh3.hash64(data, seed, signed=False)


@given(st.binary(max_size=100), st.integers(0, 2**32 - 1))
def test_murmur3_equals_the_reference(data, seed):
    assert hashing.murmur3_x64_128(data, seed) == reference.murmur3_x64_128(data, seed)


@pytest.mark.parametrize(("key", "expected"), KEY_HASHES)
def test_key_hash_never_changes(key, expected):
    assert hashing.key_hash(key) == expected
    assert hashing.key_hash(key) == hashing.murmur3_x64_128(key)[0]


def test_any_contiguous_buffer_is_taken_and_nothing_else():
    data = b"some bytes"
    for same in (bytearray(data), memoryview(data), memoryview(b"x" + data)[1:]):
        assert hashing.crc32c(same) == hashing.crc32c(data)
        assert hashing.key_hash(same) == hashing.key_hash(data)
    with pytest.raises(BufferError):
        hashing.crc32c(memoryview(data)[::2])
    with pytest.raises(TypeError):
        hashing.crc32c("text")
    with pytest.raises(OverflowError):
        hashing.crc32c(data, -1)
    buffer = bytearray(data)
    hashing.crc32c(buffer)
    buffer.append(0)  # refused while an export is held


def test_hashing_allocates_nothing():
    before = memory.usage(), memory.call_count()
    hashing.crc32c(noise(100_000))
    hashing.key_hash(noise(100_000))
    assert (memory.usage(), memory.call_count()) == before
