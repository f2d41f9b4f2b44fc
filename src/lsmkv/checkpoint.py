"""A consistent copy of a live database, by hard links.

Tables are immutable, so linking them shares nothing that changes. Logs are not linked: a live,
mapped log would be shared by both copies. Everything is flushed first instead, and the copy starts
with a manifest of its own. CURRENT is written last; until then the copy does not open.
"""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from lsmkv import filenames
from lsmkv._native.vfs import FileSystem
from lsmkv.errors import Error, StorageError
from lsmkv.manifest import DATABASE_ID_SIZE, ManifestWriter

if TYPE_CHECKING:
    from lsmkv.db import DB

__all__ = ["make"]

COPY_CHUNK_SIZE = 1 << 20


def make(db: DB, path: str) -> None:
    """Write the copy. On failure the unfinished directory is left for inspection and does not
    open."""
    filesystem = db._filesystem
    path = os.fspath(path)
    if filesystem.exists(path):
        raise Error(f"{path} exists already")
    db.flush()
    with db._compaction_lock:  # no table can leave the version meanwhile
        with db._lock:
            version = db._tree.version
            state = db._parts.state if db._manifest is None else db._manifest.state
        filesystem.make_directory(path)
        for number in sorted(version.file_numbers):
            source = filenames.table_path(db._directory, number)
            _link_or_copy(filesystem, source, filenames.table_path(path, number))
    next_number = max((*version.file_numbers, state.next_file_number)) + 2
    copied = replace(
        state,
        database_id=db._parts.random_bytes(DATABASE_ID_SIZE),
        version=version,
        next_file_number=next_number,
        log_number=next_number,
        live_logs=(),
    )
    ManifestWriter.create(filesystem, path, next_number - 1, copied).close()
    filesystem.sync_directory(os.path.dirname(os.path.abspath(path)))


def _link_or_copy(filesystem: FileSystem, source: str, target: str) -> None:
    try:
        filesystem.link(source, target)
    except StorageError as error:
        if error.errno not in (errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        _copy(filesystem, source, target)


def _copy(filesystem: FileSystem, source: str, target: str) -> None:
    with filesystem.open(source, "r") as reader, filesystem.open(target, "x") as writer:
        offset = 0
        while chunk := reader.read(offset, COPY_CHUNK_SIZE):
            writer.append(chunk)
            offset += len(chunk)
        writer.sync()
