"""Column, and numpy arrays over memory of the native modules.

numpy is imported here alone, and only when an array has to be made: reading needs the extra
`lsmkv[numpy]`, writing takes any buffer. Nothing here reads or writes a database.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Column", "require_numpy", "as_column", "as_mask", "as_rows"]


def require_numpy() -> Any:
    """The module; ImportError says which extra brings it."""
    try:
        import numpy
    except ImportError as error:
        raise ImportError("columns are numpy arrays: pip install 'lsmkv[numpy]'") from error
    return numpy


@dataclass(frozen=True, eq=False)
class Column:
    """Many keys or values of any sizes, in the layout of Arrow's binary arrays.

    Row i is `data[offsets[i]:offsets[i + 1]]`: `offsets` has one element more than there are rows,
    int32 or int64, never descending; `data` is bytes (uint8). A database that is given a column
    checks its offsets; those it returns are int64 and begin at 0.
    """

    offsets: NDArray[np.int64]
    data: NDArray[np.uint8]

    @classmethod
    def from_bytes(cls, rows: Iterable[bytes]) -> Column:
        """The column of these rows."""
        numpy = require_numpy()
        items = list(rows)
        offsets = numpy.zeros(len(items) + 1, dtype=numpy.int64)
        numpy.cumsum([len(item) for item in items], out=offsets[1:])
        return cls(offsets, numpy.frombuffer(b"".join(items), dtype=numpy.uint8))

    def to_list(self) -> list[bytes]:
        """The rows as bytes objects."""
        data = bytes(self.data)
        bounds = [int(offset) for offset in self.offsets]
        return [data[start:stop] for start, stop in itertools.pairwise(bounds)]

    def to_rows(self, width: int) -> NDArray[np.uint8]:
        """A view of shape (rows, width), without a copy; ValueError unless all rows have that
        width."""
        numpy = require_numpy()
        offsets = numpy.asarray(self.offsets)
        if not (numpy.diff(offsets) == width).all():
            raise ValueError(f"not every row has {width} bytes")
        data = numpy.asarray(self.data)[offsets[0] : offsets[-1]]
        rows: NDArray[np.uint8] = data.reshape(len(self), width)
        return rows

    def __len__(self) -> int:
        return len(self.offsets) - 1


def as_column(offsets: Any, data: Any) -> Column:
    """A column over two pieces of native memory, which it keeps alive."""
    numpy = require_numpy()
    return Column(
        numpy.frombuffer(offsets, dtype=numpy.int64), numpy.frombuffer(data, dtype=numpy.uint8)
    )


def as_rows(data: Any, count: int, width: int) -> NDArray[np.uint8]:
    """`count` rows of `width` bytes over a piece of native memory."""
    numpy = require_numpy()
    rows: NDArray[np.uint8] = numpy.frombuffer(data, dtype=numpy.uint8).reshape(count, width)
    return rows


def as_mask(data: Any) -> NDArray[np.bool_]:
    """A boolean a byte."""
    numpy = require_numpy()
    mask: NDArray[np.bool_] = numpy.frombuffer(data, dtype=numpy.bool_)
    return mask
