"""The manifest: which tables and logs make up the database, as numbered edits in a text file.

A manifest is a sequence of lines (manifest_format.py has their bytes):

    line 1    a snapshot: format, database id and the complete state after edit n
    line 2    edit n+1
    ...       consecutive numbers to the end

CURRENT holds the name of the manifest in use. Every open begins a new manifest; so does the owner
after any failed append, because what a failed write left behind is unknown. A file is complete
and synced before CURRENT points to it, and every append is synced before it counts: at most the
last line can be torn. A last line that is cut short or has holes, as a crash leaves it, is
therefore dropped. Any other damage is CorruptionError. A file that was cut within its newest edit
looks like a crash; each log segment records the edit number of its creation, and recovery refuses a
manifest whose `last_edit` is lower than a log claims.

This is not the place where versions are locked or installed: the owner appends an edit, and lets
readers see the state that `append` returns.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace

from lsmkv import filenames
from lsmkv._native.vfs import File, FileSystem
from lsmkv.errors import CorruptionError, Error, StorageError
from lsmkv.manifest_format import (
    DATABASE_ID_SIZE,
    LINE_SIZE_MAX,
    MalformedError,
    UnknownError,
    checked_line,
    decode_edit,
    decode_snapshot,
    encode_edit,
    encode_snapshot,
    is_torn,
)
from lsmkv.version import LogRef, Version, VersionEdit, VersionError

__all__ = [
    "ManifestState",
    "ManifestWriter",
    "read_manifest",
    "read_manifest_file",
    "MANIFEST_SIZE_MAX",
    "LINE_SIZE_MAX",
    "DATABASE_ID_SIZE",
]

MANIFEST_SIZE_MAX = 1 << 30  # bytes; checked before the file is read
ROTATE_SIZE_MIN = 4 << 20  # bytes; see ManifestWriter.is_large
CURRENT_SIZE_MAX = 64  # bytes


@dataclass(frozen=True)
class ManifestState:
    """Everything the manifest knows, after edit `last_edit`."""

    database_id: bytes
    version: Version = field(default_factory=Version)
    last_edit: int = 0
    next_file_number: int = 1
    last_sequence: int = 0
    log_number: int = 0
    live_logs: tuple[LogRef, ...] = ()
    # Where it was read from; 0 for a new database.
    manifest_number: int = 0
    manifest_size: int = 0  # bytes that hold this state
    torn_size: int = 0  # bytes after them that were dropped

    def apply(self, edit: VersionEdit) -> ManifestState:
        """The state after the next edit; VersionError when it does not follow from this one."""
        if edit.number != self.last_edit + 1:
            raise VersionError(f"edit {edit.number} follows edit {self.last_edit}")
        for name in ("next_file_number", "last_sequence", "log_number"):
            old, new = getattr(self, name), getattr(edit, name)
            if new < old:
                raise VersionError(f"{name} falls from {old} to {new}")
        _check_numbers(edit)
        return replace(
            self,
            version=self.version.apply(edit),
            last_edit=edit.number,
            next_file_number=edit.next_file_number,
            last_sequence=edit.last_sequence,
            log_number=edit.log_number,
            live_logs=edit.live_logs,
        )

    def snapshot(self) -> VersionEdit:
        """The whole state as one edit, numbered as the next one: a new manifest is an edit too."""
        return VersionEdit(
            number=self.last_edit + 1,
            added=tuple(self.version),
            removed=(),
            next_file_number=self.next_file_number,
            last_sequence=self.last_sequence,
            log_number=self.log_number,
            live_logs=self.live_logs,
        )


def _check_numbers(edit: VersionEdit) -> None:
    for table in edit.added:
        if table.number >= edit.next_file_number:
            raise VersionError(f"table {table.number} is not below next_file_number")
        if table.last_sequence > edit.last_sequence:
            raise VersionError(f"table {table.number} is newer than last_sequence")
    numbers = [log.number for log in edit.live_logs]
    if numbers != sorted(set(numbers)):
        raise VersionError("live logs are not in ascending order")
    if numbers and not edit.log_number <= numbers[0] <= numbers[-1] < edit.next_file_number:
        raise VersionError("live logs lie outside log_number and next_file_number")


# --- writing -------------------------------------------------------------------------------------


class ManifestWriter:
    """Appends edits to the manifest in use. Single owner; calls block on the disk."""

    def __init__(self, file: File, number: int, state: ManifestState, size: int) -> None:
        """Made by `create`."""
        self.number = number
        self.state = state
        self.size = size
        self.broken = False
        self.is_unsynced = False  # a line was written whole, and its sync failed
        self._file = file
        self._closed = False
        self._snapshot_size = size

    @classmethod
    def create(
        cls, filesystem: FileSystem, directory: str, number: int, state: ManifestState
    ) -> ManifestWriter:
        """Writes manifest `number` as a snapshot of `state` and points CURRENT to it.

        `number` comes from the file counter and no file may have it yet. The result's `state` is
        one edit further and has counted `number`. When this raises, CURRENT still names the old
        manifest or, if the last steps failed, either: go on with neither before the database was
        opened again.
        """
        next_file_number = max(state.next_file_number, number + 1)
        edit = replace(state.snapshot(), next_file_number=next_file_number)
        line = encode_snapshot(edit, state.database_id)
        file = filesystem.open(filenames.manifest_path(directory, number), "x")
        try:
            file.append(line)
            file.sync()
            filesystem.sync_directory(directory)
            temporary = _write_temporary(filesystem, directory, number)
        except BaseException:
            with contextlib.suppress(StorageError):
                file.close()
            with contextlib.suppress(StorageError):
                filesystem.remove(filenames.manifest_path(directory, number))
            raise
        try:
            filesystem.rename(temporary, filenames.current_path(directory))
            filesystem.sync_directory(directory)
        except BaseException:
            file.close()
            raise
        new_state = replace(
            state,
            last_edit=edit.number,
            next_file_number=next_file_number,
            manifest_number=number,
            manifest_size=len(line),
            torn_size=0,
        )
        return cls(file, number, new_state, len(line))

    def append(self, edit: VersionEdit) -> ManifestState:
        """Makes the next edit durable and returns (and keeps) the state after it.

        VersionError when it does not follow, with nothing written. After any other failure the
        writer is `broken`: the edit may or may not be in the file, and only a new manifest says
        which.
        """
        if self.broken:
            raise Error(f"manifest {self.number} is broken by a failed append: begin a new one")
        state = self.state.apply(edit)
        line = encode_edit(edit)
        if self.size + len(line) > MANIFEST_SIZE_MAX:
            raise Error(f"manifest {self.number} would grow above {MANIFEST_SIZE_MAX} bytes")
        self.broken = True
        self._file.append(line)
        self.is_unsynced = True
        self._file.sync()
        self.is_unsynced = False
        self.size += len(line)
        self.state = replace(state, manifest_size=self.size)
        self.broken = False  # last: an interrupt leaves a broken writer, never an unknown edit
        return self.state

    @property
    def is_large(self) -> bool:
        """Edits outweigh the snapshot so far that a new manifest is due: reading would be slow."""
        due = max(ROTATE_SIZE_MIN, 4 * self._snapshot_size)
        return self.size > min(due, MANIFEST_SIZE_MAX // 2)

    def close(self) -> None:
        """Closes the file. Nothing is lost: every append was synced. Closing twice is harmless."""
        if not self._closed:
            self._closed = True
            self.broken = True
            self._file.close()


def _write_temporary(filesystem: FileSystem, directory: str, number: int) -> str:
    """The path of a file that can take the place of CURRENT and point to manifest `number`."""
    path = filenames.temporary_path(directory)
    name = filenames.FileName(filenames.FileKind.MANIFEST, number)
    file = filesystem.open(path, "w")
    try:
        file.append(f"{name}\n".encode("ascii"))
        file.sync()
    finally:
        file.close()
    return path


# --- reading -------------------------------------------------------------------------------------


def read_manifest(filesystem: FileSystem, directory: str) -> ManifestState:
    """The state that CURRENT leads to. REQUIRES: CURRENT exists.

    CorruptionError names file and offset; Error when a newer version of lsmkv wrote the manifest.
    """
    number = _read_current(filesystem, directory)
    path = filenames.manifest_path(directory, number)
    if not filesystem.exists(path):
        raise CorruptionError("CURRENT names it, but it does not exist", path)
    return replace(read_manifest_file(filesystem, path), manifest_number=number)


def read_manifest_file(filesystem: FileSystem, path: str) -> ManifestState:
    """What a manifest says, whether or not CURRENT names it. Errors as of `read_manifest`."""
    size = filesystem.file_size(path)
    if size > MANIFEST_SIZE_MAX:
        raise CorruptionError(f"{size} bytes, a manifest has at most {MANIFEST_SIZE_MAX}", path)
    return _read_lines(filesystem.read_file(path, MANIFEST_SIZE_MAX), path)


def _read_current(filesystem: FileSystem, directory: str) -> int:
    path = filenames.current_path(directory)
    if filesystem.file_size(path) > CURRENT_SIZE_MAX:
        raise CorruptionError("larger than any file name", path)
    text = filesystem.read_file(path, CURRENT_SIZE_MAX).decode("ascii", "replace")
    name = filenames.parse(text.removesuffix("\n"))
    complete = text.endswith("\n")
    if not complete or name is None or name.kind is not filenames.FileKind.MANIFEST:
        raise CorruptionError("does not name a manifest", path, 0)
    return name.number


def _read_lines(data: bytes, path: str) -> ManifestState:
    state: ManifestState | None = None
    offset = 0
    while offset < len(data):
        end = data.find(b"\n", offset)
        is_last = end < 0 or end + 1 == len(data)
        content = checked_line(data, offset, end)
        if content is None:
            if state is None or not is_last or not is_torn(data, offset):
                raise CorruptionError("damaged manifest line", path, offset)
            return replace(state, manifest_size=offset, torn_size=len(data) - offset)
        try:
            state = _first_state(content) if state is None else state.apply(decode_edit(content))
        except (MalformedError, VersionError) as error:
            raise CorruptionError(f"impossible manifest line: {error}", path, offset) from error
        except UnknownError as error:
            raise Error(f"{path}: {error}") from None
        offset = end + 1
    if state is None:
        raise CorruptionError("an empty manifest", path, 0)
    return replace(state, manifest_size=offset)


def _first_state(content: bytes) -> ManifestState:
    edit, database_id = decode_snapshot(content)
    return ManifestState(database_id, last_edit=edit.number - 1).apply(edit)
