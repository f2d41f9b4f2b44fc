"""New versions: what a write of a client makes of the record that its coordinator holds.

    Change   what a write adds and which items of the local record it supersedes
    mint     local record + change + what the client has seen -> the new record

The new record knows all that the local one knew and all that the client had seen, and has one more
dot for each item that was added. What holds:
- an item is superseded only if the coordinator holds it, or the client has seen it;
- along a key stamps ascend: a new item is newer than all that it supersedes, even where a clock
  elsewhere ran ahead. The node's own clock is not moved by that. Only the tombstone of what has
  expired is as old as that was;
- the entries of those who wrote what is now superseded are touched, so that no cut can fall
  between a version and what it replaces;
- the time of an entry never goes back, nor behind the start of its actor;
- a clock over the threshold is cut, and only here: never in a merge, and never while the record
  counts (vclock.py says what a cut does);
- the cap on siblings refuses client writes only.
Which actor may mint is decided in actor.py.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lsmkv_cluster.errors import TooManySiblingsError
from lsmkv_cluster.versions.context import NOTHING, Context
from lsmkv_cluster.versions.hlc import STAMP_MAX, stamp_to_ms
from lsmkv_cluster.versions.record import Item, Kind, Record, ordered
from lsmkv_cluster.versions.vclock import (
    CLOCK_THRESHOLD,
    TIME_MAX_S,
    Actor,
    Clock,
    Dot,
    Entry,
    time_to_cut,
)

__all__ = [
    "Change",
    "Limits",
    "Minted",
    "Payload",
    "delete",
    "dots_of",
    "expire",
    "items_of",
    "mint",
    "overwrite",
    "write",
]

SIBLING_KINDS = frozenset({Kind.VALUE, Kind.TOMBSTONE})


@dataclass(frozen=True, slots=True)
class Limits:
    clock_threshold: int = CLOCK_THRESHOLD
    siblings_to_warn: int = 25
    siblings_max: int = 100


@dataclass(frozen=True, slots=True)
class Payload:
    """`stamp` 0: that of the write."""

    kind: Kind
    name: bytes = b""
    value: bytes = b""
    expiry_ms: int = 0
    stamp: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """An empty one, such as removing what is not there, is answered and never minted."""

    payloads: tuple[Payload, ...]
    superseded: frozenset[Dot]

    @property
    def is_empty(self) -> bool:
        return not self.payloads and not self.superseded


@dataclass(frozen=True, slots=True)
class Minted:
    """`cut_count`: clock entries that fell, for the metric. `has_many_siblings`: warn."""

    record: Record
    dots: tuple[Dot, ...]
    cut_count: int
    has_many_siblings: bool


# --- changes of plain values ---------------------------------------------------------------------


def dots_of(items: Iterable[Item]) -> frozenset[Dot]:
    return frozenset(item.dot for item in items)


def items_of(local: Record | None) -> tuple[Item, ...]:
    return local.items if local else ()


def write(local: Record | None, value: bytes, seen: Context, expiry_ms: int = 0) -> Change:
    """A value instead of all that the client has seen, beside what it has not."""
    return Change((Payload(Kind.VALUE, b"", value, expiry_ms),), _seen_dots(local, seen))


def overwrite(local: Record | None, value: bytes, expiry_ms: int = 0) -> Change:
    """A value instead of all that the coordinator holds: a plain SET."""
    return Change((Payload(Kind.VALUE, b"", value, expiry_ms),), dots_of(items_of(local)))


def delete(local: Record | None, seen: Context | None = None) -> Change:
    """A tombstone instead of what the client has seen; without context, of all that is held."""
    superseded = dots_of(items_of(local)) if seen is None else _seen_dots(local, seen)
    return Change((Payload(Kind.TOMBSTONE),), superseded)


def expire(local: Record, now_ms: int) -> Change | None:
    """A tombstone instead of exactly the items that have expired; None when there are none.

    Readers see no difference, whatever stands beside it: the tombstone has the stamp of the newest
    value whose place it takes, so it hides no later write from a last writer, and shows no earlier
    one. Parts of a set or map only go. Tombstones that are not newer go along: they would pile up.
    """
    expired = [item for item in local.items if 0 < item.expiry_ms <= now_ms]
    stamp = max((item.stamp for item in expired if item.kind is Kind.VALUE), default=0)
    if not stamp:
        return Change((), dots_of(expired)) if expired else None
    tombstones = [item for item in local.items if item.kind is Kind.TOMBSTONE]
    superseded = [*expired, *(item for item in tombstones if item.stamp <= stamp)]
    return Change((Payload(Kind.TOMBSTONE, stamp=stamp),), dots_of(superseded))


def _seen_dots(local: Record | None, seen: Context) -> frozenset[Dot]:
    return dots_of(item for item in items_of(local) if seen.clock.covers(item.dot))


# --- minting -------------------------------------------------------------------------------------


def mint(
    local: Record | None,
    change: Change,
    actor: Actor,
    stamp: int,
    *,
    seen: Context = NOTHING,
    limits: Limits = Limits(),
) -> Minted:
    """The local record after the change. `stamp` comes from the node's clock, `actor` from
    actor.py. TooManySiblingsError when the cap refuses it."""
    if change.is_empty:
        raise ValueError("an empty change makes no version")
    local = (local or Record(Clock())).cut(seen.cut_s)
    cut_s = local.cut_s
    time_s = min(max(1, stamp_to_ms(stamp) // 1000, cut_s, actor.start_s), TIME_MAX_S)
    clock = local.clock.merge(_known_by(seen, change.superseded, cut_s, time_s))
    clock = clock.touched({dot.actor for dot in change.superseded}, time_s)
    first = clock.counter(actor) + 1
    dots = tuple(Dot(actor, first + i) for i in range(len(change.payloads)))
    if dots:
        clock = clock.increment(actor, time_s, len(dots))
    item_stamp = min(max(stamp, local.newest_stamp() + 1, seen.stamp + 1), STAMP_MAX)
    added = [
        Item(
            dot,
            payload.kind,
            payload.stamp or item_stamp,
            payload.name,
            payload.value,
            payload.expiry_ms,
        )
        for dot, payload in zip(dots, change.payloads, strict=True)
    ]
    items = ordered([*local.without(change.superseded), *added])
    siblings = _checked_siblings(local.items, items, limits)
    record = _within_threshold(Record(clock, items, cut_s), limits.clock_threshold, time_s)
    cut_count = len(clock) - len(record.clock)
    return Minted(record, dots, cut_count, siblings > limits.siblings_to_warn)


def _known_by(seen: Context, superseded: frozenset[Dot], cut_s: int, time_s: int) -> Clock:
    """What of the client's clock goes into the new one.

    Entries whose items the client saw alive (time 0) are touched: this write supersedes them,
    wherever they are. So are those that supersede an item here. What else was cut since stays cut.
    """
    needed = {dot.actor for dot in superseded}
    kept: dict[Actor, Entry] = {}
    for actor, entry in seen.clock.entries.items():
        if entry.time_s == 0 or actor in needed:
            kept[actor] = Entry(entry.counter, time_s)
        elif entry.time_s >= cut_s:
            kept[actor] = entry
    return Clock(kept)


def _checked_siblings(before: Iterable[Item], after: Iterable[Item], limits: Limits) -> int:
    """How many siblings there are after the change."""
    count = sum(item.kind in SIBLING_KINDS for item in after)
    if count > limits.siblings_max and count > sum(item.kind in SIBLING_KINDS for item in before):
        raise TooManySiblingsError(f"{count} siblings, the limit is {limits.siblings_max}")
    return count


def _within_threshold(record: Record, threshold: int, limit_s: int) -> Record:
    if any(item.kind is Kind.COUNT for item in record.items):
        return record
    return record.cut(time_to_cut(record.clock, record.live(), threshold, limit_s))
