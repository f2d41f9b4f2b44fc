"""Proves what the picker promises: by scripts, and by running its choices on a model of the engine.

The scripts in testdata/picker show single decisions. The model executes every decision on tables
of real keys, with jobs under way while others start, and checks after each step that the version
is valid, that a newer write never sank below an older one, and that reads see exactly what was
written.
"""

import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmkv.options import Options
from lsmkv.picker import Compaction, ManualCompaction, level_targets, pick_compaction
from lsmkv.pressure import write_pressure
from lsmkv.version import BOTTOM_LEVEL, KeyRange, TableChanges, Version
from tests.support.datadriven import Case, run_script, scripts
from tests.support.model_tree import ENTRY_SIZE, ModelTree, small_options
from tests.support.version_notation import (
    format_compaction,
    format_version,
    parse_range,
    parse_table,
)

SCRIPTS = Path(__file__).parent / "testdata" / "picker"


class Script:
    """A version, options small enough to reason about, and the jobs under way."""

    def __init__(self) -> None:
        self.version = Version()
        # A full level 0 is 40000 bytes, a job reads at most 102400.
        self.options = Options(write_buffer_size=10_000, table_size=4096)
        self.running: list[Compaction] = []

    def run(self, case: Case) -> str:
        return str(getattr(self, case.command)(case))

    def define(self, case: Case) -> str:
        self.version = Version.of_tables(tuple(map(parse_table, case.input)))
        self.running = []
        return format_version(self.version)

    def pick(self, case: Case) -> str:
        """`start` leaves the job running, `apply` makes a move."""
        job = pick_compaction(
            self.version,
            self.options,
            running=self.running,
            oldest_snapshot=case.integer("snapshot", 1 << 60),
            damaged={
                int(number) for number in case.options.get("damaged", "").split(",") if number
            },
        )
        return self.take(job, case)

    def manual(self, case: Case) -> str:
        start, stop, *_ = case.arguments
        keys = parse_range(start, stop)
        snapshot = case.integer("snapshot", 1 << 60)
        job = ManualCompaction(keys).next(
            self.version, self.options, running=self.running, oldest_snapshot=snapshot
        )
        return self.take(job, case)

    def take(self, job: Compaction | None, case: Case) -> str:
        if job is not None and "start" in case.arguments:
            self.running.append(job)
        if job is not None and "apply" in case.arguments:
            self.version = self.version.change(job.move())
        return format_compaction(job)

    def add(self, case: Case) -> str:
        """Tables that were flushed meanwhile."""
        changes = TableChanges(tuple(map(parse_table, case.input)), ())
        self.version = self.version.change(changes)
        return format_version(self.version)

    def version_now(self, case: Case) -> str:
        return format_version(self.version)

    def targets(self, case: Case) -> str:
        targets = level_targets(self.version, self.options)
        sizes = " ".join(f"{size:.0f}" for size in targets.sizes)
        return f"base level {targets.base_level}\nsizes {sizes}"

    def pressure(self, case: Case) -> str:
        pressure = write_pressure(self.version, self.options, case.integer("frozen", 0))
        stop = " stop" if pressure.stop else ""
        return f"{pressure.delay_fraction:.2f}{stop} {pressure.reason}".strip()


@pytest.mark.parametrize("path", scripts(SCRIPTS), ids=lambda path: path.stem)
def test_script(path: Path, rewrite: bool) -> None:
    run_script(path, Script().run, rewrite)


def settle(tree: ModelTree) -> int:
    """Runs what is picked until nothing is; the number of steps."""
    steps = 0
    while (job := pick_compaction(tree.version, tree.options)) is not None:
        tree.run(job)
        steps += 1
        assert steps < 1000, "compaction does not come to an end"
    return steps


def test_around_damaged_tables_compaction_goes_on_and_ends() -> None:
    chooser = random.Random(11)
    tree = filled([chooser.randrange(1 << 31) for _ in range(4000)], small_options())
    damaged = {table.number for table in tree.version if chooser.random() < 0.1}
    assert damaged
    steps = 0
    for _ in range(4000):
        if not tree.write(number_key(chooser.randrange(1 << 31)), b""):
            continue
        while (job := pick_compaction(tree.version, tree.options, damaged=damaged)) is not None:
            assert not damaged & {table.number for table in job.tables}
            tree.run(job)
            steps += 1
            assert steps < 1000, "compaction does not come to an end"
    tree.check()
    assert len(tree.version.levels[0]) <= 2 * tree.options.level0_trigger
    assert damaged <= tree.version.file_numbers
    settle(tree)
    tree.check()


def number_key(number: int) -> bytes:
    return number.to_bytes(4, "big")


def filled(keys: list[int], options: Options) -> ModelTree:
    tree = ModelTree(options)
    for key in keys:
        if tree.write(number_key(key), b""):
            settle(tree)
    tree.check()
    return tree


def test_sequential_fill_is_never_rewritten() -> None:
    tree = filled(list(range(10_000)), small_options())
    assert tree.bytes_compacted == 0
    assert tree.moves > 100


def test_random_fill_keeps_levels_near_their_targets_and_rewrites_little() -> None:
    options = small_options()
    keys = random.Random(7).sample(range(1 << 31), 10_000)
    tree = filled(keys, options)
    targets = level_targets(tree.version, options)
    for level in range(1, BOTTOM_LEVEL):
        assert tree.version.level_sizes[level] <= max(1, targets.sizes[level])
    assert len(tree.version.levels[0]) < options.level0_trigger
    assert tree.write_amplification < 10


def test_overwriting_the_same_keys_does_not_grow_the_database() -> None:
    numbers = random.Random(7)
    tree = filled([numbers.randrange(2000) for _ in range(20_000)], small_options())
    assert sum(tree.version.level_sizes) < 1.5 * 2000 * ENTRY_SIZE


def test_deleting_everything_gives_the_space_back() -> None:
    tree = filled(list(range(5000)), small_options())
    for key in range(5000):
        if tree.write(number_key(key), None):
            settle(tree)
    tree.check()
    level0 = tree.options.level0_trigger * tree.options.write_buffer_size
    assert sum(tree.version.level_sizes) < 2 * level0


def test_tiny_flushes_neither_rewrite_the_tree_nor_litter_it() -> None:
    """A database opened and closed again and again flushes a few keys each time."""
    tree = filled(random.Random(7).sample(range(1 << 31), 2000), small_options())
    before = tree.bytes_compacted
    for key in range(0, 1 << 31, 1 << 23):
        tree.write(number_key(key), b"")
        tree.flush()
        settle(tree)
    tree.check()
    written = 256 * ENTRY_SIZE
    assert tree.bytes_compacted - before < 40 * written  # each would rewrite 2000 entries
    assert len(tree.version.levels[0]) < tree.options.level0_trigger


def test_tiny_appends_do_not_leave_tiny_tables() -> None:
    tree = ModelTree(small_options())
    for key in range(1000):
        tree.write(number_key(key), b"")
        tree.flush()
        settle(tree)
    tree.check()
    assert len(list(tree.version)) < 1000 * ENTRY_SIZE / (tree.options.table_size / 20)


def test_manual_compaction_ends_with_live_entries_at_the_bottom() -> None:
    tree = filled([key * 7 % 4001 for key in range(4001)], small_options())
    for key in range(0, 4001, 2):
        tree.write(number_key(key), None)
    tree.flush()
    tree.drop_range(KeyRange(number_key(100), number_key(111)))
    manual = ManualCompaction(KeyRange())
    while (job := manual.next(tree.version, tree.options)) is not None:
        tree.run(job)
    tree.check()
    assert all(table.level == BOTTOM_LEVEL for table in tree.version)
    assert not any(table.is_virtual for table in tree.version)
    assert tree.version.tombstone_count == 0
    assert tree.version.entry_count == len(tree.truth)


def test_manual_compaction_ends_while_others_write() -> None:
    """A step for each flush, or two, went on for ever; what was there at first goes down."""
    tree = filled(random.Random(3).sample(range(1 << 20), 4000), small_options())
    before = dict(tree.truth)
    manual = ManualCompaction(KeyRange())
    steps = 0
    while (job := manual.next(tree.version, tree.options)) is not None:
        tree.run(job)
        for key in range(20 * steps, 20 * steps + 20):
            tree.write(number_key((1 << 20) + key), b"new")
        tree.flush()
        steps += 1
        assert steps < 200
    tree.check()
    above = [table for level in range(BOTTOM_LEVEL) for table in tree.version.levels[level]]
    assert above, "what was written meanwhile"
    assert not any(table.smallest <= max(before) for table in above)


def test_manual_compaction_of_a_range_leaves_the_rest_alone() -> None:
    tree = filled(random.Random(7).sample(range(1 << 31), 6000), small_options())
    keys = KeyRange(number_key(1 << 29), number_key(1 << 30))
    manual = ManualCompaction(keys)
    while (job := manual.next(tree.version, tree.options)) is not None:
        assert job.input_size <= 3 * 25 * tree.options.table_size
        tree.run(job)
    tree.check()
    for level in range(BOTTOM_LEVEL):
        assert not tree.version.overlapping(level, keys)
    assert tree.version.levels[5], "tables outside the range stay where they are"


def test_tombstones_under_a_snapshot_are_not_rewritten_over_and_over() -> None:
    table = parse_table("6 1:a-b entries=4 tombstones=3 sequence=10-19")
    version = Version.of_tables([table])
    options = small_options()
    assert pick_compaction(version, options, oldest_snapshot=18) is None
    assert ManualCompaction(KeyRange()).next(version, options, oldest_snapshot=18) is None
    job = pick_compaction(version, options, oldest_snapshot=19)
    assert job is not None
    assert (job.level, job.output_level, job.keep) == (BOTTOM_LEVEL, BOTTOM_LEVEL, ())


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 40), st.integers(0, 30)),
        st.tuples(st.just("delete"), st.integers(0, 40), st.integers(0, 30)),
        st.tuples(st.just("start"), st.just(0), st.just(0)),
        st.tuples(st.just("manual"), st.integers(0, 40), st.integers(1, 40)),
        st.tuples(st.just("finish"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("drop"), st.integers(0, 40), st.integers(0, 10)),
    ),
    max_size=80,
)


@settings(max_examples=150)
@given(OPERATIONS, st.sampled_from((1, 2, 4)), st.sampled_from((2, 10)))
def test_any_interleaving_of_jobs_keeps_every_write(
    operations: list[tuple[str, int, int]], trigger: int, ratio: int
) -> None:
    options = replace(
        Options(write_buffer_size=4096, table_size=4096),
        level0_trigger=trigger,
        level_size_ratio=ratio,
    )
    tree = ModelTree(options)
    for number, (verb, first, second) in enumerate(operations):
        if verb in ("write", "delete"):
            for key in range(first, first + second):
                tree.write(number_key(key), b"%d" % number if verb == "write" else None)
            tree.flush()
        elif verb == "drop":
            if not tree.running:
                tree.drop_range(KeyRange(number_key(first), number_key(first + second)))
        elif verb == "finish":
            if tree.running:
                tree.finish(first % len(tree.running))
        else:
            running = tree.running_jobs
            keys = KeyRange(number_key(first), number_key(first + second))
            job = (
                pick_compaction(tree.version, options, running=running)
                if verb == "start"
                else ManualCompaction(keys).next(tree.version, options, running=running)
            )
            if job is not None:
                tree.start(job)
        tree.check()
    while tree.running:
        tree.finish(0)
        tree.check()
    settle(tree)
    tree.check()
