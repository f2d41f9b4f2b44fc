"""put, del, load."""

from __future__ import annotations

import argparse
import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

import lsmkv
from lsmkv.cli.arguments import (
    Commands,
    UsageError,
    add_command,
    add_form,
    decode_argument,
)
from lsmkv.cli.output import note
from lsmkv.cli.progress import Progress
from lsmkv.cli.records import Entry, parse_json, parse_tsv

__all__ = ["register", "load_entries"]

BATCH_ENTRIES = 1000
BATCH_BYTES = 4 << 20  # a batch ends at either limit
STANDARD_INPUT = "-"

Parse = Callable[[bytes], Entry | None]
PARSERS: dict[str, Parse] = {"json": parse_json, "tsv": parse_tsv}


def register(commands: Commands) -> None:
    """Add the commands of this file."""
    put = add_command(
        commands,
        "put",
        run_put,
        "store a value under a key",
        "The database is made if there is none. When the command ends, the value is durable.",
    )
    put.add_argument("key", metavar="KEY")
    put.add_argument(
        "value", metavar="VALUE", nargs="?", help="'-': the exact bytes of standard input"
    )
    put.add_argument("--stdin", action="store_true", help="the same as '-' for VALUE")
    add_form(put)

    delete = add_command(
        commands, "del", run_delete, "delete keys", "A key that is not there is no error."
    )
    delete.add_argument("keys", metavar="KEY", nargs="+")
    add_form(delete)

    load = add_command(
        commands,
        "load",
        run_load,
        "load entries from JSON lines or TSV",
        'A JSON line is {"key": "text", "value": "text"}, with "key_base64" and "value_base64" '
        "for what is not UTF-8: the output of dump-db. A TSV line is key, tab, value, escaped as "
        "scan prints them. Existing keys are overwritten; the database is made if there is none.",
    )
    load.add_argument("file", metavar="FILE", nargs="?", default=STANDARD_INPUT, help="default: -")
    load.add_argument(
        "--format", choices=["auto", *PARSERS], default="auto", help="default: by the first byte"
    )


def run_put(arguments: argparse.Namespace) -> int:
    from_stdin = arguments.stdin or arguments.value == STANDARD_INPUT
    if arguments.stdin and arguments.value not in (None, STANDARD_INPUT):
        raise UsageError("give either VALUE or --stdin")
    if arguments.value is None and not from_stdin:
        raise UsageError("put needs VALUE, or - to read it from standard input")
    key = decode_argument(arguments, arguments.key)
    value = sys.stdin.buffer.read() if from_stdin else decode_argument(arguments, arguments.value)
    with lsmkv.open(arguments.database) as db:
        db.put(key, value)
    return 0


def run_delete(arguments: argparse.Namespace) -> int:
    keys = [decode_argument(arguments, key) for key in arguments.keys]
    with lsmkv.open(arguments.database, create=False) as db, db.write_batch() as batch:
        for key in keys:
            batch.delete(key)
    return 0


# --- load ----------------------------------------------------------------------------------------


def run_load(arguments: argparse.Namespace) -> int:
    with (
        _open_source(arguments.file) as (source, name, size),
        lsmkv.open(arguments.database) as db,
        Progress("loading", size) as progress,
    ):
        parse = None if arguments.format == "auto" else PARSERS[arguments.format]
        load_entries(db, source, name, parse, progress)
        db.sync()
        seconds, rate = progress.seconds, progress.rate
    note(f"loaded {progress.count:,} entries in {seconds:.1f} s: {rate:,.0f} entries/s")
    return 0


def load_entries(
    db: lsmkv.DB, source: BinaryIO, name: str, parse: Parse | None, progress: Progress
) -> None:
    """Put every line of `source` into `db`, in batches. `parse` None: decided by the first byte.

    ValueError names the first line that is wrong; everything before it is in the database then.
    """
    batch = db.write_batch()
    batch_entries = batch_bytes = count = position = 0
    for number, line in enumerate(source, 1):
        if parse is None and not line.isspace():
            parse = parse_json if line.lstrip().startswith(b"{") else parse_tsv
        position += len(line)
        try:
            entry = parse(line) if parse is not None else None
            if entry is None:
                continue
            batch.put(*entry)
        except ValueError as error:
            batch.write()
            raise ValueError(
                f"{name}, line {number}: {error} (the {count:,} entries before it are loaded)"
            ) from None
        count += 1
        batch_entries += 1
        batch_bytes += len(line)
        if batch_entries >= BATCH_ENTRIES or batch_bytes >= BATCH_BYTES:
            batch.write()
            batch = db.write_batch()
            batch_entries = batch_bytes = 0
            progress.update(position, count)
    batch.write()
    progress.update(position, count)


@contextlib.contextmanager
def _open_source(path: str) -> Iterator[tuple[BinaryIO, str, int | None]]:
    """(stream, its name for messages, its size if it has one)."""
    if path == STANDARD_INPUT:
        yield sys.stdin.buffer, "standard input", None
        return
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        yield file, path, status.st_size if stat.S_ISREG(status.st_mode) else None
