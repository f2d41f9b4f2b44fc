"""demo engine: index the running Python's own standard library, then answer queries.

The index itself is library_index.py; here are the command, its pages and its prompt.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import lsmkv
from lsmkv.cli.arguments import Commands, add_command, command_group
from lsmkv.cli.escaping import readable, shorten
from lsmkv.cli.library_index import (
    MARKER_KEY,
    IndexSummary,
    build_index,
    source_files,
    split_key,
)
from lsmkv.cli.output import Output
from lsmkv.cli.progress import Progress
from lsmkv.errors import Error
from lsmkv.statistics import draw_levels, format_size

__all__ = ["register"]

DEFAULT_PATH = ".demo"
DEFAULT_MATCHES = 20
SAMPLE_QUERIES = ("OrderedDict", "asyncio", "perf_counter")
SAMPLE_MATCHES = 5

# Small enough that a minute's load fills several levels, as a large database has them.
WRITE_BUFFER_SIZE = 8 << 20
TABLE_SIZE = 4 << 20

HELP = """\
  NAME      entries of every name, and every file, that begins with NAME
  :levels   a picture of the levels
  :stats    counters and sizes
  :quit     leave (so does end of input)"""


def register(commands: Commands) -> None:
    """Add `demo engine`."""
    demos = command_group(commands, "demo", "show what lsmkv does, on real data")
    engine = add_command(
        demos,
        "engine",
        run_engine,
        "index the Python standard library and answer prefix queries",
        "Stores every source file as path -> text, and every name in every line as "
        "name, path, line number -> the line: over a million entries. "
        "The database stays, for the other commands to look at.",
        database=False,
    )
    engine.add_argument(
        "--path", default=DEFAULT_PATH, help=f"of the database, made anew (default: {DEFAULT_PATH})"
    )
    engine.add_argument(
        "--query", metavar="NAME", action="append", help="answer this and leave; may be repeated"
    )
    engine.add_argument(
        "--limit",
        type=int,
        default=DEFAULT_MATCHES,
        metavar="N",
        help=f"matches to print for a query (default: {DEFAULT_MATCHES})",
    )
    engine.add_argument(
        "--source", metavar="DIR", help="index the Python files here, not the standard library"
    )


def run_engine(arguments: argparse.Namespace) -> int:
    output = Output()
    root = Path(arguments.source or sysconfig.get_paths()["stdlib"])
    files = source_files(root)
    if not files:
        raise Error(f"no Python sources in {root}")
    _make_room(arguments.path)
    with lsmkv.open(
        arguments.path, write_buffer_size=WRITE_BUFFER_SIZE, table_size=TABLE_SIZE
    ) as db:
        output.line(f"indexing {len(files):,} files in {root}")
        _load(db, root, files, output)
        if arguments.query:
            for query in arguments.query:
                _answer(db, query, arguments.limit, output)
        elif sys.stdin.isatty() and output.is_terminal:
            _prompt(db, arguments.limit, output)
        else:
            for query in SAMPLE_QUERIES:
                _answer(db, query, min(arguments.limit, SAMPLE_MATCHES), output)
    output.line()
    output.line(f"the database stays in {arguments.path}: lsmkv stats {arguments.path}")
    return 0


def _make_room(path: str) -> None:
    """Destroy an earlier demo. Error for anything else: a wrong path must cost nobody data."""
    if not os.path.lexists(path) or (os.path.isdir(path) and not os.listdir(path)):
        return
    refusal = f"{path} exists and is no database of this demo: choose another --path, or delete it"
    try:
        with lsmkv.open(path, create=False, read_only=True) as db:
            ours = MARKER_KEY in db
    except Error as error:
        raise Error(f"{refusal} ({error})") from error
    if not ours:
        raise Error(refusal)
    lsmkv.destroy(path)


# --- loading -------------------------------------------------------------------------------------


def _load(db: lsmkv.DB, root: Path, files: list[Path], output: Output) -> None:
    total = sum(file.stat().st_size for file in files)
    with Progress("indexing", total) as progress:
        summary = build_index(db, root, files, progress.update)
        loaded_seconds = progress.seconds
    db.flush()
    levels_before = draw_levels(db.stats()["levels"])
    started = time.monotonic()
    db.compact()
    compact_seconds = time.monotonic() - started
    levels = db.stats()["levels"]
    disk_bytes = sum(level["size_bytes"] for level in levels)
    _print_summary(summary, loaded_seconds, disk_bytes, output)
    output.line()
    output.line("the levels when everything was loaded")
    output.line(levels_before)
    output.line()
    output.line(f"and after compact(), {compact_seconds:.1f} s later")
    output.line(draw_levels(levels))


def _print_summary(summary: IndexSummary, seconds: float, disk_bytes: int, output: Output) -> None:
    rate = summary.entry_count / max(seconds, 1e-9)
    share = disk_bytes / max(summary.raw_bytes, 1)
    output.line()
    output.line(f"entries   {summary.entry_count:>12,}  in {seconds:.1f} s, {rate:,.0f}/s")
    output.line(f"files     {summary.file_count:>12,}")
    output.line(f"raw       {format_size(summary.raw_bytes):>12}  keys and values")
    output.line(f"on disk   {format_size(disk_bytes):>12}  {share:.0%} of raw")


# --- queries -------------------------------------------------------------------------------------


def _answer(db: lsmkv.DB, query: str, limit: int, output: Output) -> None:
    prefix = query.encode("utf-8", "surrogateescape")
    started = time.perf_counter()
    found = sum(1 for _ in db.keys(prefix=prefix))
    milliseconds = 1000 * (time.perf_counter() - started)
    output.line()
    output.line(f"{query}*: {found:,} entries, found in {milliseconds:.2f} ms")
    for line in _matches(db, prefix, limit, output.width if output.is_terminal else None):
        output.line(f"  {line}")
    if found > limit:
        output.line(f"  ... and {found - limit:,} more")


def _matches(db: lsmkv.DB, prefix: bytes, limit: int, width: int | None) -> Iterator[str]:
    rows = []
    for key, value in itertools.islice(db.scan(prefix=prefix), limit):
        name, place = split_key(key)
        rows.append((name, place, value))
    name_width = max((len(name) for name, _, _ in rows), default=0)
    place_width = max((len(place) for _, place, _ in rows), default=0)
    for name, place, value in rows:
        text = readable(value.strip().partition(b"\n")[0])
        line = f"{name:<{name_width}}  {place:<{place_width}}  {text}"
        yield line if width is None else shorten(line, width - 2)


def _prompt(db: lsmkv.DB, limit: int, output: Output) -> None:
    try:
        import readline  # noqa: F401  importing it gives input() line editing
    except ImportError:
        pass
    output.line()
    output.line("Type the beginning of a name. :help lists the rest.")
    while True:
        try:
            query = input("lsmkv> ").strip()
        except EOFError:
            output.line()
            return
        if query in (":quit", ":q"):
            return
        if query == ":levels":
            output.line(draw_levels(db.stats()["levels"]))
        elif query == ":stats":
            output.line(db.stats_text())
        elif query.startswith(":"):
            output.line(HELP)
        elif query:
            _answer(db, query, limit, output)
