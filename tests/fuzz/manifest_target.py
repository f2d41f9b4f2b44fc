"""Manifests of any bytes: read as a state that follows from its lines, or refused as it should be.

The first byte says what the others are: a file; lines whose checksums are made right, so that what
is behind them is met; or choices of whole lines (drawn_manifest.py) and of the end of the file.
"""

from __future__ import annotations

from itertools import pairwise

from crc32c import crc32c

from lsmkv import manifest
from lsmkv.errors import CorruptionError, Error
from lsmkv.manifest_format import decode_edit, encode_edit, encode_snapshot
from lsmkv.version import KeyRange, Version, VersionError
from tests.fuzz.choices import Choices
from tests.fuzz.drawn_manifest import drawn_manifest

__all__ = ["run_input"]

PATH = "/db/MANIFEST-000001"


def with_checksums(data: bytes) -> bytes:
    """Every line with a right one before it."""
    lines = data.splitlines(keepends=True)
    return b"".join(b"%08x " % crc32c(line.rstrip(b"\n")) + line for line in lines)


def content_of(data: bytes) -> bytes:
    kind = data[0] if data else 0
    if kind < 0x80:
        return data[1:]
    if kind < 0xC0:
        return with_checksums(data[1:])
    choices = Choices(data[1:])
    cut, hole = choices.below(64), 64 * choices.below(3)
    content = with_checksums(drawn_manifest(choices))
    return content[: len(content) - cut] + bytes(hole)


def check_version(version: Version) -> None:
    """What a read relies on, in plain words."""
    for level, tables in enumerate(version.levels):
        assert all(table.level == level for table in tables)
        for newer, older in pairwise(tables):
            if level > 0:
                assert newer.stop <= older.start
            elif KeyRange(newer.start, newer.stop).overlaps(older):
                assert newer.first_sequence > older.last_sequence


def run_input(data: bytes) -> None:
    """AssertionError, or any other exception, for what must not be."""
    content = content_of(data)
    try:
        state = manifest._read_lines(content, PATH)
    except CorruptionError as error:
        assert error.path == PATH
        assert error.offset is None or 0 <= error.offset <= len(content)
        return
    except Error as error:
        assert PATH in str(error)
        return
    assert state.manifest_size + state.torn_size == len(content)
    check_version(state.version)
    again = manifest._read_lines(content[: state.manifest_size], PATH)
    assert (again.version, again.last_edit) == (state.version, state.last_edit)
    snapshot = state.snapshot()
    line = encode_edit(snapshot)
    try:
        assert decode_edit(line[9:-1]) == snapshot
    except VersionError as error:
        raise AssertionError("a state that cannot be written") from error
    rewritten = manifest._read_lines(encode_snapshot(snapshot, state.database_id), PATH)
    assert (rewritten.version, rewritten.snapshot().number) == (state.version, snapshot.number + 1)
