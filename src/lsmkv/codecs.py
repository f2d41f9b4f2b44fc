"""Codecs for views: how Python objects become keys and values, and back.

    bytes   as they are                      utf8    str, in code point order
    int     signed 64-bit, ordered           uint    unsigned 64-bit, ordered
    json    what the json module takes       msgpack through msgspec, where that is installed

A codec that is ordered keeps the order of its objects as byte order, so that scans over a view make
sense. Nothing here runs code from stored bytes: there is no pickle.
"""

from __future__ import annotations

import json
import operator
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lsmkv.errors import OptionsError

__all__ = ["Codec", "get_codec"]

SIGN_BIT = 1 << 63


@dataclass(frozen=True)
class Codec:
    """Two functions that undo each other. `is_ordered`: byte order is object order."""

    name: str
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]
    is_ordered: bool = False


def _encode_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        raise TypeError("expected bytes, not str: use the 'utf8' codec")
    return bytes(memoryview(value))


def _encode_utf8(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"expected str, not {type(value).__name__}")
    return value.encode("utf-8")


def _encode_int(value: Any) -> bytes:
    number = operator.index(value)
    if not -SIGN_BIT <= number < SIGN_BIT:
        raise ValueError(f"{number} is no signed 64-bit number")
    return struct.pack(">Q", number + SIGN_BIT)


def _decode_int(data: bytes) -> int:
    return _decode_uint(data) - SIGN_BIT


def _encode_uint(value: Any) -> bytes:
    number = operator.index(value)
    if not 0 <= number < 2 * SIGN_BIT:
        raise ValueError(f"{number} is no unsigned 64-bit number")
    return struct.pack(">Q", number)


def _decode_uint(data: bytes) -> int:
    if len(data) != 8:
        raise ValueError(f"a stored number has 8 bytes, not {len(data)}")
    return int.from_bytes(data, "big")


def _encode_json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8")


def _msgpack() -> Codec:
    try:
        import msgspec.msgpack
    except ImportError:
        raise OptionsError("the 'msgpack' codec needs the msgspec package") from None
    return Codec("msgpack", msgspec.msgpack.encode, msgspec.msgpack.decode)


_CODECS = {
    codec.name: codec
    for codec in (
        Codec("bytes", _encode_bytes, bytes, is_ordered=True),
        Codec("utf8", _encode_utf8, lambda data: data.decode("utf-8"), is_ordered=True),
        Codec("int", _encode_int, _decode_int, is_ordered=True),
        Codec("uint", _encode_uint, _decode_uint, is_ordered=True),
        Codec("json", _encode_json, json.loads),
    )
}


def get_codec(codec: str | Codec) -> Codec:
    """A codec by name, or the given one. OptionsError lists the names there are."""
    if isinstance(codec, Codec):
        return codec
    if codec == "msgpack":
        return _msgpack()
    if codec not in _CODECS:
        names = ", ".join(map(repr, (*_CODECS, "msgpack")))
        raise OptionsError(f"unknown codec {codec!r}: use one of {names}, or a Codec")
    return _CODECS[codec]
