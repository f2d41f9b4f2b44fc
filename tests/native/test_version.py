"""Versions: point reads, run cursors and scans against lists of entries, with clamps."""

import random
from dataclasses import replace

import pytest

from lsmkv._native import memory
from lsmkv._native.merge import KIND_DELETE, KIND_PUT
from lsmkv._native.version import Version
from tests.support.reference_merge import ReferenceCursor, merged, order, visible
from tests.support.table_lab import TableLab


def numbered(rng, *, count, sequences, prefix=b"key/"):
    """Random entries, several versions of some keys, with sequences from an iterator."""
    keys = [
        prefix + b"%04d" % rng.randrange(200) + b"x" * rng.choice((0, 0, 9)) for _ in range(count)
    ]
    entries = []
    for key in keys:
        sequence = next(sequences)
        if rng.random() < 0.25:
            entries.append((key, sequence, KIND_DELETE, b""))
        else:
            entries.append((key, sequence, KIND_PUT, b"%d/" % sequence * rng.choice((1, 5, 40))))
    return sorted(entries, key=order)


def clamped(rng, lab, entries, table_count_hint):
    """A run of several tables, some with clamps, and the entries that it shows."""
    output_size = max(
        600, sum(len(entry[0]) + len(entry[3]) for entry in entries) // table_count_hint
    )
    slices, shown = [], []
    for piece in lab.run(entries, output_size_max=output_size):
        inside = [entry for entry in entries if piece.smallest <= entry[0] <= piece.largest]
        keys = sorted({entry[0] for entry in inside})
        if len(keys) > 2 and rng.random() < 0.6:
            lower, upper = sorted(rng.sample(keys[1:], 2))
            lower, upper = rng.choice(((lower, None), (None, upper), (lower, upper)))
            piece = replace(piece, lower=lower, upper=upper)
            if rng.random() < 0.5:
                # As the manifest writes them: `largest` is the clamp itself, a hidden key.
                piece = replace(
                    piece, smallest=lower or piece.smallest, largest=upper or piece.largest
                )
            inside = [
                e
                for e in inside
                if (lower is None or e[0] >= lower) and (upper is None or e[0] < upper)
            ]
        slices.append(piece)
        shown += inside
    return slices, shown


def tree(seed, run_count=3):
    """(version, entries shown by each run, newest first); every other tree has no block cache."""
    rng = random.Random(seed)
    lab = TableLab(cache_size_bytes=seed % 2 << 20)
    sequences = iter(range(1, 10**6))
    runs, shown = [], []
    for _ in range(run_count):
        slices, entries = clamped(
            rng, lab, numbered(rng, count=150, sequences=sequences), rng.choice((1, 3, 8))
        )
        runs.insert(0, (1, slices))
        shown.insert(0, entries)
    return Version(runs), shown


def newest_at(entries, key, sequence):
    found = [entry[1:] for entry in entries if entry[0] == key and entry[1] <= sequence]
    return max(found, default=None)


@pytest.mark.parametrize("seed", range(4))
def test_get_finds_the_newest_version_over_all_runs(seed):
    version, shown = tree(seed)
    entries = merged(shown)
    keys = {entry[0] for entry in entries}
    probes = keys | {key + b"\0" for key in keys} | {key[:-1] for key in keys} | {b"", b"a", b"zzz"}
    for key in sorted(probes):
        for sequence in (0, 100, 250, 10**9):
            assert version.get(key, sequence) == newest_at(entries, key, sequence), (key, sequence)


@pytest.mark.parametrize("readahead_size", [0, 1024])
@pytest.mark.parametrize("seed", range(4))
def test_run_cursor_walks_seeks_and_turns_like_the_list(seed, readahead_size):
    rng = random.Random(seed)
    version, shown = tree(seed)
    for run, entries in enumerate(shown):
        reference, cursor = ReferenceCursor(entries), version.cursor(run, readahead_size)
        keys = [entry[0] for entry in entries] + [b"", b"zzz", b"key/0100"]
        for _ in range(300):
            if reference.entry is None or rng.random() < 0.1:
                move = rng.choice(("first", "last", "seek", "seek_before"))
            else:
                move = rng.choice(("next", "next", "next", "previous"))
            arguments = (
                (rng.choice(keys), rng.choice((0, 200, (1 << 56) - 1))) if "seek" in move else ()
            )
            getattr(reference, move)(*arguments)
            getattr(cursor, move)(*arguments)
            assert cursor.entry == reference.entry, (move, arguments)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_scan_shows_what_the_snapshot_sees(seed, reverse):
    version, shown = tree(seed)
    entries = merged(shown)
    for sequence in (0, 150, 300, 10**9):
        for start, stop in (
            (None, None),
            (b"key/0050", b"key/0150"),
            (b"key/0150", b"key/0050"),
            (b"zzz", None),
        ):
            found = list(version.scan(sequence, start=start, stop=stop, reverse=reverse))
            assert found == visible(entries, sequence, start, stop, reverse)


def test_a_slice_may_end_at_the_very_key_that_the_next_one_begins_with():
    """After a drop of [m, n) and a new write at m: the older table still names m as its end."""
    lab = TableLab()
    (old,) = lab.run(
        [(key, sequence, KIND_PUT, b"old") for sequence, key in enumerate((b"a", b"m", b"z"), 1)]
    )
    (new,) = lab.run([(b"m", 9, KIND_PUT, b"new"), (b"p", 8, KIND_PUT, b"new")])
    version = Version([(1, [replace(old, upper=b"m", largest=b"m"), new])])
    assert version.get(b"m", 99) == (9, KIND_PUT, b"new")
    assert version.get(b"z", 99) is None
    expected = [(b"a", b"old"), (b"m", b"new"), (b"p", b"new")]
    assert list(version.scan(99)) == expected
    assert list(version.scan(99, reverse=True)) == expected[::-1]
    assert list(version.scan(99, start=b"m")) == expected[1:]
    assert list(version.scan(99, stop=b"m", reverse=True)) == expected[:1]


def test_bounds_wider_than_the_clamps_are_tightened():
    """Slices of one table around a newer one, with bounds that cross if taken at their word."""
    lab = TableLab()
    (whole,) = lab.run([(b"%02d" % i, i + 1, KIND_PUT, b"") for i in range(30)])
    (newer,) = lab.run([(b"%02d" % i, i + 50, KIND_PUT, b"") for i in range(12, 15)])
    version = Version([(1, [replace(whole, upper=b"10"), newer, replace(whole, lower=b"20")])])
    shown = [b"%02d" % i for i in (*range(10), *range(12, 15), *range(20, 30))]
    for i in range(30):
        key = b"%02d" % i
        assert (version.get(key, 99) is not None) == (key in shown)
        assert [k for k, _ in version.scan(99, start=key)] == [k for k in shown if k >= key]
        assert [k for k, _ in version.scan(99, stop=key, reverse=True)] == [
            k for k in shown if k < key
        ][::-1]


def test_a_value_outlives_the_table_it_came_from_by_one_move():
    """Backward scans hand a value out after the cursor has gone on, perhaps to the table before."""
    lab = TableLab(cache_size_bytes=0)
    entries = [(b"%03d" % i, i + 1, KIND_PUT, b"%03d" % i * 60) for i in range(50)]
    slices = lab.run(entries, output_size_max=1)
    assert len(slices) == 50
    for version in (Version([(1, slices)]), Version([(0, slices[1::2]), (1, slices[0::2])])):
        found = list(version.scan(99, reverse=True))
        assert found == [(key, value) for key, _, _, value in reversed(entries)]


def test_newer_runs_win_and_their_tombstones_hide():
    lab = TableLab()
    old = lab.run([(b"a", 1, KIND_PUT, b"1"), (b"b", 2, KIND_PUT, b"2")])
    new = lab.run([(b"a", 3, KIND_DELETE, b""), (b"b", 4, KIND_PUT, b"4")])
    version = Version([(0, new), (1, old)])
    assert version.get(b"a", 99) == (3, KIND_DELETE, b"")
    assert version.get(b"a", 2) == (1, KIND_PUT, b"1")
    assert list(version.scan(99)) == [(b"b", b"4")]
    assert list(version.scan(2)) == [(b"a", b"1"), (b"b", b"2")]


def test_an_empty_version_and_empty_runs_know_nothing():
    for version in (Version([]), Version([(0, []), (6, [])])):
        assert version.get(b"a", 99) is None
        assert list(version.scan(99)) == []
        assert list(version.scan(99, reverse=True)) == []
    cursor = Version([(0, [])]).cursor(0)
    cursor.first()
    assert cursor.entry is None
    cursor.seek_before(b"a", 9)
    assert cursor.entry is None


def test_overlapping_and_reversed_slices_are_refused():
    lab = TableLab()
    (first,) = lab.run([(b"a", 1, KIND_PUT, b""), (b"m", 2, KIND_PUT, b"")])
    (second,) = lab.run([(b"m", 3, KIND_PUT, b""), (b"z", 4, KIND_PUT, b"")])
    for slices in ([first, second], [second, first], [replace(first, smallest=b"z")]):
        with pytest.raises(ValueError):
            Version([(1, slices)])


def test_cursors_and_scans_outlive_the_names_of_what_they_read():
    lab = TableLab()
    entries = [(b"%03d" % i, i + 1, KIND_PUT, b"v" * 50) for i in range(200)]
    version = Version([(1, lab.run(entries, output_size_max=2000))])
    walk, cursor = version.scan(999), version.cursor(0)
    del version, lab
    cursor.first()
    assert cursor.entry == entries[0]
    assert len(list(walk)) == 200
    assert cursor.drain() == 200


def test_every_failing_allocation_is_reported_and_leaks_nothing():
    lab = TableLab(cache_size_bytes=0)
    slices = lab.run(
        [(b"%03d" % i, i + 1, KIND_PUT, b"v") for i in range(300)], output_size_max=1500
    )
    assert len(slices) > 2
    assert (
        len(list(Version([(1, slices)]).scan(999))) == 300
    )  # the table space now holds open files
    before = memory.usage()
    failures = 0
    while True:
        memory.fail_allocation(failures + 1)
        try:
            version = Version([(1, slices), (2, [])])
            assert len(list(version.scan(999))) == 300
            break
        except MemoryError:
            failures += 1
        finally:
            memory.fail_allocation(0)
            version = None
    assert failures > 5
    assert memory.usage() == before
