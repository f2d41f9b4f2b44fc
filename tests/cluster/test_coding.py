"""Payload primitives: what is written is read, every value has one encoding, nothing is guessed."""

from __future__ import annotations

from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv_cluster.coding import U64_MAX, Reader, Writer
from lsmkv_cluster.errors import Malformed

u64 = st.integers(0, U64_MAX)


def written(value: int) -> bytes:
    return Writer().varint(value).finish()


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (1 << 63, "80808080808080808001"),
        (U64_MAX, "ffffffffffffffffff01"),
    ],
)
def test_varint_bytes(value, encoded):
    assert written(value).hex() == encoded
    assert Reader(bytes.fromhex(encoded)).varint() == value


@pytest.mark.parametrize(
    "encoded",
    ["", "80", "8000", "ff00", "ffffffffffffffffff02", "ffffffffffffffffffff01", "80" * 9 + "00"],
)
def test_what_is_no_varint(encoded):
    """Cut off, over-long, above 64 bits, or more than ten bytes."""
    with pytest.raises(Malformed):
        Reader(bytes.fromhex(encoded)).varint()


def test_a_limit_is_checked_where_the_number_is_read():
    assert Reader(written(7)).varint(7) == 7
    with pytest.raises(Malformed, match="limit"):
        Reader(written(8)).varint(7)
    with pytest.raises(Malformed, match="limit"):
        Reader(written(U64_MAX) + b"x").sized(1 << 20)


@given(
    st.integers(0, 255),
    st.integers(0, 2**16 - 1),
    st.integers(0, 2**32 - 1),
    u64,
    u64,
    st.binary(max_size=300),
    st.text(max_size=20),
)
def test_round_trip_and_every_truncation(byte, short, word, long, number, data, text):
    writer = Writer().u8(byte).u16(short).u32(word).u64(long).varint(number)
    encoded = writer.sized(data, 300).text(text, 80).fixed(b"ab", 2).raw(b"c").finish()

    def read(encoded: bytes) -> tuple[object, ...]:
        reader = Reader(encoded)
        values = (reader.u8(), reader.u16(), reader.u32(), reader.u64(), reader.varint())
        rest = (reader.sized(300), reader.text(80), reader.fixed(3))
        reader.end()
        return (*values, *rest)

    assert read(encoded) == (byte, short, word, long, number, data, text, b"abc")
    for size in range(len(encoded)):
        with pytest.raises(Malformed):
            read(encoded[:size])
    with pytest.raises(Malformed, match="too many"):
        read(encoded + b"\0")


@given(st.lists(u64, max_size=20))
def test_many_integers_at_once(values):
    encoded = b"".join(value.to_bytes(8, "little") for value in values)
    reader = Reader(encoded)
    assert reader.u64s(len(values)) == tuple(values)
    assert reader.left == 0
    with pytest.raises(Malformed):
        Reader(encoded).u64s(len(values) + 1)


class Colour(IntEnum):
    RED = 1
    BLUE = 7


def test_one_of_the_numbers():
    reader = Reader(b"\x07\x01\x02")
    assert (reader.one_of(Colour), reader.one_of(Colour)) == (Colour.BLUE, Colour.RED)
    with pytest.raises(Malformed, match="unknown colour 2"):
        reader.one_of(Colour)


def test_a_reader_begins_anywhere_and_says_where_it_stopped():
    reader = Reader(b"abcdef", 2)
    assert reader.fixed(3) == b"cde"
    with pytest.raises(Malformed):
        reader.u16()
    assert (reader.position, reader.left) == (5, 1)


def test_text_is_utf8():
    with pytest.raises(Malformed, match="UTF-8"):
        Reader(b"\x02\xff\xff").text(10)


def test_what_cannot_be_written_is_our_mistake():
    for call in (
        lambda: Writer().u8(256),
        lambda: Writer().u16(-1),
        lambda: Writer().u64(1 << 64),
        lambda: Writer().varint(1 << 64),
        lambda: Writer().varint(-1),
        lambda: Writer().fixed(b"ab", 3),
        lambda: Writer().sized(b"abc", 2),
        lambda: Writer().text("äöü", 5),
    ):
        with pytest.raises(ValueError):
            call()
