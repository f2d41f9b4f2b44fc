"""The Merkle tree finds what differs and nothing else, whatever the order and depth, and its bytes
never change.

Trees are held against the definition (reference_merkle.py): the digest of a node is the sum of the
hashes in its range. tests/native/c/merkle_check.c does the same at full speed under sanitizers, and
reads damaged checkpoints.
"""

from __future__ import annotations

import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmkv._native import memory
from lsmkv._native.merkle import (
    DEPTH_MAX,
    FANOUT,
    MerkleTree,
    entry_hash,
    key_token,
    siphash,
)
from lsmkv.errors import CorruptionError, Error
from tests.support import c_program
from tests.support import reference_merkle as reference
from tests.support.reference_merkle import ReferenceTree

HASH_KEY = bytes(range(16))
START = 0x0100_0010_0000_0000
SPAN_BITS = 44

# From the byte table in kernels/merkle.h: a tree of depth 1 with one entry.
GOLDEN_HEADER = "4c534d4b564d4b4c 01000000 3fb2365e 0000000000000001 0100000000000000 2c01"
KERNELS = ["merkle", "siphash", "allocator", "crc32c", "status"]

hashes = st.integers(0, 2**64 - 1)
changes = st.lists(st.tuples(st.integers(0, (1 << SPAN_BITS) - 1), hashes, hashes), max_size=40)


def both(depth: int = 2) -> tuple[MerkleTree, ReferenceTree]:
    return MerkleTree(START, SPAN_BITS, depth=depth), ReferenceTree(START, SPAN_BITS, depth)


def same(tree: MerkleTree, expected: ReferenceTree) -> None:
    for level in range(tree.depth + 1):
        assert tree.level(level) == expected.level(level)
    assert tree.root == expected.level(0)[0]
    assert tree.entry_count == expected.entry_count


# --- hashes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "expected"),
    [(0, 0x726FDB47DD0E0E31), (1, 0x74F839C593DC67FD), (15, 0xA129CA6149BE45E5)],
)
def test_siphash_has_the_vectors_of_its_authors(size, expected):
    assert siphash(HASH_KEY, bytes(range(size))) == expected
    assert reference.siphash(HASH_KEY, bytes(range(size))) == expected


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=300))
def test_siphash_equals_the_reference(key, data):
    assert siphash(key, data) == reference.siphash(key, data)


@given(st.binary(max_size=40), st.binary(max_size=40))
def test_entry_hash_equals_the_reference(key, record):
    """Keys of every remainder modulo 8, so that pieces meet at every place in a word."""
    assert entry_hash(HASH_KEY, key, record) == reference.entry_hash(HASH_KEY, key, record)
    assert key_token(key) == reference.key_token(key)


def test_the_border_between_key_and_record_counts():
    assert entry_hash(HASH_KEY, b"a", b"bc") != entry_hash(HASH_KEY, b"ab", b"c")


@pytest.mark.parametrize("key", [b"", bytes(15), bytes(17), None])
def test_a_hash_key_has_sixteen_bytes(key):
    with pytest.raises((ValueError, TypeError)):
        entry_hash(key, b"key", b"record")
    with pytest.raises((ValueError, TypeError)):
        siphash(key, b"")


# --- changes -------------------------------------------------------------------------------------


@given(changes, st.integers(1, 3))
@settings(max_examples=40)
def test_equals_the_definition(wanted, depth):
    tree, expected = both(depth)
    for offset, old, new in wanted:
        tree.update(START + offset, old, new)
        expected.update(START + offset, old, new)
    same(tree, expected)


@given(changes, st.randoms(use_true_random=False), st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=40)
def test_neither_order_nor_depth_nor_grouping_matters(wanted, source, depth, other_depth):
    """Any order, one by one or at once, at any depth: the same digests on every common level."""
    one, other = both(depth)[0], both(other_depth)[0]
    for offset, old, new in wanted:
        one.update(START + offset, old, new)
    source.shuffle(wanted)
    other.update_many((START + offset, old, new) for offset, old, new in wanted)
    for level in range(min(depth, other_depth) + 1):
        assert one.level(level) == other.level(level)
    assert one.compare(other, 1000) == []


def test_what_came_and_went_leaves_nothing():
    tree = both()[0]
    tree.update(START, 0, 7)
    tree.update(START, 7, 9)
    tree.update(START, 9, 0)
    assert tree.level(2) == (0,) * 256
    assert tree.entry_count == 0


def test_the_same_change_twice_does_not_undo_itself():
    """As it would with XOR."""
    tree = both()[0]
    tree.update(START, 0, 7)
    once = tree.root
    tree.update(START, 0, 7)
    assert tree.root not in (0, once)


def test_building_is_updating():
    entries = [
        ((START + i * 2**30).to_bytes(8, "big") + b"key", b"record %d" % i) for i in range(1000)
    ]
    built, changed = both(3)[0], both(3)[0]
    built.add_entries(HASH_KEY, entries[:400])
    built.add_entries(HASH_KEY, iter(entries[400:]))
    for key, record in entries:
        changed.update(key_token(key), 0, entry_hash(HASH_KEY, key, record))
    assert built.checkpoint() == changed.checkpoint()
    assert built.entry_count == 1000


def test_a_token_outside_changes_nothing():
    tree = both()[0]
    for token in (START - 1, START + (1 << SPAN_BITS), 0, 2**64 - 1):
        with pytest.raises(ValueError, match="outside"):
            tree.update(token, 0, 1)
        with pytest.raises(ValueError, match="outside"):
            tree.update_many([(START, 0, 1), (token, 0, 1)])
        with pytest.raises(ValueError, match="outside"):
            tree.add_entries(HASH_KEY, [(token.to_bytes(8, "big"), b"")])
    assert tree.entry_count == 0
    assert tree.root == 0


@pytest.mark.parametrize(
    ("start", "span_bits", "depth"),
    [(0, 3, 1), (0, 65, 1), (1, 64, 1), (2**64 - 1, 4, 1), (0, 64, 6), (0, 7, 2)],
)
def test_impossible_layouts(start, span_bits, depth):
    with pytest.raises(ValueError, match="no tree"):
        MerkleTree(start, span_bits, depth=depth)


def test_the_whole_space_is_a_layout():
    tree = MerkleTree(0, 64, depth=5)
    tree.update(2**64 - 1, 0, 5)
    assert tree.level(5)[-1] == 5
    assert tree.token_range(5, 16**5 - 1) == (2**64 - 2**44, 2**64)
    assert tree.token_range(0, 0) == (0, 2**64)


@pytest.mark.parametrize(
    ("expected_entries", "depth"),
    [(0, 1), (512, 1), (513, 2), (8192, 2), (8193, 3), (10**6, 4), (10**9, DEPTH_MAX)],
)
def test_depth_follows_expected_entries(expected_entries, depth):
    assert MerkleTree(0, 64, expected_entries=expected_entries).depth == depth
    assert MerkleTree(0, 8, expected_entries=expected_entries).depth == min(depth, 2)


# --- narrowing -----------------------------------------------------------------------------------


@given(changes, changes)
@settings(max_examples=40)
def test_narrowing_finds_exactly_the_leaves_that_differ(first, second):
    one, other = both(3)[0], both(3)[0]
    one.update_many((START + offset, old, new) for offset, old, new in first)
    other.update_many((START + offset, old, new) for offset, old, new in second)
    nodes = [0]
    for level in range(3):
        nodes = one.differing(level, nodes, [other.children(level, node) for node in nodes])
    pairs = zip(one.level(3), other.level(3), strict=True)
    expected = [index for index, (a, b) in enumerate(pairs) if a != b]
    # A difference may hide above its leaves only when sums of hashes agree by accident; hypothesis
    # makes such accidents with small numbers, never SipHash.
    if one.root != other.root:
        assert set(nodes) <= set(expected)
    assert one.compare(other, 5000) == (nodes if one.root != other.root else [])
    assert one.compare(other, 2) == one.compare(other, 5000)[:2]


def test_ten_differences_among_many():
    entries = {(START + i * 2**28).to_bytes(8, "big"): b"%d" % i for i in range(20_000)}
    one, other = both(4)[0], both(3)[0]
    one.add_entries(HASH_KEY, entries.items())
    changed = list(entries)[500::1999][:10]
    entries |= dict.fromkeys(changed, b"changed")
    other.add_entries(HASH_KEY, entries.items())
    found = one.compare(other, 100)
    assert found == other.compare(one, 100)
    ranges = [other.token_range(3, index) for index in found]
    assert len(ranges) == 10
    for key, (first, end) in zip(changed, ranges, strict=True):
        assert first <= key_token(key) < end


@pytest.mark.parametrize(
    ("level", "indices"), [(0, [1]), (1, [3, 3]), (1, [4, 2]), (1, [16]), (2, [0]), (9, [0])]
)
def test_what_cannot_be_a_list_of_nodes(level, indices):
    digests = [(0,) * FANOUT for _ in indices]
    with pytest.raises(ValueError, match=r"indices|level|nodes"):
        both(2)[0].differing(level, indices, digests)


def test_digests_of_the_wrong_shape():
    with pytest.raises(ValueError, match="children"):
        both()[0].differing(0, [0], [(0,) * 15])
    with pytest.raises(ValueError, match="nodes"):
        both()[0].differing(0, [0], [])
    with pytest.raises(OverflowError):
        both()[0].differing(0, [0], [(2**64,) * 16])


def test_trees_of_different_tokens_do_not_compare():
    for other in (MerkleTree(START, SPAN_BITS + 1, depth=2), MerkleTree(0, SPAN_BITS, depth=2)):
        with pytest.raises(ValueError, match="tokens"):
            both()[0].compare(other, 1)


# --- checkpoints ---------------------------------------------------------------------------------


@given(changes, st.integers(1, 3))
@settings(max_examples=40)
def test_a_checkpoint_is_the_reference_and_restores(wanted, depth):
    tree, expected = both(depth)
    for offset, old, new in wanted:
        tree.update(START + offset, old, new)
        expected.update(START + offset, old, new)
    data = tree.checkpoint()
    assert data == expected.checkpoint()
    again = MerkleTree.from_checkpoint(data)
    same(again, expected)
    assert (again.start, again.span_bits, again.depth) == (START, SPAN_BITS, depth)


def test_golden_checkpoint():
    """Persistent: checkpoints of any earlier version must be read the same."""
    tree = MerkleTree(0x0100 << 48, 44, depth=1)
    tree.update((0x0100 << 48) + (3 << 40), 0, 0x1122334455667788)
    golden = bytes.fromhex(GOLDEN_HEADER) + bytes(6 + 24)
    golden += bytes.fromhex("8877665544332211") + bytes(96)
    assert tree.checkpoint().hex() == golden.hex()


def sample_checkpoint() -> bytes:
    tree = both(1)[0]
    for i in range(20):
        tree.update(START + (i << 39), 0, i * 0x9E3779B97F4A7C15 % 2**64)
    return tree.checkpoint()


def test_every_flipped_bit_and_every_length_is_refused():
    data = sample_checkpoint()
    for size in range(len(data)):
        with pytest.raises(CorruptionError):
            MerkleTree.from_checkpoint(data[:size])
    with pytest.raises(CorruptionError):
        MerkleTree.from_checkpoint(data + b"\0")
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Error):
            MerkleTree.from_checkpoint(damaged)


def resealed(data: bytes) -> bytes:
    """With the checksum that its bytes ask for."""
    checksum = reference.crc32c(data[16:], reference.crc32c(data[:12]))
    return data[:12] + struct.pack("<I", checksum) + data[16:]


@pytest.mark.parametrize(
    ("offset", "value", "error"),
    [
        (8, 2, Error),
        (32, 3, CorruptionError),
        (32, 65, CorruptionError),
        (33, 0, CorruptionError),
        (33, 2, CorruptionError),
        (33, 6, CorruptionError),
        (34, 1, CorruptionError),
    ],
)
def test_impossible_fields_behind_a_right_checksum(offset, value, error):
    data = bytearray(sample_checkpoint())
    data[offset] = value
    with pytest.raises(error):
        MerkleTree.from_checkpoint(resealed(bytes(data)))


def test_another_version_is_no_corruption():
    data = bytearray(sample_checkpoint())
    data[8] = 2
    with pytest.raises(Error, match="version 2") as raised:
        MerkleTree.from_checkpoint(data)
    assert not isinstance(raised.value, CorruptionError)


# --- the object ----------------------------------------------------------------------------------


def test_an_object_that_was_not_initialised_refuses():
    tree = MerkleTree.__new__(MerkleTree)
    for call in (tree.checkpoint, lambda: tree.root, lambda: tree.update(0, 0, 1)):
        with pytest.raises(ValueError, match="not initialised"):
            call()
    made = both()[0]
    with pytest.raises(ValueError, match="once"):
        made.__init__(0, 64, depth=1)  # type: ignore[misc]


def fail_each_allocation(tree: MerkleTree) -> None:
    data = tree.checkpoint()
    calls = [
        lambda: both(1),
        lambda: MerkleTree.from_checkpoint(data),
        lambda: tree.update_many([(START, 0, 1)]),
        lambda: tree.add_entries(HASH_KEY, [(START.to_bytes(8, "big"), b"")]),
        lambda: tree.differing(0, [0], [(0,) * 16]),
        lambda: tree.compare(tree, 1),
    ]
    for call in calls:
        memory.fail_allocation(1)
        try:
            with pytest.raises(MemoryError):
                call()
        finally:
            memory.fail_allocation(0)
    assert tree.entry_count == 0


def test_memory_is_returned_and_its_lack_reported():
    before = memory.usage()
    tree = both(2)[0]
    assert memory.usage() == (before[0] + 8 * (1 + 16 + 256), before[1] + 1)
    fail_each_allocation(tree)
    del tree
    assert memory.usage() == before


# --- under sanitizers ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sanitized_check(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sanitized")
    return c_program.build(folder, "merkle_check", KERNELS, c_program.SANITIZED)


def test_random_trees_under_sanitizers(sanitized_check):
    c_program.run(sanitized_check, "random", 48)


def test_damaged_checkpoints_under_sanitizers(sanitized_check):
    data = sample_checkpoint()
    cases = [data, *(data[:size] for size in range(len(data)))]
    for offset in (8, 16, 23, 24, 32, 33, 34, 39):
        for value in (0, 1, 5, 63, 64, 255):
            changed = bytearray(data)
            changed[offset] = value
            cases.append(resealed(bytes(changed)))
    packed = b"".join(struct.pack("<I", len(case)) + case for case in cases)
    output = c_program.run(sanitized_check, "restore", stdin=struct.pack("<I", len(cases)) + packed)
    lines = output.splitlines()
    assert len(lines) == len(cases)
    assert lines[0] == f"0 {MerkleTree.from_checkpoint(data).root:x}"
    assert all(line.startswith("-2 ") for line in lines[1 : len(data) + 1])
