"""Replies of both protocols are read as values, however they are cut, within limits.

Held against reference_resp.py, which reads the whole input at once; test_resp_redis.py reads what a
real server writes, and tests/native/c/resp_check.c reads junk under sanitizers.
"""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmkv._native import memory
from lsmkv.kernel import ReplyParser, ReplyWriter
from lsmkv_cluster.resp.replies import ErrorReply, Push, Verbatim
from lsmkv_cluster.resp.reply_reader import reply_parser
from tests.support import reference_resp as reference
from tests.support.reference_resp import Outcome, ReplyLimits
from tests.support.resp_cases import cuts, junk_replies, reply_values

GOLDEN = [
    (b"+OK\r\n-ERR no\r\n:-7\r\n:+7\r\n", ["OK", ErrorReply("ERR no"), -7, 7]),
    (b"$5\r\na\r\nbc\r\n$0\r\n\r\n", [b"a\r\nbc", b""]),
    (b"$-1\r\n*-1\r\n_\r\n", [None, None, None]),
    (b"*2\r\n:1\r\n*1\r\n$-1\r\n*0\r\n", [[1, [None]], []]),
    (b"#t\r\n#f\r\n", [True, False]),
    (b",1.5\r\n,-inf\r\n,1e3\r\n,-5E-1\r\n", [1.5, -math.inf, 1000.0, -0.5]),
    (b"(1234567890123456789012345678901234567890\r\n", [1234567890123456789012345678901234567890]),
    (b"!5\r\nERR a\r\n=6\r\ntxt:hi\r\n", [ErrorReply("ERR a"), Verbatim("txt", b"hi")]),
    (b"%2\r\n+a\r\n:1\r\n+b\r\n%0\r\n", [{"a": 1, "b": {}}]),
    (b"~2\r\n:1\r\n:2\r\n", [frozenset([1, 2])]),
    (b"~1\r\n*1\r\n:1\r\n", [[[1]]]),
    (b"~2\r\n:1\r\n#t\r\n", [[1, True]]),
    (b"%1\r\n*0\r\n:1\r\n", [[([], 1)]]),
    (b"%2\r\n:1\r\n:2\r\n,1\r\n:3\r\n", [[(1, 2), (1.0, 3)]]),
    (b">2\r\n+message\r\n*1\r\n:1\r\n:2\r\n", [Push(("message", [1])), 2]),
    (b"|1\r\n+ttl\r\n:9\r\n*1\r\n|0\r\n|1\r\n:1\r\n:2\r\n:3\r\n", [[3]]),
    (b"+\xff\r\n", ["\udcff"]),
]

FAULTS = [
    *(
        b"x\r\n",
        b"+a\rb\r\n",
        b"\r\n",
        b"\0",
        b"_x\r\n",
        b"#\r\n",
        b"#true\r\n",
        b":\r\n",
        b":1.0\r\n",
    ),
    *(b":9223372036854775808\r\n", b":--1\r\n", b":+-1\r\n", b"$-2\r\n", b"$+1\r\n", b"$1\r\nabc"),
    *(b"*?\r\n", b"%-1\r\n", b"~-1\r\n", b"$?\r\n", b"=3\r\ntxt\r\n", b"=4\r\nabcd\r\n", b",\r\n"),
    *(
        b",1_0\r\n",
        b", 1\r\n",
        b",infinity\r\n",
        b"(1_0\r\n",
        b"(\r\n",
        b"(1" + b"0" * 4096 + b"\r\n",
    ),
    *(b"*1\r\n>1\r\n:1\r\n", b"+" + b"a" * 65537, b"|0\r\nx\r\n"),
]

SMALL = ReplyLimits()


def parser_of(limits: ReplyLimits = SMALL) -> ReplyParser:
    return reply_parser(limits.bulk_size_max, limits.depth_max, limits.element_count_max)


def take_all(parser: ReplyParser) -> list[Any]:
    found: list[Any] = []
    while taken := parser.take(3):
        found += taken
    return found


def read(pieces, limits: ReplyLimits = SMALL) -> Outcome:
    parser = parser_of(limits)
    found: list[Any] = []
    for piece in pieces:
        parser.feed(piece)
        found += take_all(parser)
    return Outcome(found, parser.fault)


def shape(value: Any) -> str:
    """Equal for equal values of equal types; NaN equals itself, and sets have no order."""
    match value:
        case list() | tuple():
            return f"{type(value).__name__}({', '.join(map(shape, value))})"
        case frozenset():
            return f"set({', '.join(sorted(map(shape, value)))})"
        case dict():
            return f"dict({', '.join(map(shape, value.items()))})"
        case Push(items):
            return f"push{shape(items)}"
    return repr(value)


def same(one: Outcome, other: Outcome) -> bool:
    """The same values of the same types, and a fault or none."""
    return (shape(one.items), one.fault is None) == (shape(other.items), other.fault is None)


@pytest.mark.parametrize(("data", "expected"), GOLDEN)
def test_golden_replies_at_every_cut(data, expected):
    assert reference.replies(data, SMALL) == Outcome(expected)
    assert read([data]) == Outcome(expected)
    assert same(read([data]), Outcome(expected)), "and of the same types"
    assert read(bytes([byte]) for byte in data) == Outcome(expected)
    for at in range(len(data) + 1):
        assert read([data[:at], data[at:]]) == Outcome(expected)


@pytest.mark.parametrize("data", FAULTS)
def test_what_no_server_sends_is_a_fault(data):
    before, behind = b"+before\r\n", b"+behind\r\n"
    outcome = read([before + data + behind])
    assert outcome.items == ["before"]
    assert outcome.fault
    assert read([before + data, behind]) == outcome
    assert reference.replies(before + data + behind, SMALL).fault


@pytest.mark.parametrize("seed", range(20))
def test_junk_equals_the_reference_however_it_is_cut(seed):
    choose = random.Random(seed)
    faults = values = 0
    for _ in range(300):
        data = junk_replies(choose, 14)
        limits = choose.choice([SMALL, ReplyLimits(2, 2, 4)])
        expected = reference.replies(data, limits)
        assert same(read([data], limits), expected)
        assert same(read(cuts(choose, data), limits), expected)
        faults += expected.fault is not None
        values += len(expected.items)
    assert 30 < faults < 290
    assert values > 300


def as_read(value: Any, protocol: int) -> Any:
    """What is left of a value that was written."""
    data = reference.encode(value, protocol)
    return reference.replies(data, ReplyLimits(1 << 20, 50, 1 << 20)).items[0]


@given(reply_values, st.sampled_from([2, 3]))
@settings(max_examples=300)
def test_what_the_writer_writes_is_read(value, protocol):
    writer = ReplyWriter(1 << 30, protocol)
    writer.value(value)
    outcome = read([writer.take()], ReplyLimits(1 << 20, 50, 1 << 20))
    assert same(outcome, Outcome([as_read(value, protocol)]))
    plain = protocol == 3 and not isinstance(value, list | tuple | dict | frozenset)
    assert not plain or shape(outcome.items) == shape([value])


def test_large_replies_in_small_pieces():
    choose = random.Random(5)
    data = b"".join(reference.encode([choose.randbytes(50_000), 1], 3) for _ in range(40))
    whole = read([data])
    assert len(whole.items) == 40
    assert read(cuts(choose, data)) == whole


@pytest.mark.parametrize(
    ("limits", "fits", "exceeds"),
    [
        (ReplyLimits(3, 9, 9), b"$3\r\nabc\r\n", b"$4\r\n"),
        (ReplyLimits(7, 9, 9), b"=7\r\ntxt:abc\r\n", b"=8\r\n"),
        (ReplyLimits(9, 2, 9), b"*1\r\n*1\r\n:1\r\n", b"*1\r\n*1\r\n*0\r\n"),
        (ReplyLimits(9, 9, 4), b"*3\r\n*1\r\n:1\r\n:1\r\n:1\r\n", b"*3\r\n*2\r\n"),
        (ReplyLimits(9, 9, 4), b"%2\r\n:1\r\n:1\r\n:2\r\n:1\r\n", b"%3\r\n"),
        (ReplyLimits(9, 9, 4), b"*4\r\n" + b":1\r\n" * 4, b"*9223372036854775807\r\n"),
        (ReplyLimits(9, 9, 4), b"|2\r\n" + b":1\r\n" * 5, b"|1\r\n:1\r\n:1\r\n|2\r\n"),
        (ReplyLimits(9, 9, 4), b"%1\r\n:1\r\n:1\r\n" * 9, b"%4611686018427387904\r\n"),
    ],
)
def test_limits_hold_on_what_is_announced(limits, fits, exceeds):
    assert read([fits], limits).fault is None
    assert len(read([fits], limits).items) >= 1
    outcome = read([fits + exceeds], limits)
    assert outcome.fault is not None


def test_an_announcement_allocates_nothing():
    before = memory.usage()[0]
    parser = reply_parser()
    for piece in (b"*16777216\r\n", b"*0\r\n", b"$536870912\r\n", b"x" * 100):
        parser.feed(piece)
        assert (parser.take(1), parser.fault) == ([], None)
    assert memory.usage()[0] - before < 4096


def test_nothing_yet_is_not_null():
    parser = parser_of()
    assert parser.take(1) == []
    parser.feed(b"$-1\r")
    assert parser.take(1) == []
    parser.feed(b"\n")
    assert parser.take(1) == [None]
    assert parser.buffered_size == 0


def test_an_error_while_a_value_is_made_ends_the_connection():
    """Part of a reply is lost then; what was whole before is not."""

    def refuse(text: str) -> object:
        raise RuntimeError(text)

    parser = ReplyParser(100, 5, 100, error=refuse, push=Push, verbatim=Verbatim)
    parser.feed(b"+a\r\n*2\r\n:1\r\n-ERR x\r\n:1\r\n")
    with pytest.raises(RuntimeError, match="ERR x"):
        parser.take(5)
    assert parser.fault
    assert parser.take(5) == ["a"]
    assert parser.take(5) == []


def test_an_object_that_was_not_initialised_refuses():
    with pytest.raises(ValueError, match="not initialised"):
        ReplyParser.__new__(ReplyParser).take(1)
    with pytest.raises(OverflowError):
        parser_of().take(-1)
    with pytest.raises(ValueError, match="limit"):
        reply_parser(2**40 + 1)


def test_memory_is_returned():
    before = memory.usage()
    parser = reply_parser()
    parser.feed(b"$100000\r\n" + bytes(100_000) + b"\r\n")
    assert parser.take(1) == [bytes(100_000)]
    assert memory.usage() == before
    parser.feed(b"*3\r\n:1\r\n$5\r\nab")
    assert parser.take(1) == []
    del parser
    assert memory.usage() == before
