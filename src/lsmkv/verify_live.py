"""Verify of an open database, beside whatever else is done with it.

What is checked is what was there at one moment, under the lock of the tree:

- CURRENT and the manifest lead to the state that the writer of the manifest is at. A change
  meanwhile looks like damage: what does is looked at again with the lock held, where none can be
  made;
- of each live log the bytes that were committed. They are in the file before they count, however
  it is written, and never change; what stands behind them in the newest log is under way. The file
  was opened under the lock, so it may be deleted meanwhile;
- every block of every table of the version, which our reference keeps on the disk.

A log is in memory while it is checked: its size is at most twice the write buffer and a batch. A
database opened read-only has no log and no manifest of its own: there the directory is verified.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lsmkv import filenames
from lsmkv._native.log import SegmentReader
from lsmkv._native.memtable import Memtable
from lsmkv._native.table import Table
from lsmkv._native.vfs import File
from lsmkv.errors import CorruptionError, Error
from lsmkv.manifest import ManifestState, read_manifest, read_manifest_file
from lsmkv.recovery import LOG_SIZE_MAX
from lsmkv.verify import (
    PIECE_SIZE_MAX,
    VerifyProblem,
    VerifyReport,
    problem_of,
    verify_directory,
)

if TYPE_CHECKING:
    from lsmkv.db import DB

__all__ = ["verify_store"]


@dataclass(frozen=True)
class LiveLog:
    """A log at one moment. A finished one ends with its `length` committed bytes."""

    file: File
    number: int
    length: int
    is_finished: bool


def verify_store(db: DB) -> VerifyReport:
    """Check everything the database has on disk; reports, does not raise, unless it is closed."""
    if db._manifest is None:
        return verify_directory(db._filesystem, db._directory, db._refuse_read)
    return _Verification(db).run()


class _Verification:
    """One verify of a database open for writing."""

    def __init__(self, db: DB) -> None:
        self._db = db
        self._problems: list[VerifyProblem] = []
        self._entry_count = self._checked_bytes = 0

    def run(self) -> VerifyReport:
        with contextlib.ExitStack() as files:
            with self._db._lock:
                self._db._refuse_read()
                logs = self._open_logs(files)
                tables = self._db._tree.tables()
            self._check_manifest()
            for log in logs:
                self._check_log(log)
        self._check_tables(tables)
        self._db._refuse_read()  # what was found once it was closed says nothing
        return VerifyReport(
            len(tables), self._entry_count, self._checked_bytes, tuple(self._problems)
        )

    def _add(self, error: Error, path: str) -> None:
        self._problems.append(problem_of(error, path))

    # --- the manifest ----------------------------------------------------------------------------

    def _check_manifest(self) -> None:
        if not self._manifest_problems():
            return
        with self._db._lock:
            self._db._refuse_read()
            self._problems += self._manifest_problems()

    def _manifest_problems(self) -> list[VerifyProblem]:
        db = self._db
        assert db._manifest is not None
        current = filenames.current_path(db._directory)
        in_use = filenames.manifest_path(db._directory, db._manifest.number)
        try:
            found = read_manifest(db._filesystem, db._directory)
            self._require_state(
                found, filenames.manifest_path(db._directory, found.manifest_number)
            )
        except Error as error:
            problem = problem_of(error, in_use, current)
        else:
            self._checked_bytes += found.manifest_size
            return []
        if problem.path == in_use:
            return [problem]
        message = f"it does not lead to {in_use}, which is in use ({problem.message})"
        offset = problem.offset if problem.path == current else 0
        problems = [problem_of(CorruptionError(message, current, offset), current)]
        try:
            self._require_state(read_manifest_file(db._filesystem, in_use), in_use)
        except Error as error:
            problems.append(problem_of(error, in_use))
        return problems

    def _require_state(self, found: ManifestState, path: str) -> None:
        """The manifest leads to the state that its writer is at."""
        writer = self._db._manifest
        assert writer is not None
        # After a failed append or sync the file may hold an edit more, or a piece of it.
        is_certain = not writer.broken
        expected = writer.state
        if found.database_id != expected.database_id:
            raise CorruptionError("a manifest of another database", path, 0)
        if found.last_edit < expected.last_edit or (found.torn_size and is_certain):
            raise CorruptionError(
                f"edit {found.last_edit} is the last that is intact, the database is at edit "
                f"{expected.last_edit}",
                path,
                found.manifest_size,
            )
        if is_certain and found.version != expected.version:
            raise CorruptionError("it names other tables than those in use", path, 0)

    # --- logs ------------------------------------------------------------------------------------

    def _open_logs(self, files: contextlib.ExitStack) -> Sequence[LiveLog]:
        """REQUIRES: the lock, and so no log can be dropped."""
        db = self._db
        writers = [frozen.log for frozen in db._frozen]
        writers += [db._log] if db._log is not None else []
        logs = []
        for writer in writers:
            try:
                file = files.enter_context(db._filesystem.open(writer.path))
            except Error as error:
                self._add(error, writer.path)
                continue
            logs.append(LiveLog(file, writer.number, writer.length, writer.finished))
        return logs

    def _check_log(self, log: LiveLog) -> None:
        path = log.file.path
        try:
            size = log.file.size() if log.is_finished else log.length
            if size > LOG_SIZE_MAX:
                raise CorruptionError(f"{size} bytes, of which {log.length} were written", path)
            reader = SegmentReader(log.file.read(0, size), path)
            while reader.end is None:
                self._db._refuse_read()
                reader.replay(Memtable(), PIECE_SIZE_MAX)
            if reader.segment is not None and reader.segment.number != log.number:
                raise CorruptionError(f"it holds log segment {reader.segment.number}", path, 0)
            if reader.offset != log.length:
                raise CorruptionError(
                    f"{log.length} bytes were written, {reader.offset} are intact",
                    path,
                    reader.offset,
                )
            self._checked_bytes += size
        except Error as error:
            self._add(error, path)

    # --- tables ----------------------------------------------------------------------------------

    def _check_tables(self, tables: Sequence[Table]) -> None:
        for table in tables:
            self._db._refuse_read()
            summary = table.summary()
            try:
                table.verify()
            except Error as error:
                self._add(error, table.path)
            self._entry_count += summary.entry_count
            self._checked_bytes += summary.file_size
