"""The pieces of a manifest (format: manifest_format.py) and of CURRENT.

Each line stands for itself, so one damaged line hides only itself. Fields that this version does
not know are shown, not refused: a dump decides nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from lsmkv import filenames
from lsmkv.cli.piece import Piece, show_key
from lsmkv.filenames import FileKind
from lsmkv.manifest_format import checked_line, is_torn

__all__ = ["looks_like_manifest", "manifest_pieces", "current_pieces"]

TORN = "torn end: an edit that a crash cut short"
MISMATCH = "line does not match its checksum"

_LINE_START = re.compile(rb"[0-9a-f]{8} \{")

# Shown in the line of an edit and of a table; every other field follows by name.
_EDIT_FIELDS = {"edit", "added", "removed", "live_logs", "format", "format_version", "database_id"}
_TABLE_FIELDS = {"number", "level", "entry_count", "smallest", "largest"}


def looks_like_manifest(data: bytes) -> bool:
    return _LINE_START.match(data) is not None


def manifest_pieces(data: bytes) -> Iterator[Piece]:
    """One piece for each line, and one inside it for each table and log that it names."""
    offset = 0
    while offset < len(data):
        line_feed = data.find(b"\n", offset)
        end = len(data) if line_feed < 0 else line_feed + 1
        content = checked_line(data, offset, line_feed)
        if content is None:
            # As in recovery: only the end of the file can be torn, and never the first line.
            torn = offset > 0 and end == len(data) and is_torn(data, offset)
            meaning = TORN if torn else MISMATCH
            yield Piece(offset, end - offset, meaning, damaged=not torn)
        else:
            yield from _line_pieces(content, offset, end - offset)
        offset = end


def _line_pieces(content: bytes, offset: int, size: int) -> Iterator[Piece]:
    try:
        fields = json.loads(content)
        pieces = [Piece(offset, size, _describe_edit(fields)), *_parts(fields, offset)]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        # The checksum is right, so this was written on purpose, but not by us.
        yield Piece(offset, size, f"intact line of an unknown shape: {error!r}", damaged=True)
        return
    yield from pieces


def _describe_edit(fields: dict[str, Any]) -> str:
    what = f"edit {fields['edit']}"
    if "format" in fields:
        what = (
            f"snapshot, {what}: {fields['format']} version {fields['format_version']}, "
            f"database {fields['database_id']}"
        )
    rest = [f"{name} {value}" for name, value in fields.items() if name not in _EDIT_FIELDS]
    return "; ".join([what, *rest])


def _parts(fields: dict[str, Any], offset: int) -> Iterator[Piece]:
    for number, lower in fields["removed"]:
        part = "" if lower is None else f", the part from {show_key(bytes.fromhex(lower))}"
        yield Piece(offset, 0, f"- table {number}{part}", depth=1)
    for table in fields["added"]:
        yield Piece(offset, 0, f"+ {_describe_table(table)}", depth=1)
    for number, length in fields["live_logs"]:
        end = "" if length is None else f", {length} bytes"
        yield Piece(offset, 0, f"log {number}{end}", depth=1)


def _describe_table(table: dict[str, Any]) -> str:
    smallest, largest = (show_key(bytes.fromhex(table[name])) for name in ("smallest", "largest"))
    others = {name: value for name, value in table.items() if name not in _TABLE_FIELDS and value}
    rest = [f"{name} {value}" for name, value in others.items()]
    return (
        f"table {table['number']} in level {table['level']}: {table['entry_count']} entries, "
        f"{smallest} .. {largest}; {', '.join(rest)}"
    )


def current_pieces(data: bytes) -> Iterator[Piece]:
    """CURRENT: the name of a manifest and a line feed."""
    text = data.decode("ascii", "replace")
    name = filenames.parse(text.removesuffix("\n"))
    if name is not None and name.kind is FileKind.MANIFEST and text.endswith("\n"):
        yield Piece(0, len(data), f"the manifest in use is {name}")
    else:
        yield Piece(0, len(data), "does not name a manifest", damaged=True)
