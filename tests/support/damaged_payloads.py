"""What may become of a payload on its way: cut, grown, one bit of it flipped."""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["damaged"]


def damaged(payload: bytes) -> Iterator[tuple[bool, bytes]]:
    """(whether a bit was flipped, the payload): every length, one byte more, every flipped bit."""
    for size in range(len(payload)):
        yield False, payload[:size]
    yield False, payload + b"\0"
    for position in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[position // 8] ^= 1 << position % 8
        yield True, bytes(flipped)
