"""What a database has done and holds: counters, a dict for programs, a page for people.

Names carry their unit. The dict is flat but for "levels"; the keys are part of the public
interface.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lsmkv.version import Version

__all__ = [
    "EngineCounters",
    "level_statistics",
    "format_statistics",
    "format_size",
    "draw_levels",
]


@dataclass
class EngineCounters:
    """Since the database was opened. Written under the engine's locks, read without."""

    flushes: int = 0
    flushed_bytes: int = 0
    compactions: int = 0
    moves: int = 0
    compacted_bytes_read: int = 0
    compacted_bytes_written: int = 0
    stall_seconds: float = 0.0
    delay_seconds: float = 0.0


def level_statistics(version: Version) -> list[dict[str, int]]:
    """One dict per level: table_count, size_bytes, entry_count, tombstone_count."""
    return [
        {
            "level": level,
            "table_count": len(tables),
            "size_bytes": version.level_sizes[level],
            "entry_count": sum(table.entry_count for table in tables),
            "tombstone_count": sum(table.tombstone_count for table in tables),
        }
        for level, tables in enumerate(version.levels)
    ]


def format_statistics(stats: Mapping[str, Any]) -> str:
    """The dict of DB.stats() as a text page."""
    lines = [
        "level   tables         size      entries   tombstones",
        *(_level_line(level) for level in stats["levels"]),
        "",
    ]
    names = [name for name in stats if name != "levels"]
    width = max(map(len, names))
    lines += [f"{name:<{width}}  {_plain(stats[name])}" for name in names]
    return "\n".join(lines)


def format_size(size_bytes: int) -> str:
    """1536 -> '1.5 KiB'."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def draw_levels(levels: Sequence[Mapping[str, int]], width: int = 50) -> str:
    """A picture of the tree: one bar per level, as long as its share of the largest."""
    largest = max((level["size_bytes"] for level in levels), default=0) or 1
    lines = []
    for level in levels:
        if not level["table_count"]:
            continue
        bar = "#" * max(1, round(width * level["size_bytes"] / largest))
        size = format_size(level["size_bytes"])
        lines.append(
            f"L{level['level']}  {bar:<{width}}  {level['table_count']:>4} tables  {size:>10}"
        )
    return "\n".join(lines) or "(no tables yet)"


def _level_line(level: Mapping[str, int]) -> str:
    return (
        f"L{level['level']}      {level['table_count']:>6} {format_size(level['size_bytes']):>12}"
        f" {level['entry_count']:>12,} {level['tombstone_count']:>12,}"
    )


def _plain(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return str(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)
