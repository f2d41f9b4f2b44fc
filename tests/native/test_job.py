"""Jobs: what survives a merge, where outputs end, and what a failure leaves behind."""

import errno
import random
import threading
from dataclasses import replace

import pytest

from lsmkv._native import memory
from lsmkv._native.hashing import murmur3_x64_128
from lsmkv._native.job import Counter
from lsmkv._native.merge import KIND_DELETE, KIND_PUT
from lsmkv._native.version import Version
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.errors import CorruptionError, Error, StorageError
from tests.support.reference_merge import merged, order, settled, survivors, visible
from tests.support.table_lab import EVERY_KEY, SEED, TableLab, memtable_of


def random_entries(rng, count, sequences, key_count=40):
    """Entries with unique sequences; a quarter are tombstones."""
    return sorted(
        (
            (b"k%03d" % rng.randrange(key_count), sequence, KIND_DELETE, b"")
            if rng.random() < 0.25
            else (
                b"k%03d" % rng.randrange(key_count),
                sequence,
                KIND_PUT,
                b"%d." % sequence * rng.choice((1, 30)),
            )
            for sequence in rng.sample(sequences, count)
        ),
        key=order,
    )


def contents(lab, summaries):
    """Every entry of the outputs, read back through freshly opened and verified tables."""
    slices = [lab.slice(summary) for summary in summaries]
    for piece in slices:
        piece.table.verify()
    cursor = Version([(0, slices)]).cursor(0)
    cursor.first()
    found = []
    while cursor.entry is not None:
        found.append(cursor.entry)
        cursor.next()
    return found


def random_rules(rng):
    snapshots = sorted(rng.sample(range(420), rng.choice((0, 0, 1, 4, 20))))
    edges = sorted(b"k%03d" % rng.randrange(40) for _ in range(2 * rng.choice((0, 1, 3))))
    keep = [tuple(sorted(rng.sample(edges, 2))) for _ in range(len(edges) // 2)]
    return snapshots, keep


@pytest.mark.parametrize("seed", range(12))
def test_a_merge_writes_exactly_the_survivors(seed):
    rng = random.Random(seed)
    lab = TableLab()
    old = random_entries(rng, 120, range(1, 200))
    middle = random_entries(rng, 60, range(200, 300))
    new = random_entries(rng, 60, range(300, 400))
    snapshots, keep = random_rules(rng)
    job = lab.job(
        memtables=[memtable_of(new)] if seed % 2 else [],
        runs=[lab.run(middle), lab.run(old, output_size_max=1500)],
        snapshots=snapshots,
        keep=keep,
        output_size_max=rng.choice((1, 1500, 1 << 30)),
        compression=rng.choice((None, "zstd")),
    )
    entries = merged([new if seed % 2 else [], middle, old])
    outputs = job.run()
    found = contents(lab, outputs)
    assert found == survivors(entries, snapshots, keep)
    assert job.entries_in == len(entries)
    assert job.entries_out == len(found) == sum(summary.entry_count for summary in outputs)
    assert (
        job.bytes_in
        == job.progress_bytes
        == sum(len(entry[0]) + len(entry[3]) for entry in entries)
    )
    assert job.bytes_out == sum(len(entry[0]) + len(entry[3]) for entry in found)
    for reader in [*snapshots, 10**6]:
        assert visible(found, reader) == visible(entries, reader)


@pytest.mark.parametrize("seed", range(6))
def test_older_runs_outside_the_job_never_come_back_to_life(seed):
    """With the ranges of older tables as `keep`, every reader sees the same before and after."""
    rng = random.Random(seed)
    lab = TableLab()
    outside = random_entries(rng, 60, range(1, 100))
    inside = random_entries(rng, 100, range(100, 300))
    half = outside[: len(outside) // 2]
    keep = [(half[0][0], half[-1][0]), (outside[-3][0], outside[-1][0])]
    outside = [entry for entry in outside if any(low <= entry[0] <= high for low, high in keep)]
    snapshots = sorted(rng.sample(range(50, 300), 3))
    found = contents(
        lab, lab.job(memtables=[memtable_of(inside)], snapshots=snapshots, keep=keep).run()
    )
    for reader in [*snapshots, 10**6]:
        assert visible(found + outside, reader) == visible(inside + outside, reader)


def test_tombstones_go_where_nothing_older_can_lie():
    entries = [(b"%02d" % i, 100 + i, KIND_DELETE, b"") for i in range(20)]
    lab = TableLab()

    def kept(**rules):
        return [
            entry[0]
            for entry in contents(lab, lab.job(memtables=[memtable_of(entries)], **rules).run())
        ]

    assert kept() == []
    assert kept(keep=[EVERY_KEY]) == [entry[0] for entry in entries]
    # One range inside another, overlapping ones, and an end that is no key.
    assert kept(keep=[(b"02", b"05"), (b"03", b"03"), (b"05", b"07"), (b"1", b"11")]) == [
        b"02",
        b"03",
        b"04",
        b"05",
        b"06",
        b"07",
        b"10",
        b"11",
    ]
    assert kept(snapshots=[110]) == [b"%02d" % i for i in range(11, 20)]
    assert kept(snapshots=[10**6]) == []


def test_an_entry_is_settled_once_nobody_can_ask_for_its_age():
    """It loses its sequence, but the table's range of sequences, by which orphans and levels are
    judged, does not."""
    entries = [(b"%02d" % i, 100 + i, KIND_PUT, b"") for i in range(20)]
    lab = TableLab()

    def unsettled(**rules):
        (summary,) = lab.job(memtables=[memtable_of(entries)], **rules).run()
        assert (summary.first_sequence, summary.last_sequence) == (100, 119)
        found = contents(lab, [summary])
        assert {entry[1] for entry in found if entry[1] < 100} <= {1}
        return [entry for entry in found if entry[1] != 1]

    assert unsettled() == []
    assert unsettled(keep=[EVERY_KEY]) == entries
    assert unsettled(keep=[(b"05", b"07")]) == entries[5:8]
    assert unsettled(snapshots=[110]) == entries[11:]
    assert unsettled(snapshots=[99, 110]) == entries
    assert unsettled(snapshots=[110], keep=[(b"00", b"00")]) == [entries[0], *entries[11:]]


def test_the_range_of_sequences_survives_every_later_merge():
    """Settled entries count as their tables do, or a newer table of level 0 would seem to reach
    back before an older one."""
    lab = TableLab()
    old = [(b"a%d" % i, 100 + i, KIND_PUT, b"") for i in range(5)]
    new = [(b"b%d" % i, 200 + i, KIND_PUT, b"") for i in range(5)]

    def merged_again(*inputs, **rules):
        runs = [[lab.slice(summary)] for summary in inputs]
        (summary,) = lab.job(runs=runs, **rules).run()
        assert {entry[1] for entry in contents(lab, [summary])} == {1}
        return summary

    [first], [second] = [lab.job(memtables=[memtable_of(part)]).run() for part in (new, old)]
    for rules in ({}, {"keep": [EVERY_KEY]}):
        both = merged_again(first, second, **rules)
        assert (both.first_sequence, both.last_sequence) == (100, 204)
        again = merged_again(both, **rules)
        assert (again.first_sequence, again.last_sequence) == (100, 204)


def test_what_will_be_merged_again_is_compressed_for_speed():
    """Outside `keep` the level asked for is used, and one that is faster still everywhere."""
    text = test_what_will_be_merged_again_is_compressed_for_speed.__doc__.encode() * 3
    rng = random.Random(7)
    entries = [
        (b"%04d" % i, i + 1, KIND_PUT, bytes(rng.sample(text, len(text)))) for i in range(300)
    ]
    lab = TableLab()

    def size(**rules):
        job = lab.job(memtables=[memtable_of(entries)], compression="zstd", **rules)
        return sum(summary.file_size for summary in job.run())

    assert size(compression_level=6) < 0.9 * size(compression_level=6, keep=[EVERY_KEY])
    assert size(compression_level=-5) == size(compression_level=-5, keep=[EVERY_KEY])


def test_settled_entries_stay_below_every_later_version():
    lab = TableLab()
    old = lab.run([(b"k", 1, KIND_PUT, b"first"), (b"l", 2, KIND_PUT, b"second")])
    new = memtable_of([(b"k", 3, KIND_PUT, b"third"), (b"l", 4, KIND_DELETE, b"")])
    found = contents(lab, lab.job(memtables=[new], runs=[old], snapshots=[2]).run())
    assert found == [
        (b"k", 3, KIND_PUT, b"third"),
        (b"k", 1, KIND_PUT, b"first"),
        (b"l", 4, KIND_DELETE, b""),
        (b"l", 1, KIND_PUT, b"second"),
    ]


def test_a_key_is_never_split_over_outputs_however_small_they_are():
    lab = TableLab()
    entries = [
        (b"k%d" % key, 1000 * key + n, KIND_PUT, b"v" * 100)
        for key in range(1, 4)
        for n in range(50, 0, -1)
    ]
    outputs = lab.job(
        memtables=[memtable_of(entries)], snapshots=range(5000), output_size_max=1
    ).run()
    assert [(summary.smallest, summary.largest, summary.entry_count) for summary in outputs] == [
        (b"k1", b"k1", 50),
        (b"k2", b"k2", 50),
        (b"k3", b"k3", 50),
    ]
    assert contents(lab, outputs) == entries


def test_outputs_end_at_their_size_or_at_a_cut_past_half_of_it():
    lab = TableLab()
    entries = [(b"%04d" % i, i + 1, KIND_PUT, b"v" * 96) for i in range(1000)]

    def starts(**rules):
        outputs = lab.job(
            memtables=[memtable_of(entries)], block_size=1000, bloom_bits_per_key=0, **rules
        ).run()
        assert contents(lab, outputs) == list(map(settled, entries))
        return [int(summary.smallest) for summary in outputs]

    plain = starts(output_size_max=40_000)
    assert len(plain) == 3
    assert 330 < plain[1] < 400
    # The cut at 100 comes before half of the size, the one at 250 after it.
    assert starts(output_size_max=40_000, cuts=[b"0100", b"0250"])[:2] == [0, 250]
    assert starts(output_size_max=40_000, cuts=[b"", b"0100", b"zz"]) == plain
    # A boundary between two keys cuts before the first key after it.
    assert starts(output_size_max=40_000, cuts=[b"0249x"])[1] == 250


def test_numbers_names_and_ids_come_from_counter_and_seed():
    lab = TableLab()
    lab.counter = Counter(41)
    assert lab.counter.next() == 41
    entries = [(b"%d" % i, i + 1, KIND_PUT, b"") for i in range(3)]
    outputs = lab.job(memtables=[memtable_of(entries)], output_size_max=1).run()
    assert [summary.number for summary in outputs] == [42, 43, 44]
    assert lab.files() == ["000042.table", "000043.table", "000044.table"]
    assert lab.counter.upcoming == 45
    for summary in outputs:
        low, high = murmur3_x64_128(SEED + summary.number.to_bytes(8, "little"))
        assert summary.id == low.to_bytes(8, "little") + high.to_bytes(8, "little")


def test_no_survivors_no_file():
    lab = TableLab()
    assert lab.job().run() == ()
    job = lab.job(
        memtables=[memtable_of([(b"a", 1, KIND_DELETE, b""), (b"b", 2, KIND_DELETE, b"")])]
    )
    assert job.run() == ()
    assert (job.entries_in, job.entries_out) == (2, 0)
    assert lab.files() == []


def test_clamped_inputs_lose_what_they_hide():
    lab = TableLab()
    entries = [(b"%02d" % i, i + 1, KIND_PUT, b"v") for i in range(20)]
    (whole,) = lab.run(entries)
    parts = [
        replace(whole, upper=b"05", largest=b"05"),
        replace(whole, lower=b"15", smallest=b"15"),
    ]
    visible_entries = entries[:5] + entries[15:]
    assert contents(lab, lab.job(runs=[parts]).run()) == list(map(settled, visible_entries))


def test_a_cancelled_job_leaves_only_finished_outputs():
    lab = TableLab()
    entries = [(b"%05d" % i, i + 1, KIND_PUT, b"v" * 40) for i in range(5000)]
    job = lab.job(memtables=[memtable_of(entries)])
    job.cancel()
    with pytest.raises(Error, match="cancelled"):
        job.run()
    assert job.outputs == ()
    assert lab.files() == []
    with pytest.raises(RuntimeError):
        job.run()


def test_a_running_job_can_be_cancelled_from_another_thread():
    lab = TableLab()
    entries = [(b"%06d" % i, i + 1, KIND_PUT, b"v" * 40) for i in range(20_000)]
    job = lab.job(
        memtables=[memtable_of(entries)],
        output_size_max=60_000,
        compression="zstd",
        compression_level=19,
    )
    outcome = []

    def run():
        try:
            outcome.append(job.run())
        except Error as error:
            outcome.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    while job.progress_bytes == 0 and not outcome:
        pass
    job.cancel()
    thread.join()
    assert isinstance(outcome[0], Error)
    assert 0 < job.entries_in < len(entries)
    assert lab.files() == [lab.path(summary.number).rpartition("/")[2] for summary in job.outputs]
    written = entries[: sum(summary.entry_count for summary in job.outputs)]
    assert contents(lab, job.outputs) == list(map(settled, written))


def test_an_output_that_cannot_be_made_is_reported():
    lab = TableLab()
    lab.file_system.open(lab.path(1), "x").close()
    with pytest.raises(StorageError):
        lab.job(memtables=[memtable_of([(b"a", 1, KIND_PUT, b"")])]).run()
    assert lab.files() == ["000001.table"]


def test_every_failing_allocation_is_reported_and_leaks_nothing():
    lab = TableLab()
    old = [(b"%03d" % i, i + 1, KIND_PUT, b"v" * 20) for i in range(120)]
    memtable = memtable_of([(b"%03d" % i, 1000 + i, KIND_DELETE, b"") for i in range(0, 120, 2)])
    run = lab.run(old, output_size_max=2000)
    lab.file_system.sync_directory("/lab")
    start_files = lab.files()
    before = memory.usage()
    failures, succeeded = 0, False
    while not succeeded:
        memory.fail_allocation(failures + 1)
        job = None
        try:
            job = lab.job(
                memtables=[memtable], runs=[run], output_size_max=2000, keep=[(b"000", b"050")]
            )
            job.run()
            succeeded = True
        except MemoryError:
            failures += 1
        finally:
            memory.fail_allocation(0)
        for summary in job.outputs if job is not None else ():
            lab.file_system.remove(lab.path(summary.number))
        assert lab.files() == start_files
        summary = job = None
    assert failures > 20
    lab.file_system.sync_directory(
        "/lab"
    )  # the memory file system keeps what a crash could bring back
    assert memory.usage() == before


def test_every_failing_file_operation_is_reported_and_cleaned_up():
    """An output that was begun is removed, finished ones are listed and intact."""
    entries = [(b"%03d" % i, i + 1, KIND_PUT, b"v" * 20) for i in range(120)]
    memtable = memtable_of(entries)

    def attempt(at):
        """Whether the job failed, and how many operations it made."""
        file_system = MemoryFileSystem()
        file_system.make_directory("/lab")
        faults = FaultFileSystem(file_system)
        lab = TableLab(faults)
        job = lab.job(memtables=[memtable], output_size_max=2000)
        faults.fail(at, errno.EIO)
        failed = False
        try:
            job.run()
        except StorageError:
            failed = True
        operation_count = faults.operation_count
        faults.reset()
        assert lab.files() == [
            lab.path(summary.number).rpartition("/")[2] for summary in job.outputs
        ]
        found = contents(lab, job.outputs)
        assert found == list(map(settled, entries[: len(found)]))
        assert failed == (len(found) < len(entries))
        return failed, operation_count

    failed, operation_count = attempt(1000)
    assert not failed
    assert operation_count > 9
    # Hints to the device may fail unseen: what was promised is intact all the same.
    assert sum(attempt(at)[0] for at in range(1, operation_count + 1)) > 9


def test_a_damaged_input_stops_the_job():
    lab = TableLab()
    entries = [(b"%03d" % i, i + 1, KIND_PUT, b"v" * 20) for i in range(120)]
    (good,) = lab.run(entries)
    data = bytearray(lab.file_system.read_file(good.table.path, 1 << 20))
    data[len(data) // 3] ^= 1
    lab.file_system.remove(good.table.path)
    with lab.file_system.open(good.table.path, "x") as file:
        file.append(data)
    damaged = replace(good, table=lab.space.open(good.table.path, good.table.number))
    job = lab.job(runs=[[damaged]], output_size_max=500)
    with pytest.raises(CorruptionError) as caught:
        job.run()
    assert caught.value.path == good.table.path
    found = contents(lab, job.outputs)
    assert found == list(map(settled, entries[: len(found)]))
    assert len(lab.files()) == 1 + len(job.outputs)


def test_arguments_are_checked():
    lab = TableLab()
    with pytest.raises(ValueError, match="id_seed"):
        lab.job(id_seed=b"short")
    with pytest.raises(ValueError, match="compression"):
        lab.job(compression="lzma")
