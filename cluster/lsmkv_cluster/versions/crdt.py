"""Types that merge by themselves, as items of a record: counters, sets, maps.

    counter   one COUNT item for each actor that ever added: its own total, which only it replaces.
              The value is the sum, on top of the plain value there may be: an INCR on "10" counts
              from 10. No acknowledged increment is lost, absent a concurrent SET or DEL
    set       one ELEMENT item for each add. A remove supersedes the adds it has seen, so a
              concurrent add wins
    map       one FIELD item for each write of a field; concurrent ones: the newest is read, and the
              next write supersedes them all. A remove that has not seen a write does not undo it

Each function makes the Change of one operation from the record that the coordinator holds; all the
rest, merging above all, is that of any record. Adding supersedes the tombstones that are held.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

from lsmkv_cluster.versions.minting import Change, Payload, dots_of, items_of
from lsmkv_cluster.versions.record import Item, Kind, Record
from lsmkv_cluster.versions.vclock import Actor
from lsmkv_cluster.versions.visible import age, newest, visible

__all__ = [
    "add_elements",
    "count",
    "fields",
    "increment",
    "members",
    "put_fields",
    "remove_elements",
    "remove_fields",
]

COUNT_MIN = -(1 << 63)
COUNT_MAX = (1 << 63) - 1

INTEGER = re.compile(rb"0|-?[1-9][0-9]{0,18}")


# --- counters ------------------------------------------------------------------------------------


def count(record: Record | None, now_ms: int) -> int | None:
    """The value of a counter, None where there is none. ValueError when what it counts on is no
    integer."""
    counts = visible(record, now_ms, Kind.COUNT)
    base = newest(visible(record, now_ms, Kind.VALUE))
    if base is None and not counts:
        return None
    return _integer(base) + sum(_total(item) for item in counts)


def increment(local: Record | None, actor: Actor, delta: int, now_ms: int) -> Change:
    """Add `delta`, which may be negative. ValueError where the value would leave 64 bits."""
    value = (count(local, now_ms) or 0) + delta
    own = [item for item in _of_kind(local, Kind.COUNT) if item.dot.actor == actor]
    total = sum(_total(item) for item in own) + delta
    if not (COUNT_MIN <= value <= COUNT_MAX and COUNT_MIN <= total <= COUNT_MAX):
        raise ValueError("the increment would overflow")
    payload = Payload(Kind.COUNT, value=total.to_bytes(8, "little", signed=True))
    return Change((payload,), dots_of([*own, *_of_kind(local, Kind.TOMBSTONE)]))


def _integer(item: Item | None) -> int:
    if item is None:
        return 0
    number = int(item.value) if INTEGER.fullmatch(item.value) else None
    if number is None or not COUNT_MIN <= number <= COUNT_MAX:
        raise ValueError("the value is not an integer or out of range")
    return number


def _total(item: Item) -> int:
    return int.from_bytes(item.value, "little", signed=True)


# --- sets ----------------------------------------------------------------------------------------


def members(record: Record | None, now_ms: int) -> frozenset[bytes]:
    return frozenset(item.name for item in visible(record, now_ms, Kind.ELEMENT))


def add_elements(local: Record | None, elements: Collection[bytes], expiry_ms: int = 0) -> Change:
    """Also elements that are there: the add is new, and wins over a concurrent remove."""
    payloads = (Payload(Kind.ELEMENT, name, b"", expiry_ms) for name in sorted(set(elements)))
    superseded = _named(local, Kind.ELEMENT, elements) + _of_kind(local, Kind.TOMBSTONE)
    return Change(tuple(payloads), dots_of(superseded))


def remove_elements(local: Record | None, elements: Collection[bytes]) -> Change:
    return Change((), dots_of(_named(local, Kind.ELEMENT, elements)))


# --- maps ----------------------------------------------------------------------------------------


def fields(record: Record | None, now_ms: int) -> dict[bytes, bytes]:
    """Field to value, the newest where there are several."""
    found = visible(record, now_ms, Kind.FIELD)
    return {item.name: item.value for item in sorted(found, key=age)}


def put_fields(local: Record | None, values: Mapping[bytes, bytes], expiry_ms: int = 0) -> Change:
    payloads = (
        Payload(Kind.FIELD, name, value, expiry_ms) for name, value in sorted(values.items())
    )
    superseded = _named(local, Kind.FIELD, values) + _of_kind(local, Kind.TOMBSTONE)
    return Change(tuple(payloads), dots_of(superseded))


def remove_fields(local: Record | None, names: Collection[bytes]) -> Change:
    return Change((), dots_of(_named(local, Kind.FIELD, names)))


def _of_kind(local: Record | None, kind: Kind) -> list[Item]:
    return [item for item in items_of(local) if item.kind is kind]


def _named(local: Record | None, kind: Kind, names: Collection[bytes]) -> list[Item]:
    return [item for item in _of_kind(local, kind) if item.name in names]
