"""What Python hands to versions and jobs: a table seen through bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lsmkv._native.table import Table


@dataclass(frozen=True, slots=True)
class TableSlice:
    """A table, bounds around its visible user keys, and its clamps: [lower, upper), None = open.

    `largest` may be `upper` itself, although that key is hidden. Keys outside the clamps are hidden
    wherever the slice is read, also by jobs: a dropped range disappears before its bytes do.
    """

    table: Table
    smallest: bytes
    largest: bytes
    lower: bytes | None = None
    upper: bytes | None = None
