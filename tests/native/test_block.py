"""Blocks: the builder writes the documented format, parse gives it back and refuses all else."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmkv._native import memory
from lsmkv._native.block import DELETE, PUT, Block, BlockBuilder, folded, unfolded
from lsmkv.errors import CorruptionError, Error
from tests.support import c_program, reference_node
from tests.support.reference_node import encode, order, search

SEQUENCE_MAX = (1 << 56) - 1
MIB = 1 << 20

# The worked example of kernels/block_format.h.
EXAMPLE_ENTRIES = [(b"ap", 7, PUT, b""), (b"apricot", 9, DELETE, b"")]
EXAMPLE = bytes.fromhex(
    "01 0c 02 02  02 00 00 00  07 00 00 00 00 00 00 00"
    "02 00 00 00  00 00 00 00  00 00 00 00  00 00 00 00"
    "00 00 00 00 00 00 00 00   00 00 00 74 6f 63 69 72"
    "00 00 02 00  00 05  01 02  61 70"
)


def build(entries):
    builder = BlockBuilder()
    for entry in entries:
        builder.add(*entry)
    return builder.finish()


def versions(key, count, value=b"v"):
    return [(key, sequence, PUT, value) for sequence in range(count, 0, -1)]


# One entry list per shape of the format.
SHAPES = {
    "empty": [],
    "empty key": [(b"", 1, PUT, b"")],
    "example": EXAMPLE_ENTRIES,
    "fixed sizes": [(b"%016d" % i, i, PUT, b"%0100d" % i) for i in range(35)],
    "short heads": [(bytes([i]), 5, PUT, b"x" * i) for i in range(40)],
    "heads with padding": [(b"a" + bytes(n), 3, PUT, b"v%d" % n) for n in range(12)],
    "tails": [(b"user/%03d/%s" % (i, b"t" * (i % 17)), i, PUT, b"") for i in range(64)],
    "equal tails": [(b"%030d" % (i * 10**20), 1, PUT, b"") for i in range(9)],
    "versions": versions(b"hot", 300),
    "wide sequences": [(b"a", SEQUENCE_MAX, PUT, b""), (b"b", 0, DELETE, b"")],
    "medium sequences": [(b"a", 70000, PUT, b""), (b"b", 1, PUT, b"")],
    "wide offsets": [(b"k%02d" % i, 1, PUT, b"v" * (3000 + i)) for i in range(40)],
    "wide tail offsets": [(b"%c%s" % (i + 65, b"t" * (5000 + i)), 1, PUT, b"") for i in range(20)],
    **{
        f"spread {n}": [(b"a", 9, PUT, b""), (b"b", 9 + n, PUT, b"")]
        for n in (65535, 65536, (1 << 32) - 1, 1 << 32)
    },
    **{
        f"values of {n}": [(b"a", 1, PUT, b"v" * (n - 9)), (b"b", 1, PUT, b"v" * 9)]
        for n in (65535, 65536)
    },
    **{
        f"tails of {n}": [(b"a" * 17, 1, PUT, b""), (b"b" * (n - 1), 1, PUT, b"")]
        for n in (65535, 65536)
    },
    "one large entry": [(b"k" * 65536, 1, PUT, b"v" * MIB)],
    "largest prefix": [(b"k" * 65535, 2, PUT, b""), (b"k" * 65536, 1, PUT, b"")],
    "key families": sorted(
        [
            (b"%s%d" % (f, i), i, PUT, f)
            for f in (b"", b"a", b"/usr/lib/", b"0x")
            for i in range(20)
        ],
        key=order,
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_builder_matches_reference_and_parse_gives_entries_back(name):
    """Builder, reference encoder and parser agree on each shape; the size is known before."""
    entries = SHAPES[name]
    builder = BlockBuilder()
    for count, entry in enumerate(entries):
        builder.add(*entry)
        assert len(builder) == count + 1
    data = builder.finish()
    assert data == encode(entries)
    assert builder.size_estimate == len(data)
    block = Block(data)
    assert len(block) == len(entries)
    assert block.entries() == entries


def test_golden_example():
    """The bytes printed in the format's documentation, in both directions."""
    assert build(EXAMPLE_ENTRIES) == EXAMPLE
    assert Block(EXAMPLE).entries() == EXAMPLE_ENTRIES


@pytest.mark.parametrize("name", SHAPES)
def test_search_matches_reference(name):
    """Every key, its neighbours in byte order and in sequence, and both ends."""
    entries = SHAPES[name][:80]
    block = Block(build(entries))
    keys = {b"", b"\xff" * 20}
    for key, *_ in entries:
        keys |= {
            key,
            key + b"\0",
            key[:-1],
            key[: len(key) // 2],
            key + b"\xff",
            key[:-1] + b"\0\xff",
        }
    for key in keys:
        for sequence in {0, 1, 5, 150, SEQUENCE_MAX, *[e[1] for e in entries if e[0] == key][:5]}:
            index = search(entries, key, sequence)
            assert block.search(key, sequence) == index
            if index < len(entries):
                assert block.key_equals(index, key) == (entries[index][0] == key)


@pytest.mark.parametrize("name", SHAPES)
def test_folding_matches_reference_and_unfolds_again(name):
    block = build(SHAPES[name])
    assert folded(block) == reference_node.folded(block)
    assert unfolded(folded(block)) == block


def test_the_folding_example():
    heads = [0x0102, 0x0104, 0x0204]
    block = bytes((1, 0, 2, 0, 3)).ljust(32, b"\0") + b"".join(
        head.to_bytes(8, "little") for head in heads
    )
    assert folded(block)[32:] == bytes.fromhex("020200 010001") + bytes(18)


@given(st.binary(max_size=1200))
def test_any_bytes_survive_folding(data):
    """Also those that are no block: a reader unfolds what it has not checked yet."""
    assert unfolded(folded(data)) == data
    assert folded(unfolded(data)) == data
    assert len(folded(data)) == len(data)


def test_estimate_is_exact_at_every_moment():
    """The running size never drifts, also when the prefix shrinks again and again."""
    entries = [
        (b"a" * (30 - i) + b"b" + b"c" * (i % 11), 9 * i, PUT, b"v" * (i % 3)) for i in range(30)
    ]
    builder = BlockBuilder()
    for count, entry in enumerate(entries):
        builder.add(*entry)
        assert builder.size_estimate == len(builder.finish()) == len(encode(entries[: count + 1]))


def test_benchmark_shape_size():
    """16-byte keys and 100-byte values cost 108 bytes an entry, a header and the prefix."""
    data = build([(b"%016d" % i, 1, PUT, b"v" * 100) for i in range(35)])
    assert len(data) == 32 + 14 + 35 * 108


def test_builder_refuses_disorder():
    """Out of order, equal, unknown kind, too large: ValueError, and the builder is as before."""
    builder = BlockBuilder()
    builder.add(b"b", 5, PUT, b"")
    before = builder.finish()
    for key, sequence in [(b"a", 9), (b"b", 5), (b"b", 6), (b"", 1)]:
        with pytest.raises(ValueError):
            builder.add(key, sequence, PUT, b"")
    for kind in (0, 3, 17, 255):
        with pytest.raises(ValueError):
            builder.add(b"c", 1, kind, b"")
    with pytest.raises(ValueError):
        builder.add(b"c", SEQUENCE_MAX + 1, PUT, b"")
    with pytest.raises(ValueError):
        builder.add(b"c" * 65537, 1, PUT, b"")
    assert builder.finish() == before
    builder.add(b"b", 4, PUT, b"")
    assert len(builder) == 2


def test_reset_forgets():
    """After reset a builder writes what a new one would, also from another prefix."""
    builder = BlockBuilder()
    for name in ("tails", "empty", "one large entry", "versions", "empty key", "fixed sizes"):
        builder.reset()
        for entry in SHAPES[name]:
            builder.add(*entry)
        assert builder.finish() == encode(SHAPES[name])


def test_accessors_check_the_index():
    """An index outside the block is an IndexError, never a read out of bounds."""
    block = Block(EXAMPLE)
    for index in (-1, 2, 1 << 40):
        for accessor in (block.key, block.value, block.sequence, block.kind):
            with pytest.raises(IndexError):
                accessor(index)


def test_a_block_is_parsed_once():
    """A block without bytes, or given bad ones, is empty; a good one cannot change."""
    block = Block.__new__(Block)
    with pytest.raises(CorruptionError):
        block.__init__(EXAMPLE[:-1])
    assert len(block) == 0
    assert block.search(b"x") == 0
    block.__init__(EXAMPLE)
    with pytest.raises(TypeError):
        block.__init__(EXAMPLE)
    assert block.entries() == EXAMPLE_ENTRIES


# --- damage ---


def exercise(data):
    """None when the bytes are refused; the entries of a block that must be sound otherwise."""
    try:
        block = Block(data)
    except Error:
        return None
    entries = block.entries()
    assert entries == sorted(entries, key=order)
    assert len({order(entry) for entry in entries}) == len(entries)
    for index, (key, sequence, kind, _) in enumerate(entries):
        assert block.search(key, sequence) == index
        assert kind in (PUT, DELETE)
        assert len(key) <= 65536
        assert sequence <= SEQUENCE_MAX
    return entries


DAMAGED = [
    "example",
    "short heads",
    "tails",
    "versions",
    "heads with padding",
    "medium sequences",
    "wide sequences",
]


@pytest.mark.parametrize("name", DAMAGED)
def test_every_flipped_bit_is_refused_or_harmless(name):
    """A block with any one bit flipped is refused, or is another sound block."""
    entries = SHAPES[name][:12]
    data = build(entries)
    refused = 0
    for position in range(len(data) * 8):
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        found = exercise(damaged)
        refused += found is None
        if found is not None and position >= 32 * 8:
            assert found != entries, "a byte that means nothing"
    assert refused >= 150  # of the 256 bits of the header and the padding


@pytest.mark.parametrize("name", SHAPES)
def test_truncated_or_extended_is_refused(name):
    """The size is part of what is checked: no byte may be missing or left over."""
    data = build(SHAPES[name][:30])
    step = max(1, len(data) // 400)
    for size in [*range(0, len(data), step), len(data) - 1]:
        with pytest.raises(CorruptionError):
            Block(data[:size])
    for extra in (b"\0", b"\0" * 8, data):
        with pytest.raises(CorruptionError):
            Block(data + extra)


TWO_VALUES = build([(b"a", 1, PUT, b"1"), (b"b", 1, PUT, b"22")])  # value_offsets at 48: 0, 1, 3


def patched(data, position, replacement, appended=b""):
    return data[:position] + replacement + data[position + len(replacement) :] + appended


@pytest.mark.parametrize(
    "damaged",
    {
        "reserved header byte": patched(EXAMPLE, 30, b"\x01"),
        "head_size beside a column": patched(EXAMPLE, 28, b"\x01"),
        "values that do not divide": patched(EXAMPLE, 24, b"\x01", b"x"),
        "tails that do not divide": patched(
            build([(b"a" * 9, 2, PUT, b""), (b"b" * 9, 1, PUT, b"")]), 20, b"\3", b"x"
        ),
        "bytes before the first value": patched(TWO_VALUES, 48, b"\x01"),
        "bytes after the last value": patched(TWO_VALUES, 52, b"\x02"),
        "values that overlap": patched(TWO_VALUES, 50, b"\x04"),
    }.items(),
    ids=lambda item: item[0],
)
def test_bytes_without_meaning_are_refused(damaged):
    """What no builder writes is refused even where every access would stay in bounds."""
    with pytest.raises(CorruptionError):
        Block(damaged[1])


def test_future_formats_are_refused_by_name():
    """Version, flags and kinds from the future are Error (not damage)."""
    for position, byte in [(0, 2), (1, 0x1C), (54, 3), (55, 16)]:
        damaged = bytearray(EXAMPLE)
        damaged[position] = byte
        with pytest.raises(Error) as caught:
            Block(damaged)
        assert not isinstance(caught.value, CorruptionError)


def test_keys_beyond_the_limit_are_refused():
    """A prefix of the largest key size leaves no room for a head, nor a long one for tails."""
    for size in (65536, 65535, 65530):
        key = b"k" * size
        entries = [(key, 2, PUT, b""), (key + b"abcdefg", 1, PUT, b"")]
        with pytest.raises(CorruptionError):
            Block(encode(entries))
    long = b"a" * 65500
    for entries in (
        [(long, 1, PUT, b""), (long + b"b" * 100, 1, PUT, b"")],
        [(long + b"b" * 100, 1, PUT, b""), (long + b"c" * 100, 1, PUT, b"")],
    ):
        with pytest.raises(CorruptionError):
            Block(encode(entries))


def test_disorder_is_refused():
    """Wrong order in any part of the comparison, written by an encoder that does not check."""
    for entries in [
        [(b"b", 1, PUT, b""), (b"a", 1, PUT, b"")],
        [(b"a", 1, PUT, b""), (b"a", 1, PUT, b"")],
        [(b"a", 1, PUT, b""), (b"a", 2, PUT, b"")],
        [(b"a\0", 1, PUT, b""), (b"a", 2, PUT, b"")],
        [(b"a", 1, PUT, b""), (b"b" * 9 + b"b", 1, PUT, b""), (b"b" * 9 + b"a", 1, PUT, b"")],
        [(b"a", 1, PUT, b""), (b"b" * 10, 1, PUT, b""), (b"b" * 9, 1, PUT, b"")],
    ]:
        with pytest.raises(CorruptionError):
            Block(encode(entries))


# --- properties ---

KEYS = st.one_of(
    st.binary(max_size=24),
    st.text("ab\0\xff", max_size=20).map(lambda s: s.encode("latin-1")),
    st.tuples(
        st.sampled_from([b"", b"user/", b"\0" * 7, b"long-common-prefix/"]), st.binary(max_size=12)
    ).map(b"".join),
)
ENTRIES = st.dictionaries(
    st.tuples(KEYS, st.one_of(st.integers(0, 5), st.integers(0, SEQUENCE_MAX))),
    st.tuples(st.sampled_from([PUT, DELETE]), st.binary(max_size=40)),
    max_size=60,
).map(lambda found: sorted(((k, s, *v) for (k, s), v in found.items()), key=order))


@settings(max_examples=300)
@given(ENTRIES, st.lists(st.tuples(KEYS, st.integers(0, SEQUENCE_MAX)), max_size=10))
def test_round_trip(entries, targets):
    """Any entries survive, in the documented bytes; any search lands where the definition says."""
    data = build(entries)
    assert data == encode(entries)
    block = Block(data)
    assert block.entries() == entries
    for key, sequence in [*targets, *[e[:2] for e in entries]]:
        assert block.search(key, sequence) == search(entries, key, sequence)


@settings(max_examples=300)
@given(
    ENTRIES,
    st.lists(st.tuples(st.integers(0, 1 << 16), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_mutated_bytes_never_break_a_promise(entries, changes):
    """Several bytes changed at once: refused or sound."""
    data = bytearray(build(entries))
    for position, byte in changes:
        data[position % len(data)] = byte
    exercise(data)


def test_damaged_blocks_under_sanitizers(tmp_path):
    """Thousands of blocks, sound and damaged, in C: whatever is let through is sound in full."""
    flags = [*c_program.SANITIZED, "-DLSM_BLOCK_SIZE_MAX=65536"]
    program = c_program.build(
        tmp_path, "block_check", ["block", "block_builder", "allocator", "status"], flags
    )
    accepted, refused, limits = map(int, c_program.run(program, 1, 400).split())
    assert accepted > 800
    assert refused > 2000
    assert limits > 0


# --- memory ---


def test_no_leak_and_clean_failure_of_every_allocation():
    """Whichever allocation fails: MemoryError, the builder as before, all memory back."""
    gc.collect()
    start = memory.usage()
    entries = [(b"%06d" % i + b"k" * 100, i, PUT, b"v" * 200) for i in range(150)]
    wanted = encode(entries)
    for failing in range(1, 30):
        builder, failures = None, 0
        memory.fail_allocation(failing)
        try:
            while builder is None:
                try:
                    builder = BlockBuilder()
                except MemoryError:
                    failures += 1
            for entry in entries:
                while True:
                    count = len(builder)
                    try:
                        builder.add(*entry)
                        break
                    except MemoryError:
                        failures += 1
                        assert len(builder) == count
            try:
                Block(builder.finish())
            except MemoryError:
                failures += 1
        finally:
            memory.fail_allocation(0)
        assert builder.finish() == wanted
        del builder
        if failures == 0:
            break
    assert failures == 0
    assert failing > 5
    gc.collect()
    assert memory.usage() == start


def test_reset_gives_large_memory_back():
    """One giant value is no reason to hold its memory for ever."""
    start = memory.usage()
    builder = BlockBuilder()
    builder.add(b"k", 1, PUT, b"v" * (8 * MIB))
    assert memory.usage()[0] - start[0] > 8 * MIB
    builder.reset()
    assert memory.usage()[0] - start[0] < MIB
