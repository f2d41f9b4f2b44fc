"""The names of the files in a database directory. No other module spells one.

    name              kind        what it is
    000012.log        LOG         a segment of the commit log
    000013.sst        TABLE       a sorted table
    MANIFEST-000014   MANIFEST    numbered edits of the version, see manifest.py
    CURRENT           CURRENT     one line: the name of the manifest in use
    CURRENT.tmp       TEMPORARY   the next CURRENT before it is renamed; may be deleted at any time
    LOCK              LOCK        held by the one opener: its process id and a random token
    lost              LOST        a directory: what may be the only copy of something, see lost.py

Numbers come from one counter, so no two files ever share one. They are decimal, padded with zeros
to six digits and longer when they must be; 0 is not a file number. A name that would not be
produced here is not ours: `parse` returns None and the file is left alone.
"""

from __future__ import annotations

import enum
import posixpath
import re
from dataclasses import dataclass

__all__ = [
    "FileKind",
    "FileName",
    "parse",
    "FILE_NUMBER_MAX",
    "TABLE_PATH_SUFFIX",
    "table_path_prefix",
    "log_path",
    "table_path",
    "manifest_path",
    "current_path",
    "temporary_path",
    "lock_path",
    "lost_directory",
]

FILE_NUMBER_MAX = (1 << 63) - 1

# A job in native code builds table paths itself: prefix + number padded to six digits + suffix.
TABLE_PATH_SUFFIX = ".sst"


class FileKind(enum.Enum):
    """What a file of the database directory is for."""

    LOG = "log"
    TABLE = "table"
    MANIFEST = "manifest"
    CURRENT = "current"
    TEMPORARY = "temporary"
    LOCK = "lock"
    LOST = "lost"


_FIXED_NAMES = {
    FileKind.CURRENT: "CURRENT",
    FileKind.TEMPORARY: "CURRENT.tmp",
    FileKind.LOCK: "LOCK",
    FileKind.LOST: "lost",
}
_AFFIXES = {
    FileKind.LOG: ("", ".log"),
    FileKind.TABLE: ("", TABLE_PATH_SUFFIX),
    FileKind.MANIFEST: ("MANIFEST-", ""),
}
_NUMBER = "([0-9]{6}|[1-9][0-9]{6,18})"
_PATTERNS = {
    kind: re.compile(re.escape(prefix) + _NUMBER + re.escape(suffix))
    for kind, (prefix, suffix) in _AFFIXES.items()
}
_FIXED_KINDS = {name: kind for kind, name in _FIXED_NAMES.items()}


@dataclass(frozen=True)
class FileName:
    """A kind and, for the numbered kinds, the file's number; `str()` is the name on disk."""

    kind: FileKind
    number: int = 0

    def __post_init__(self) -> None:
        if self.kind in _AFFIXES:
            if not 0 < self.number <= FILE_NUMBER_MAX:
                raise ValueError(f"{self.number} is not a file number")
        elif self.number != 0:
            raise ValueError(f"a {self.kind.value} file has no number")

    def __str__(self) -> str:
        if self.kind in _FIXED_NAMES:
            return _FIXED_NAMES[self.kind]
        prefix, suffix = _AFFIXES[self.kind]
        return f"{prefix}{self.number:06d}{suffix}"

    def path(self, directory: str) -> str:
        return posixpath.join(directory, str(self))


def parse(name: str) -> FileName | None:
    """The inverse of `str(FileName)`; None for a name that is not ours."""
    if name in _FIXED_KINDS:
        return FileName(_FIXED_KINDS[name])
    for kind, pattern in _PATTERNS.items():
        match = pattern.fullmatch(name)
        if match is not None:
            number = int(match[1])
            return FileName(kind, number) if 0 < number <= FILE_NUMBER_MAX else None
    return None


def log_path(directory: str, number: int) -> str:
    return FileName(FileKind.LOG, number).path(directory)


def table_path(directory: str, number: int) -> str:
    return FileName(FileKind.TABLE, number).path(directory)


def table_path_prefix(directory: str) -> str:
    """What stands before the number in `table_path`: the directory and one slash."""
    return posixpath.join(directory, "")


def manifest_path(directory: str, number: int) -> str:
    return FileName(FileKind.MANIFEST, number).path(directory)


def current_path(directory: str) -> str:
    return FileName(FileKind.CURRENT).path(directory)


def temporary_path(directory: str) -> str:
    return FileName(FileKind.TEMPORARY).path(directory)


def lock_path(directory: str) -> str:
    return FileName(FileKind.LOCK).path(directory)


def lost_directory(directory: str) -> str:
    return FileName(FileKind.LOST).path(directory)
