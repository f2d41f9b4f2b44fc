"""dump: any file of ours, piece by piece, with offsets and meanings; damage is no obstacle.

The kind of a file is told by its first bytes, or by its name where those say nothing.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Callable, Iterator

from lsmkv import filenames
from lsmkv._native.vfs import PosixFileSystem
from lsmkv.cli.arguments import Commands, add_command, add_json
from lsmkv.cli.dump_log import LOG_MAGIC, log_pieces
from lsmkv.cli.dump_manifest import current_pieces, looks_like_manifest, manifest_pieces
from lsmkv.cli.dump_table import TABLE_MAGIC, table_pieces
from lsmkv.cli.output import Output
from lsmkv.cli.piece import Piece
from lsmkv.errors import Error
from lsmkv.filenames import FileKind

__all__ = ["register", "file_pieces"]

FILE_SIZE_MAX = 1 << 33  # bytes; the file is read whole


def register(commands: Commands) -> None:
    """Add the command of this file."""
    dump = add_command(
        commands,
        "dump",
        run_dump,
        "print a file of a database with offsets and meanings",
        "FILE is a log segment, a table, a manifest or CURRENT. Exits with 1 if there is damage; "
        "what is intact is printed all the same.",
        database=False,
    )
    dump.add_argument("file", metavar="FILE")
    dump.add_argument(
        "--entries", action="store_true", help="of a table: the entries of every data block too"
    )
    add_json(dump)


def run_dump(arguments: argparse.Namespace) -> int:
    output = Output()
    damaged = False
    if not arguments.json:
        output.line(f"{'offset':>12} {'size':>10}  meaning")
    for piece in file_pieces(arguments.file, entries=arguments.entries):
        damaged = damaged or piece.damaged
        if arguments.json:
            output.json(dataclasses.asdict(piece))
        else:
            mark = "DAMAGED: " if piece.damaged else ""
            indent = "    " * piece.depth
            output.line(f"{piece.offset:>12} {piece.size:>10}  {indent}{mark}{piece.meaning}")
    return 1 if damaged else 0


def file_pieces(path: str, *, entries: bool = False) -> Iterator[Piece]:
    """The pieces of the file in order. Error when it is none of ours."""
    if os.path.isdir(path):
        raise Error(f"{path} is a directory: dump takes one file of a database")
    data = PosixFileSystem().read_file(path, FILE_SIZE_MAX)
    if not data:
        return iter([Piece(0, 0, "an empty file")])
    kind = _kind_by_content(data) or _kind_by_name(path)
    if kind is None:
        raise Error(f"{path} is no file of lsmkv")
    readers: dict[FileKind, Callable[[], Iterator[Piece]]] = {
        FileKind.LOG: lambda: log_pieces(data, path),
        FileKind.TABLE: lambda: table_pieces(data, entries=entries),
        FileKind.MANIFEST: lambda: manifest_pieces(data),
        FileKind.CURRENT: lambda: current_pieces(data),
        FileKind.TEMPORARY: lambda: current_pieces(data),
        FileKind.LOCK: lambda: iter([_lock_piece(data)]),
    }
    return readers[kind]()


def _kind_by_content(data: bytes) -> FileKind | None:
    if data.startswith(LOG_MAGIC):
        return FileKind.LOG
    if data.startswith(TABLE_MAGIC):
        return FileKind.TABLE
    return FileKind.MANIFEST if looks_like_manifest(data) else None


def _kind_by_name(path: str) -> FileKind | None:
    name = filenames.parse(os.path.basename(path))
    return None if name is None or name.kind is FileKind.LOST else name.kind


def _lock_piece(data: bytes) -> Piece:
    holder = data.decode("ascii", "replace").partition(" ")[0].strip()
    return Piece(0, len(data), f"process id of the last opener: {holder}")
