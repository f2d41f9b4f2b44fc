"""The blocks of FORMATS.md: tables copied from sources, and examples whose bytes are decoded."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["BLOCKS", "block", "hexadecimal", "joined"]

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "FORMATS.md").read_text(encoding="utf-8")
# Of each block the source that it is copied from, or nothing, and the text.
BLOCKS = re.findall(r"^```text(?: from=(\S+))?\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def block(first_words: str) -> list[str]:
    """The lines of the one block that begins with these words."""
    found = [
        text
        for _, text in BLOCKS
        if text.split()[: len(first_words.split())] == first_words.split()
    ]
    assert len(found) == 1, first_words
    return found[0].splitlines()


def hexadecimal(lines: list[str]) -> dict[int, bytes]:
    """The bytes of a dump by offset: up to 16 a line, then an explanation."""
    found: dict[int, bytes] = {}
    end = 0
    for line in lines:
        offset, text = re.findall(r"^\s*(?:(\d+)(?:: |  ))?(.*)$", line)[0]
        groups = re.match(r"(?:(?:[0-9a-f]{2}){1,4}(?: {1,3}|$))+", text)
        assert groups is not None, line
        start = int(offset) if offset else end
        found[start] = bytes.fromhex(groups[0])[:16]
        end = start + len(found[start])
    return found


def joined(pieces: dict[int, bytes], size: int) -> bytes:
    """The pieces at their offsets, zeros between them."""
    image = bytearray(size)
    for offset, data in pieces.items():
        image[offset : offset + len(data)] = data
    return bytes(image)
