"""Damage to files of a closed or open database."""

from __future__ import annotations

from lsmkv import filenames
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv.filenames import FileKind

__all__ = ["damage_value"]

SIZE_MAX = 1 << 30


def damage_value(files: MemoryFileSystem, directory: str, value: bytes) -> str:
    """Flip a bit in the one table block that holds `value`; the path of its table. Tables must not
    be compressed."""
    found = []
    for text in sorted(files.list_directory(directory)):
        name = filenames.parse(text)
        if name is None or name.kind is not FileKind.TABLE:
            continue
        path = name.path(directory)
        data = bytearray(files.read_file(path, SIZE_MAX))
        offset = data.find(value)
        if offset >= 0:
            data[offset] ^= 0x10
            with files.open(path, "w") as file:
                file.append(bytes(data))
                file.sync()
            found.append(path)
    [path] = found
    return path
