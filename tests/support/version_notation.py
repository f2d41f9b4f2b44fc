"""Tables, versions and compactions as text, for data-driven scripts.

A table is written as `LEVEL NUMBER:SMALLEST-LARGEST name=value...`, for example

    0 7:a-m sequence=70-79 size=100 entries=10 tombstones=3 lower=c upper=k epoch=7

with everything after the keys optional; sequences and epoch follow from the number. It is printed
as `7:[a,m]`, or `7:[c,k)` where bounds hide the ends.
"""

from __future__ import annotations

from collections.abc import Iterable

from lsmkv.picker import Compaction
from lsmkv.version import KeyRange, TableKey, TableMeta, Version


def parse_table(line: str) -> TableMeta:
    level, description, *words = line.split()
    options = dict(word.split("=", 1) for word in words)
    number = int(description.split(":")[0])
    smallest, largest = description.split(":")[1].split("-")
    first, last = options.pop("sequence", f"{10 * number}-{10 * number + 9}").split("-")
    table = TableMeta(
        number=number,
        id=number.to_bytes(16, "big"),
        file_size=int(options.pop("size", 100)),
        tail_size=0,
        smallest=smallest.encode(),
        largest=largest.encode(),
        first_sequence=int(first),
        last_sequence=int(last),
        epoch=int(options.pop("epoch", number)),
        level=int(level),
        entry_count=int(options.pop("entries", 10)),
        tombstone_count=int(options.pop("tombstones", 0)),
        lower=_key(options.pop("lower", None)),
        upper=_key(options.pop("upper", None)),
    )
    assert not options, f"unknown in a table: {options}"
    return table


def parse_key(word: str) -> TableKey:
    """`7`, or `7/c` for the part of table 7 from key c."""
    number, _, lower = word.partition("/")
    return TableKey(int(number), lower.encode() if lower else None)


def parse_range(start: str, stop: str) -> KeyRange:
    """`-` stands for an open end."""
    return KeyRange(b"" if start == "-" else start.encode(), _key(None if stop == "-" else stop))


def _key(word: str | None) -> bytes | None:
    return None if word is None else word.encode()


def format_table(table: TableMeta) -> str:
    if table.upper is not None:
        return f"{table.number}:[{table.start.decode()},{table.upper.decode()})"
    return f"{table.number}:[{table.start.decode()},{table.largest.decode()}]"


def format_tables(tables: Iterable[TableMeta]) -> str:
    return " ".join(map(format_table, tables)) or "none"


def format_version(version: Version) -> str:
    lines = [
        f"{level} {format_tables(tables)}" for level, tables in enumerate(version.levels) if tables
    ]
    return "\n".join(lines) or "empty"


def format_compaction(job: Compaction | None) -> str:
    if job is None:
        return "nothing"
    verb = "move" if job.is_move else "merge"
    lines = [f"{verb} {job.level} -> {job.output_level}: {job.reason}, score {job.score:.2f}"]
    lines += [f"  {format_tables(run)}" for run in job.inputs]
    if job.cuts:
        lines.append("  cuts " + " ".join(cut.decode() for cut in job.cuts))
    if job.keep:
        lines.append("  keep " + " ".join(f"{a.decode()}-{b.decode()}" for a, b in job.keep))
    return "\n".join(lines)
