"""The Bloom filter never denies a key it holds, seldom claims another, and its bits never change.

False positives are counted over fixed keys, so that the count is the same in every run.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv._native import hashing, memory
from lsmkv._native.bloom import BloomFilter
from lsmkv.errors import CorruptionError
from tests.support import reference_hashing as reference

# alpha, beta and gamma at 10 bits a key: one line, six probes.
GOLDEN = (
    "0000020000810000000100000800100000000000000000000000802040000000"
    "0000000000000100000000100050000000000000401000100008020000000000"
)


def false_positive_rate(key_count: int, bits_per_key: float, probe_total: int = 40_000) -> float:
    bloom = BloomFilter.build((b"present %d" % i for i in range(key_count)), bits_per_key)
    return sum(bloom.may_contain(b"absent %d" % i) for i in range(probe_total)) / probe_total


def test_worked_example_of_the_format():
    """The example of bloom.h."""
    hash_value = 0x8000000000800001
    bloom = BloomFilter.build([hash_value] * 150, 10)
    assert (bloom.line_count, bloom.probe_count) == (3, 6)
    two_probes = reference.bloom_lines([hash_value], 3, 2)
    assert two_probes == bytes(64) + b"\x02" + bytes(28) + b"\x20" + bytes(98)
    assert bloom.to_bytes() == reference.bloom_lines([hash_value], 3, 6)
    assert BloomFilter.from_bytes(two_probes, 2).may_contain(hash_value)
    assert not BloomFilter.from_bytes(two_probes, 3).may_contain(hash_value)


def test_golden_filter():
    """Persistent: filters written by any earlier version must be read the same."""
    bloom = BloomFilter.build([b"alpha", b"beta", b"gamma"], 10)
    assert bloom.probe_count == 6
    assert bloom.to_bytes().hex() == GOLDEN


@given(
    st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=300),
    st.floats(min_value=1, max_value=32),
)
def test_equals_the_reference_and_denies_nothing_it_holds(hashes, bits_per_key):
    bloom = BloomFilter.build(hashes, bits_per_key)
    expected = reference.bloom_lines(hashes, bloom.line_count, bloom.probe_count)
    assert bloom.to_bytes() == expected
    again = BloomFilter.from_bytes(expected, bloom.probe_count)
    assert all(bloom.may_contain(value) and again.may_contain(value) for value in hashes)


@given(st.binary(max_size=640), st.integers(1, 16), st.integers(0, 2**64 - 1))
def test_a_probe_reads_exactly_the_bits_of_the_reference(data, probe_count, hash_value):
    data = data[: len(data) // 64 * 64]
    bloom = BloomFilter.from_bytes(data, probe_count)
    bits = reference.bloom_bits(hash_value, len(data) // 64, probe_count) if data else []
    expected = bool(data) and all(data[bit // 8] >> bit % 8 & 1 for bit in bits)
    assert bloom.may_contain(hash_value) == expected


def test_all_bits_of_a_key_are_within_one_line():
    bloom = BloomFilter.build([f"{i}".encode() for i in range(1000)], 10)
    source = random.Random(3)
    for _ in range(200):
        hash_value = source.getrandbits(64)
        bits = reference.bloom_bits(hash_value, bloom.line_count, bloom.probe_count)
        assert len({bit // 512 for bit in bits}) == 1
        assert 0 <= bits[0] // 512 < bloom.line_count


def test_every_line_is_reached():
    source = random.Random(4)
    lines = BloomFilter.build([source.getrandbits(64) for _ in range(10_000)], 10).to_bytes()
    assert all(any(lines[at : at + 64]) for at in range(0, len(lines), 64))


@pytest.mark.parametrize(
    ("bits_per_key", "bound"), [(1, 0.70), (5, 0.11), (10, 0.0125), (16, 0.002), (32, 0.0005)]
)
def test_false_positives_stay_under_their_bound(bits_per_key, bound):
    assert false_positive_rate(20_000, bits_per_key) < bound


def test_false_positives_at_small_sizes():
    assert false_positive_rate(1000, 10) < 0.015


def test_size_follows_keys_and_bits():
    assert BloomFilter.build([], 10).line_count == 1
    assert BloomFilter.build(range(51), 10).line_count == 1  # 510 of 512 bits
    assert BloomFilter.build(range(52), 10).line_count == 2
    assert BloomFilter.build(range(512), 2.5).line_count == 3
    counts = [BloomFilter.build([], bits).probe_count for bits in range(1, 33)]
    assert counts == sorted(counts)
    assert counts[0] == 1
    assert counts[9] == 6
    assert counts[31] == 12


def test_an_empty_filter_contains_nothing():
    for bloom in (BloomFilter(), BloomFilter.from_bytes(b"", 6), BloomFilter.build([], 10)):
        assert not bloom.may_contain(b"")
        assert not bloom.may_contain(0)
        assert not bloom.may_contain(2**64 - 1)
    assert BloomFilter().to_bytes() == b""


def test_a_key_and_its_hash_are_the_same():
    bloom = BloomFilter.build([b"by key", hashing.key_hash(b"by hash")], 10)
    assert bloom.may_contain(b"by hash")
    assert bloom.may_contain(bytearray(b"by key"))
    assert bloom.may_contain(hashing.key_hash(b"by key"))


@pytest.mark.parametrize("size", [1, 63, 65, 127])
def test_a_broken_line_is_corruption(size):
    with pytest.raises(CorruptionError):
        BloomFilter.from_bytes(bytes(size), 6)


@pytest.mark.parametrize("probe_count", [0, 17, 2**32 - 1])
def test_an_impossible_probe_count_is_corruption(probe_count):
    with pytest.raises(CorruptionError):
        BloomFilter.from_bytes(bytes(64), probe_count)


@pytest.mark.parametrize("bits_per_key", [0, 0.99, 32.01, -1, float("nan"), float("inf")])
def test_bits_per_key_is_checked(bits_per_key):
    with pytest.raises(ValueError, match="bits_per_key"):
        BloomFilter.build([], bits_per_key)


def test_arguments_of_the_wrong_type():
    with pytest.raises(TypeError):
        BloomFilter.build(["text"], 10)
    with pytest.raises(OverflowError):
        BloomFilter.build([2**64], 10)
    with pytest.raises(TypeError):
        BloomFilter().may_contain(None)


def test_memory_is_returned_and_its_lack_reported():
    before = memory.usage()
    bloom = BloomFilter.build(range(1000), 10)
    assert memory.usage() == (before[0] + 64 * bloom.line_count, before[1] + 1)
    memory.fail_allocation(1)
    try:
        with pytest.raises(MemoryError):
            BloomFilter.from_bytes(bloom.to_bytes(), 6)
    finally:
        memory.fail_allocation(0)
    del bloom
    assert memory.usage() == before
