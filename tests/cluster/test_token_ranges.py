"""Partitions are ranges of tokens that touch and do not overlap."""

from __future__ import annotations

import pytest

from lsmkv_cluster.slots import SLOT_COUNT, Partitioning
from lsmkv_cluster.storage_orders import Space
from lsmkv_cluster.token_ranges import partition_of_token, partition_tokens, space_tokens


@pytest.mark.parametrize("count", [1, 3, 1024, 1000, SLOT_COUNT])
def test_ranges(count):
    partitioning = Partitioning(count)
    whole = space_tokens(Space.HINT)
    last = whole.first
    for partition in range(count):
        tokens = partition_tokens(partitioning, Space.HINT, partition)
        assert tokens.first == last
        for token in (tokens.first, tokens.end - 1):
            assert partition_of_token(partitioning, token) == partition
        last = tokens.end
    assert last == whole.first + (SLOT_COUNT << 40)
    assert last <= whole.end == space_tokens(Space.TREE).first


def test_a_token_beyond_the_slots():
    assert partition_of_token(Partitioning(16), (1 << 56) - 1) >= 16
