"""Slots are Redis Cluster's, tags included, and partitions cut them without gaps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.errors import TopologyError
from lsmkv_cluster.placement.slots import SLOT_COUNT, Partitioning, hashed_part, slot_of


@pytest.mark.parametrize(
    ("key", "slot"),
    [
        # The check value of the specification, 0x31c3, and slots that Redis answers to KEYSLOT.
        (b"123456789", 0x31C3),
        (b"", 0),
        (b"foo", 12182),
        (b"bar", 5061),
        (b"hello", 866),
        (b"somekey", 11058),
        (b"foo{hash_tag}", 2515),
    ],
)
def test_golden_slots(key: bytes, slot: int):
    assert slot_of(key) == slot


@pytest.mark.parametrize(
    ("key", "part"),
    [
        (b"{user1000}.following", b"user1000"),
        (b"foo{}{bar}", b"foo{}{bar}"),  # the first pair is empty: the whole key
        (b"foo{{bar}}zap", b"{bar"),
        (b"foo{bar}{zap}", b"bar"),
        (b"{}", b"{}"),
        (b"{", b"{"),
        (b"a}b{c", b"a}b{c"),
        (b"}{a}", b"a"),
    ],
)
def test_tags_by_the_specification(key: bytes, part: bytes):
    assert hashed_part(key) == part
    assert slot_of(key) == slot_of(part) or part.find(b"{") >= 0


def crc16(data: bytes) -> int:
    """XMODEM bit by bit: polynomial 0x1021, from 0, not reflected."""
    value = 0
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1) ^ (0x1021 if value & 0x8000 else 0)
        value &= 0xFFFF
    return value


@given(st.binary(max_size=40))
def test_the_checksum_is_the_textbook_one(key: bytes):
    assert slot_of(key) == crc16(hashed_part(key)) % SLOT_COUNT


@given(st.integers(1, SLOT_COUNT))
def test_partitions_cover_all_slots_in_order_and_evenly(count: int):
    partitioning = Partitioning(count)
    ranges = [partitioning.slots_of(partition) for partition in range(count)]
    assert [slot for slots in ranges for slot in slots] == list(range(SLOT_COUNT))
    assert {len(slots) for slots in ranges} <= {SLOT_COUNT // count, -(-SLOT_COUNT // count)}
    for partition in (0, count // 2, count - 1):
        assert {partitioning.partition_of(slot) for slot in ranges[partition]} == {partition}


def test_the_number_of_partitions_has_limits():
    for count in (0, -1, SLOT_COUNT + 1):
        with pytest.raises(TopologyError):
            Partitioning(count)
