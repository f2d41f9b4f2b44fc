"""The memtable against a sorted list: every key family, snapshots, cursors over a growing table,
and allocation that fails at each place.

Promises of kernels/memtable.h: order (key ascending, sequence descending), replacing only what no
reader can see, inserts that cannot fail after a reserve, cursors that neither repeat an entry nor
go back.
"""

import itertools
import random

import pytest

from lsmkv._native import memory
from lsmkv._native.memtable import Memtable, MemtableCursor, MemtableUsage
from tests.support import c_program
from tests.support.reference_memtable import DELETE, MAX_SEQUENCE, PUT, ReferenceMemtable

LONG = b"/var/lib/service/" * 3


def short_keys(rng):
    return bytes(rng.choice((0x00, 0x01, 0xFF)) for _ in range(rng.randrange(7)))


KEY_FAMILIES = {
    "decimal": lambda rng: b"%016d" % rng.randrange(2000),
    "binary": lambda rng: rng.randbytes(rng.choice((1, 2, 8, 16))),
    "paths": lambda rng: b"/home/u%d/f/%04d" % (rng.randrange(5), rng.randrange(300)),
    "long prefixes": lambda rng: LONG[: rng.randrange(len(LONG))] + rng.randbytes(2),
    "short": short_keys,
    "few": lambda rng: b"key%d" % rng.randrange(4),
    "huge": lambda rng: b"h" * rng.choice((65_527, 65_528)) + b"%08d" % rng.randrange(300),
}


def pairs_of(family, count, seed=1):
    """A memtable and its reference after random operations, under snapshots that come and go."""
    rng = random.Random(f"{family} {seed}")
    table, reference = Memtable(), ReferenceMemtable()
    pinned = []
    for sequence in range(1, count + 1):
        key = KEY_FAMILIES[family](rng)
        kind = DELETE if rng.random() < 0.2 else PUT
        value = b"" if kind == DELETE else rng.randbytes(rng.randrange(12))
        highest = max(pinned, default=0)
        table.insert(key, sequence, kind, value, highest)
        reference.insert(key, sequence, kind, value, highest)
        chance = rng.random()
        if chance < 0.05:
            pinned.append(sequence)
        elif chance < 0.1 and pinned:
            pinned.remove(rng.choice(pinned))
    return table, reference, pinned


def count_for(family):
    return 200 if family == "huge" else 3000


@pytest.mark.parametrize("family", KEY_FAMILIES)
def test_matches_the_reference(family):
    table, reference, pinned = pairs_of(family, count_for(family))
    assert table.entries() == reference.entries()
    rng = random.Random(family)
    for _ in range(500):
        key = KEY_FAMILIES[family](rng)
        for sequence in (MAX_SEQUENCE, *pinned[-2:]):
            assert table.get(key, sequence) == reference.get(key, sequence)
    usage = table.usage()
    assert usage.entry_count == len(reference.order)
    assert usage.tombstone_count == sum(kind == DELETE for kind, _ in reference.payload.values())
    assert (usage.first_sequence, usage.last_sequence) == (1, count_for(family))


@pytest.mark.parametrize("family", KEY_FAMILIES)
def test_cursor_positions(family):
    table, reference, _ = pairs_of(family, count_for(family), seed=2)
    cursor = table.cursor()
    rng = random.Random(family)

    def entry(valid):
        return cursor.entry() if valid else None

    for _ in range(300):
        key, sequence = KEY_FAMILIES[family](rng), rng.choice((MAX_SEQUENCE, rng.randrange(3000)))
        assert entry(cursor.seek(key, sequence)) == reference.at_or_after(key, sequence)
        assert entry(cursor.seek_before(key, sequence)) == reference.before(key, sequence)
    expected = reference.entries()
    assert entry(cursor.last()) == expected[-1]
    backwards = [cursor.entry()]
    while cursor.previous():
        backwards.append(cursor.entry())
    assert backwards == expected[::-1]
    assert entry(cursor.first()) == expected[0]


def test_short_keys_exhaustively():
    """Zero-padded heads tie: "a" and "a\\0" differ in length alone, across the head's 8 bytes."""
    tails = [bytes(t) for n in range(3) for t in itertools.product((0x00, 0x01, 0xFF), repeat=n)]
    keys = sorted(
        {lead * size + tail for lead in (b"\x00", b"\xff") for size in range(23) for tail in tails}
    )
    for seed in range(4):
        order = keys[:]
        random.Random(seed).shuffle(order)
        table = Memtable()
        for sequence, key in enumerate(order, 1):
            table.insert(key, sequence, PUT, b"v")
        assert [entry[0] for entry in table.entries()] == keys
        assert all(table.get(key) is not None for key in keys)
        assert table.get(b"\x02") is None


@pytest.mark.parametrize("step", [1, -1])
def test_keys_in_order_fill_their_leaves(step):
    """Runs, upwards or downwards, alone or in the middle of other keys, leave full nodes behind."""
    for around in ((), (b"0", b"2")):
        table = Memtable()
        sequence = 0
        for key in around:
            for i in range(100):
                sequence += 1
                table.insert(b"%s%03d" % (key, i), sequence, PUT)
        before = table.usage().arena_bytes
        numbers = list(range(20_000))[::step]
        for number in numbers:
            sequence += 1
            table.insert(b"1%07d" % number, sequence, PUT)
        assert len(table.entries()) == sequence
        assert (table.usage().arena_bytes - before) / len(numbers) < 24 + 17 * 1.2


def test_versions_of_one_key_span_leaves():
    table, reference = Memtable(), ReferenceMemtable()
    for sequence in range(1, 1001):
        for target in (table, reference):
            target.insert(b"hot", sequence, PUT, b"%d" % sequence, sequence - 1)
    for key in (b"cold", b"hot\x00", b"ho"):
        sequence += 1
        for target in (table, reference):
            target.insert(key, sequence, DELETE)
    assert table.entries() == reference.entries()
    assert all(
        table.get(b"hot", number) == (number, PUT, b"%d" % number) for number in range(1, 1001)
    )
    assert table.get(b"hot", 0) is None


def test_a_version_replaced_at_the_end_of_a_leaf():
    """Its older versions lie in the next leaf: a read between the two finds them there."""
    table, reference = Memtable(), ReferenceMemtable()
    keys = [b"a%02d" % i for i in range(31)] + [b"hot"] * 33 + [b"a05+"]
    for sequence, key in enumerate(keys, 1):
        for target in (table, reference):
            target.insert(key, sequence, PUT, b"", sequence - 1)  # the 65th entry splits the leaf
    sequence = len(keys) + 10
    for target in (table, reference):
        target.insert(b"hot", sequence, PUT)
    assert table.entries() == reference.entries()
    for number in range(sequence + 2):
        assert table.get(b"hot", number) == reference.get(b"hot", number)


def test_replacing_respects_pins_and_counts_garbage():
    table = Memtable()
    table.insert(b"k", 1, PUT, b"one")
    table.insert(b"k", 2, PUT, b"two", 1)
    assert table.usage().garbage_bytes == 0
    assert table.get(b"k", 1) == (1, PUT, b"one")
    table.insert(b"k", 3, DELETE, b"", 1)
    assert table.get(b"k") == (3, DELETE, b"")
    assert table.get(b"k", 1) == (1, PUT, b"one")
    assert table.entries() == [(b"k", 3, DELETE, b""), (b"k", 1, PUT, b"one")]
    assert table.usage().garbage_bytes == 24
    assert table.usage().tombstone_count == 1
    table.insert(b"k", 4, PUT, b"four", 3)
    assert [entry[1] for entry in table.entries()] == [4, 3, 1]


def test_empty_table():
    table = Memtable()
    assert table.entries() == []
    assert table.get(b"") is None
    usage = table.usage()
    assert isinstance(usage, MemtableUsage)
    assert (usage.entry_count, usage.first_sequence, usage.last_sequence) == (0, 0, 0)
    cursor = table.cursor()
    assert not any((cursor.first(), cursor.last(), cursor.seek(b""), cursor.seek_before(b"\xff")))
    for call in (cursor.entry, cursor.next, cursor.previous):
        with pytest.raises(ValueError, match="no entry"):
            call()


@pytest.mark.parametrize("family", KEY_FAMILIES)
@pytest.mark.parametrize("forwards", [True, False])
def test_iteration_while_the_table_grows(family, forwards):
    """Strictly monotonous; what was there at the start and never replaced is met once."""
    rng = random.Random(f"{family} {forwards}")
    table, reference, _ = pairs_of(family, count_for(family), seed=3)
    present = set(reference.order)
    sequence = count_for(family)
    cursor = table.cursor()
    met = []
    valid = cursor.first() if forwards else cursor.last()
    while valid:
        key, number, kind, value = cursor.entry()
        met.append((key, -number))
        assert reference.payload.get((key, -number)) == (kind, value)
        for _ in range(rng.choice((0, 0, 0, 1, 4))):
            sequence += 1
            new = key if rng.random() < 0.3 else KEY_FAMILIES[family](rng)
            pin = rng.choice((0, sequence - 1))
            table.insert(new, sequence, PUT, b"", pin)
            reference.insert(new, sequence, PUT, b"", pin)
        assert cursor.entry() == (key, number, kind, value)  # even if it was replaced by now
        if len(met) > 6000:
            break
        valid = cursor.next() if forwards else cursor.previous()
    assert met == sorted(set(met), reverse=not forwards)
    if not valid:
        assert present & set(reference.order) <= set(met)
    assert table.entries() == reference.entries()


def test_cursor_outlives_its_table():
    table = Memtable()
    table.insert(b"k", 1, PUT, b"v")
    cursor = MemtableCursor(table)
    del table
    assert cursor.first()
    assert cursor.entry() == (b"k", 1, PUT, b"v")


def test_any_contiguous_buffer():
    table = Memtable()
    table.insert(bytearray(b"k"), 1, PUT, memoryview(b"value")[1:3])
    assert table.get(memoryview(b"k")) == (1, PUT, b"al")
    with pytest.raises(BufferError):
        table.get(memoryview(b"abcd")[::2])
    with pytest.raises(TypeError):
        table.insert("text", 2, PUT)


@pytest.mark.parametrize(
    ("key", "sequence", "kind", "match"),
    [
        (b"k", 5, PUT, "sequence 5"),
        (b"k", 0, PUT, "sequence 0"),
        (b"k", MAX_SEQUENCE + 1, PUT, "sequence"),
        (b"k", 6, 3, "unknown kind 3"),
        (b"k", 6, 0, "unknown kind 0"),
        (bytes(64 * 1024 + 1), 6, PUT, "limit"),
    ],
)
def test_refused_arguments_change_nothing(key, sequence, kind, match):
    table = Memtable()
    table.insert(b"k", 5, PUT, b"v")
    before = table.usage()
    with pytest.raises(ValueError, match=match):
        table.insert(key, sequence, kind, b"w")
    assert table.usage() == before
    assert table.entries() == [(b"k", 5, PUT, b"v")]


def test_reserve_refuses_what_cannot_be():
    table = Memtable()
    size_max = (1 << 64) - 1
    held = memory.usage()
    for count, payload in (
        (size_max, 0),
        (0, size_max),
        (size_max // 23, size_max // 2),
        (1 << 58, 0),
    ):
        with pytest.raises(MemoryError):
            table.reserve(count, payload)
    assert memory.usage() == held


@pytest.mark.parametrize("batch", [1, 2, 64, 700, 5000])
def test_after_a_reserve_no_insert_allocates(batch):
    """The worst case of a reserve covers what inserts of the worst kinds take, to the last one."""
    rng = random.Random(batch)
    table = Memtable()
    sequence = 0
    while sequence < 12_000:
        family = rng.choice(("decimal", "binary", "paths", "few"))
        keys = [KEY_FAMILIES[family](rng) for _ in range(batch)]
        table.reserve(batch, sum(map(len, keys)) + batch * 100)
        calls = memory.call_count()
        for key in sorted(keys, reverse=rng.random() < 0.5) if rng.random() < 0.5 else keys:
            sequence += 1
            table.insert(
                key, sequence, PUT, bytes(rng.choice((0, 1, 100))), rng.choice((0, sequence))
            )
        assert memory.call_count() == calls
    assert len(table.entries()) == table.usage().entry_count


def test_an_allocation_that_fails_changes_nothing():
    """Each allocation of a growing table fails once: the table is as before, and goes on."""
    start = memory.usage()
    failures = 0
    table, reference = None, ReferenceMemtable()
    try:
        memory.fail_allocation(1)
        with pytest.raises(MemoryError):
            Memtable()
        memory.fail_allocation(2)
        with pytest.raises(MemoryError):
            Memtable()
        memory.fail_allocation(0)
        assert memory.usage() == start
        table = Memtable()
        memory.fail_allocation(1)
        with pytest.raises(MemoryError):
            table.cursor()
        rng = random.Random(5)
        sequence = 0
        while sequence < 3000:
            key, value = KEY_FAMILIES["paths"](rng), bytes(rng.choice((10, 10, 500)))
            memory.fail_allocation(1)
            before = table.usage()
            try:
                table.insert(key, sequence + 1, PUT, value, sequence)
            except MemoryError:
                failures += 1
                memory.fail_allocation(0)
                assert table.usage() == before
                table.insert(key, sequence + 1, PUT, value, sequence)
            reference.insert(key, sequence + 1, PUT, value, sequence)
            sequence += 1
    finally:
        memory.fail_allocation(0)
    assert failures >= 8
    assert table.entries() == reference.entries()
    del table
    assert memory.usage() == start


def test_a_tiny_table_stays_tiny_and_everything_is_freed():
    start_bytes, start_blocks = memory.usage()
    table = Memtable()
    table.insert(b"k", 1, PUT, b"v")
    assert memory.usage()[0] - start_bytes < 64 * 1024
    table.insert(b"big", 2, PUT, bytes(10_000_000))
    table.insert(b"small", 3, PUT, b"s")
    assert memory.usage()[0] - start_bytes < 10_100_000
    cursor = table.cursor()
    del table
    assert memory.usage()[1] > start_blocks
    del cursor
    assert memory.usage() == (start_bytes, start_blocks)


@pytest.fixture(scope="module")
def memtable_check(tmp_path_factory):
    kernels = ["memtable", "memtable_tree", "arena", "allocator"]
    directory = tmp_path_factory.mktemp("memtable")
    return c_program.build(directory, "memtable_check", kernels, c_program.SANITIZED)


@pytest.mark.parametrize("seed", range(3))
def test_the_tree_itself_under_sanitizers(memtable_check, seed):
    """Node invariants, worst cases of reserves, refused reserves: for batches of every pattern."""
    assert "operations" in c_program.run(memtable_check, seed, 150)
