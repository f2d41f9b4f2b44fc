"""JSON lines and TSV carry any entry; a line that is neither is refused with a reason."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv.cli.output import to_json
from lsmkv.cli.records import json_record, parse_json, parse_tsv, tsv_record

entries = st.tuples(st.binary(max_size=20), st.binary(max_size=20))


@given(entries)
def test_json_round_trip(entry: tuple[bytes, bytes]) -> None:
    line = to_json(json_record(*entry)).encode() + b"\n"
    assert line.count(b"\n") == 1
    assert parse_json(line) == entry


@given(entries)
def test_tsv_round_trip(entry: tuple[bytes, bytes]) -> None:
    if entry == (b"", b""):
        return  # "\t" alone is tested below
    assert parse_tsv(tsv_record(*entry).encode() + b"\n") == entry


def test_json_forms() -> None:
    assert json_record(b"a", "\u00e9".encode()) == {"key": "a", "value": "\u00e9"}
    assert json_record(b"\xff", b"") == {"key_base64": "/w==", "value": ""}


def test_json_leaves_nothing_that_moves_a_cursor() -> None:
    text = to_json({"key": "a\u0007\u009b2J\u202e\u2028b"})
    assert text == r'{"key": "a\u0007\u009b2J\u202e\u2028b"}'


def test_the_empty_entry_and_line_ends_of_either_kind() -> None:
    assert parse_tsv(b"\t\n") == (b"", b"")
    assert parse_tsv(b"a\tb\r\n") == (b"a", b"b")
    assert parse_tsv(b"a\tb") == (b"a", b"b")
    assert parse_json(b' {"key": "a", "value": "b"} \r\n') == (b"a", b"b")


def test_blank_lines_are_nothing() -> None:
    assert parse_tsv(b"\n") is None
    assert parse_tsv(b"\r\n") is None
    assert parse_json(b"  \n") is None


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "not JSON"),
        (b"[1]", "not a JSON object"),
        (b"{}", "needs either 'key' or 'key_base64'"),
        (b'{"key": "a"}', "needs either 'value' or 'value_base64'"),
        (b'{"key": "a", "key_base64": "", "value": "b"}', "needs either 'key'"),
        (b'{"key": "a", "value": 1}', "'value' is not a string"),
        (b'{"key": "a", "value_base64": "?"}', "'value_base64' is not base64"),
        (b'{"key": "a", "value": "b", "ttl": 1}', "unknown field 'ttl'"),
        (b'{"key": "\xff", "value": "b"}', "utf-8"),
        (b'{"key": "\\ud800", "value": "b"}', "utf-8"),
        (b"[" * 100_000, "nested too deeply"),
    ],
)
def test_bad_json_lines(line: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(line)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"no tab\n", "one tab"),
        (b"a\tb\tc\n", "one tab"),
        (b"a\t\\q\n", "is no escape"),
        (b"\xff\t\n", "utf-8"),
    ],
)
def test_bad_tsv_lines(line: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_tsv(line)
