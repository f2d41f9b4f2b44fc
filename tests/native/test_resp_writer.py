"""Replies are written as Redis writes them, in both protocols, whole or not at all.

Held against reference_resp.py and golden bytes; test_resp_redis.py compares with a real server.
"""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lsmkv._native import memory
from lsmkv.errors import Error
from lsmkv.kernel import OutputFull, ReplyWriter
from lsmkv_cluster.resp.replies import NULL_ARRAY, OK, ErrorReply, Push, Verbatim
from tests.support import reference_resp as reference
from tests.support.resp_cases import reply_values

# In RESP2 and in RESP3; None where they are the same.
GOLDEN = [
    (b"a\r\nb", b"$4\r\na\r\nb\r\n", None),
    (b"", b"$0\r\n\r\n", None),
    (OK, b"+OK\r\n", None),
    ("caf\xe9\r\n\udcff", b"+caf\xc3\xa9  \xff\r\n", None),
    (0, b":0\r\n", None),
    (-(2**63), b":-9223372036854775808\r\n", None),
    (2**63 - 1, b":9223372036854775807\r\n", None),
    (2**63, b"$19\r\n9223372036854775808\r\n", b"(9223372036854775808\r\n"),
    (True, b":1\r\n", b"#t\r\n"),
    (False, b":0\r\n", b"#f\r\n"),
    (None, b"$-1\r\n", b"_\r\n"),
    (NULL_ARRAY, b"*-1\r\n", b"_\r\n"),
    (1.5, b"$3\r\n1.5\r\n", b",1.5\r\n"),
    (math.inf, b"$3\r\ninf\r\n", b",inf\r\n"),
    ([1, [b"a"], ()], b"*3\r\n:1\r\n*1\r\n$1\r\na\r\n*0\r\n", None),
    (
        {b"a": 1, b"b": 2},
        b"*4\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n",
        b"%2\r\n$1\r\na\r\n:1\r\n$1\r\nb\r\n:2\r\n",
    ),
    (frozenset([b"a"]), b"*1\r\n$1\r\na\r\n", b"~1\r\n$1\r\na\r\n"),
    (ErrorReply("ERR a\r\nb"), b"-ERR a  b\r\n", None),
    (Push((b"x", 1)), b"*2\r\n$1\r\nx\r\n:1\r\n", b">2\r\n$1\r\nx\r\n:1\r\n"),
    (Verbatim("txt", b"hi"), b"$2\r\nhi\r\n", b"=6\r\ntxt:hi\r\n"),
]

# What Redis 7.2 and later print.
DOUBLES = [
    (0.0, "0"),
    (-0.0, "-0"),
    (3.0, "3"),
    (-17.0, "-17"),
    (0.1, "0.1"),
    (3.1415926535, "3.1415926535"),
    (1e10, "10000000000"),
    (2.0**61, "2305843009213693952"),
    (2.0**62, "4611686018427387904"),
    (2.0**62 + 1024, "4611686018427389000"),
    (1e19, "1e+19"),
    (1.5e300, "1.5e+300"),
    (1e-5, "0.00001"),
    (1e-7, "1e-7"),
    (1.25e-9, "1.25e-9"),
    (1234.5678912345677, "1234.5678912345677"),
    (12345.678912345678, "1.2345678912345678e+4"),
    (5e-324, "5e-324"),
    (-1.7976931348623157e308, "-1.7976931348623157e+308"),
    (math.inf, "inf"),
    (-math.inf, "-inf"),
    (math.nan, "nan"),
]


def written(value: object, protocol: int) -> bytes:
    writer = ReplyWriter(1 << 30, protocol)
    writer.value(value)
    return writer.take()


@pytest.mark.parametrize(("value", "second", "third"), GOLDEN)
def test_golden_replies(value, second, third):
    for protocol, expected in ((2, second), (3, third or second)):
        assert reference.encode(value, protocol) == expected
        assert written(value, protocol) == expected


@given(reply_values, st.sampled_from([2, 3]))
@settings(max_examples=300)
def test_any_reply_equals_the_reference(value, protocol):
    assert written(value, protocol) == reference.encode(value, protocol)


@pytest.mark.parametrize(("value", "text"), DOUBLES)
def test_golden_doubles(value, text):
    assert written(value, 3) == f",{text}\r\n".encode()


@given(st.integers(0, 2**64 - 1))
@settings(max_examples=1000)
def test_every_double_comes_back(bits):
    (value,) = struct.unpack("<d", struct.pack("<Q", bits))
    text = written(value, 3)[1:-2]
    assert text == reference.double_text(value)
    back = float(text)
    assert back == value or (math.isnan(back) and math.isnan(value))


@given(st.floats(1e-9, 1e9) | st.integers(-(10**9), 10**9).map(lambda number: number / 1000))
@settings(max_examples=1000)
def test_doubles_of_usual_size_equal_the_reference(value):
    assert written(value, 3)[1:-2] == reference.double_text(value)


def test_methods_of_one_type_write_what_values_write():
    for protocol in (2, 3):
        writer = ReplyWriter(1 << 20, protocol)
        pairs = [
            (lambda w=writer: w.bulk(bytearray(b"a")), b"a"),
            (lambda w=writer: w.simple("OK"), "OK"),
            (lambda w=writer: w.error("ERR x"), ErrorReply("ERR x")),
            (lambda w=writer: w.integer(-3), -3),
            (lambda w=writer: w.boolean(True), True),
            (lambda w=writer: w.double(2.5), 2.5),
            (lambda w=writer: w.verbatim("txt", b"hi"), Verbatim("txt", b"hi")),
            (lambda w=writer: w.null(), None),
            (lambda w=writer: w.null_array(), NULL_ARRAY),
            (lambda w=writer: (w.array_header(1), w.integer(1)), [1]),
            (lambda w=writer: (w.map_header(1), w.integer(1), w.integer(2)), {1: 2}),
            (lambda w=writer: (w.set_header(1), w.integer(1)), frozenset([1])),
            (lambda w=writer: (w.push_header(1), w.integer(1)), Push((1,))),
        ]
        for call, value in pairs:
            call()
            assert writer.take() == reference.encode(value, protocol)


def test_the_protocol_changes_between_two_replies():
    writer = ReplyWriter(1 << 20)
    assert writer.protocol == 2
    writer.null()
    writer.protocol = 3
    writer.null()
    assert writer.take() == b"$-1\r\n_\r\n"
    for wrong in (1, 4):
        with pytest.raises(ValueError, match="RESP"):
            writer.protocol = wrong
        with pytest.raises(ValueError, match="RESP"):
            ReplyWriter(1, wrong)
    assert writer.protocol == 3


# --- whole or not at all -------------------------------------------------------------------------


@given(reply_values, st.sampled_from([2, 3]), st.integers(0, 40))
@settings(max_examples=300)
def test_the_limit_holds_to_the_byte(value, protocol, already):
    size = len(reference.encode(value, protocol))
    writer = ReplyWriter(already + size, protocol)
    less = ReplyWriter(already + size - 1, protocol)
    for one in (writer, less):
        for _ in range(already // 4):
            one.integer(1)
        room = one.size_max - one.size
        if room >= size:
            one.value(value)
            assert one.size_max - one.size == room - size
        else:
            with pytest.raises(OutputFull, match="more than"):
                one.value(value)
            assert one.take() == b":1\r\n" * (already // 4)


def test_a_writer_that_was_full_goes_on():
    writer = ReplyWriter(10)
    writer.simple("OK")
    with pytest.raises(OutputFull):
        writer.value([b"a", b"b"])
    with pytest.raises(OutputFull):
        writer.bulk(b"too much")
    writer.simple("OK")
    assert writer.take() == b"+OK\r\n+OK\r\n"
    writer.bulk(b"aaaa")
    assert writer.size == 10
    assert issubclass(OutputFull, Error)


@pytest.mark.parametrize("value", [object(), {1, 2}, bytearray(b"a"), [b"a", {b"k": 1j}]])
def test_what_is_no_reply_writes_nothing(value):
    writer = ReplyWriter(1 << 20)
    writer.simple("OK")
    with pytest.raises(TypeError, match="no type of reply"):
        writer.value(value)
    assert writer.take() == b"+OK\r\n"


def test_an_endless_reply_is_an_error():
    endless: list[object] = []
    endless.append(endless)
    writer = ReplyWriter(1 << 30)
    with pytest.raises(RecursionError):
        writer.value(endless)
    assert writer.size == 0


@pytest.mark.parametrize("form", ["", "tx", "text"])
def test_a_form_has_three_letters(form):
    writer = ReplyWriter(1 << 20, 3)
    with pytest.raises(ValueError, match="form"):
        writer.verbatim(form, b"hi")
    with pytest.raises(ValueError, match="elements"):
        writer.array_header(-1)
    with pytest.raises(ValueError, match="limit"):
        ReplyWriter(2**40 + 1)
    assert writer.size == 0


def test_failing_allocations_and_leaks():
    before = memory.usage()
    writer = ReplyWriter(1 << 30)
    writer.bulk(b"first")
    memory.fail_allocation(1)
    with pytest.raises(MemoryError):
        writer.value([1, bytes(100_000)])
    memory.fail_allocation(0)
    writer.value([1, bytes(100_000)])
    assert len(writer.take()) == len(b"$5\r\nfirst\r\n*2\r\n:1\r\n$100000\r\n\r\n") + 100_000
    assert memory.usage() == before, "a large buffer is given back when all is taken"
    writer.bulk(b"more")
    assert memory.usage()[0] > before[0]
    del writer
    assert memory.usage() == before
