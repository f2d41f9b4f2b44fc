"""Which tables to merge next: pure functions of a version, the options and the jobs under way.

    memtable
       | flush              one table, one epoch
    level 0                 whole flushed tables, overlapping, newest epoch first; merged among
       |                    themselves while they are small or while the way down is blocked
    base level              empty levels between are skipped
       |                    one table at a time: the one that drags the fewest bytes with it
      ...
    bottom level (6)        nine tenths of the data; nothing is older, so tombstones end here

Level targets come from the bottom up: the bottom may be as large as it is, each level above is
level_size_ratio times smaller, and the base level is where a target comes near the size of a full
level 0. So a small database has two levels, and space beyond the live data stays near 1/ratio. A
level's score is its size over its target (level 0: tables over level0_trigger, too); the highest
score of at least 1 is served first. Tables that are mostly tombstones go down even when no level
is full.

What every compaction here obeys, whatever else runs at the same time:
- with a table of level 0 go all older tables of level 0 that overlap the inputs, so newer never
  sinks below older; with the inputs go all tables of the output level within their hull, so it
  stays one run;
- no input belongs to a running job, and no running job works on overlapping keys in the same
  levels: outputs of one cannot land among the inputs or the outputs of another. Merges within
  level 0 change neither keys nor order, so for them the inputs alone count;
- merges within level 0 take neighbours by epoch only and write one table with the newest epoch of
  them;
- a damaged table is never an input, as if a job that never ends had it: what can be done around it
  is done.

A move (`is_move`) is an edit without a job: nothing below overlaps, so the table just changes
level. Flushes write one table each (one epoch, no split); the memtable bounds its size.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from lsmkv.options import Options
from lsmkv.version import (
    BOTTOM_LEVEL,
    LEVEL_COUNT,
    KeyRange,
    TableChanges,
    TableKey,
    TableMeta,
    Version,
)

__all__ = [
    "Compaction",
    "LevelTargets",
    "ManualCompaction",
    "level_targets",
    "pick_compaction",
    "NO_SNAPSHOT",
]

NO_SNAPSHOT = (1 << 64) - 1  # as oldest_snapshot: there is none
OUTPUT_SIZE_UNLIMITED = (1 << 63) - 1
INPUT_TABLES_MAX = 25  # a job reads about this many times table_size, or two full level 0s
MOVE_OVERLAP_MAX = 10  # times table_size: a move onto more than this would be paid for later


@dataclass(frozen=True)
class Compaction:
    """A job, or a move. Everything that it needs to know was decided here."""

    level: int
    output_level: int
    inputs: tuple[tuple[TableMeta, ...], ...]  # runs, newest first, none empty
    is_move: bool
    cuts: tuple[bytes, ...]  # ascending: where the level after the output level begins its tables
    keep: tuple[tuple[bytes, bytes], ...]  # inclusive, ascending: there tombstones are still needed
    output_size_max: int  # bytes
    reason: str
    score: float

    @cached_property
    def tables(self) -> tuple[TableMeta, ...]:
        return tuple(table for run in self.inputs for table in run)

    @cached_property
    def keys(self) -> KeyRange:
        """The hull of all inputs: every output lies inside."""
        return KeyRange.of_tables(self.tables)

    @property
    def input_size(self) -> int:
        return sum(table.file_size for table in self.tables)

    @property
    def epoch(self) -> int:
        """The epoch of the outputs."""
        return max(table.epoch for table in self.tables)

    @property
    def removed(self) -> tuple[TableKey, ...]:
        return tuple(table.key for table in self.tables)

    def move(self) -> TableChanges:
        """The changes of a move. REQUIRES: is_move."""
        added = tuple(replace(table, level=self.output_level) for table in self.tables)
        return TableChanges(added, self.removed)


@dataclass(frozen=True)
class LevelTargets:
    """How large each level may be; level 0 goes to the base level, those between have target 0."""

    base_level: int
    sizes: tuple[float, ...]  # bytes by level


def base_size(options: Options) -> int:
    """Bytes of a full level 0."""
    return options.write_buffer_size * options.level0_trigger


def level_targets(version: Version, options: Options) -> LevelTargets:
    sizes = [0.0] * LEVEL_COUNT
    level = BOTTOM_LEVEL
    target = float(max(*version.level_sizes[1:], base_size(options)))
    # The nearest power of the ratio to a full level 0, in logarithms: hence the square root.
    while level > 1 and target > base_size(options) * math.sqrt(options.level_size_ratio):
        sizes[level] = target
        target /= options.level_size_ratio
        level -= 1
    sizes[level] = target
    return LevelTargets(level, tuple(sizes))


def pick_compaction(
    version: Version,
    options: Options,
    *,
    running: Sequence[Compaction] = (),
    oldest_snapshot: int = NO_SNAPSHOT,
    damaged: Collection[int] = (),
) -> Compaction | None:
    """The most useful compaction that may start now; None: nothing to do, or nothing possible.

    `oldest_snapshot` is the lowest sequence that a live snapshot reads at, `damaged` the numbers of
    files that are to be left alone.
    """
    picker = _Picker(version, options, running, oldest_snapshot, damaged, is_manual=False)
    targets = level_targets(version, options)
    scores = [(picker.score(level, targets), level) for level in range(BOTTOM_LEVEL)]
    for score, level in sorted(scores, key=lambda item: (-item[0], item[1])):
        if score < 1:
            break
        if level == 0:
            picked = picker.level0(targets, score)
        else:
            reason = "level is full" if level >= targets.base_level else "above the base level"
            picked = picker.deeper(level, reason, score)
        if picked is not None:
            return picked
    return picker.tombstones()


class ManualCompaction:
    """What brings every table with keys in a range to the bottom level, step by step: then all is
    there, without droppable tombstones and without files of which parts are hidden.

    It goes from level to level, and takes of each what is there when it comes to it: so many steps
    as there are tables in level 0, where each takes the oldest, and once over the keys of the
    others. Data only moves down, so nothing is missed; and it ends, however fast others write.
    """

    def __init__(self, keys: KeyRange) -> None:
        self._keys = keys
        self._level = 0
        self._level0_left: int | None = None
        self._start: bytes | None = keys.start  # what is below has been taken; None: the level has

    def next(
        self,
        version: Version,
        options: Options,
        *,
        running: Sequence[Compaction] = (),
        oldest_snapshot: int = NO_SNAPSHOT,
    ) -> Compaction | None:
        """The next step, bounded in size; None: it is done, or what is left is in the way of jobs
        that are running."""
        picker = _Picker(version, options, running, oldest_snapshot, (), is_manual=True)
        if self._level0_left is None:
            self._level0_left = len(version.overlapping(0, self._keys))
        while self._level < BOTTOM_LEVEL and not self._is_left(version):
            self._level += 1
            self._start = self._keys.start
        if self._level == 0:
            picked = picker.level0_downwards(self._keys)
        elif self._start is None:
            return None
        elif self._level == BOTTOM_LEVEL:
            picked = picker.rewrite_bottom(KeyRange(self._start, self._keys.stop))
        else:
            picked = picker.downwards(self._level, KeyRange(self._start, self._keys.stop))
        if picked is not None:
            self._go_on(picked)
        return picked

    def _is_left(self, version: Version) -> bool:
        """Whether there is something in the level that has not been taken."""
        if self._start is None or (self._level == 0 and self._level0_left == 0):
            return False
        return bool(version.overlapping(self._level, KeyRange(self._start, self._keys.stop)))

    def _go_on(self, picked: Compaction) -> None:
        if self._level == 0:
            assert self._level0_left is not None
            self._level0_left -= 1
            return
        stop = max(table.stop for table in picked.tables if table.level == self._level)
        is_last = self._keys.stop is not None and stop >= self._keys.stop
        self._start = None if is_last else stop


@dataclass(frozen=True)
class _Picker:
    version: Version
    options: Options
    running: Sequence[Compaction]
    oldest_snapshot: int
    damaged: Collection[int]
    is_manual: bool

    @cached_property
    def busy(self) -> frozenset[TableKey]:
        running = {key for job in self.running for key in job.removed}
        damaged = {table.key for table in self.version if table.number in self.damaged}
        return frozenset(running | damaged)

    def free(self, tables: Iterable[TableMeta]) -> list[TableMeta]:
        return [table for table in tables if table.key not in self.busy]

    @property
    def input_size_max(self) -> int:
        return max(INPUT_TABLES_MAX * self.options.table_size, 2 * base_size(self.options))

    def score(self, level: int, targets: LevelTargets) -> float:
        """1 and more: needs work. Tables that a running job takes away already do not count."""
        free = self.free(self.version.levels[level])
        size = _size(free)
        full = base_size(self.options)
        if level == 0:
            return max(len(free) / self.options.level0_trigger, size / full)
        if level < targets.base_level:  # left over from when the database was larger
            return max(1.0, size / full) if free else 0.0
        return size / targets.sizes[level]

    # --- level 0

    def level0(self, targets: LevelTargets, score: float) -> Compaction | None:
        occupied = [level for level in range(1, LEVEL_COUNT) if self.version.levels[level]]
        output_level = min([targets.base_level, *occupied])
        if self.level0_is_small(output_level):
            merged = self.within_level0("small tables", score)
            if merged is not None:
                return merged
        for seed in reversed(self.free(self.version.levels[0])):
            picked = self.build(0, output_level, self.level0_group(seed), "level 0", score)
            if picked is not None:
                return picked
        return self.within_level0("the level below is busy", score)

    def level0_is_small(self, output_level: int) -> bool:
        """Merging downwards now would rewrite far more than it brings, or leave tiny tables."""
        free = self.free(self.version.levels[0])
        if not free:
            return False
        size = _size(free)
        below = _size(self.version.overlapping(output_level, KeyRange.of_tables(free)))
        ratio = self.options.level_size_ratio
        return size * ratio < max(below, self.options.table_size)

    def level0_group(self, seed: TableMeta) -> list[TableMeta]:
        """`seed` with what must go along and what may, newest first, within the size limit.

        Older overlapping tables must. Newer overlapping ones may: leaving some out is safe as
        long as everything older than the newest one taken is taken.
        """
        level = self.version.levels[0]
        group = self.with_older(level, [seed])
        for table in reversed(level):
            if table in group or not KeyRange.of_tables(group).overlaps(table):
                continue
            wider = self.with_older(level, [*group, table])
            enough = len(group) >= self.options.level0_trigger
            if enough and _size(wider) > self.input_size_max:
                break
            if not any(member.key in self.busy for member in wider):
                group = wider
        return sorted(group, key=level.index)

    @staticmethod
    def with_older(level: Sequence[TableMeta], group: list[TableMeta]) -> list[TableMeta]:
        """The group and, again and again, all older tables that overlap its hull."""
        while True:
            keys = KeyRange.of_tables(group)
            newest = min(level.index(table) for table in group)
            older = [t for t in level[newest:] if t not in group and keys.overlaps(t)]
            if not older:
                return group
            group = group + older

    def within_level0(self, reason: str, score: float) -> Compaction | None:
        """Merges neighbours of level 0 into one table, while each one more makes it cheaper.

        Cheaper is: fewer bytes rewritten per table that disappears. That leaves large tables alone.
        """
        best: list[TableMeta] = []
        stretch: list[TableMeta] = []
        for table in self.version.levels[0]:
            if table.key in self.busy:
                stretch = []
                continue
            grown = [*stretch, table]
            dearer = len(stretch) >= 2 and _cost(grown) >= _cost(stretch)
            stretch = [table] if dearer or _size(grown) > self.input_size_max else grown
            if len(stretch) > len(best):
                best = stretch
        if len(best) < 2:
            return None
        runs = tuple((table,) for table in best)
        keys = KeyRange.of_tables(best)
        keep = self.version.older_bounds(keys, frozenset(table.key for table in best))
        return Compaction(
            0, 0, runs, False, (), keep, OUTPUT_SIZE_UNLIMITED, f"within level 0: {reason}", score
        )

    # --- deeper levels

    def deeper(self, level: int, reason: str, score: float) -> Compaction | None:
        """One table of the level, the one with the fewest bytes below it per byte of its own.

        A round-robin cursor rewrites as much (7.4 against 7.5 times in the model) and is state.
        """

        def overlap_ratio(table: TableMeta) -> float:
            below = self.version.overlapping(level + 1, KeyRange(table.start, table.stop))
            return _size(below) / max(table.file_size, 1)

        for table in sorted(self.free(self.version.levels[level]), key=overlap_ratio):
            picked = self.build(level, level + 1, [table], reason, score)
            if picked is not None:
                return picked
        return None

    def tombstones(self) -> Compaction | None:
        """A table of mostly tombstones: one level down, or rewritten where they are droppable."""
        for level in range(1, LEVEL_COUNT):
            for table in self.free(self.version.levels[level]):
                if not table.is_mostly_tombstones:
                    continue
                if level == BOTTOM_LEVEL and table.last_sequence > self.oldest_snapshot:
                    continue
                below = min(level + 1, BOTTOM_LEVEL)
                picked = self.build(level, below, [table], "tombstones", 0.0)
                if picked is not None:
                    return picked
        return None

    # --- by hand

    def level0_downwards(self, keys: KeyRange) -> Compaction | None:
        for seed in reversed(self.free(self.version.overlapping(0, keys))):
            group = self.level0_group(seed)
            picked = self.build(0, self.next_occupied(0, group), group, "manual", 0.0)
            if picked is not None:
                return picked
        return None

    def downwards(self, level: int, keys: KeyRange) -> Compaction | None:
        """A stretch of neighbours of the level, as long as the size limit allows."""
        tables = self.version.overlapping(level, keys)
        for first in range(len(tables)):
            group = [tables[first]]
            picked = self.build(level, self.next_occupied(level, group), group, "manual", 0.0)
            if picked is None:
                continue
            for table in tables[first + 1 :]:
                group = [*group, table]
                wider = self.build(level, self.next_occupied(level, group), group, "manual", 0.0)
                if wider is None or wider.input_size > self.input_size_max:
                    break
                picked = wider
            return picked
        return None

    def next_occupied(self, level: int, group: Sequence[TableMeta]) -> int:
        """The first deeper level with a table in the group's hull, or the bottom."""
        keys = KeyRange.of_tables(group)
        for deeper in range(level + 1, BOTTOM_LEVEL):
            if self.version.overlapping(deeper, keys):
                return deeper
        return BOTTOM_LEVEL

    def rewrite_bottom(self, keys: KeyRange) -> Compaction | None:
        """A table of the bottom level that a rewrite makes smaller for certain."""
        for table in self.free(self.version.overlapping(BOTTOM_LEVEL, keys)):
            droppable = table.tombstone_count > 0 and table.last_sequence <= self.oldest_snapshot
            if droppable or table.is_virtual:
                picked = self.build(BOTTOM_LEVEL, BOTTOM_LEVEL, [table], "manual rewrite", 0.0)
                if picked is not None:
                    return picked
        return None

    # --- all of them

    def build(
        self, level: int, output_level: int, group: list[TableMeta], reason: str, score: float
    ) -> Compaction | None:
        """The compaction of a group and all it overlaps in the output level; None: blocked."""
        below: tuple[TableMeta, ...] = ()
        if output_level > level:
            below = self.version.overlapping(output_level, KeyRange.of_tables(group))
        if level > 0 and output_level == level + 1 and below:
            group = self.widened(level, group, below)
        keys = KeyRange.of_tables([*group, *below])
        if self.is_blocked(level, output_level, keys, [*group, *below]):
            return None
        runs = [(table,) for table in group] if level == 0 else [tuple(group)]
        inputs = tuple(runs) + ((below,) if below else ())
        members = frozenset(table.key for table in [*group, *below])
        is_move = output_level > level and len(inputs) == 1 and self.may_move(output_level, group)
        return Compaction(
            level=level,
            output_level=output_level,
            inputs=inputs,
            is_move=is_move,
            cuts=self.cuts(output_level, keys),
            keep=self.version.older_bounds(keys, members),
            output_size_max=self.options.table_size,
            reason=reason,
            score=score,
        )

    def widened(
        self, level: int, group: list[TableMeta], below: tuple[TableMeta, ...]
    ) -> list[TableMeta]:
        """More tables of the same level, if they bring no more of the one below."""
        wider = self.version.overlapping(level, KeyRange.of_tables([*group, *below]))
        same_below = self.version.overlapping(level + 1, KeyRange.of_tables(wider)) == below
        small_enough = _size(wider) + _size(below) <= self.input_size_max
        free = len(self.free(wider)) == len(wider)
        return list(wider) if same_below and small_enough and free else group

    def is_blocked(
        self, level: int, output_level: int, keys: KeyRange, tables: Sequence[TableMeta]
    ) -> bool:
        if any(table.key in self.busy for table in tables):
            return True
        return any(
            job.output_level > 0
            and job.level <= output_level
            and level <= job.output_level
            and job.keys.overlaps(keys)
            for job in self.running
        )

    def may_move(self, output_level: int, group: Sequence[TableMeta]) -> bool:
        """A move keeps tombstones, and hands the level after the next its overlap later."""
        for table in group:
            if table.tombstone_count > 0 if self.is_manual else table.is_mostly_tombstones:
                return False
            if output_level < BOTTOM_LEVEL:
                keys = KeyRange(table.start, table.stop)
                later = _size(self.version.overlapping(output_level + 1, keys))
                if later > MOVE_OVERLAP_MAX * self.options.table_size:
                    return False
        return True

    def cuts(self, output_level: int, keys: KeyRange) -> tuple[bytes, ...]:
        if output_level == BOTTOM_LEVEL:
            return ()
        starts = (table.start for table in self.version.overlapping(output_level + 1, keys))
        return tuple(start for start in starts if start > keys.start)


def _size(tables: Iterable[TableMeta]) -> int:
    return sum(table.file_size for table in tables)


def _cost(tables: Sequence[TableMeta]) -> float:
    """Bytes rewritten per table that disappears when these become one."""
    return _size(tables) / (len(tables) - 1)
