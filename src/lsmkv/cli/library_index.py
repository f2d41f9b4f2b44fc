"""An index of Python source files in a database: what the demo loads.

    key                                     value
    path                                    the text of the file
    name \\0 path \\0 line number (6 digits)  the line
    MARKER_KEY                              b"": this is a demo, which a later demo may replace

A name is whatever is spelled like an identifier: keywords and words in comments and strings are
names too. A name that stands twice in a line is one entry. Paths are relative to the root.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import lsmkv

__all__ = [
    "MARKER_KEY",
    "IndexSummary",
    "source_files",
    "build_index",
    "file_entries",
    "split_key",
]

MARKER_KEY = b"\x00lsmkv demo"
BATCH_ENTRIES = 1000

# Tests, and what is not part of the standard library.
SKIPPED_DIRECTORIES = frozenset(
    {"test", "tests", "idle_test", "site-packages", "dist-packages", "__pycache__"}
)

_ASCII_NAME = re.compile(rb"[A-Za-z_][A-Za-z0-9_]*")
_NAME = re.compile(r"[^\W\d]\w*")

Entry = tuple[bytes, bytes]


@dataclass(frozen=True)
class IndexSummary:
    """What was put in. `raw_bytes` counts keys and values."""

    file_count: int
    entry_count: int
    raw_bytes: int


def source_files(root: Path) -> list[Path]:
    """The Python files under `root` that belong to the library itself, in a fixed order."""
    found = []
    for directory, names, files in os.walk(root):
        names[:] = sorted(name for name in names if name not in SKIPPED_DIRECTORIES)
        found += [Path(directory, name) for name in sorted(files) if name.endswith(".py")]
    return found


def build_index(
    db: lsmkv.DB, root: Path, files: list[Path], report: Callable[[int, int], None]
) -> IndexSummary:
    """Put `files` in, a batch at a time. `report` is told bytes read and entries written so far."""
    db.put(MARKER_KEY, b"")
    entry_count = raw_bytes = read_bytes = 0
    batch: list[Entry] = []
    for path in files:
        text = path.read_bytes()
        for entry in file_entries(path.relative_to(root).as_posix(), text):
            batch.append(entry)
            if len(batch) == BATCH_ENTRIES:
                raw_bytes += _write(db, batch)
                entry_count += len(batch)
                batch = []
                report(read_bytes, entry_count)
        read_bytes += len(text)
    raw_bytes += _write(db, batch)
    entry_count += len(batch)
    report(read_bytes, entry_count)
    return IndexSummary(len(files), entry_count, raw_bytes)


def _write(db: lsmkv.DB, entries: list[Entry]) -> int:
    with db.write_batch() as batch:
        for key, value in entries:
            batch.put(key, value)
    return sum(len(key) + len(value) for key, value in entries)


def file_entries(name: str, text: bytes) -> Iterator[Entry]:
    """The entries of one file."""
    path = os.fsencode(name)
    yield path, text
    find_names = _ascii_names if text.isascii() else _unicode_names
    for number, line in enumerate(text.splitlines(), 1):
        names = find_names(line)
        if names:
            place = b"\x00%b\x00%06d" % (path, number)
            for found in names:
                yield found + place, line


def _ascii_names(line: bytes) -> set[bytes]:
    return set(_ASCII_NAME.findall(line))


def _unicode_names(line: bytes) -> set[bytes]:
    return {name.encode("utf-8") for name in _NAME.findall(line.decode("utf-8", "ignore"))}


def split_key(key: bytes) -> tuple[str, str]:
    """(name, "path:line") of a key; ("", path) of a whole file."""
    parts = key.decode("utf-8", "replace").split("\x00")
    if len(parts) != 3:
        return "", key.decode("utf-8", "replace")
    name, path, number = parts
    return name, f"{path}:{int(number)}"
