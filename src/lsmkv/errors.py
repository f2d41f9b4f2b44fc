"""The exceptions of lsmkv, in one shallow tree.

    Error
    ├── CorruptionError    bytes on disk are not what was written: names file and offset
    ├── ClosedError        the database, snapshot, iterator or batch was closed
    ├── LockedError        another opener has the database
    ├── ReadOnlyError      opened read-only, or an earlier I/O error made it so
    ├── ForkError          a handle of the parent used in a forked child
    ├── OptionsError       an unknown option or impossible value (also a ValueError)
    └── StorageError       the operating system refused (also an OSError, with errno and filename)

Argument mistakes raise TypeError and ValueError, a missing key KeyError, lack of memory
MemoryError. This module imports nothing of ours: every layer may raise these.
"""

from __future__ import annotations

__all__ = [
    "Error",
    "CorruptionError",
    "ClosedError",
    "LockedError",
    "ReadOnlyError",
    "ForkError",
    "OptionsError",
    "StorageError",
]


class Error(Exception):
    """Base of everything that lsmkv raises about its own state."""


class CorruptionError(Error):
    """Stored bytes are damaged, or do not belong where they were found.

    `path` names the file, `offset` the first byte of the damaged piece (None where it has no
    meaning).
    """

    def __init__(self, message: str, path: str | None = None, offset: int | None = None) -> None:
        where = "" if path is None else f"{path}"
        if offset is not None:
            where += f" at byte {offset}"
        super().__init__(f"{where}: {message}" if where else message)
        self.path = path
        self.offset = offset


class ClosedError(Error):
    """The object, or the database behind it, was closed."""


class LockedError(Error):
    """Another process, or another handle in this one, has the database open."""


class ReadOnlyError(Error):
    """A write to a database opened read-only, or made so by a failed write or sync (the message
    says which)."""


class ForkError(Error):
    """A handle opened before fork() was used in the child. Open the database after forking
    instead."""


class OptionsError(Error, ValueError):
    """An unknown option, or a value outside the range that the message states."""


class StorageError(Error, OSError):
    """The operating system refused: `errno`, `strerror` and `filename` as in OSError."""
