"""The sorted node's search: right for every pair of short keys, around each 8-byte head, for ties.

The C program tests/native/c/node_check.c searches each key of a sorted list in nodes made of each
window of that list; the order it is held to is the order in which Python sorts the keys. What is
about blocks stands in test_block.py.
"""

from __future__ import annotations

import itertools
import random
import struct
import uuid
from bisect import bisect_left

import pytest

from lsmkv._native.block import PUT, Block, BlockBuilder
from tests.support import c_program
from tests.support.reference_node import order, search

ALPHABET = (0x00, 0x01, 0xFF)


@pytest.fixture(scope="module")
def node_check(tmp_path_factory):
    return c_program.build(tmp_path_factory.mktemp("fast"), "node_check", [], c_program.OPTIMISED)


@pytest.fixture(scope="module")
def sanitized_node_check(tmp_path_factory):
    return c_program.build(
        tmp_path_factory.mktemp("sanitized"), "node_check", [], c_program.SANITIZED
    )


def packed(keys):
    parts = [struct.pack("<I", len(keys))]
    for key in keys:
        parts += [struct.pack("<I", len(key)), key]
    return b"".join(parts)


def every_key_up_to(size):
    return sorted(
        bytes(key)
        for length in range(size + 1)
        for key in itertools.product(ALPHABET, repeat=length)
    )


def neighbourhoods(sizes):
    """Keys of some sizes, with each byte changed, the last one dropped, one appended."""
    found = set()
    for size in sizes:
        for pattern in (b"\x00", b"\x01", b"\xff", b"\x00\x01", b"\xff\x00\x00", b"ab"):
            key = (pattern * size)[:size]
            found |= {key, key[:-1], *(key + bytes([byte]) for byte in ALPHABET)}
            for position in range(size):
                found |= {
                    key[:position] + bytes([byte]) + key[position + 1 :]
                    for byte in (*ALPHABET, 0x7F, 0x80)
                }
    return sorted(found)


def families():
    """Keys as people use them, by name."""
    rng = random.Random(7)
    words = ["user", "account", "item", "order", "a", "index", "users", "usage"]
    return {
        "decimal": [b"%016d" % (i * i) for i in range(400)],
        "path": [
            b"/srv/%s/%03d/part-%d.dat" % (rng.choice(words).encode(), i % 7, i) for i in range(400)
        ],
        "uuid": [str(uuid.UUID(int=rng.getrandbits(128))).encode() for _ in range(400)],
        "uuid bytes": [rng.randbytes(16) for _ in range(400)],
        "url": [
            b"https://example.%s/%s?q=%d"
            % (rng.choice([b"org", b"com"]), rng.choice(words).encode(), i)
            for i in range(400)
        ],
        "big-endian": [struct.pack(">Q", i * 0x0101010101 % (1 << 64)) for i in range(400)],
        "small integers": [struct.pack(">I", i) for i in range(400)],
        "identifier": [
            "_".join(rng.choices(words, k=rng.randint(1, 5))).encode() for _ in range(400)
        ],
        "numbers as text": [b"%d" % i for i in range(400)],
        "mixed": [
            rng.choice([b"", b"user:", b"user:\0", b"zz"]) + rng.randbytes(rng.randint(0, 30))
            for _ in range(400)
        ],
        "long shared": [b"p" * (i % 60) + b"q" * (i % 23) for i in range(400)],
    }


def test_every_pair_of_short_keys(node_check):
    """All 3280 keys up to 7 bytes of {00, 01, FF}, each searched in nodes of all the others."""
    keys = every_key_up_to(7)
    assert len(keys) == 3280
    searches = int(
        c_program.run(node_check, "windows", 1, 1, 2, 8, 35, 64, 3280, stdin=packed(keys))
    )
    assert searches > 3 * len(keys) ** 2


def test_every_pair_of_very_short_keys_in_versions(node_check):
    """The same for up to 5 bytes, three versions each, with sequences between, below and above."""
    keys = every_key_up_to(5)
    c_program.run(node_check, "windows", 3, 1, 3, 9, 21, 364, stdin=packed(keys))


@pytest.mark.parametrize("sizes", [(7, 8, 9), (15, 16, 17)], ids=str)
@pytest.mark.parametrize("versions", [1, 2])
def test_neighbourhoods_of_head_boundaries(node_check, sizes, versions):
    """Around the sizes where a head fills up, where a tail begins and where it reaches a word."""
    keys = neighbourhoods(sizes)
    c_program.run(node_check, "windows", versions, 1, 5, 16, 64, 9999, stdin=packed(keys))


@pytest.mark.parametrize("name", families())
def test_key_families(node_check, name):
    """Real kinds of keys, in windows of every size that a node may have."""
    keys = sorted(set(families()[name]))
    c_program.run(
        node_check,
        "windows",
        1,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        15,
        16,
        17,
        33,
        64,
        110,
        400,
        stdin=packed(keys),
    )
    c_program.run(node_check, "windows", 17, 3, 64, stdin=packed(keys[:100]))


def test_a_wrong_order_is_noticed(node_check):
    """The check can fail: two keys swapped in the list that defines the order."""
    keys = [b"a", b"b", b"a\0", b"c"]
    result = c_program.execute(node_check, "windows", 1, 4, stdin=packed(keys))
    assert result.returncode == 1
    assert b"wanted" in result.stderr


def test_helpers_under_sanitizers(sanitized_node_check):
    """Loads, comparisons and counting agree with byte loops and never read beyond their bytes."""
    c_program.run(sanitized_node_check, "helpers")


def test_searches_under_sanitizers(sanitized_node_check):
    """Targets and keys of their exact size: no search reads beyond them."""
    keys = sorted(
        {*every_key_up_to(3), *neighbourhoods((8, 9, 17))[::9], b"t" * 70, b"t" * 71, b"t" * 100}
    )
    c_program.run(sanitized_node_check, "windows", 1, 1, 2, 16, 64, stdin=packed(keys))


# --- through blocks, against the definition in Python ---


def block_of(entries):
    builder = BlockBuilder()
    for entry in entries:
        builder.add(*entry)
    return Block(builder.finish())


@pytest.mark.parametrize("count", [*range(1, 65), 5000])
@pytest.mark.parametrize("key", [b"", b"hot", b"hot key of some length"], ids=str)
def test_ties(key, count):
    """Many versions of a key between its closest neighbours: each is found, and each gap."""
    hot = [(key, 2 * version, PUT, b"") for version in range(count, 0, -1)]
    entries = [*hot, (key + b"\0", 7, PUT, b""), (key + b"\0\0", 7, PUT, b"")]
    if key:
        entries.insert(0, (key[:-1], 7, PUT, b""))
    block = block_of(entries)
    ordered = [order(entry) for entry in entries]
    step = max(1, count // 50)
    for sequence in [*range(0, 2 * count + 3, step), (1 << 56) - 1]:
        for target in (key, key + b"\0", key[:-1], key + b"\0\0", key + b"\x01"):
            assert block.search(target, sequence) == bisect_left(ordered, (target, -sequence))


def test_targets_that_lack_the_prefix():
    """A key need not share the prefix of its node: it is before all entries or after them."""
    entries = [(b"prefix/%02d" % i, 1, PUT, b"") for i in range(30)]
    block = block_of(entries)
    for target in (
        b"",
        b"p",
        b"prefix",
        b"prefix/",
        b"prefix.",
        b"prefixa",
        b"prefiw\xff",
        b"q",
        b"prefix/\xff" * 9,
    ):
        assert block.search(target) == search(entries, target, (1 << 56) - 1)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 63, 64, 65, 4097])
def test_any_number_of_entries(count):
    """Counts around the powers of two of the halving."""
    entries = [(b"%08d" % (2 * i), 1, PUT, b"") for i in range(count)]
    block = block_of(entries)
    for number in range(2 * count + 2):
        assert block.search(b"%08d" % number) == min((number + 1) // 2, count)
