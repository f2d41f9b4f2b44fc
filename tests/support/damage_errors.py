"""What an error about a damaged file must say: which file, and where in it.

The file is the damaged one, but for damage that only shows in what contradicts it (WITNESSES).
The offset is that of the piece in which the damage lies:

    CURRENT    0, or none for a file too large to be read
    manifest   where the line begins that the first changed byte is in: lines are read in order
    log        where the first record begins that reference_log.py does not accept
    table      the first byte of a piece in which, or in the padding before which, a byte changed;
               of another size than it should have, that of the file
"""

from __future__ import annotations

from collections.abc import Mapping

import lsmkv
from lsmkv import filenames
from lsmkv._native.table import table_layout
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv.filenames import FileKind
from tests.support.reference_log import Corrupt, decode
from tests.support.repair_oracle import first_change

__all__ = ["check_error"]

LOG_HEADER_SIZE = 64
TABLE_ALIGNMENT = 64  # of a piece of the tail: the zeros before it are checked with it

# Which other files may tell, by the kind of the damaged one: a manifest that is complete in itself
# is contradicted by the logs and tables it names or does not know, CURRENT by the manifest that it
# names, and a log that ends early by a later one that begins where it ended.
WITNESSES: Mapping[FileKind, tuple[FileKind, ...]] = {
    FileKind.MANIFEST: (FileKind.LOG, FileKind.TABLE),
    FileKind.CURRENT: (FileKind.MANIFEST, FileKind.LOG, FileKind.TABLE),
    FileKind.LOG: (FileKind.LOG,),
    FileKind.TABLE: (),
}


def check_error(
    files: Mapping[str, bytes], path: str, content: bytes | None, error: lsmkv.Error
) -> None:
    """`files`: as they were; `path` now holds `content`, or is gone."""
    text = str(error)
    assert isinstance(error, lsmkv.CorruptionError), text
    assert error.path is not None, text
    kind = _kind_of(path)
    if error.path != path:
        assert _kind_of(error.path) in WITNESSES[kind], text
        assert kind is not FileKind.LOG or error.path > path, text
    elif content is None or path not in files:
        assert error.offset is None, text
    elif kind is FileKind.TABLE:
        _check_table(files[path], path, content, error)
    else:
        check = {FileKind.LOG: _log_offsets, FileKind.MANIFEST: _manifest_offsets}.get(kind)
        offsets = {0, None} if check is None else check(files[path], content)
        assert error.offset in offsets, f"{text}, not at {offsets}"


def _kind_of(path: str) -> FileKind:
    name = filenames.parse(path.rsplit("/", 1)[1])
    assert name is not None, path
    return name.kind


def _manifest_offsets(old: bytes, new: bytes) -> set[int | None]:
    return {new.rfind(b"\n", 0, first_change(old, new)) + 1}


def _log_offsets(old: bytes, new: bytes) -> set[int | None]:
    """None where an intact header says something that does not fit."""
    if old[:LOG_HEADER_SIZE] != new[:LOG_HEADER_SIZE]:
        return {0, None}
    decoded = decode(new)
    return {decoded.error.offset if isinstance(decoded.error, Corrupt) else decoded.offset}


def _check_table(old: bytes, path: str, new: bytes, error: lsmkv.CorruptionError) -> None:
    text, offset = str(error), error.offset
    assert offset is not None, text
    if len(old) != len(new):
        assert offset == len(new), text
        return
    filesystem = MemoryFileSystem()
    filesystem.make_directory(path.rsplit("/", 1)[0])
    with filesystem.open(path, "x") as file:
        file.append(old)
    pieces = table_layout(filesystem, path)
    assert offset < len(old), text
    [piece] = [piece for piece in pieces if piece.offset <= offset < piece.offset + piece.size]
    start, end = max(0, piece.offset - TABLE_ALIGNMENT), piece.offset + piece.size
    assert old[start:end] != new[start:end], f"nothing changed there: {text}"
