"""Manifests of any bytes: read as a state that follows from its lines, or refused as it should be.

The first byte says whether checksums are made right: then what is behind them is met.
"""

from __future__ import annotations

from lsmkv import manifest
from lsmkv.errors import CorruptionError, Error
from lsmkv.manifest_format import decode_edit, encode_edit
from lsmkv.version import VersionError

__all__ = ["run_input"]

from crc32c import crc32c

PATH = "/db/MANIFEST-000001"


def with_checksums(data: bytes) -> bytes:
    """Every line with a right one before it."""
    lines = data.splitlines(keepends=True)
    return b"".join(b"%08x " % crc32c(line.rstrip(b"\n")) + line for line in lines)


def run_input(data: bytes) -> None:
    """AssertionError, or any other exception, for what must not be."""
    content = with_checksums(data[1:]) if data[:1] > b"\x7f" else data[1:]
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
    again = manifest._read_lines(content[: state.manifest_size], PATH)
    assert (again.version, again.last_edit) == (state.version, state.last_edit)
    snapshot = state.snapshot()
    line = encode_edit(snapshot)
    try:
        assert decode_edit(line[9:-1]) == snapshot
    except VersionError as error:
        raise AssertionError("a state that cannot be written") from error
