"""The shape of the tree: immutable values that say which tables exist, and which is newer.

    TableMeta     one table, or the part of one that is visible through bounds (a virtual table)
    Version       levels of TableMeta: what a read has to look at
    VersionEdit   the step from one version to the next, as the manifest records it

Level 0 holds whole flushed tables, newest epoch first; they may overlap, and each is a run of its
own. Levels 1 to 6 are one run each, sorted by key, without overlap. Everything in a run is newer,
key by key, than everything in the runs after it: that order is the whole meaning of a version,
and `apply` checks what can be checked of it:
- a removed table exists, an added one does not, and the parts of one file do not overlap;
- within a level >= 1 no two tables overlap;
- where two tables of level 0 overlap their epochs differ, and the newer epoch holds the newer
  sequences. (Deeper levels obey the same rule per key, not per table: a table there may hold keys
  of very different age. Only the two halves of a trimmed table share an epoch.)
A violation is a VersionError: a bug when the edit is our own, damage when it came from disk,
where the manifest turns it into CorruptionError.

Key ranges are half-open, [start, stop): the exact successor of a key is the key + one zero byte,
so no range needs an inclusive end. Nothing here does I/O, knows the time or changes after it was
made.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

__all__ = [
    "LEVEL_COUNT",
    "BOTTOM_LEVEL",
    "TABLE_ID_SIZE",
    "VersionError",
    "KeyRange",
    "TableKey",
    "TableMeta",
    "TableChanges",
    "LogRef",
    "VersionEdit",
    "Version",
]

LEVEL_COUNT = 7
BOTTOM_LEVEL = LEVEL_COUNT - 1
TABLE_ID_SIZE = 16  # bytes, random, also in the table's own footer


class VersionError(AssertionError):
    """An edit does not fit its version, or a value contradicts itself."""


def _require(holds: bool, message: str) -> None:
    if not holds:
        raise VersionError(message)


class KeyRange(NamedTuple):
    """The keys from `start` up to, not including, `stop`; None as stop: no end."""

    start: bytes = b""
    stop: bytes | None = None

    @classmethod
    def of_tables(cls, tables: Collection[TableMeta]) -> KeyRange:
        """The smallest range around all the tables. REQUIRES: at least one."""
        return cls(min(t.start for t in tables), max(t.stop for t in tables))

    def overlaps(self, other: KeyRange | TableMeta) -> bool:
        before = self.stop is not None and self.stop <= other.start
        after = other.stop is not None and other.stop <= self.start
        return not before and not after

    def covers(self, table: TableMeta) -> bool:
        return self.start <= table.start and (self.stop is None or table.stop <= self.stop)


class TableKey(NamedTuple):
    """Names a table within a version. Several parts of one file differ in their lower bound."""

    number: int
    lower: bytes | None = None


@dataclass(frozen=True)
class TableMeta:
    """What the manifest knows about a table.

    `smallest` and `largest` are the first and the last key in the file. `lower` and `upper` hide
    what is outside [lower, upper); each is None unless it hides something of this file. Sizes,
    counts and sequences describe the whole file even when part of it is hidden: for a virtual
    table they are upper bounds.
    """

    number: int
    id: bytes
    file_size: int  # bytes
    tail_size: int  # bytes after the data blocks: one read of them opens the table
    smallest: bytes
    largest: bytes
    first_sequence: int
    last_sequence: int
    epoch: int  # order of runs in level 0, larger is newer; a merged table has its newest input's
    level: int
    entry_count: int
    tombstone_count: int
    lower: bytes | None = None
    upper: bytes | None = None
    has_range_deletes: bool = False
    oldest_expiry_ms: int | None = None
    format_version: int = 1

    def __post_init__(self) -> None:
        _require(self.number > 0, "a table's number is positive")
        _require(len(self.id) == TABLE_ID_SIZE, f"table {self.number}: id of {len(self.id)} bytes")
        _require(0 <= self.level < LEVEL_COUNT, f"table {self.number}: level {self.level}")
        _require(self.tail_size <= self.file_size, f"table {self.number}: tail larger than file")
        _require(self.smallest <= self.largest, f"table {self.number}: smallest above largest")
        _require(
            self.first_sequence <= self.last_sequence, f"table {self.number}: sequences reversed"
        )
        _require(
            self.tombstone_count <= self.entry_count, f"table {self.number}: too many tombstones"
        )
        for bound in (self.lower, self.upper):
            if bound is not None:
                inside = self.smallest < bound <= self.largest
                _require(inside, f"table {self.number}: a bound that hides nothing, or all")
        _require(self.start < self.stop, f"table {self.number}: bounds leave nothing visible")

    @property
    def key(self) -> TableKey:
        return TableKey(self.number, self.lower)

    @property
    def start(self) -> bytes:
        """No visible key is below this."""
        return self.smallest if self.lower is None else self.lower

    @cached_property
    def stop(self) -> bytes:
        """Every visible key is below this."""
        return self.largest + b"\0" if self.upper is None else self.upper

    @property
    def inclusive_bounds(self) -> tuple[bytes, bytes]:
        """(first, last) with no visible key outside; a trimmed table's last is `upper` itself."""
        return self.start, self.largest if self.upper is None else self.upper

    @property
    def is_virtual(self) -> bool:
        return self.lower is not None or self.upper is not None

    @property
    def is_mostly_tombstones(self) -> bool:
        return 2 * self.tombstone_count > self.entry_count

    def without(self, dropped: KeyRange) -> tuple[TableMeta, ...]:
        """What is left, zero to two tables, when the keys in `dropped` are hidden."""
        if not dropped.overlaps(self):
            return (self,)
        parts: list[TableMeta] = []
        if self.start < dropped.start:
            parts.append(replace(self, upper=dropped.start))
        if dropped.stop is not None and dropped.stop < self.stop:
            parts.append(replace(self, lower=dropped.stop))
        return tuple(parts)


class TableChanges(NamedTuple):
    """The part of an edit that concerns tables."""

    added: tuple[TableMeta, ...]
    removed: tuple[TableKey, ...]


@dataclass(frozen=True)
class LogRef:
    """A log segment that recovery must find; `length` is its final size once that is durable."""

    number: int
    length: int | None = None


@dataclass(frozen=True)
class VersionEdit:
    """One numbered step. The four values after the tables are the new ones, not differences."""

    number: int
    added: tuple[TableMeta, ...]
    removed: tuple[TableKey, ...]
    next_file_number: int
    last_sequence: int
    log_number: int  # the oldest log still needed; smaller ones may be deleted
    live_logs: tuple[LogRef, ...]


@dataclass(frozen=True)
class Version:
    """An immutable set of tables by level."""

    levels: tuple[tuple[TableMeta, ...], ...] = ((),) * LEVEL_COUNT
    tables_by_key: dict[TableKey, TableMeta] = field(
        default_factory=dict, repr=False, compare=False
    )  # the same tables; not to be changed

    @classmethod
    def of_tables(cls, tables: Collection[TableMeta]) -> Version:
        """A version of exactly these tables; VersionError when they do not make one."""
        return cls().change(TableChanges(tuple(tables), ()))

    def apply(self, edit: VersionEdit) -> Version:
        """The version after the edit; VersionError when it does not fit."""
        return self.change(TableChanges(edit.added, edit.removed))

    def change(self, changes: TableChanges) -> Version:
        """`apply`, for callers without an edit number."""
        tables = dict(self.tables_by_key)
        touched = {table.level for table in changes.added}
        for key in changes.removed:
            _require(key in tables, f"removed table {_name(key)} does not exist")
            touched.add(tables.pop(key).level)
        for table in changes.added:
            _require(table.key not in tables, f"added table {_name(table.key)} exists")
            tables[table.key] = table

        removed = set(changes.removed)
        levels = list(self.levels)
        for level in touched:
            kept = [table for table in self.levels[level] if table.key not in removed]
            kept += [table for table in changes.added if table.level == level]
            levels[level] = _ordered_level0(kept) if level == 0 else _ordered_level(level, kept)

        _check_files(tables.values(), {table.number for table in changes.added})
        return Version(tuple(levels), tables)

    # --- looking things up

    def __iter__(self) -> Iterator[TableMeta]:
        for level in self.levels:
            yield from level

    @cached_property
    def file_numbers(self) -> frozenset[int]:
        """The files that must not be deleted while this version may be read."""
        return frozenset(table.number for table in self)

    @property
    def entry_count(self) -> int:
        return sum(table.entry_count for table in _one_per_file(self))

    @property
    def tombstone_count(self) -> int:
        return sum(table.tombstone_count for table in _one_per_file(self))

    @cached_property
    def level_sizes(self) -> tuple[int, ...]:
        """File bytes of each level; a file seen through several windows counts once."""
        return tuple(sum(t.file_size for t in _one_per_file(level)) for level in self.levels)

    def runs(self) -> list[tuple[int, tuple[TableMeta, ...]]]:
        """(level, tables) from the newest run to the oldest; no run is empty."""
        runs: list[tuple[int, tuple[TableMeta, ...]]] = [(0, (table,)) for table in self.levels[0]]
        runs += [(level, tables) for level, tables in enumerate(self.levels) if level and tables]
        return runs

    def overlapping(self, level: int, keys: KeyRange) -> tuple[TableMeta, ...]:
        """The tables of a level with visible keys in the range, in the level's order."""
        tables = self.levels[level]
        if level == 0:
            return tuple(table for table in tables if keys.overlaps(table))
        first = bisect_right(tables, keys.start, key=_stop_of)
        last = len(tables)
        if keys.stop is not None:
            last = bisect_left(tables, keys.stop, key=_start_of)
        return tables[first:last]

    def older_bounds(
        self, keys: KeyRange, inputs: Collection[TableKey] = ()
    ) -> tuple[tuple[bytes, bytes], ...]:
        """Inclusive, ascending bounds: outside them a tombstone in `keys` hides nothing.

        They are those of every table in a run older than the newest of `inputs`, inputs left out;
        without inputs (a flush) those of all tables. Later edits move such data downwards but
        never add to it, so the answer stays good while the job runs.
        """
        bounds: list[tuple[bytes, bytes]] = []
        is_older = not inputs
        for level, tables in self.runs():
            if is_older:
                near = self.overlapping(level, keys) if level > 0 else tables
                outside = (t for t in near if t.key not in inputs and keys.overlaps(t))
                bounds += [table.inclusive_bounds for table in outside]
            else:
                is_older = any(table.key in inputs for table in tables)
        return _united(bounds)

    def drop_range(self, keys: KeyRange) -> TableChanges:
        """What to change so that no table shows a key of the range; nothing is read or rewritten.

        Tables inside the range go, tables that reach out of it are trimmed into one or two
        virtual ones.
        """
        added: list[TableMeta] = []
        removed: list[TableKey] = []
        if keys.stop is not None and keys.stop <= keys.start:
            return TableChanges((), ())
        for table in self:
            if keys.overlaps(table):
                removed.append(table.key)
                added += table.without(keys)
        return TableChanges(tuple(added), tuple(removed))


def _united(bounds: list[tuple[bytes, bytes]]) -> tuple[tuple[bytes, bytes], ...]:
    """The same keys in ascending ranges that do not touch."""
    united: list[tuple[bytes, bytes]] = []
    for first, last in sorted(bounds):
        if united and first <= united[-1][1]:
            united[-1] = (united[-1][0], max(last, united[-1][1]))
        else:
            united.append((first, last))
    return tuple(united)


def _start_of(table: TableMeta) -> bytes:
    return table.start


def _stop_of(table: TableMeta) -> bytes:
    return table.stop


def _one_per_file(tables: Collection[TableMeta] | Version) -> Collection[TableMeta]:
    return {table.number: table for table in tables}.values()


def _name(key: TableKey) -> str:
    return str(key.number) if key.lower is None else f"{key.number} from {key.lower.hex()}"


def _ordered_level0(tables: list[TableMeta]) -> tuple[TableMeta, ...]:
    tables.sort(key=lambda table: (-table.epoch, table.start))
    for index, newer in enumerate(tables):
        keys = KeyRange(newer.start, newer.stop)
        for older in tables[index + 1 :]:
            if keys.overlaps(older):
                pair = f"tables {_name(newer.key)} and {_name(older.key)} of level 0"
                _require(newer.epoch > older.epoch, f"{pair} overlap in one epoch")
                _require(
                    newer.first_sequence > older.last_sequence,
                    f"{pair} overlap, and their epochs contradict their sequences",
                )
    return tuple(tables)


def _ordered_level(level: int, tables: list[TableMeta]) -> tuple[TableMeta, ...]:
    tables.sort(key=_start_of)
    for left, right in pairwise(tables):
        if left.stop > right.start:
            names = f"{_name(left.key)} and {_name(right.key)}"
            raise VersionError(f"tables {names} of level {level} overlap")
    return tuple(tables)


def _check_files(tables: Collection[TableMeta], numbers: set[int]) -> None:
    """The parts of each file: the same description in all, and no key visible in two of them."""
    parts: dict[int, list[TableMeta]] = {}
    for table in tables:
        if table.number in numbers:
            parts.setdefault(table.number, []).append(table)
    for number, windows in parts.items():
        windows.sort(key=_start_of)
        for left, right in pairwise(windows):
            _require(left.stop <= right.start, f"file {number} is in the version twice")
            same = (left.id, left.file_size) == (right.id, right.file_size)
            _require(same, f"file {number} is described in two ways")
