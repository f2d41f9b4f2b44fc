"""Patterns match what Redis says they do, and never take long."""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.resp.glob_match import matcher


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (b"*", [b"", b"a", b"\n\xff"], []),
        (b"", [b""], [b"a"]),
        (b"h?llo", [b"hello", b"h\nllo"], [b"hllo", b"heello"]),
        (b"h*llo", [b"hllo", b"heeeello"], [b"hell"]),
        (b"h[ae]llo", [b"hello", b"hallo"], [b"hillo"]),
        (b"h[^e]llo", [b"hallo"], [b"hello"]),
        (b"h[a-b]llo", [b"hallo", b"hbllo"], [b"hcllo"]),
        (b"h[b-a]llo", [b"hallo"], [b"hcllo"]),
        (b"[\\]]", [b"]"], [b"\\"]),
        (b"[]", [], [b"", b"]", b"a"]),
        (b"[^]", [b"a", b"]"], [b""]),
        (b"[a", [b"a"], [b"b", b"[a"]),
        (b"\\*", [b"*"], [b"a", b"\\*"]),
        (b"a\\", [b"a\\"], [b"a"]),
        (b"*a*b", [b"ab", b"xaxb", b"abb"], [b"ba", b"a"]),
        (b"ab*ba", [b"abba"], [b"aba"]),
        (b"**a**", [b"a", b"bab"], [b"b"]),
        (b"[a-]", [b"a", b"]", b"^"], [b"-", b"b"]),
    ],
)
def test_what_matches(pattern: bytes, yes: list[bytes], no: list[bytes]):
    assert [key for key in yes if not matcher(pattern)(key)] == []
    assert [key for key in no if matcher(pattern)(key)] == []


def naive(pattern: bytes, key: bytes) -> bool:
    """With * and ? only, as one would write it down."""
    if not pattern:
        return not key
    if pattern[:1] == b"*":
        return any(naive(pattern[1:], key[start:]) for start in range(len(key) + 1))
    return bool(key) and pattern[:1] in (b"?", key[:1]) and naive(pattern[1:], key[1:])


def test_stars_and_question_marks_against_the_definition():
    rng = random.Random(1)
    for _ in range(3000):
        pattern = bytes(rng.choices(b"ab*?", k=rng.randrange(7)))
        key = bytes(rng.choices(b"ab", k=rng.randrange(8)))
        assert matcher(pattern)(key) == naive(pattern, key), (pattern, key)


def test_many_stars_do_not_multiply():
    assert not matcher(b"*a" * 40 + b"*b")(b"a" * 5000)
