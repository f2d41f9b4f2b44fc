"""What the dump of a file consists of."""

from __future__ import annotations

from dataclasses import dataclass

from lsmkv.cli.escaping import escape, shorten

__all__ = ["Piece", "show_key", "show_value"]

KEY_WIDTH_MAX = 60
VALUE_WIDTH_MAX = 60


@dataclass(frozen=True)
class Piece:
    """Bytes of a file at `offset`, and what they mean; `depth` 1: inside the piece before."""

    offset: int
    size: int
    meaning: str
    depth: int = 0
    damaged: bool = False


def show_key(key: bytes) -> str:
    return f"'{shorten(escape(key[: 4 * KEY_WIDTH_MAX]), KEY_WIDTH_MAX)}'"


def show_value(value: bytes) -> str:
    """The beginning of it, and the size when that is not all."""
    text = escape(value[: 4 * VALUE_WIDTH_MAX])
    if len(value) <= 4 * VALUE_WIDTH_MAX and len(text) <= VALUE_WIDTH_MAX:
        return f"'{text}'"
    return f"'{shorten(text, VALUE_WIDTH_MAX)}' ({len(value):,} bytes)"
