"""compact, checkpoint, repair: what one does to a database as a whole."""

from __future__ import annotations

import argparse
import dataclasses
import time

import lsmkv
from lsmkv.cli.arguments import (
    Commands,
    add_command,
    add_form,
    add_json,
    add_range,
    range_keywords,
)
from lsmkv.cli.output import Output
from lsmkv.statistics import format_size

__all__ = ["register"]


def register(commands: Commands) -> None:
    """Add the commands of this file."""
    compact = add_command(
        commands,
        "compact",
        run_compact,
        "rewrite the tables without what was deleted or replaced",
        "Takes as long as it takes to read and write the range once.",
    )
    add_range(compact, prefix=False)
    add_form(compact)

    checkpoint = add_command(
        commands,
        "checkpoint",
        run_checkpoint,
        "make a consistent copy that opens as a database of its own",
        "Tables are hard-linked where the file system allows it.",
    )
    checkpoint.add_argument("target", metavar="TARGET", help="directory, must not exist")

    repair = add_command(
        commands,
        "repair",
        run_repair,
        "rebuild a damaged database from what is intact",
        "What cannot be used is moved to lost/ in the database, never deleted. "
        "Copy the directory first if it matters.",
    )
    add_json(repair)


def run_compact(arguments: argparse.Namespace) -> int:
    started = time.monotonic()
    with lsmkv.open(arguments.database, create=False) as db:
        before = _table_bytes(db)
        db.compact(**range_keywords(arguments))
        after = _table_bytes(db)
    seconds = time.monotonic() - started
    Output().line(f"tables: {format_size(before)} -> {format_size(after)} in {seconds:.1f} s")
    return 0


def _table_bytes(db: lsmkv.DB) -> int:
    db.flush()
    return sum(level["size_bytes"] for level in db.stats()["levels"])


def run_checkpoint(arguments: argparse.Namespace) -> int:
    with lsmkv.open(arguments.database, create=False) as db:
        db.checkpoint(arguments.target)
    Output().line(f"copied to {arguments.target}")
    return 0


def run_repair(arguments: argparse.Namespace) -> int:
    report = lsmkv.repair(arguments.database)
    output = Output()
    if arguments.json:
        output.json(dataclasses.asdict(report))
    else:
        output.line(str(report))
    return 0
