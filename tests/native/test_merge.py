"""Merge and view against the plain reference: both directions, turns, ties, snapshots, bounds.

Inputs are strict array cursors: a value that is held one move too long reads as rubbish, so the
tests also prove that merge and view keep to the lifetime rules of cursor.h.
"""

import random

import pytest

from lsmkv._native import memory
from lsmkv._native.merge import KIND_DELETE, KIND_PUT, merge, view
from lsmkv.errors import CorruptionError
from tests.support.reference_merge import ReferenceCursor, merged, order, visible

# Keys whose 8-byte heads are equal, zero-padded or long: where a head alone would lie.
TRICKY_KEYS = [
    b"",
    b"\0",
    b"\0\0",
    b"a",
    b"a\0",
    b"a\0\0",
    b"a" * 8,
    b"a" * 8 + b"\0",
    b"a" * 9,
    b"a" * 15,
    b"a" * 16,
    b"a" * 16 + b"\0",
    b"a" * 17,
    b"a" * 40,
    b"a" * 40 + b"b",
    b"\xff" * 8,
    b"\xff" * 9,
]


def random_inputs(rng, *, input_count, entry_count, keys, kinds=(KIND_PUT, KIND_PUT, KIND_DELETE)):
    """Unique sequences, dealt at random over sorted inputs."""
    inputs = [[] for _ in range(input_count)]
    for sequence in rng.sample(range(1, 4 * entry_count + 2), entry_count):
        kind = rng.choice(kinds)
        size = rng.choice((0, 3, 20, 5000)) if kind == KIND_PUT else 0
        value = b"%d:" % sequence + bytes([65 + sequence % 26]) * size if kind == KIND_PUT else b""
        rng.choice(inputs).append((rng.choice(keys), sequence, kind, value))
    return [sorted(entries, key=order) for entries in inputs]


def entries_from(cursor, step):
    found = []
    while cursor.entry is not None:
        found.append(cursor.entry)
        step()
    return found


@pytest.mark.parametrize("input_count", [1, 2, 3, 4, 7, 16, 100])
def test_merge_yields_all_entries_in_order_in_both_directions(input_count):
    rng = random.Random(input_count)
    inputs = random_inputs(rng, input_count=input_count, entry_count=400, keys=TRICKY_KEYS)
    expected = merged(inputs)
    cursor = merge(inputs)
    assert cursor.entry is None
    cursor.first()
    assert entries_from(cursor, cursor.next) == expected
    cursor.last()
    assert entries_from(cursor, cursor.previous) == expected[::-1]


def test_merge_of_nothing_is_empty():
    for inputs in ([], [[]], [[], []]):
        cursor = merge(inputs)
        for move in (cursor.first, cursor.last):
            move()
            assert cursor.entry is None
        cursor.seek(b"", 1)
        assert cursor.entry is None
        cursor.seek_before(b"x", 1)
        assert cursor.entry is None
        with pytest.raises(IndexError):
            cursor.next()


@pytest.mark.parametrize("seed", range(30))
def test_random_walks_with_turns_follow_the_reference(seed):
    rng = random.Random(seed)
    keys = rng.sample(TRICKY_KEYS, 8) + [b"%016d" % rng.randrange(10**6) for _ in range(8)]
    inputs = random_inputs(
        rng, input_count=rng.choice((1, 2, 3, 5, 9)), entry_count=rng.choice((1, 10, 60)), keys=keys
    )
    cursor, reference = merge(inputs), ReferenceCursor(merged(inputs))
    for _ in range(300):
        if reference.entry is None or rng.random() < 0.15:
            move = rng.choice(("first", "last", "seek", "seek_before"))
        else:
            move = rng.choice(("next", "previous"))
        arguments = (rng.choice(keys), rng.randrange(0, 260)) if "seek" in move else ()
        getattr(reference, move)(*arguments)
        getattr(cursor, move)(*arguments)
        assert cursor.entry == reference.entry, (move, arguments)


def test_equal_entries_come_out_in_input_order_in_both_directions_and_across_turns():
    inputs = [
        [(b"k", 5, KIND_PUT, b"%d" % index), (b"m", 1, KIND_PUT, b"x%d" % index)]
        for index in range(5)
    ]
    expected = merged(inputs)
    cursor = merge(inputs)
    cursor.first()
    assert entries_from(cursor, cursor.next) == expected
    for turn in range(1, len(expected)):
        cursor.first()
        for position in range(1, turn + 1):
            cursor.next()
            assert cursor.entry == expected[position]
        for position in reversed(range(turn)):
            cursor.previous()
            assert cursor.entry == expected[position]
        cursor.next()
        assert cursor.entry == expected[1]


def test_more_inputs_than_allowed_are_refused():
    with pytest.raises(MemoryError):
        merge([[]] * 1025)
    merge([[]] * 1024).first()


def test_a_failing_input_fails_the_merge_and_a_seek_recovers():
    inputs = [
        [(b"%02d" % (2 * i + side), 1, KIND_PUT, b"") for i in range(10)] for side in range(2)
    ]
    everything = merged(inputs)

    def walk(cursor):
        cursor.first()
        return entries_from(cursor, cursor.next)

    for fail_at in range(1, 12):
        cursor = merge(inputs, fail_input=1, fail_at=fail_at)
        with pytest.raises(CorruptionError):
            walk(cursor)
        assert cursor.entry is None
        assert walk(cursor) == everything


# --- view -------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("seed", range(25))
def test_view_shows_what_the_snapshot_sees(seed, reverse):
    rng = random.Random(seed)
    # Few keys with many versions exercise the seeks, many keys with few the single steps.
    keys = rng.sample(TRICKY_KEYS, rng.choice((1, 2, 10)))
    inputs = random_inputs(
        rng, input_count=rng.choice((1, 2, 5)), entry_count=rng.choice((5, 80)), keys=keys
    )
    entries = merged(inputs)
    top = max(entry[1] for entry in entries)
    for sequence in {0, 1, top // 4, top // 2, top - 1, top, top + 1}:
        for _ in range(4):
            start, stop = rng.choice([None, *keys]), rng.choice([None, *keys, b"zz"])
            found = list(view(inputs, sequence, start=start, stop=stop, reverse=reverse))
            assert found == visible(entries, sequence, start, stop, reverse), (
                sequence,
                start,
                stop,
            )


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_view_seek_stays_within_the_bounds(seed, reverse):
    rng = random.Random(1000 + seed)
    keys = rng.sample(TRICKY_KEYS, 9)
    inputs = random_inputs(rng, input_count=3, entry_count=60, keys=keys)
    entries, sequence = merged(inputs), 120
    start, stop = rng.choice([None, *keys]), rng.choice([None, *keys])
    walk = view(inputs, sequence, start=start, stop=stop, reverse=reverse)
    everything = visible(entries, sequence, start, stop, reverse)
    for _ in range(40):
        target = rng.choice([*TRICKY_KEYS, b"zz"])
        walk.seek(target)
        expected = [
            item for item in everything if (item[0] <= target if reverse else item[0] >= target)
        ]
        taken = rng.randrange(len(expected) + 2)
        assert [item for _, item in zip(range(taken), walk, strict=False)] == expected[:taken]


@pytest.mark.parametrize("version_count", [1, 7, 8, 9, 10, 30])
@pytest.mark.parametrize("value_size", [10, 4096, 4097])
def test_view_of_hot_keys_at_every_snapshot(version_count, value_size):
    """Around the version count after which a walk seeks and the size up to which values are copied.

    A value copied past the room for it would fall on the bounds, which lie right behind.
    """
    entries = [
        (
            key,
            sequence,
            KIND_PUT if sequence % 5 else KIND_DELETE,
            (b"%d" % sequence).ljust(value_size, b"z") if sequence % 5 else b"",
        )
        for key in (b"a", b"b", b"c")
        for sequence in range(version_count, 0, -1)
    ]
    inputs = [entries[0::2], entries[1::2]]
    for sequence in range(version_count + 2):
        for reverse in (False, True):
            found = list(view(inputs, sequence, start=b"b", stop=b"d", reverse=reverse))
            assert found == visible(entries, sequence, b"b", b"d", reverse)


@pytest.mark.parametrize("reverse", [False, True])
def test_view_repeats_a_failure_until_a_seek(reverse):
    inputs = [[(b"%02d" % i, 1, KIND_PUT, b"") for i in range(10)]]
    for fail_at in range(1, 11):
        walk = view(inputs, 1, reverse=reverse, fail_at=fail_at)
        with pytest.raises(CorruptionError):
            list(walk)
        with pytest.raises(CorruptionError):
            next(walk)
        walk.seek(b"05")
        assert next(walk) == (b"05", b"")


@pytest.mark.parametrize("reverse", [False, True])
def test_every_failing_allocation_is_reported_and_leaks_nothing(reverse):
    inputs = [[(b"k" * 200 + b"%02d" % (i % 3), 30 - i, KIND_PUT, b"v")] for i in range(20)]
    before = memory.usage()
    expected = visible(merged(inputs), 25, reverse=reverse)
    failures = 0
    while True:
        memory.fail_allocation(failures + 1)
        try:
            assert list(view(inputs, 25, start=b"a", reverse=reverse)) == expected
            break
        except MemoryError:
            failures += 1
        finally:
            memory.fail_allocation(0)
    assert failures > len(inputs)
    assert memory.usage() == before
