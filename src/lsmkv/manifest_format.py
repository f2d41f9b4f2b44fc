"""One line of the manifest: checksum, JSON, line feed; to bytes and back.

    9c3e5181 {"edit":7,"added":[],"removed":[[12,null]],"next_file_number":31,
              "last_sequence":5120,"log_number":29,"live_logs":[[29,null]]}

(one line in the file, without the break). The checksum is the CRC-32C of the JSON as eight
hexadecimal digits. Names are the attributes of TableMeta and VersionEdit and are persistent.
Keys, bounds and ids are hexadecimal; a removed table is [number, lower bound or null], a log is
[number, length or null]. A snapshot, the first line, has format, format_version and database_id
besides. The JSON contains no spaces and no line feeds.

Decoding trusts nothing: MalformedError for what we cannot have written, UnknownError for what a
newer version has written. A field that is not known here is refused unless its name starts with
`opt_`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from crc32c import crc32c

from lsmkv.errors import Error
from lsmkv.version import LogRef, TableKey, TableMeta, VersionEdit, VersionError

__all__ = [
    "DATABASE_ID_SIZE",
    "LINE_SIZE_MAX",
    "MalformedError",
    "UnknownError",
    "encode_snapshot",
    "encode_edit",
    "decode_snapshot",
    "decode_edit",
    "checked_line",
    "is_torn",
]

FORMAT_NAME = "lsmkv-manifest"
FORMAT_VERSION = 1
TABLE_FORMAT_VERSION = 1
DATABASE_ID_SIZE = 16  # bytes
LINE_SIZE_MAX = 1 << 29  # bytes; checked before a line is written or parsed
INTEGER_MAX = (1 << 63) - 1

_PREFIX_SIZE = 9  # eight hexadecimal digits and a space
_ZEROS = re.compile(rb"\0+")
_PIECE_SIZE = 64  # bytes; no device writes less at once
_HEXADECIMAL = re.compile("(?:[0-9a-f]{2})*")


class MalformedError(Exception):
    """A line with a good checksum that we cannot have written."""


class UnknownError(Exception):
    """A line that a newer version of lsmkv has written."""


# --- lines ---------------------------------------------------------------------------------------


def checked_line(data: bytes, offset: int, end: int) -> bytes | None:
    """The JSON of the line in data[offset:end]; None when it is incomplete or damaged."""
    if not offset + _PREFIX_SIZE <= end <= offset + LINE_SIZE_MAX:
        return None
    content = data[offset + _PREFIX_SIZE : end]
    return content if data.startswith(b"%08x " % crc32c(content), offset) else None


def is_torn(data: bytes, offset: int) -> bool:
    """Whether what stands from `offset` to the end, which is no intact line, can be what a crash
    left of an append: its beginning, or all of it with holes.

    Lines hold no zero byte, so zeros where a device may not have written are holes. A line that has
    none and its line feed, or wants only that, was written whole: it is damaged.
    """
    for run in _ZEROS.finditer(data, offset):
        starts = run.start() == offset or run.start() % _PIECE_SIZE == 0
        if starts and (run.end() == len(data) or run.end() % _PIECE_SIZE == 0):
            return True
    return not data.endswith(b"\n") and checked_line(data, offset, len(data) - 1) is None


def encode_edit(edit: VersionEdit) -> bytes:
    return _line(_edit_fields(edit))


def encode_snapshot(edit: VersionEdit, database_id: bytes) -> bytes:
    """The first line of a manifest; `edit` adds all there is."""
    identity = {
        "format": FORMAT_NAME,
        "format_version": FORMAT_VERSION,
        "database_id": database_id.hex(),
    }
    return _line(_edit_fields(edit) | identity)


def decode_edit(content: bytes) -> VersionEdit:
    fields = _parse(content)
    if isinstance(fields, dict) and "database_id" in fields:
        raise MalformedError("a snapshot among the edits")
    return _edit_from(_Fields(fields))


def decode_snapshot(content: bytes) -> tuple[VersionEdit, bytes]:
    """The edit that adds everything, and the database id."""
    fields = _Fields(_parse(content))
    if fields.text("format") != FORMAT_NAME:
        raise MalformedError("not a manifest of lsmkv")
    if fields.integer("format_version") != FORMAT_VERSION:
        raise UnknownError("a manifest format that this version of lsmkv does not know")
    database_id = fields.hexadecimal("database_id")
    if len(database_id) != DATABASE_ID_SIZE:
        raise MalformedError("database_id has the wrong size")
    return _edit_from(fields), database_id


def _line(fields: dict[str, Any]) -> bytes:
    content = json.dumps(fields, separators=(",", ":")).encode("ascii")
    line = b"%08x %b\n" % (crc32c(content), content)
    if len(line) > LINE_SIZE_MAX:
        raise Error(f"a manifest line of {len(line)} bytes, the limit is {LINE_SIZE_MAX}")
    return line


def _parse(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"not JSON: {error}") from None


# --- fields --------------------------------------------------------------------------------------


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _edit_fields(edit: VersionEdit) -> dict[str, Any]:
    return {
        "edit": edit.number,
        "added": [_table_fields(table) for table in edit.added],
        "removed": [[key.number, _hex(key.lower)] for key in edit.removed],
        "next_file_number": edit.next_file_number,
        "last_sequence": edit.last_sequence,
        "log_number": edit.log_number,
        "live_logs": [[log.number, log.length] for log in edit.live_logs],
    }


def _table_fields(table: TableMeta) -> dict[str, Any]:
    return {
        "number": table.number,
        "id": table.id.hex(),
        "file_size": table.file_size,
        "tail_size": table.tail_size,
        "smallest": table.smallest.hex(),
        "largest": table.largest.hex(),
        "first_sequence": table.first_sequence,
        "last_sequence": table.last_sequence,
        "epoch": table.epoch,
        "level": table.level,
        "entry_count": table.entry_count,
        "tombstone_count": table.tombstone_count,
        "lower": _hex(table.lower),
        "upper": _hex(table.upper),
        "has_range_deletes": table.has_range_deletes,
        "oldest_expiry_ms": table.oldest_expiry_ms,
        "format_version": table.format_version,
    }


class _Fields:
    """Takes typed fields out of a JSON object; `finish` refuses what nobody has taken."""

    def __init__(self, value: Any) -> None:
        if not isinstance(value, dict):
            raise MalformedError("not an object")
        self._rest: dict[str, Any] = dict(value)

    def _take(self, name: str) -> Any:
        if name not in self._rest:
            raise MalformedError(f"field {name!r} is missing")
        return self._rest.pop(name)

    def integer(self, name: str) -> int:
        return _as_integer(self._take(name), name)

    def optional_integer(self, name: str) -> int | None:
        value = self._take(name)
        return None if value is None else _as_integer(value, name)

    def boolean(self, name: str) -> bool:
        value = self._take(name)
        if not isinstance(value, bool):
            raise MalformedError(f"{name} is not a truth value")
        return value

    def text(self, name: str) -> str:
        value = self._take(name)
        if not isinstance(value, str):
            raise MalformedError(f"{name} is not a text")
        return value

    def hexadecimal(self, name: str) -> bytes:
        return _as_bytes(self._take(name), name)

    def optional_hexadecimal(self, name: str) -> bytes | None:
        value = self._take(name)
        return None if value is None else _as_bytes(value, name)

    def items(self, name: str) -> list[Any]:
        value = self._take(name)
        if not isinstance(value, list):
            raise MalformedError(f"{name} is not a list")
        return value

    def pairs(self, name: str) -> list[list[Any]]:
        pairs = self.items(name)
        if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
            raise MalformedError(f"{name} is not a list of pairs")
        return pairs

    def finish(self) -> None:
        unknown = sorted(name for name in self._rest if not name.startswith("opt_"))
        if unknown:
            raise UnknownError(f"written by a newer lsmkv: unknown field {unknown[0]!r}")


def _as_integer(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INTEGER_MAX:
        raise MalformedError(f"{name} is not a count")
    return value


def _as_bytes(value: Any, name: str) -> bytes:
    if not isinstance(value, str) or not _HEXADECIMAL.fullmatch(value):
        raise MalformedError(f"{name} is not hexadecimal")
    return bytes.fromhex(value)


def _edit_from(fields: _Fields) -> VersionEdit:
    edit = VersionEdit(
        number=fields.integer("edit"),
        added=tuple(_table_from(_Fields(item)) for item in fields.items("added")),
        removed=tuple(
            TableKey(
                _as_integer(number, "removed"),
                None if lower is None else _as_bytes(lower, "removed"),
            )
            for number, lower in fields.pairs("removed")
        ),
        next_file_number=fields.integer("next_file_number"),
        last_sequence=fields.integer("last_sequence"),
        log_number=fields.integer("log_number"),
        live_logs=tuple(
            LogRef(
                _as_integer(number, "live_logs"),
                None if length is None else _as_integer(length, "live_logs"),
            )
            for number, length in fields.pairs("live_logs")
        ),
    )
    fields.finish()
    return edit


def _table_from(fields: _Fields) -> TableMeta:
    try:
        table = _checked_table(fields)
    except VersionError as error:
        raise MalformedError(str(error)) from None
    fields.finish()
    # What such tables hide would come back if they were read without understanding.
    if table.format_version != TABLE_FORMAT_VERSION or table.has_range_deletes:
        raise UnknownError(f"table {table.number} was written by a newer lsmkv")
    return table


def _checked_table(fields: _Fields) -> TableMeta:
    return TableMeta(
        number=fields.integer("number"),
        id=fields.hexadecimal("id"),
        file_size=fields.integer("file_size"),
        tail_size=fields.integer("tail_size"),
        smallest=fields.hexadecimal("smallest"),
        largest=fields.hexadecimal("largest"),
        first_sequence=fields.integer("first_sequence"),
        last_sequence=fields.integer("last_sequence"),
        epoch=fields.integer("epoch"),
        level=fields.integer("level"),
        entry_count=fields.integer("entry_count"),
        tombstone_count=fields.integer("tombstone_count"),
        lower=fields.optional_hexadecimal("lower"),
        upper=fields.optional_hexadecimal("upper"),
        has_range_deletes=fields.boolean("has_range_deletes"),
        oldest_expiry_ms=fields.optional_integer("oldest_expiry_ms"),
        format_version=fields.integer("format_version"),
    )
