"""Columns in plain Python: what the rows of a column are, and how put_columns cuts them up.

The truth that tests/test_columns.py holds the native code against. Nothing here is fast.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

from lsmkv import Column

ROWS_MAX = 65536
BYTES_MAX = 8 * 1024 * 1024

Pair = tuple[bytes, bytes]


def rows_of(column: Any) -> list[bytes]:
    """The rows of an array or Column, byte for byte."""
    if isinstance(column, Column):
        data = bytes(column.data)
        offsets = [int(offset) for offset in column.offsets]
        return [data[start:stop] for start, stop in itertools.pairwise(offsets)]
    view = memoryview(column)
    data = view.tobytes()
    width = len(data) // view.shape[0] if view.shape[0] else 0
    return [data[row * width : (row + 1) * width] for row in range(view.shape[0])]


def chunks(pairs: Sequence[Pair]) -> Iterator[Sequence[Pair]]:
    """What put_columns writes in one atomic write each."""
    start, size = 0, 0
    for position, (key, value) in enumerate(pairs):
        full = position - start == ROWS_MAX or size + len(key) + len(value) > BYTES_MAX
        if full and position != start:
            yield pairs[start:position]
            start, size = position, 0
        size += len(key) + len(value)
    if start < len(pairs):
        yield pairs[start:]
