"""What is stored under a key: a vector clock and the items that nothing known has superseded.

    Item     one write: its dot, what it is, when it was made, when it expires
    Record   clock + items + cut time

The clock covers the dot of every item. A dot that the clock covers without an item was superseded:
that is how an overwrite, a delete and a removal from a set travel. The kinds of item stand side by
side, because a SET and an INCR that did not know of each other must both survive a merge: a record
has no type but that of its items.

Merging is the join of two such records: an item stays if both have it, or if the other has never
heard of its dot. What holds:
- commutative and idempotent; merging the result with either input again changes nothing, so a
  repaired copy stays repaired;
- associative among records of one cut time, whatever else they hold. Records of different cut times
  first become those of the larger one (vclock.py), which may forget that an item was superseded: it
  then shows again, beside its successors. No rule could both forget and know. Cut times only grow,
  so copies that keep meeting still become equal;
- an item is dropped only where something that superseded it is known;
- the two items of a dot that was used twice are counted (`collisions`): that must never happen. The
  bytewise larger one is kept, so that copies become equal all the same.

This is the reference; stored records are merged by kernels/record_merge.c, to the same bytes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import IntEnum

from lsmkv_cluster.versions.vclock import Actor, Clock, Dot

__all__ = ["Item", "Kind", "Merged", "Record", "merge", "ordered"]


class Kind(IntEnum):
    """What an item is (persistent)."""

    VALUE = 1  # a plain value: one sibling
    TOMBSTONE = 2  # a delete: neither name nor value
    COUNT = 3  # all that one actor has added to a counter: 8 bytes, signed
    ELEMENT = 4  # an element of a set: its name, no value
    FIELD = 5  # a field of a map: name and value


@dataclass(frozen=True, slots=True)
class Item:
    """`stamp` is the hybrid time of the write (hlc.py); `expiry_ms` 0 is never."""

    dot: Dot
    kind: Kind
    stamp: int
    name: bytes = b""
    value: bytes = b""
    expiry_ms: int = 0

    def body(self) -> tuple[int, int, int, int, bytes, bytes]:
        """All but the dot, in the order that decides between two items of one dot."""
        return (self.kind, self.stamp, self.expiry_ms, len(self.name), self.name, self.value)


@dataclass(frozen=True, slots=True)
class Record:
    """Items are in the order of their dots. `cut_s` is 0 while the clock was never cut."""

    clock: Clock
    items: tuple[Item, ...] = ()
    cut_s: int = 0

    def live(self) -> dict[Actor, int]:
        """The newest live counter of each actor that has an item."""
        return {item.dot.actor: item.dot.counter for item in self.items}

    def cut(self, cut_s: int) -> Record:
        """The same record with at least this cut time."""
        if cut_s <= self.cut_s:
            return self
        return Record(self.clock.cut(cut_s, self.live()), self.items, cut_s)

    def without(self, dots: Collection[Dot]) -> tuple[Item, ...]:
        return tuple(item for item in self.items if item.dot not in dots)

    def newest_stamp(self) -> int:
        return max((item.stamp for item in self.items), default=0)


@dataclass(frozen=True, slots=True)
class Merged:
    record: Record
    collisions: tuple[Dot, ...] = ()


def ordered(items: Iterable[Item]) -> tuple[Item, ...]:
    return tuple(sorted(items, key=lambda item: item.dot))


def merge(first: Record, second: Record) -> Merged:
    """The least record that knows all that both know."""
    cut_s = max(first.cut_s, second.cut_s)
    first, second = first.cut(cut_s), second.cut(cut_s)
    others = {item.dot: item for item in second.items}
    kept = [item for item in second.items if not first.clock.covers(item.dot)]
    collisions: list[Dot] = []
    for item in first.items:
        other = others.get(item.dot)
        if other is None:
            if not second.clock.covers(item.dot):
                kept.append(item)
            continue
        if other != item:
            collisions.append(item.dot)
        kept.append(max(item, other, key=Item.body))
    record = Record(first.clock.merge(second.clock), ordered(kept), cut_s)
    return Merged(record, tuple(collisions))
