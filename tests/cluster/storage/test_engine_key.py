"""Engine keys come back as they were, stand in the order of their tokens, and a partition is one
range of them in every space, whatever the number of partitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import lsmkv
from lsmkv.kernel import key_token, siphash
from lsmkv_cluster.placement.slots import SLOT_COUNT, Partitioning, slot_of
from lsmkv_cluster.storage.engine_key import (
    CLIENT_KEY_SIZE_MAX,
    HEAD_SIZE,
    KeyRange,
    KeyScheme,
    Space,
    TokenRange,
    client_key,
    named_key,
    partition_of_token,
    partition_tokens,
    slot_in,
    space_tokens,
)

SCHEME = KeyScheme(0x1122334455667788)

client_keys = st.binary(max_size=40) | st.sampled_from([b"", b"{a}b", b"{}", b"x{y}z", b"\xff" * 9])


def is_in(key: bytes, keys: KeyRange) -> bool:
    return keys.start <= key and (keys.stop is None or key < keys.stop)


@given(st.sampled_from(Space), client_keys)
def test_a_key_has_its_parts(space: Space, key: bytes) -> None:
    made = SCHEME.engine_key(space, key)
    assert (made[0], slot_in(made), client_key(made)) == (space, slot_of(key), key)
    # One hash for all spaces, and another one for another seed.
    assert made[3:8] == SCHEME.engine_key(Space.DATA, key)[3:8]
    assert made[3:8] != KeyScheme(1).engine_key(space, key)[3:8]


def test_hash_tags_share_a_slot_and_spread_within_it() -> None:
    made = [SCHEME.engine_key(Space.DATA, b"{user}%d" % i) for i in range(1000)]
    assert len({key[:3] for key in made}) == 1
    assert len({key[:8] for key in made}) == 1000
    assert len({key[3] for key in made}) > 240, "the hash spreads over its whole range"


def test_the_two_keys_of_the_hashes_differ() -> None:
    assert SCHEME.tree_key != KeyScheme(1).tree_key
    token = key_token(SCHEME.engine_key(Space.DATA, b"k"))
    assert token & (1 << 40) - 1 != siphash(SCHEME.tree_key, b"k") >> 24


@given(st.lists(client_keys, max_size=20), st.sampled_from(Space))
def test_keys_stand_in_the_order_of_their_tokens(keys: list[bytes], space: Space) -> None:
    made = sorted(SCHEME.engine_key(space, key) for key in keys)
    tokens = [key_token(key) for key in made]
    assert tokens == sorted(tokens)


@given(st.integers(1, SLOT_COUNT), client_keys, st.sampled_from(Space))
def test_a_partition_is_one_range(count: int, key: bytes, space: Space) -> None:
    partitioning = Partitioning(count)
    made = SCHEME.engine_key(space, key)
    home = partitioning.partition_of(slot_of(key))
    near = {home - 1, home, home + 1} & set(range(count))
    assert [p for p in near if is_in(made, partition_tokens(space, partitioning, p).keys)] == [home]
    assert [s for s in Space if is_in(made, space_tokens(s).keys)] == [space]


@pytest.mark.parametrize("count", [1, 3, 1000, 1024, SLOT_COUNT])
def test_partitions_fill_the_slots_of_a_space(count: int) -> None:
    partitioning = Partitioning(count)
    ranges = [partition_tokens(Space.DATA, partitioning, p) for p in range(count)]
    assert [r.end for r in ranges[:-1]] == [r.first for r in ranges[1:]]
    whole = space_tokens(Space.DATA)
    assert (ranges[0].first, whole.end) == (whole.first, space_tokens(Space.HINT).first)
    assert ranges[-1].end == whole.first + (SLOT_COUNT << 40)
    for token in (r.first for r in ranges), (r.end - 1 for r in ranges):
        assert [partition_of_token(partitioning, t) for t in token] == list(range(count))
    assert partition_of_token(partitioning, whole.end - 1) >= count


def test_token_ranges() -> None:
    assert TokenRange(0, 1 << 64).keys == KeyRange(bytes(8), None)
    assert TokenRange(1 << 64, 1 << 64).keys == KeyRange(b"", b"")
    assert TokenRange(5, 9).clipped(TokenRange(7, 20)) == TokenRange(7, 9)
    assert TokenRange(5, 9).clipped(TokenRange(0, 20)) == TokenRange(5, 9)
    assert TokenRange(5, 9).clipped(TokenRange(30, 40)) == TokenRange(30, 30)


def test_names_stand_before_the_keys_of_their_slot() -> None:
    assert named_key(Space.TREE, 0x1234) == b"\x03\x12\x34" + bytes(5)
    assert named_key(Space.META, 0, b"closed") == b"\x04" + bytes(7) + b"closed"


def test_the_longest_client_key_fits_the_engine() -> None:
    with lsmkv.open(":memory:") as db:
        longest = SCHEME.engine_key(Space.DATA, b"k" * CLIENT_KEY_SIZE_MAX)
        db.put(longest, b"v")
        assert len(longest) == CLIENT_KEY_SIZE_MAX + HEAD_SIZE
        with pytest.raises(ValueError, match="key"):
            db.put(SCHEME.engine_key(Space.DATA, b"k" * (CLIENT_KEY_SIZE_MAX + 1)), b"v")
