"""What is asked of whoever lists keys, and what they tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Listed", "Page", "ScanPage", "Unlisted"]


@dataclass(frozen=True, slots=True)
class ScanPage:
    """The next `count` keys or so from a cursor on (scan_cursor.py), up to the slot `end_slot`."""

    cursor: int
    count: int
    end_slot: int


class Listed(NamedTuple):
    """`record` is what a read of the key gives, None where it has yet to be read: then the key may
    be deleted, too."""

    key: bytes
    record: bytes | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """`cursor` is where to go on; None at the end."""

    keys: tuple[Listed, ...]
    cursor: int | None


@dataclass(frozen=True, slots=True)
class Unlisted:
    """There is no page: so many owners of a partition can tell what it has, of so many needed.
    `is_busy`: there is too much to do, here or there."""

    answered: int
    needed: int
    is_busy: bool = False
