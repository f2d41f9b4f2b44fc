"""Codecs undo themselves, keep order where they say so, and refuse what is not theirs."""

from __future__ import annotations

import builtins
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv.codecs import Codec, get_codec
from lsmkv.errors import OptionsError

SIGNED = st.integers(-(1 << 63), (1 << 63) - 1)
UNSIGNED = st.integers(0, (1 << 64) - 1)
TEXT = st.text()  # without surrogates: they have no UTF-8
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
@pytest.mark.parametrize(
    ("name", "objects"),
    [("bytes", st.binary()), ("utf8", TEXT), ("int", SIGNED), ("uint", UNSIGNED), ("json", JSON)],
)
def test_what_goes_in_comes_out(name: str, objects: st.SearchStrategy[Any], data: Any) -> None:
    codec = get_codec(name)
    thing = data.draw(objects)
    encoded = codec.encode(thing)
    assert type(encoded) is bytes
    assert codec.decode(encoded) == thing
    assert codec.name == name


@given(st.data())
@pytest.mark.parametrize(
    ("name", "objects"),
    [("bytes", st.binary()), ("utf8", TEXT), ("int", SIGNED), ("uint", UNSIGNED)],
)
def test_order_is_kept(name: str, objects: st.SearchStrategy[Any], data: Any) -> None:
    codec = get_codec(name)
    assert codec.is_ordered
    things = data.draw(st.lists(objects, max_size=10))
    assert sorted(map(codec.encode, things)) == [codec.encode(thing) for thing in sorted(things)]


def test_json_claims_no_order() -> None:
    assert not get_codec("json").is_ordered


@pytest.mark.parametrize(
    ("name", "thing", "encoded"),
    [
        ("bytes", bytearray(b"a\0"), b"a\0"),
        ("utf8", "ä", b"\xc3\xa4"),
        ("int", 0, b"\x80" + bytes(7)),
        ("int", -1, b"\x7f" + b"\xff" * 7),
        ("uint", 258, bytes(6) + b"\x01\x02"),
        ("json", {"a": [1, "ä"]}, '{"a":[1,"ä"]}'.encode()),
    ],
)
def test_stored_bytes_stay_as_they_are(name: str, thing: object, encoded: bytes) -> None:
    assert get_codec(name).encode(thing) == encoded


@pytest.mark.parametrize(
    ("name", "thing", "error"),
    [
        ("bytes", "text", TypeError), ("bytes", 7, TypeError), ("bytes", None, TypeError),
        ("utf8", b"bytes", TypeError), ("utf8", 7, TypeError), ("utf8", "\ud800", ValueError),
        ("int", 1 << 63, ValueError), ("int", -(1 << 63) - 1, ValueError), ("int", 1.0, TypeError),
        ("int", "7", TypeError), ("uint", -1, ValueError), ("uint", 1 << 64, ValueError),
        ("uint", None, TypeError), ("json", b"bytes", TypeError), ("json", object(), TypeError),
    ],
)  # fmt: skip
def test_objects_that_do_not_fit(name: str, thing: object, error: type[Exception]) -> None:
    with pytest.raises(error):
        get_codec(name).encode(thing)


@pytest.mark.parametrize(
    ("name", "data"),
    [("utf8", b"\xff"), ("int", b"1234567"), ("uint", b""), ("json", b"{"), ("json", b"\xff")],
)
def test_stored_bytes_of_another_codec(name: str, data: bytes) -> None:
    with pytest.raises(ValueError):
        get_codec(name).decode(data)


def test_a_codec_of_ones_own_is_taken_as_it_is() -> None:
    codec = Codec("mine", bytes, bytes)
    assert get_codec(codec) is codec
    assert not codec.is_ordered


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(OptionsError, match="'bytes', 'utf8', 'int', 'uint', 'json', 'msgpack'"):
        get_codec("pickle")


def test_msgpack_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *arguments: Any, **keywords: Any) -> Any:
        if name.startswith("msgspec"):
            raise ImportError(name)
        return real(name, *arguments, **keywords)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(OptionsError, match="msgspec package"):
        get_codec("msgpack")


def test_msgpack_where_it_is_installed() -> None:
    pytest.importorskip("msgspec")
    codec = get_codec("msgpack")
    assert codec.decode(codec.encode({"a": [1, None]})) == {"a": [1, None]}
