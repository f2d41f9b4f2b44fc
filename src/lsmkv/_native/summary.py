"""What a finished table is, and where its parts lie: plain values that native code hands out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["TablePiece", "TableSummary"]


@dataclass(frozen=True, slots=True)
class TableSummary:
    """What the manifest records of a table. Sizes are bytes."""

    id: bytes  # 16 random bytes that every checksum inside is bound to
    number: int  # of its file; 0 as long as nobody has named it
    file_size: int
    tail_size: int  # from the first byte after the data blocks to the end
    entry_count: int
    tombstone_count: int
    raw_size: int  # keys and values before compression
    first_sequence: int
    last_sequence: int
    smallest: bytes  # user keys, both inside the table
    largest: bytes


class TablePiece(NamedTuple):
    """One contiguous part of a table file."""

    offset: int
    size: int
    what: str
