"""What verify found, and verify of a directory: every file by itself, so that all damage is named.

An open ends at the first file that it cannot use. Here nothing is opened as a database and nothing
is written, not even LOCK:

- CURRENT and the manifest it names, as an open reads them; where CURRENT is damaged the newest
  manifest, which is the one in use unless a crash came in between;
- the logs as an open replays them, with the same window for a torn end; after damage the replay
  begins anew with the log behind it;
- each table with its id and size as the manifest gives them. Without a manifest, what every table
  and log says of itself.

Other files are listed, not judged: a crash leaves some, and the next open removes them. Memory: a
log, or index and filter of a table, at a time. What another process changes meanwhile may look like
damage.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from lsmkv import filenames
from lsmkv._native.table import Table, TableSpace
from lsmkv._native.vfs import FileSystem
from lsmkv.errors import CorruptionError, Error, StorageError
from lsmkv.filenames import FileKind, FileName
from lsmkv.manifest import ManifestState, read_manifest, read_manifest_file
from lsmkv.recovery import replay_logs, take_inventory
from lsmkv.tree import Tree
from lsmkv.version import TableMeta, Version

__all__ = [
    "PIECE_SIZE_MAX",
    "VerifyProblem",
    "VerifyReport",
    "holds_database",
    "problem_of",
    "verify_directory",
]

PIECE_SIZE_MAX = 1 << 20  # bytes of a log that are taken apart before they are dropped
ANY_EDIT = (1 << 63) - 1  # no log was created after it


@dataclass(frozen=True)
class VerifyProblem:
    """One damaged or missing file. `offset`: the first byte of the damaged piece, where it is
    known."""

    path: str
    message: str
    offset: int | None = None


@dataclass(frozen=True)
class VerifyReport:
    """What was read, and what is wrong with it: True when nothing is. `notes` are no damage."""

    table_count: int
    entry_count: int  # of the tables
    checked_bytes: int
    problems: tuple[VerifyProblem, ...]
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return not self.problems

    def __str__(self) -> str:
        lines = [
            f"{self.table_count} tables, {self.entry_count:,} entries, "
            f"{self.checked_bytes:,} bytes: "
            + ("no damage found" if self else f"{len(self.problems)} damaged")
        ]
        lines += [f"  {problem.message}" for problem in self.problems]
        lines += [f"  note: {note}" for note in self.notes]
        return "\n".join(lines)


def problem_of(error: Error, *paths: str) -> VerifyProblem:
    """`paths`: the files that were read. An error that carries no path begins with one of them."""
    named: Any = None
    offset = None
    if isinstance(error, CorruptionError):
        named, offset = error.path, error.offset
    elif isinstance(error, StorageError):
        named = error.filename
    if named is None:
        named = next((path for path in paths if str(error).startswith(path)), paths[0])
    return VerifyProblem(str(named), str(error), offset)


def verify_directory(
    filesystem: FileSystem, directory: str, check_wanted: Callable[[], None] = lambda: None
) -> VerifyReport:
    """Check every file of the database. `check_wanted` is called now and then, at last at the end,
    and raises when nobody wants the report any more."""
    return _Verification(filesystem, directory, check_wanted).run()


def holds_database(filesystem: FileSystem, directory: str) -> bool:
    """Where CURRENT is missing there is one if there is data: a manifest alone is all that a crash
    has left of the making of one."""
    inventory = take_inventory(filesystem, directory)
    logs = (filenames.log_path(directory, number) for number in inventory.logs)
    return (
        filesystem.exists(filenames.current_path(directory))
        or bool(inventory.tables)
        or any(map(filesystem.file_size, logs))
    )


class _Verification:
    """One verify of a directory."""

    def __init__(
        self, filesystem: FileSystem, directory: str, check_wanted: Callable[[], None]
    ) -> None:
        self._filesystem = filesystem
        self._directory = directory
        self._check_wanted = check_wanted
        self._inventory = take_inventory(filesystem, directory)
        self._space = TableSpace(filesystem, cache_size_bytes=0)
        self._current = filenames.current_path(directory)
        self._problems: list[VerifyProblem] = []
        self._notes: list[str] = []
        self._table_count = self._entry_count = self._checked_bytes = 0

    def run(self) -> VerifyReport:
        state = self._manifest()
        if state is None:
            self._tables_and_logs_alone()
        else:
            self._logs(state)
            self._tables(state)
            self._note_other_files(state)
            if self._problems and self._has_moved_on(state):
                self._notes.append("the database was written meanwhile: look again without that")
        self._check_wanted()  # what was found once it was not says nothing
        return VerifyReport(
            self._table_count,
            self._entry_count,
            self._checked_bytes,
            tuple(self._problems),
            tuple(self._notes),
        )

    def _add(self, error: Error, *paths: str) -> VerifyProblem:
        problem = problem_of(error, *paths)
        self._problems.append(problem)
        return problem

    def _log_path(self, number: int) -> str:
        return filenames.log_path(self._directory, number)

    def _table_path(self, number: int) -> str:
        return filenames.table_path(self._directory, number)

    # --- the manifest ----------------------------------------------------------------------------

    def _manifest(self) -> ManifestState | None:
        """None when nothing is known but what each file says of itself."""
        self._check_wanted()
        manifests = [
            filenames.manifest_path(self._directory, number) for number in self._inventory.manifests
        ]
        try:
            if not self._filesystem.exists(self._current):
                raise CorruptionError("it does not exist", self._current)
            state = read_manifest(self._filesystem, self._directory)
        except Error as error:
            if self._add(error, self._current, *manifests).path in manifests:
                return None  # CURRENT is sound, what it names is not
            found = self._newest_manifest(manifests)
            if found is None:
                return None
            state = replace(found, manifest_number=self._inventory.manifests[-1])
        self._checked_bytes += state.manifest_size
        if state.torn_size:
            path = filenames.manifest_path(self._directory, state.manifest_number)
            self._notes.append(f"{path} at byte {state.manifest_size}: an edit that a crash cut")
        return state

    def _newest_manifest(self, paths: list[str]) -> ManifestState | None:
        """Reads them all. An older one would miss tables that were merged since."""
        state = None
        for path in paths:
            try:
                state = read_manifest_file(self._filesystem, path)
            except Error as error:
                self._add(error, path)
                state = None
        return state

    # --- logs ------------------------------------------------------------------------------------

    def _logs(self, state: ManifestState) -> None:
        missing = [log.number for log in state.live_logs if log.number not in self._inventory.logs]
        first = state.log_number
        for number in missing:
            message = "a log segment that the manifest needs does not exist"
            self._add(CorruptionError(message, self._log_path(number)))
            self._chain(state, first, number)
            first = number + 1
        self._chain(state, first, self._inventory.highest + 1)

    def _chain(self, state: ManifestState, first: int, stop: int) -> None:
        """Replay the logs from `first` to before `stop`, of which nothing is known of an earlier
        one."""
        while True:
            logs = tuple(number for number in self._inventory.logs if first <= number < stop)
            if not logs:
                return
            live_logs = tuple(log for log in state.live_logs if log.number in logs)
            numbers = {self._log_path(number): number for number in logs}
            try:
                result = replay_logs(
                    self._filesystem,
                    self._directory,
                    replace(state, log_number=first, live_logs=live_logs),
                    replace(self._inventory, logs=logs),
                    lambda memtable: self._check_wanted(),
                    PIECE_SIZE_MAX,
                )
                self._checked_bytes += sum(map(self._filesystem.file_size, numbers))
            except Error as error:
                first = numbers.get(self._add(error, *numbers).path, logs[-1]) + 1
                continue
            if result.torn:
                names = ", ".join(numbers)
                self._notes.append(f"{names}: an unsynced, torn end, which the next open drops")
            return

    # --- tables ----------------------------------------------------------------------------------

    def _tables(self, state: ManifestState) -> None:
        metas: dict[int, list[TableMeta]] = {}  # of one file several, seen through windows
        for meta in state.version:
            metas.setdefault(meta.number, []).append(meta)

        def open_as_known(number: int) -> Table:
            tree = Tree(self._directory, self._space, Version.of_tables(metas[number]))
            return tree.tables()[0]

        for number in sorted(metas):
            self._table(number, open_as_known)

    def _table(self, number: int, open_table: Callable[[int], Table]) -> None:
        self._check_wanted()
        self._table_count += 1
        try:
            table = open_table(number)
            self._entry_count += table.summary().entry_count
            self._checked_bytes += table.summary().file_size
            table.verify()
        except Error as error:
            self._add(error, self._table_path(number))

    def _tables_and_logs_alone(self) -> None:
        for number in self._inventory.logs:
            assumed = ManifestState(b"", last_edit=ANY_EDIT, log_number=number)
            self._chain(assumed, number, number + 1)
        for number in self._inventory.tables:
            self._table(number, lambda n: self._space.open(self._table_path(n), n))

    # --- the rest --------------------------------------------------------------------------------

    def _has_moved_on(self, state: ManifestState) -> bool:
        try:
            now = read_manifest(self._filesystem, self._directory)
        except Error:
            return False
        return (now.manifest_number, now.last_edit) != (state.manifest_number, state.last_edit)

    def _note_other_files(self, state: ManifestState) -> None:
        for text in self._filesystem.list_directory(self._directory):
            name = filenames.parse(text)
            if name is None:
                self._notes.append(f"{text} is no file of a database")
            elif name.kind is FileKind.LOST:
                count = len(self._filesystem.list_directory(name.path(self._directory)))
                self._notes.append(f"{text} holds what was put aside: {count}")
            elif not _is_used(name, state):
                self._notes.append(f"{text} is not in use")


def _is_used(name: FileName, state: ManifestState) -> bool:
    match name.kind:
        case FileKind.TABLE:
            return name.number in state.version.file_numbers
        case FileKind.LOG:
            return name.number >= state.log_number
        case FileKind.MANIFEST:
            return name.number == state.manifest_number
        case FileKind.TEMPORARY:
            return False
        case _:
            return True
