"""Key ranges as users give them: any buffer, either end open."""

from __future__ import annotations

from lsmkv._native.buffers import key_bytes
from lsmkv._native.types import Buffer
from lsmkv.version import KeyRange

__all__ = ["key_range"]


def key_range(start: Buffer | None, stop: Buffer | None) -> KeyRange:
    """[start, stop); TypeError and ValueError as for any key."""
    return KeyRange(
        b"" if start is None else key_bytes(start), None if stop is None else key_bytes(stop)
    )
