"""Rebuilding a damaged database from what is intact.

What counts, in this order:
- the manifest, if it reads: it says which tables are live, so nothing deleted comes back;
- otherwise every intact table in the directory, merged by key and sequence (that order does not
  need to know which table was newer). Without a manifest a deleted key can come back when a table
  that a compaction had already replaced was not yet removed: the report says that the manifest was
  lost;
- every intact record of every log segment, also behind a torn one.

Tables that do not verify, and logs with damage, are moved to lost/, never deleted. The result is
one sorted level, a new manifest, CURRENT. Runs with the LOCK held and nothing else open.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from lsmkv import filenames
from lsmkv._native.job import Counter
from lsmkv._native.log import SegmentReader
from lsmkv._native.memtable import Memtable
from lsmkv._native.slices import TableSlice
from lsmkv._native.table import Table, TableSpace
from lsmkv._native.vfs import FileSystem
from lsmkv.compaction import JobFactory, describe
from lsmkv.errors import CorruptionError, Error, StorageError
from lsmkv.manifest import DATABASE_ID_SIZE, ManifestState, ManifestWriter, read_manifest
from lsmkv.options import Options
from lsmkv.recovery import LOG_SIZE_MAX, Inventory, take_inventory
from lsmkv.version import BOTTOM_LEVEL, TableMeta, Version

__all__ = ["RepairReport", "repair_directory"]

MEMTABLE_SIZE_MAX = 64 << 20  # bytes of replayed log before it becomes a table
UNKNOWN_EDIT = 1 << 32  # above any edit number a lost manifest can have reached
EVERY_KEY = ((b"", b"\xff" * (64 * 1024)),)  # inclusive: tombstones from logs stay until the merge


@dataclass
class RepairReport:
    """What repair found and did. `moved_aside` names files now under lost/."""

    manifest_intact: bool = True
    table_count: int = 0
    entry_count: int = 0
    replayed_operations: int = 0
    moved_aside: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{self.table_count} tables with {self.entry_count:,} entries kept, "
            f"{self.replayed_operations:,} operations taken from logs",
        ]
        if not self.manifest_intact:
            lines.append("the manifest was damaged: deletes of the last compactions may be undone")
        lines += [f"moved to lost/: {name}" for name in self.moved_aside]
        lines += [f"problem: {problem}" for problem in self.problems]
        return "\n".join(lines)


def repair_directory(
    filesystem: FileSystem, directory: str, random_bytes: Callable[[int], bytes]
) -> RepairReport:
    """REQUIRES: the directory's LOCK is held."""
    return _Repair(filesystem, directory, random_bytes).run()


class _Repair:
    """One run of repair."""

    def __init__(
        self, filesystem: FileSystem, directory: str, random_bytes: Callable[[int], bytes]
    ) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self._random_bytes = random_bytes
        self._report = RepairReport()
        self._inventory: Inventory = take_inventory(filesystem, directory)
        self._counter = Counter(self._inventory.highest + 1)
        self._options = Options()
        self._space = TableSpace(
            filesystem, open_files_max=self._options.max_open_files, cache_size_bytes=0
        )
        self._jobs = JobFactory(directory, self._options, self._space, self._counter, random_bytes)

    def run(self) -> RepairReport:
        state = self._read_manifest()
        slices = list(self._intact_slices(None if state is None else state.version))
        log_number = 0 if state is None else state.log_number
        slices += self._replay([n for n in self._inventory.logs if n >= log_number])
        tables = self._merge(slices)
        self._finish(state, tables)
        return self._report

    def _read_manifest(self) -> ManifestState | None:
        try:
            return read_manifest(self._filesystem, self._directory)
        except (CorruptionError, StorageError) as error:
            self._report.manifest_intact = False
            self._report.problems.append(str(error))
            return None

    def _intact_slices(self, live: Version | None) -> Iterator[TableSlice]:
        """What verifies, seen through the bounds of the manifest where there is one."""
        for number in self._inventory.tables:
            parts = None if live is None else [meta for meta in live if meta.number == number]
            if parts == []:
                continue
            path = filenames.table_path(self._directory, number)
            try:
                table = self._space.open(path, number)
                table.verify()
            except Error as error:
                self._report.problems.append(str(error))
                self._move_aside(path)
                continue
            if parts is None:
                yield _whole(table)
            else:
                yield from (_visible(table, meta) for meta in parts)
        missing = (live.file_numbers if live is not None else set()) - set(self._inventory.tables)
        self._report.problems += [f"table {number} is missing" for number in sorted(missing)]

    def _replay(self, numbers: list[int]) -> list[TableSlice]:
        """Intact operations of the logs, as new tables."""
        memtable = Memtable()
        slices: list[TableSlice] = []
        for number in numbers:
            path = filenames.log_path(self._directory, number)
            data = self._filesystem.read_file(path, LOG_SIZE_MAX)
            try:
                for record in SegmentReader(data, path):
                    for index, (kind, key, value) in enumerate(record.operations):
                        memtable.insert(key, record.base_sequence + index, kind, value or b"")
                        self._report.replayed_operations += 1
                    if memtable.usage().arena_bytes > MEMTABLE_SIZE_MAX:
                        slices += self._flush(memtable)
                        memtable = Memtable()
            except (Error, ValueError) as error:
                self._report.problems.append(str(error))
                self._move_aside(path)
        return slices + self._flush(memtable)

    def _flush(self, memtable: Memtable) -> list[TableSlice]:
        if not memtable.usage().entry_count:
            return []
        job = self._jobs.merge([memtable], (), EVERY_KEY)
        return [self._reopen(summary.number) for summary in job.run()]

    def _reopen(self, number: int) -> TableSlice:
        path = filenames.table_path(self._directory, number)
        return _whole(self._space.open(path, number))

    def _merge(self, slices: list[TableSlice]) -> tuple[TableMeta, ...]:
        """One sorted level of everything; tombstones have nothing left to hide."""
        job = self._jobs.merge((), _as_runs(slices), ())
        tables = describe(job.run(), BOTTOM_LEVEL, self._counter.next())
        self._report.table_count = len(tables)
        self._report.entry_count = sum(table.entry_count for table in tables)
        return tables

    def _finish(self, state: ManifestState | None, tables: tuple[TableMeta, ...]) -> None:
        self._filesystem.sync_directory(self._directory)
        number = self._counter.next()
        old_sequence = 0 if state is None else state.last_sequence
        # Without a manifest its number is unknown; no log may claim to be newer than the new one.
        last_edit = UNKNOWN_EDIT if state is None else state.last_edit
        fresh = ManifestState(
            self._random_bytes(DATABASE_ID_SIZE) if state is None else state.database_id,
            version=Version.of_tables(tables),
            last_edit=last_edit,
            next_file_number=self._counter.upcoming,
            last_sequence=max([old_sequence, *(table.last_sequence for table in tables)]),
            log_number=self._counter.upcoming,
        )
        ManifestWriter.create(self._filesystem, self._directory, number, fresh).close()
        kept = {table.number for table in tables}
        inventory = take_inventory(self._filesystem, self._directory)
        for table in inventory.tables:
            if table not in kept:
                self._filesystem.remove(filenames.table_path(self._directory, table))
        for log in inventory.logs:
            self._filesystem.remove(filenames.log_path(self._directory, log))
        for manifest in inventory.manifests:
            path = filenames.manifest_path(self._directory, manifest)
            if manifest == number:
                continue
            if state is None:
                self._move_aside(path)
            else:
                self._filesystem.remove(path)

    def _move_aside(self, path: str) -> None:
        lost = filenames.lost_directory(self._directory)
        if not self._filesystem.exists(lost):
            self._filesystem.make_directory(lost)
        self._filesystem.rename(path, os.path.join(lost, os.path.basename(path)))
        self._report.moved_aside.append(os.path.basename(path))


def _whole(table: Table) -> TableSlice:
    summary = table.summary()
    return TableSlice(table, summary.smallest, summary.largest, None, None)


def _visible(table: Table, meta: TableMeta) -> TableSlice:
    return TableSlice(table, meta.start, meta.inclusive_bounds[1], meta.lower, meta.upper)


def _as_runs(slices: list[TableSlice]) -> list[list[TableSlice]]:
    """As few runs of non-overlapping slices as first-fit finds."""
    runs: list[list[TableSlice]] = []
    for piece in sorted(slices, key=lambda piece: piece.smallest):
        for run in runs:
            if run[-1].largest < piece.smallest:
                run.append(piece)
                break
        else:
            runs.append([piece])
    return runs
