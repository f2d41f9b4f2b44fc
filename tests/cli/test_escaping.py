"""Escaped text is one printable line, and every byte string survives the way there and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv.cli.escaping import escape, readable, shorten, unescape


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", ""),
        (b"plain text", "plain text"),
        (b"a\tb\nc\rd\\e", r"a\tb\nc\rd\\e"),
        (b"\x00\x1b[2J\x7f", r"\x00\x1b[2J\x7f"),
        ("caf\u00e9 \u4e2d".encode(), "caf\u00e9 \u4e2d"),
        (b"\xff\xc3(", r"\xff\xc3("),  # not UTF-8
        ("\u202e\u2028\x9b".encode(), r"\xe2\x80\xae\xe2\x80\xa8\xc2\x9b"),  # not printable
        (rb"\x41", r"\\x41"),  # what looks escaped is not
    ],
)
def test_known_pairs(data: bytes, text: str) -> None:
    assert escape(data) == text
    assert unescape(text) == data


@given(st.binary(max_size=40) | st.text(max_size=20).map(lambda text: text.encode("utf-8")))
def test_round_trip_of_any_bytes_through_one_printable_line(data: bytes) -> None:
    text = escape(data)
    assert text.isprintable()
    assert unescape(text) == data


def test_unescape_accepts_either_case_and_ascii() -> None:
    assert unescape(r"\xC3\xa9\x41") == "\u00e9A".encode()


@pytest.mark.parametrize("text", [r"\q", "\\", r"\x4", r"\xzz", "\\\n"])
def test_unescape_refuses_what_escape_never_writes(text: str) -> None:
    with pytest.raises(ValueError, match="is no escape"):
        unescape(text)


def test_readable_keeps_lines_of_text_and_disarms_the_rest() -> None:
    assert readable(b"def f():\n\treturn 1\n") == "def f():\n\treturn 1\n"
    assert readable(b"title\x1b]0;x\x07") == r"title\x1b]0;x\x07"
    assert readable(b"\xff\n") == r"\xff\n"


def test_shorten() -> None:
    assert shorten("abcdef", 6) == "abcdef"
    assert shorten("abcdefg", 6) == "abc..."
