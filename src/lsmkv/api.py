"""The entry points: open, destroy, repair, verify."""

from __future__ import annotations

import errno
import os
from typing import Any

from lsmkv import filenames
from lsmkv._native.vfs import FileSystem, MemoryFileSystem, PosixFileSystem
from lsmkv.db import DB
from lsmkv.errors import Error, StorageError
from lsmkv.filenames import FileKind, FileName
from lsmkv.opening import lock_directory, open_parts
from lsmkv.options import Options
from lsmkv.repair import RepairReport, repair_directory
from lsmkv.verify import VerifyReport, holds_database, verify_directory

__all__ = ["open", "destroy", "repair", "verify"]

DATABASE_KINDS = {FileKind.CURRENT, FileKind.MANIFEST}  # what only a database has
MEMORY_PATH = ":memory:"
MEMORY_DIRECTORY = "/memory"


def open(
    path: str | os.PathLike[str],
    *,
    create: bool = True,
    error_if_exists: bool = False,
    read_only: bool = False,
    filesystem: FileSystem | None = None,
    **options: Any,
) -> DB:
    """Open the database in directory `path`, making it if need be. Use it in a `with` block, or
    close it.

    `":memory:"` opens an empty database that lives in memory and is gone when closed.
    create: make the database when there is none. error_if_exists: refuse when there is one.
    read_only: nothing is written, not even the log is tidied; several may be open at once, but not
    beside a writer that goes on writing. filesystem: where the files are, for tests and simulation.
    Other keywords are the fields of lsmkv.Options.

    Raises OptionsError, LockedError (another opener holds it), CorruptionError, StorageError, and
    Error for a path that is not a database.
    """
    settings = Options.from_keywords(**options)
    directory = os.fspath(path)
    if directory == MEMORY_PATH and filesystem is None:
        filesystem, directory = MemoryFileSystem(), MEMORY_DIRECTORY
    parts, lock = open_parts(
        filesystem if filesystem is not None else PosixFileSystem(),
        directory,
        settings,
        create=create,
        error_if_exists=error_if_exists,
        read_only=read_only,
        random_bytes=os.urandom,
    )
    try:
        return DB(parts, lock)
    except BaseException:
        for file in (parts.manifest, lock):
            if file is not None:
                file.close()
        raise


def destroy(path: str | os.PathLike[str], *, filesystem: FileSystem | None = None) -> None:
    """Delete the database in `path`: every file of ours, then the directory if nothing else is in
    it.

    Without a CURRENT or a MANIFEST the directory is taken for somebody else's: of that only LOCK
    and CURRENT.tmp go, and where there is no LOCK nothing is touched. Repeat it if it fails: then
    nothing is left of it, or an empty directory where only its removal had failed.
    Raises LockedError while somebody has it open.
    """
    files = filesystem if filesystem is not None else PosixFileSystem()
    directory = os.fspath(path)
    if not files.exists(directory):
        return
    if not files.is_directory(directory):
        raise Error(f"{directory} is a file, not a database directory")
    if not _kinds(files, directory) & {*DATABASE_KINDS, FileKind.LOCK}:
        return
    lock = lock_directory(files, directory, os.urandom)
    try:
        _remove_files(files, directory)
        files.remove(filenames.lock_path(directory))
    finally:
        lock.close()
    _remove_if_empty(files, directory)


def repair(path: str | os.PathLike[str], *, filesystem: FileSystem | None = None) -> RepairReport:
    """Rebuild a damaged database from what is intact; what cannot be used is moved to `lost/`.

    Keeps every entry of an intact block of a table and every intact record of the logs.
    Error when the directory holds nothing of a database, LockedError while somebody has it open.
    """
    files = filesystem if filesystem is not None else PosixFileSystem()
    directory = os.fspath(path)
    if not files.exists(directory) or not files.is_directory(directory):
        raise Error(f"{directory} is not a database directory")
    if not _kinds(files, directory) - {FileKind.LOCK, FileKind.TEMPORARY, FileKind.LOST}:
        raise Error(f"{directory} holds no database")
    lock = lock_directory(files, directory, os.urandom)
    try:
        return repair_directory(files, directory, os.urandom)
    finally:
        lock.close()


def verify(path: str | os.PathLike[str], *, filesystem: FileSystem | None = None) -> VerifyReport:
    """Check every file of the database in `path` by itself, also where an open is refused: the
    report names all that is damaged, with file and offset.

    Writes nothing and takes no lock. What another process writes meanwhile may look like damage; of
    a database that this one has open, ask `DB.verify`. Error when the directory holds none.
    """
    files = filesystem if filesystem is not None else PosixFileSystem()
    directory = os.fspath(path)
    if not files.exists(directory):
        raise Error(f"{directory} does not exist")
    if not files.is_directory(directory):
        raise Error(f"{directory} is a file, not a database directory")
    if not holds_database(files, directory):
        raise Error(f"{directory} holds no database")
    return verify_directory(files, directory)


def _names(files: FileSystem, directory: str) -> list[FileName]:
    """The files of ours."""
    parsed = [filenames.parse(name) for name in sorted(files.list_directory(directory))]
    return [name for name in parsed if name is not None]


def _kinds(files: FileSystem, directory: str) -> set[FileKind]:
    return {name.kind for name in _names(files, directory)}


def _remove_files(files: FileSystem, directory: str) -> None:
    """Everything but LOCK. CURRENT goes first, and the directory no longer opens; MANIFESTs go
    last, and until then it is known for ours."""
    names = [name for name in _names(files, directory) if name.kind is not FileKind.LOCK]
    kinds = {name.kind for name in names}
    if not kinds & DATABASE_KINDS:
        names = [name for name in names if name.kind is FileKind.TEMPORARY]
    mark = FileKind.MANIFEST if FileKind.MANIFEST in kinds else FileKind.CURRENT
    names.sort(key=lambda name: name.kind is not FileKind.CURRENT)
    for name in names:
        if name.kind is FileKind.LOST:
            _remove_lost(files, filenames.lost_directory(directory))
        elif name.kind is not mark:
            files.remove(name.path(directory))
    files.sync_directory(directory)
    for name in names:
        if name.kind is mark:
            files.remove(name.path(directory))


def _remove_lost(files: FileSystem, directory: str) -> None:
    for name in files.list_directory(directory):
        files.remove(os.path.join(directory, name))
    files.remove_directory(directory)


def _remove_if_empty(files: FileSystem, directory: str) -> None:
    try:
        files.remove_directory(directory)
    except StorageError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise
