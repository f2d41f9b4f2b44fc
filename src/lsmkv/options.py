"""What may be set when a database is opened: one frozen dataclass, checked once.

Every field has its default and valid range beside it, and says what it means and what raising it
costs. Values are checked when the object is made, so everything behind it may rely on them.
Choices that belong to one call (`sync=True`, `read_only=True`) are arguments of that call and do
not stand here; internal tunables are named constants beside the code that uses them. This module
imports errors only.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass
from typing import Any, Protocol

from lsmkv.errors import OptionsError

__all__ = ["Options", "KIB", "MIB", "GIB", "TIB"]

KIB = 1024
MIB = 1024 * KIB
GIB = 1024 * MIB
TIB = 1024 * GIB


class _Rule(Protocol):
    """What an option accepts: a test, and the same in words."""

    def accepts(self, value: object) -> bool: ...

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class _Integer:
    low: int
    high: int

    def accepts(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int):
            return False
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"an integer from {self.low} to {self.high}"


@dataclass(frozen=True)
class _Number:
    low: float
    high: float

    def accepts(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return math.isfinite(value) and self.low <= value <= self.high

    def __str__(self) -> str:
        return f"a number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class _OneOf:
    values: tuple[str | None, ...]

    def accepts(self, value: object) -> bool:
        return (value is None or isinstance(value, str)) and value in self.values

    def __str__(self) -> str:
        return "one of " + ", ".join(map(repr, self.values))


def _option(default: Any, rule: _Rule) -> Any:
    return dataclasses.field(default=default, metadata={"rule": rule})


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a database. Sizes are bytes, times milliseconds."""

    # --- writing

    write_buffer_size: int = _option(64 * MIB, _Integer(4 * KIB, 4 * GIB))
    """Memory of the newest writes before they become a table. Raising it: fewer compactions, but a
    longer recovery after a crash, and several times as much memory when writers outrun the disk."""

    table_size: int = _option(32 * MIB, _Integer(4 * KIB, GIB))
    """File bytes at which a compaction begins its next table. Raising it: fewer, larger files."""

    level_size_ratio: int = _option(10, _Integer(2, 100))
    """How many times larger each level is than the one above. Raising it: fewer levels to search,
    each byte rewritten more often."""

    level0_trigger: int = _option(4, _Integer(1, 64))
    """Tables in level 0 at which they are merged downwards. Raising it: fewer bytes rewritten, more
    tables to search on each read."""

    # --- reading

    block_cache_size: int = _option(128 * MIB, _Integer(0, TIB))
    """Memory for decompressed blocks. Raising it costs memory only."""

    row_cache_size: int = _option(0, _Integer(0, TIB))
    """Memory for the newest values of keys read or written lately, found before anything else is
    searched. Raising it: a hit costs a third, every write a little more."""

    block_size: int = _option(4 * KIB, _Integer(256, MIB))
    """Target size of a data block before compression. Raising it: better compression, more bytes to
    read for one key."""

    bloom_bits_per_key: float = _option(10.0, _Number(0, 32))
    """Bits of filter per key, by which a read skips tables without the key: 10 let 1 % through, 0
    is no filter. Raising it: memory and file size."""

    max_open_files: int = _option(512, _Integer(16, 1 << 20))
    """Table files kept open. Raising it: file descriptors of the process."""

    # --- stored form

    compression: str | None = _option("zstd", _OneOf(("zstd", None)))
    """'zstd' or None. A block that does not shrink is stored as it is."""

    compression_level: int = _option(1, _Integer(-7, 19))
    """The level of zstd for data in its last place. What will soon be merged with older data is
    compressed at -1 at most. Raising it: smaller files, slower compaction."""

    # --- durability and background work

    sync_interval_ms: int = _option(1000, _Integer(10, 60_000))
    """How often unsynced writes are synced in the background. Raising it: more of the newest writes
    at risk in a power loss, and an I/O error of an unsynced write is noticed later."""

    log_mode: str = _option("auto", _OneOf(("auto", "written", "mapped")))
    """'written': one system call per write. 'mapped': none; for local ext4 and xfs only. 'auto':
    mapped where that is safe."""

    background: str = _option("threads", _OneOf(("threads", "inline")))
    """'threads', or 'inline': flush and compaction run as explicit steps of the calling thread, for
    reproducible tests and simulation."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            rule: _Rule = field.metadata["rule"]
            if not rule.accepts(value):
                raise OptionsError(f"{field.name} must be {rule}, not {value!r}")

    @classmethod
    def from_keywords(cls, **keywords: Any) -> Options:
        """Options from the keyword arguments of `lsmkv.open`; OptionsError names what is wrong."""
        names = [field.name for field in dataclasses.fields(cls)]
        for name in keywords:
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                hint = f", did you mean {close[0]!r}?" if close else "."
                raise OptionsError(
                    f"unknown option {name!r}{hint} Valid options: {', '.join(sorted(names))}"
                )
        return cls(**keywords)
