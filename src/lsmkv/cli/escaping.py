r"""Any bytes as one line of printable text, and back.

    byte or character                      as text
    tab, line feed, carriage return        \t \n \r
    backslash                              \\
    other bytes that are not UTF-8, and
    characters that are not printable      \xHH for each byte
    everything else                        itself

So `escape` never yields a tab, a line end or a control sequence; `unescape` is its inverse.
"""

from __future__ import annotations

import re

__all__ = ["escape", "unescape", "readable", "shorten"]

_SUSPECT = re.compile(r"[^ -\[\]-~]")  # a superset of what must be escaped
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|.|$)", re.DOTALL)
_SHORT_FORMS = {"\t": r"\t", "\n": r"\n", "\r": r"\r", "\\": r"\\"}
_MEANINGS = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\"}


def escape(data: bytes) -> str:
    """`data` as printable text without tabs and line ends."""
    return _SUSPECT.sub(_escape_match, data.decode("utf-8", "surrogateescape"))


def _escape_match(match: re.Match[str]) -> str:
    character = match[0]
    if character in _SHORT_FORMS:
        return _SHORT_FORMS[character]
    if character.isprintable():
        return character
    encoded = character.encode("utf-8", "surrogateescape")
    return "".join(f"\\x{byte:02x}" for byte in encoded)


def unescape(text: str) -> bytes:
    """The inverse of `escape`. ValueError for a backslash that begins none of its forms."""
    # Each \xHH becomes the code point that surrogateescape turns into that byte; below 0x80 it is
    # the character itself.
    return _ESCAPE.sub(_unescape_match, text).encode("utf-8", "surrogateescape")


def _unescape_match(match: re.Match[str]) -> str:
    form = match[1]
    if form in _MEANINGS:
        return _MEANINGS[form]
    if len(form) == 3:
        byte = int(form[1:], 16)
        return chr(byte) if byte < 0x80 else chr(0xDC00 + byte)
    raise ValueError(f"{match[0]!r} is no escape; \\t \\n \\r \\\\ and \\xHH are")


def readable(data: bytes) -> str:
    """For a terminal: text of several lines as it is, anything else escaped."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        return escape(data)
    harmless = all(part.isprintable() for line in text.split("\n") for part in line.split("\t"))
    return text if harmless else escape(data)


def shorten(text: str, width: int) -> str:
    """At most `width` characters; what was cut shows as three dots."""
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."
