"""What a record is to the commands of Redis: one value of one type, or nothing.

A plain command sees of concurrent writes one, as the keyspace resolves them: the newest value, or
where the last writer wins nothing if that was a delete. What has been counted on top of a value is
part of it. Sets and maps are seen where there is no value; KV.GET shows everything.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from lsmkv_cluster.coding import Reader
from lsmkv_cluster.placement.keyspaces import Resolution
from lsmkv_cluster.versions import crdt
from lsmkv_cluster.versions.record import Kind, Record
from lsmkv_cluster.versions.record_format import (
    ENTRY_SIZE,
    HEADER,
    ITEM,
    decode,
    is_plain,
)
from lsmkv_cluster.versions.resolve import last_writer
from lsmkv_cluster.versions.visible import age, newest, visible

__all__ = ["NOTHING", "Stored", "Type", "concurrent", "everything", "see"]


ONE_BYTE_END = 128  # of varints


class Type(Enum):
    """As TYPE says it."""

    NONE = "none"
    STRING = "string"
    SET = "set"
    HASH = "hash"


class Stored(NamedTuple):
    """`value` is that of a string; `expiry_ms` 0 is never."""

    type: Type
    value: bytes = b""
    expiry_ms: int = 0
    is_counter: bool = False

    @property
    def is_alive(self) -> bool:
        return self.type is not Type.NONE


NOTHING = Stored(Type.NONE)


def see(data: bytes | None, resolution: Resolution, now_ms: int) -> Stored:
    """Of a stored record, which has been checked."""
    if data is None:
        return NOTHING
    if is_plain(data):
        return Stored(Type.STRING, _plain_value(data))
    return _see(decode(data), resolution, now_ms)


def _see(record: Record, resolution: Resolution, now_ms: int) -> Stored:
    item = newest(visible(record, now_ms, Kind.VALUE))
    counts = visible(record, now_ms, Kind.COUNT)
    if counts:
        expiry_ms = item.expiry_ms if item else 0
        try:
            total = crdt.count(record, now_ms)
        except ValueError:  # a text was written meanwhile
            return Stored(Type.STRING, item.value if item else b"", expiry_ms)
        return Stored(Type.STRING, b"%d" % (total or 0), expiry_ms, is_counter=True)
    if item is not None:
        if resolution is Resolution.LAST_WRITER and last_writer(record, now_ms) is None:
            return NOTHING
        return Stored(Type.STRING, item.value, item.expiry_ms)
    for kind, type in ((Kind.ELEMENT, Type.SET), (Kind.FIELD, Type.HASH)):
        parts = visible(record, now_ms, kind)
        if parts:
            return Stored(type, expiry_ms=max(parts, key=age).expiry_ms)
    return NOTHING


def _plain_value(data: bytes) -> bytes:
    """Of a record with one value, behind whose size it stands."""
    entry_count = HEADER.unpack_from(data)[3]
    start = HEADER.size + entry_count * ENTRY_SIZE + ITEM.size
    size = data[start]
    if size < ONE_BYTE_END:  # most are small, and this is done for every read
        return data[start + 1 : start + 1 + size]
    reader = Reader(data, start)
    return reader.fixed(reader.varint())


def concurrent(data: bytes | None, value: bytes, now_ms: int) -> Stored | None:
    """What somebody else has written at the same time, if there is something beside `value` in what
    was just written: the newest of it."""
    if data is None or is_plain(data):
        return None
    found = sorted(visible(decode(data), now_ms, Kind.VALUE), key=age)
    own = next((item for item in reversed(found) if item.value == value), None)
    others = [item for item in found if item is not own]
    return Stored(Type.STRING, others[-1].value, others[-1].expiry_ms) if others else None


def everything(data: bytes | None, now_ms: int) -> tuple[str, list[bytes]]:
    """(what it is, its parts): all siblings, newest first; the count; elements; or fields and
    values."""
    record = decode(data) if data is not None else None
    values = sorted(visible(record, now_ms, Kind.VALUE), key=age, reverse=True)
    if visible(record, now_ms, Kind.COUNT):
        try:
            return ("counter", [b"%d" % (crdt.count(record, now_ms) or 0)])
        except ValueError:
            return ("string", [item.value for item in values])
    if values:
        return ("string", [item.value for item in values])
    elements = crdt.members(record, now_ms)
    if elements:
        return ("set", sorted(elements))
    pairs = crdt.fields(record, now_ms)
    if pairs:
        return ("map", [part for name in sorted(pairs) for part in (name, pairs[name])])
    return ("none", [])
