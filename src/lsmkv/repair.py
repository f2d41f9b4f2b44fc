"""Rebuilding a damaged database from what is intact.

What counts, in this order:
- the manifest, if it reads and no log proves that it lost edits: it says which tables are live, so
  nothing deleted comes back;
- if something that it names is missing or damaged: besides the rest, every other table and log in
  the directory, which may hold what was lost;
- without a manifest: every table and log in the directory;
- of a damaged table, the entries of its intact blocks (salvage.py); of a damaged log, its intact
  records, also those behind the damage (salvage_log.py).

Sources are merged by key and sequence, and where both are equal (settled entries) by file number,
newest first. A deleted key can come back, and a settled one with an older value, when a table that
a merge had already replaced is still there and used: the report says when that may have happened.

Only what went into the result unharmed is deleted. Everything else - damaged files, tables and logs
that the manifest does not name - goes to lost/ before the result counts. The result is one sorted
level, a new manifest, CURRENT. Runs with the LOCK held and nothing else open.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from os.path import basename

from lsmkv import filenames
from lsmkv._native.job import Counter
from lsmkv._native.log import SegmentReader
from lsmkv._native.memtable import Memtable
from lsmkv._native.segment import LogSegment
from lsmkv._native.slices import TableSlice
from lsmkv._native.table import Table, TableSpace
from lsmkv._native.vfs import FileSystem
from lsmkv.compaction import JobFactory, describe
from lsmkv.errors import CorruptionError, Error, StorageError
from lsmkv.lost import keep_in_lost
from lsmkv.manifest import DATABASE_ID_SIZE, ManifestState, ManifestWriter, read_manifest
from lsmkv.options import Options
from lsmkv.recovery import HEADER_SIZE, LOG_SIZE_MAX, Inventory, take_inventory
from lsmkv.salvage import FILE_HEADER, SALVAGE_SIZE_MAX, read_header, salvage_table
from lsmkv.salvage_log import LogSalvage, claims_durable
from lsmkv.version import BOTTOM_LEVEL, TABLE_ID_SIZE, TableMeta, Version

__all__ = ["RepairReport", "repair_directory"]

MEMTABLE_SIZE_MAX = 64 << 20  # bytes of replayed log before it becomes a table
UNKNOWN_EDIT = 1 << 32  # above any edit number a lost manifest can have reached
DAMAGE_ERRNOS = (errno.EIO, errno.ENOENT, errno.EFBIG)  # unreadable, gone, larger than it can be
EVERY_KEY = ((b"", b"\xff" * (64 * 1024)),)  # inclusive: tombstones from logs stay until the merge


@dataclass
class RepairReport:
    """What repair found and did. `moved_aside` names files now under lost/."""

    manifest_intact: bool = True
    used_everything: bool = False  # also tables and logs that the manifest does not name
    table_count: int = 0
    entry_count: int = 0
    salvaged_entries: int = 0  # taken from the intact blocks of damaged tables, before the merge
    replayed_operations: int = 0
    records_behind_damage: int = 0  # of damaged logs, the intact ones: their operations count above
    skipped_log_bytes: int = 0  # of damaged logs
    moved_aside: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        lines = [
            f"{self.table_count} tables with {self.entry_count:,} entries kept, "
            f"{self.replayed_operations:,} operations taken from logs",
        ]
        if self.salvaged_entries:
            lines.append(f"{self.salvaged_entries:,} entries salvaged from damaged tables")
        if self.skipped_log_bytes:
            lines.append(
                f"{self.skipped_log_bytes:,} damaged bytes of logs skipped, "
                f"{self.records_behind_damage:,} records behind them kept"
            )
        if not self.manifest_intact:
            lines.append(
                "the manifest was damaged: what the last compactions dropped, deleted or replaced, "
                "may be back"
            )
        elif self.used_everything:
            lines.append(
                "something that the manifest names was missing or damaged, so everything found was "
                "used: old values and deleted keys may be back"
            )
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
        self._options = Options()
        self._space = TableSpace(
            filesystem, open_files_max=self._options.max_open_files, cache_size_bytes=0
        )
        self._state = self._read_manifest()
        used = 0 if self._state is None else self._state.next_file_number
        self._counter = Counter(max(self._inventory.highest + 1, used))
        self._jobs = JobFactory(directory, self._options, self._space, self._counter, random_bytes)
        self._merged: list[str] = []  # paths whose whole content is in the result
        self._aside: list[str] = []  # paths to keep under lost/, whether merged or not
        self._age: dict[int, int] = {}  # of a file that is as new as another one: that one's number
        self._has_loss = False  # something that counted is missing or damaged

    def run(self) -> RepairReport:
        if self._state is None:
            slices = self._everything(self._inventory.tables, self._inventory.logs)
        else:
            slices = self._live(self._state)
        tables = self._merge(slices)
        self._finish(tables)
        return self._report

    # --- the manifest ----------------------------------------------------------------------------

    def _read_manifest(self) -> ManifestState | None:
        """None when it is damaged, or shorter than it was."""
        try:
            state = read_manifest(self._filesystem, self._directory)
            self._require_every_edit(state)
            self._require_own_tables(state)
        except (CorruptionError, StorageError) as error:
            _require_damage(error)
            self._report.manifest_intact = False
            self._report.problems.append(str(error))
            return None
        return state

    def _require_every_edit(self, state: ManifestState) -> None:
        for number in self._inventory.logs:
            segment = self._segment(filenames.log_path(self._directory, number))
            if segment is not None and segment.manifest_edit > state.last_edit:
                raise CorruptionError(
                    f"log {number} was created after manifest edit {segment.manifest_edit}, but "
                    f"edit {state.last_edit} is the last",
                    filenames.manifest_path(self._directory, state.manifest_number),
                )

    def _require_own_tables(self, state: ManifestState) -> None:
        """A manifest of another database: the tables are sound, and none has an id it gives."""
        ids = {meta.id for meta in state.version}
        others = 0
        for meta in state.version:
            path = filenames.table_path(self._directory, meta.number)
            try:
                table = self._space.open(path, meta.number)
            except Error as error:
                _require_damage(error)
                continue
            if table.summary().id in ids:
                return
            others += 1
        if others:
            raise CorruptionError(
                f"it is of another database: {others} tables have other ids",
                filenames.manifest_path(self._directory, state.manifest_number),
            )

    def _segment(self, path: str) -> LogSegment | None:
        try:
            with self._filesystem.open(path) as file:
                return SegmentReader(file.read(0, HEADER_SIZE), path).segment
        except (CorruptionError, StorageError) as error:
            _require_damage(error)
            return None  # the replay tells

    # --- sources ---------------------------------------------------------------------------------

    def _live(self, state: ManifestState) -> list[TableSlice]:
        """What the manifest names; if some of that is lost, everything else as well."""
        live = state.version.file_numbers
        tables = [number for number in self._inventory.tables if number in live]
        logs = [number for number in self._inventory.logs if number >= state.log_number]
        missing = [f"table {number} is missing" for number in sorted(live - set(tables))]
        missing += [
            f"log {log.number} is missing" for log in state.live_logs if log.number not in logs
        ]
        self._report.problems += missing
        slices: list[TableSlice] = []
        places = self._places(tables, state)
        for number in tables:
            parts = [meta for meta in state.version if meta.number == number]
            place = places.get(parts[0].id, number)
            if place != number:
                self._age[place] = number
                self._report.problems.append(f"table {number} stands in the file of table {place}")
            for table in self._read(place, parts[0]):
                slices += [_visible(table, meta) for meta in parts]
        paths = [filenames.table_path(self._directory, number) for number in tables]
        read = {*self._merged, *self._aside}
        self._aside += [path for path in paths if path not in read]  # holds what nobody looked for
        slices += self._replay(logs)
        other_tables = sorted(set(self._inventory.tables) - live)
        other_logs = sorted(set(self._inventory.logs) - set(logs))
        if (missing or self._has_loss) and (other_tables or other_logs):
            self._report.used_everything = True
            slices += self._everything(other_tables, other_logs)
        # Named by nobody, so perhaps the only copy of something, used or not.
        others = [filenames.table_path(self._directory, number) for number in other_tables]
        others += [filenames.log_path(self._directory, number) for number in other_logs]
        self._aside += [path for path in others if path not in self._aside]
        return slices

    def _places(self, numbers: Sequence[int], state: ManifestState) -> dict[bytes, int]:
        """Ids of live tables that stand in each other's files, and where. A table that is in its
        own place is not among them, wherever else there may be a copy."""
        ids = {meta.number: meta.id for meta in state.version}
        places: dict[bytes, int] = {}
        own: set[bytes] = set()
        for number in numbers:
            found = self._table_id(filenames.table_path(self._directory, number))
            if found is None or found not in ids.values():
                continue
            if found == ids[number]:
                own.add(found)
            else:
                places[found] = number
        return {found: number for found, number in places.items() if found not in own}

    def _table_id(self, path: str) -> bytes | None:
        """What an intact header says."""
        try:
            with self._filesystem.open(path) as file:
                header = read_header(file.read(0, FILE_HEADER.size))
        except StorageError as error:
            _require_damage(error)
            return None
        return header.table_id if header is not None and header.intact else None

    def _everything(self, tables: Sequence[int], logs: Sequence[int]) -> list[TableSlice]:
        slices = [_whole(table) for number in tables for table in self._read(number, None)]
        return slices + self._replay(logs)

    def _read(self, number: int, meta: TableMeta | None) -> Iterator[Table]:
        """The table, or one of its intact blocks, or nothing."""
        path = filenames.table_path(self._directory, number)
        known_id = None if meta is None else meta.id
        try:
            table = self._space.open(path, number, id=known_id)
            table.verify()
        except Error as error:
            _require_damage(error)
            self._set_aside(path, str(error))
            yield from self._salvage(number, path, known_id)
            return
        self._merged.append(path)
        yield table

    def _salvage(self, damaged: int, path: str, known_id: bytes | None) -> Iterator[Table]:
        try:
            data = self._filesystem.read_file(path, SALVAGE_SIZE_MAX)
        except StorageError as error:
            _require_damage(error)
            self._report.problems.append(str(error))
            return
        number = self._counter.next()
        target = filenames.table_path(self._directory, number)
        new_id = self._random_bytes(TABLE_ID_SIZE)
        count = salvage_table(data, self._filesystem, target, new_id=new_id, known_id=known_id)
        if count:
            self._report.salvaged_entries += count
            self._merged.append(target)
            self._age[number] = self._age.get(damaged, damaged)
            yield self._space.open(target, number)

    def _replay(self, numbers: Sequence[int]) -> list[TableSlice]:
        """Intact operations of the logs, as new tables: at least one for each log, since without a
        manifest nothing says that their sequences follow each other."""
        slices: list[TableSlice] = []
        for index, number in enumerate(numbers):
            path = filenames.log_path(self._directory, number)
            if self._is_obsolete(number, path):
                continue
            try:
                data = self._filesystem.read_file(path, LOG_SIZE_MAX)
            except StorageError as error:
                _require_damage(error)
                self._set_aside(path, str(error))
                continue
            durable_length = partial(self._durable_length, number, numbers[index + 1 :])
            slices += self._replay_log(number, LogSalvage(data, path, durable_length))
        return slices

    def _replay_log(self, number: int, log: LogSalvage) -> list[TableSlice]:
        slices: list[TableSlice] = []
        memtable = Memtable()
        for record in log.records():
            for index, (kind, key, value) in enumerate(record.operations):
                memtable.insert(key, record.base_sequence + index, kind, value or b"")
                self._report.replayed_operations += 1
            if memtable.usage().arena_bytes > MEMTABLE_SIZE_MAX:
                slices += self._flush(memtable)
                memtable = Memtable()
        slices += self._flush(memtable)
        self._report.records_behind_damage += log.records_behind_damage
        self._report.skipped_log_bytes += log.skipped_bytes
        problem = log.problem
        if problem is None and log.segment is not None and log.segment.number != number:
            problem = _misplaced(log.path, log.segment)
        if problem is not None:
            self._set_aside(log.path, problem)
        elif log.is_torn:
            self._aside.append(log.path)  # an unsynced end, most likely; but who knows
        else:
            self._merged.append(log.path)
        return slices

    def _is_obsolete(self, number: int, path: str) -> bool:
        """Whether an old segment stands in the place of one that is needed: the tables hold what
        was in it, and newer values that its sequences would hide. Then it is set aside."""
        segment = self._segment(path)
        oldest = 0 if self._state is None else self._state.log_number
        if segment is None or not segment.number < oldest <= number:
            return False
        self._set_aside(path, _misplaced(path, segment))
        return True

    def _durable_length(self, number: int, later: Sequence[int]) -> int:
        """Bytes of the segment that were durable: a clean close has noted it, or a segment after it
        that was only synced when this one had been."""
        live_logs = () if self._state is None else self._state.live_logs
        length = max((log.length or 0 for log in live_logs if log.number == number), default=0)
        paths = [filenames.log_path(self._directory, other) for other in later]
        if length or not any(self._claims_durable(path) for path in paths):
            return length
        segments = [segment for path in paths if (segment := self._segment(path)) is not None]
        return max((s.previous_length for s in segments if s.previous_number == number), default=0)

    def _claims_durable(self, path: str) -> bool:
        try:
            return claims_durable(self._filesystem.read_file(path, LOG_SIZE_MAX), path)
        except StorageError as error:
            _require_damage(error)
            return False

    def _flush(self, memtable: Memtable) -> list[TableSlice]:
        if not memtable.usage().entry_count:
            return []
        job = self._jobs.merge([memtable], (), EVERY_KEY)
        slices = []
        for summary in job.run():
            path = filenames.table_path(self._directory, summary.number)
            slices.append(_whole(self._space.open(path, summary.number)))
            self._merged.append(path)
        return slices

    def _set_aside(self, path: str, problem: str) -> None:
        self._report.problems.append(problem)
        if path not in self._aside:
            self._aside.append(path)
        self._has_loss = True

    # --- the result ------------------------------------------------------------------------------

    def _merge(self, slices: list[TableSlice]) -> tuple[TableMeta, ...]:
        """One sorted level of everything; tombstones have nothing left to hide."""
        job = self._jobs.merge((), _as_runs(slices, self._age), ())
        tables = describe(job.run(), BOTTOM_LEVEL, self._counter.next())
        self._report.table_count = len(tables)
        self._report.entry_count = sum(table.entry_count for table in tables)
        return tables

    def _finish(self, tables: tuple[TableMeta, ...]) -> None:
        state = self._state
        old_manifests = [
            filenames.manifest_path(self._directory, number) for number in self._inventory.manifests
        ]
        if state is None:
            self._aside += old_manifests
        else:
            self._merged += old_manifests
        merged = sorted(set(self._merged) - set(self._aside))
        linked = [path for path in self._aside if self._keep(path)]
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
        self._filesystem.sync_directory(self._directory)
        ManifestWriter.create(self._filesystem, self._directory, number, fresh).close()
        for path in [*merged, *linked]:
            self._filesystem.remove(path)
        self._filesystem.sync_directory(self._directory)

    def _keep(self, path: str) -> bool:
        """Whether the file is still in its place, besides lost/."""
        self._report.moved_aside.append(basename(path))
        return keep_in_lost(self._filesystem, self._directory, path)


def _require_damage(error: Exception) -> None:
    """Raise what is no property of the file: a full disk, too many open files, no permission."""
    if isinstance(error, StorageError) and error.errno not in DAMAGE_ERRNOS:
        raise error


def _misplaced(path: str, segment: LogSegment) -> str:
    return f"{path} at byte 0: it holds log segment {segment.number}"


def _whole(table: Table) -> TableSlice:
    summary = table.summary()
    return TableSlice(table, summary.smallest, summary.largest, None, None)


def _visible(table: Table, meta: TableMeta) -> TableSlice:
    return TableSlice(table, meta.start, meta.inclusive_bounds[1], meta.lower, meta.upper)


def _as_runs(slices: list[TableSlice], ages: Mapping[int, int]) -> list[list[TableSlice]]:
    """Runs of non-overlapping slices; of two that overlap the newer file is in the earlier run.

    A merge takes equal entries from the earlier one. A table is as old as its number, unless `ages`
    has another for it.
    """

    def age(piece: TableSlice) -> int:
        return -ages.get(piece.table.number, piece.table.number)

    runs: list[list[TableSlice]] = []
    for piece in sorted(slices, key=age):
        above = (index + 1 for index, run in enumerate(runs) if _overlaps(run, piece))
        index = max(above, default=0)
        if index == len(runs):
            runs.append([])
        runs[index].append(piece)
    return [sorted(run, key=lambda piece: piece.smallest) for run in runs]


def _overlaps(run: list[TableSlice], piece: TableSlice) -> bool:
    return any(other.smallest <= piece.largest and piece.smallest <= other.largest for other in run)
