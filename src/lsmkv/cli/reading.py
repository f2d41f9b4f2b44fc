"""get, scan, dump-db, stats: they open the database read-only and change nothing in it. Nor does
verify, which opens each file by itself: after the first damaged one an open would go no further."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable

import lsmkv
from lsmkv.cli.arguments import (
    Commands,
    add_command,
    add_form,
    add_json,
    add_range,
    decode_argument,
    encode_result,
    range_keywords,
)
from lsmkv.cli.escaping import readable, shorten
from lsmkv.cli.output import Output, note, to_json
from lsmkv.cli.progress import Progress
from lsmkv.cli.records import json_field, json_record
from lsmkv.statistics import draw_levels

__all__ = ["register"]

PROGRESS_EVERY = 1000  # entries


def register(commands: Commands) -> None:
    """Add the commands of this file."""
    get = add_command(
        commands,
        "get",
        run_get,
        "print the value of a key",
        "Into a pipe or file: its exact bytes, nothing else. Exits with 1 if there is no such key.",
    )
    get.add_argument("key", metavar="KEY")
    add_form(get)
    add_json(get)

    scan = add_command(
        commands,
        "scan",
        run_scan,
        "print entries in key order",
        "One line each: key, tab, value, both escaped (TSV, which 'load' reads). On a terminal "
        "long values are cut.",
    )
    add_range(scan)
    scan.add_argument("--reverse", action="store_true", help="last key first")
    scan.add_argument("--limit", type=_count, metavar="N", help="at most so many entries")
    only = scan.add_mutually_exclusive_group()
    only.add_argument("--keys", action="store_true", help="keys only")
    only.add_argument("--values", action="store_true", help="values only")
    add_form(scan)
    add_json(scan)

    dump = add_command(
        commands,
        "dump-db",
        run_dump_database,
        "print every entry as a JSON line",
        "'lsmkv dump-db A | lsmkv load B' copies a database, whatever bytes it holds.",
    )
    add_range(dump)
    add_form(dump)

    stats = add_command(commands, "stats", run_stats, "print sizes and counters")
    add_json(stats)

    verify = add_command(
        commands,
        "verify",
        run_verify,
        "read everything and check every checksum",
        "Exits with 1 if there is damage, and names all of it: each file is read by itself, also "
        "where the database cannot be opened. Writes nothing. Run it while no other process "
        "writes: tables that a compaction removes meanwhile would be reported as missing.",
    )
    add_json(verify)


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise ValueError("negative")
    return count


def run_get(arguments: argparse.Namespace) -> int:
    key = decode_argument(arguments, arguments.key)
    with lsmkv.open(arguments.database, create=False, read_only=True) as db:
        value = db.get(key)
    if value is None:
        note(f"lsmkv: no key {encode_result(arguments, key)}")
        return 1
    output = Output()
    if arguments.json:
        output.json(json_record(key, value))
    elif arguments.form is not None:
        output.line(encode_result(arguments, value))
    elif output.is_terminal:
        output.line(readable(value))
    else:
        output.raw(value)
    return 0


def run_scan(arguments: argparse.Namespace) -> int:
    output = Output()
    show = _entry_format(arguments, output)
    with lsmkv.open(arguments.database, create=False, read_only=True) as db:
        entries = db.scan(
            reverse=arguments.reverse, limit=arguments.limit, **range_keywords(arguments)
        )
        for key, value in entries:
            output.line(show(key, value))
    return 0


def _entry_format(arguments: argparse.Namespace, output: Output) -> Callable[[bytes, bytes], str]:
    """How scan writes one entry."""

    def json_line(key: bytes, value: bytes) -> str:
        if arguments.keys:
            return to_json(json_field("key", key))
        if arguments.values:
            return to_json(json_field("value", value))
        return to_json(json_record(key, value))

    def full(key: bytes, value: bytes) -> str:
        if arguments.keys:
            return encode_result(arguments, key)
        if arguments.values:
            return encode_result(arguments, value)
        return f"{encode_result(arguments, key)}\t{encode_result(arguments, value)}"

    def fitted(key: bytes, value: bytes) -> str:
        shown = encode_result(arguments, key)
        # Enough bytes for the line, so that a value of megabytes costs nothing.
        text = encode_result(arguments, value[: 4 * output.width])
        return f"{shown}  {shorten(text, max(20, output.width - len(shown) - 2))}"

    if arguments.json:
        return json_line
    cut = output.is_terminal and not arguments.keys and not arguments.values
    return fitted if cut else full


def run_dump_database(arguments: argparse.Namespace) -> int:
    output = Output()
    with (
        lsmkv.open(arguments.database, create=False, read_only=True) as db,
        Progress("dumping") as progress,
    ):
        entries = db.scan(**range_keywords(arguments))
        for count, (key, value) in enumerate(entries, 1):
            output.json(json_record(key, value))
            if count % PROGRESS_EVERY == 0 and not output.is_terminal:
                progress.update(0, count)
    return 0


def run_stats(arguments: argparse.Namespace) -> int:
    output = Output()
    with lsmkv.open(arguments.database, create=False, read_only=True) as db:
        stats = db.stats()
        text = db.stats_text()
    if arguments.json:
        output.json(stats)
        return 0
    if output.is_terminal:
        output.line(draw_levels(stats["levels"]))
        output.line()
    output.line(text)
    return 0


def run_verify(arguments: argparse.Namespace) -> int:
    output = Output()
    report = lsmkv.verify(arguments.database)
    if arguments.json:
        output.json(dataclasses.asdict(report) | {"ok": bool(report)})
    else:
        output.line(str(report))
    return 0 if report else 1
