"""Where results go: readable text on a terminal, exact bytes into a pipe or a file.

A pipe always gets UTF-8. A terminal gets its own encoding, with escapes for what that cannot show.
Messages about what is going on are not results and go to standard error.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from typing import Any, TextIO

__all__ = ["Output", "to_json", "note"]

# Valid in JSON, but not for terminals and line-based tools: C1 controls, separators, direction.
_UNSAFE = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")

_encode = json.JSONEncoder(ensure_ascii=False).encode  # made once: dumps() would for each call


class Output:
    """Standard output, or another stream that has a `buffer`."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream if stream is not None else sys.stdout
        self.is_terminal = self._stream.isatty()
        self._encoding = self._stream.encoding if self.is_terminal else "utf-8"

    def raw(self, data: bytes) -> None:
        """Exactly these bytes."""
        self._stream.buffer.write(data)

    def line(self, text: str = "") -> None:
        """`text` and a line feed. On a terminal it shows at once."""
        self.raw(f"{text}\n".encode(self._encoding, "backslashreplace"))
        if self.is_terminal:
            self.flush()

    def flush(self) -> None:
        """Whoever reads a pipe or file gets now what was written: for who goes on for long."""
        self._stream.buffer.flush()

    def json(self, value: Any) -> None:
        """One JSON document on one line."""
        self.line(to_json(value))

    @property
    def width(self) -> int:
        """Columns of the terminal."""
        return shutil.get_terminal_size().columns


def to_json(value: Any) -> str:
    """JSON in one line, with letters of all languages as they are."""
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", _encode(value))


def note(text: str) -> None:
    """A message for the person at the keyboard; what could upset a terminal shows as an escape."""
    encoding = sys.stderr.encoding or "utf-8"
    for line in text.split("\n"):
        safe = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
        print(safe.encode(encoding, "backslashreplace").decode(encoding), file=sys.stderr)
