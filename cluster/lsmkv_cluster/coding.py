"""Primitive readers and writers of payloads, the one place where bytes become integers.

    u8 u16 u32 u64   little-endian
    varint           LEB128: seven bits a byte, low bits first, at most ten bytes, never over-long
    sized            a varint, then that many bytes

A Reader never moves past the end of its bytes, checks a size against its limit before it slices,
and raises Malformed for anything that its writer cannot have written; `end()` refuses what is left
over, and `position` says where it stopped. Every value has exactly one encoding, so equal payloads
are equal bytes. What a Writer is asked to write and cannot is a mistake of ours: ValueError.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TypeVar

from lsmkv_cluster.errors import Malformed

__all__ = ["U64_MAX", "Reader", "Writer"]

U64_MAX = (1 << 64) - 1
VARINT_SIZE_MAX = 10

_Number = TypeVar("_Number", bound=IntEnum)

_U16 = struct.Struct("<H")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


class Reader:
    """Takes a payload apart from front to back. After Malformed it is of no further use."""

    __slots__ = ("_data", "_end", "_position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data = data
        self._position = position
        self._end = len(data)

    @property
    def position(self) -> int:
        """How many bytes lie before what will be read next."""
        return self._position

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return self._end - self._position

    def _advance(self, size: int) -> int:
        """The position of the next `size` bytes, which are there."""
        start = self._position
        if size > self._end - start:
            raise Malformed(f"{size} bytes at {start}, {self._end - start} are left")
        self._position = start + size
        return start

    def u8(self) -> int:
        return self._data[self._advance(1)]

    def u16(self) -> int:
        return int(_U16.unpack_from(self._data, self._advance(2))[0])

    def u32(self) -> int:
        return int(_U32.unpack_from(self._data, self._advance(4))[0])

    def u64(self) -> int:
        return int(_U64.unpack_from(self._data, self._advance(8))[0])

    def u64s(self, count: int) -> tuple[int, ...]:
        """`count` u64 in one step."""
        return struct.unpack_from(f"<{count}Q", self._data, self._advance(8 * count))

    def one_of(self, numbers: type[_Number]) -> _Number:
        """A u8 that is one of these."""
        number = self.u8()
        try:
            return numbers(number)
        except ValueError:
            raise Malformed(f"unknown {numbers.__name__.lower()} {number}") from None

    def varint(self, limit: int = U64_MAX) -> int:
        """Malformed also for a value above `limit`: counts and sizes are checked where they are
        read."""
        value = shift = 0
        while True:
            byte = self._data[self._advance(1)]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift == 7 * VARINT_SIZE_MAX:
                raise Malformed("a varint of more than ten bytes")
        if byte == 0 and shift:
            raise Malformed("an over-long varint")
        if value > limit:
            raise Malformed(f"{value} is over the limit of {limit}")
        return value

    def fixed(self, size: int) -> bytes:
        start = self._advance(size)
        return self._data[start : start + size]

    def sized(self, limit: int) -> bytes:
        return self.fixed(self.varint(limit))

    def text(self, limit: int) -> str:
        """UTF-8, `limit` in bytes."""
        try:
            return self.sized(limit).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Malformed("a text that is not UTF-8") from error

    def end(self) -> None:
        if self._position != self._end:
            raise Malformed(f"{self._end - self._position} bytes too many")


class Writer:
    """Puts a payload together; every method returns the writer, so that calls can be chained."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = bytearray()

    def _integer(self, value: int, size: int) -> Writer:
        if value < 0 or value >> 8 * size:
            raise ValueError(f"{value} does not fit into {size} bytes")
        self._data += value.to_bytes(size, "little")
        return self

    def u8(self, value: int) -> Writer:
        return self._integer(value, 1)

    def u16(self, value: int) -> Writer:
        return self._integer(value, 2)

    def u32(self, value: int) -> Writer:
        return self._integer(value, 4)

    def u64(self, value: int) -> Writer:
        return self._integer(value, 8)

    def varint(self, value: int) -> Writer:
        if not 0 <= value <= U64_MAX:
            raise ValueError(f"{value} does not fit into 8 bytes")
        while value >= 0x80:
            self._data.append(value & 0x7F | 0x80)
            value >>= 7
        self._data.append(value)
        return self

    def fixed(self, data: bytes, size: int) -> Writer:
        if len(data) != size:
            raise ValueError(f"{len(data)} bytes where {size} belong")
        return self.raw(data)

    def raw(self, data: bytes) -> Writer:
        """Bytes whose size is known or stands elsewhere."""
        self._data += data
        return self

    def sized(self, data: bytes, limit: int) -> Writer:
        if len(data) > limit:
            raise ValueError(f"{len(data)} bytes are over the limit of {limit}")
        return self.varint(len(data)).raw(data)

    def text(self, text: str, limit: int) -> Writer:
        return self.sized(text.encode("utf-8"), limit)

    def finish(self) -> bytes:
        return bytes(self._data)
