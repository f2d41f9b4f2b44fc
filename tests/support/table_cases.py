"""Families of table contents, and short ways to write, open and read a table."""

import random

from lsmkv._native.block import DELETE, PUT
from lsmkv._native.table import SEQUENCE_MAX, TableBuilder, TableSpace
from lsmkv._native.vfs import MemoryFileSystem

ID = bytes(range(16))
PATH = "000001.sst"


def sequential(count=500):
    return [(b"%016d" % i, i + 1, PUT, b"value-%d" % i * (i % 7)) for i in range(count)]


def versions(count=400):
    """A few keys with very many versions each: blocks are cut inside them."""
    keys = [b"", b"a", b"a\0", b"b" * 40]
    return [
        (key, sequence, PUT, b"%d" % sequence) if sequence % 5 else (key, sequence, DELETE, b"")
        for key in keys
        for sequence in range(count, 0, -1)
    ]


def random_keys(seed=7, count=300):
    source = random.Random(seed)
    keys = sorted({source.randbytes(source.choice((0, 1, 3, 8, 9, 16, 40))) for _ in range(count)})
    return [
        (
            key,
            source.randrange(1, 1 << 56),
            source.choice((PUT, PUT, DELETE)),
            source.randbytes(source.choice((0, 1, 20, 300))),
        )
        for key in keys
    ]


def tricky_keys():
    """Equal heads, zero padding, runs of 0xFF: where heads and separators could lie."""
    parts = [
        b"",
        b"\0",
        b"\xff",
        b"\xff\xff",
        b"a",
        b"a\0",
        b"aaaaaaaa",
        b"aaaaaaaa\0",
        b"aaaaaaaab",
    ]
    keys = sorted({a + b + c for a in parts for b in parts for c in parts})
    return [(key, 5, PUT, key[:3]) for key in keys]


def large():
    """64 KiB keys and values far beyond a block."""
    entries = [(bytes([65 + i]) * (65536 - i), i + 1, PUT, b"x" * i) for i in range(6)]
    entries += [(b"z%d" % i, 100 + i, PUT, random.Random(i).randbytes(1 << 20)) for i in range(2)]
    return sorted(entries)


FAMILIES = {
    "one": [(b"k", 1, PUT, b"v")],
    "empty key": [(b"", SEQUENCE_MAX, PUT, b"")],
    "sequential": sequential(),
    "versions": versions(),
    "random": random_keys(),
    "tricky": tricky_keys(),
    "large": large(),
}


def write(file_system, entries, path=PATH, **options):
    builder = TableBuilder(file_system, path, **{"id": ID, **options})
    for entry in entries:
        builder.add(*entry)
    return builder.finish()


def read_file(file_system, path=PATH):
    return file_system.read_file(path, 1 << 30)


def replace_file(file_system, data, path=PATH):
    with file_system.open(path, "w") as file:
        file.append(data)


def make(entries, cache_size_bytes=1 << 20, **options):
    """(file system, space, table) of a fresh table in memory."""
    file_system = MemoryFileSystem()
    summary = write(file_system, entries, **options)
    space = TableSpace(file_system, cache_size_bytes=cache_size_bytes)
    table = space.open(
        PATH, 1, id=summary.id, file_size=summary.file_size, tail_size=summary.tail_size
    )
    return file_system, space, table


def newest(entries, key, sequence=SEQUENCE_MAX):
    """What a get must find, from the list itself."""
    for entry_key, entry_sequence, kind, value in entries:
        if entry_key == key and entry_sequence <= sequence:
            return entry_sequence, kind, value
    return None
