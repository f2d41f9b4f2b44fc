"""lost/: where files go that may be the only copy of something. Nothing is ever overwritten there.

A file is first linked into lost/ and only removed from its place when the state that does without
it is durable: a crash in between leaves it in both places, never in none.
"""

from __future__ import annotations

import errno
import os

from lsmkv import filenames
from lsmkv._native.vfs import FileSystem
from lsmkv.errors import StorageError

__all__ = ["keep_in_lost", "move_to_lost"]

NO_LINK_ERRNOS = (errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS)


def keep_in_lost(filesystem: FileSystem, directory: str, path: str) -> bool:
    """Put the file of the database `directory` under lost/ as well.

    False where the file system has no hard links: then the file has moved there.
    """
    target = _free_place(filesystem, directory, path)
    try:
        filesystem.link(path, target)
        linked = True
    except StorageError as error:
        if error.errno not in NO_LINK_ERRNOS:
            raise
        filesystem.rename(path, target)
        linked = False
    filesystem.sync_directory(os.path.dirname(target))
    return linked


def move_to_lost(filesystem: FileSystem, directory: str, path: str) -> None:
    """Move the file there, where it is durable before it leaves its place. That it has left is
    so when the caller syncs the database directory."""
    if keep_in_lost(filesystem, directory, path):
        filesystem.remove(path)


def _free_place(filesystem: FileSystem, directory: str, path: str) -> str:
    """Its own name in lost/; with a number behind it when an earlier file has that."""
    lost = filenames.lost_directory(directory)
    if not filesystem.exists(lost):
        filesystem.make_directory(lost)
        filesystem.sync_directory(directory)
    target = wanted = os.path.join(lost, os.path.basename(path))
    count = 1
    while filesystem.exists(target):
        count += 1
        target = f"{wanted}.{count}"
    return target
