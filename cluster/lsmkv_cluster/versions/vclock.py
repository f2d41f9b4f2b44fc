"""Vector clocks: who has written how often, and when last.

    Actor   a writer: node, incarnation of its store, leased epoch (see actor.py)
    Dot     one event: the n-th write of an actor to this key
    Entry   of one actor in a clock: the dots 1..counter are known; and when it was last touched
    Clock   the entries of all actors

Clocks are ordered by their counters: a clock descends from another when it knows all that the other
knows; two that do not descend from each other are concurrent. `merge` is the least clock that
descends from both: counters and times each by maximum, so it is commutative, associative and
idempotent whatever the entries are.

An entry is touched when its actor writes, and when what it wrote is superseded (minting.py).

Threshold. A clock that outgrows it is cut: entries last touched before the *cut time* fall. The
cut time belongs to the record and merges by maximum (record.py), so every copy drops the same
entries and a cut lasts. What a cut forgets may look concurrent again, it is never lost. An actor
with a live item in the record is kept, *pinned* to its newest live dot: whoever holds that item has
seen what its actor wrote before it.
After a cut an entry may say less than its actor has written, and an actor that counted on from it
would use a dot twice. So an actor carries the time of its start, no entry of its own is older, and
it mints only where the cut time has not passed it (actor.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = [
    "CLOCK_THRESHOLD",
    "COUNTER_MAX",
    "TIME_MAX_S",
    "Actor",
    "Clock",
    "Dot",
    "Entry",
    "time_to_cut",
]

CLOCK_THRESHOLD = 50  # entries
COUNTER_MAX = (1 << 32) - 1
TIME_MAX_S = (1 << 32) - 1


class Actor(NamedTuple):
    """The order of the fields is the byte order of encoded actors. An epoch is a serial number of
    its store, 32 bits, then the time of its start in seconds, 32 bits."""

    node: int  # 32 bits
    incarnation: int  # 32 bits
    epoch: int  # 64 bits

    @property
    def start_s(self) -> int:
        return self.epoch & TIME_MAX_S


class Dot(NamedTuple):
    actor: Actor
    counter: int


class Entry(NamedTuple):
    """`time_s` is 0 in a pinned entry, otherwise at least 1."""

    counter: int
    time_s: int

    def merge(self, other: Entry) -> Entry:
        return Entry(max(self.counter, other.counter), max(self.time_s, other.time_s))


@dataclass(frozen=True, slots=True)
class Clock:
    """Immutable by agreement: nobody changes `entries` after construction."""

    entries: Mapping[Actor, Entry] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[tuple[Actor, Entry]]:
        """In the order of actors."""
        return iter(sorted(self.entries.items()))

    def counter(self, actor: Actor) -> int:
        """How many dots of the actor are known."""
        entry = self.entries.get(actor)
        return entry.counter if entry else 0

    def covers(self, dot: Dot) -> bool:
        return dot.counter <= self.counter(dot.actor)

    def descends(self, other: Clock) -> bool:
        """Whether this clock knows all that the other one knows; equal clocks do."""
        return all(entry.counter <= self.counter(actor) for actor, entry in other.entries.items())

    def is_concurrent(self, other: Clock) -> bool:
        return not self.descends(other) and not other.descends(self)

    def merge(self, other: Clock) -> Clock:
        merged = dict(self.entries)
        for actor, entry in other.entries.items():
            mine = merged.get(actor)
            merged[actor] = entry.merge(mine) if mine else entry
        return Clock(merged)

    def replaced(self, actor: Actor, entry: Entry) -> Clock:
        return Clock({**self.entries, actor: entry})

    def touched(self, actors: Iterable[Actor], time_s: int) -> Clock:
        """With these entries touched at `time_s`, if not later."""
        entries = dict(self.entries)
        for actor in actors:
            counter, before_s = entries[actor]
            entries[actor] = Entry(counter, max(before_s, time_s))
        return Clock(entries)

    def increment(self, actor: Actor, time_s: int, count: int = 1) -> Clock:
        """The next `count` dots of the actor are known too. Its time never goes back."""
        entry = self.entries.get(actor, Entry(0, 0))
        return self.replaced(actor, Entry(entry.counter + count, max(entry.time_s, time_s)))

    def cut(self, cut_s: int, live: Mapping[Actor, int]) -> Clock:
        """Without entries last touched before `cut_s`. `live` maps the actors of live items to
        their newest live counter: those stay, pinned to it."""
        if all(entry.time_s >= cut_s for entry in self.entries.values()):
            return self
        kept: dict[Actor, Entry] = {}
        for actor, entry in self.entries.items():
            if entry.time_s >= cut_s:
                kept[actor] = entry
            elif actor in live:
                kept[actor] = Entry(live[actor], 0)
        return Clock(kept)


def time_to_cut(clock: Clock, live: Mapping[Actor, int], threshold: int, limit_s: int) -> int:
    """The cut time that brings the clock back to `threshold` entries, 0 when none is needed.

    Oldest first, in whole seconds, at most `limit_s`. Actors with live items cannot fall, so the
    clock may stay above the threshold.
    """
    excess = len(clock) - threshold
    if excess <= 0:
        return 0
    times = sorted(entry.time_s for actor, entry in clock.entries.items() if actor not in live)
    if not times:
        return 0
    return min(times[min(excess, len(times)) - 1] + 1, limit_s)
