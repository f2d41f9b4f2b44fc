"""Records for property tests: any that the format allows, and those that real histories make."""

from __future__ import annotations

import random

from crc32c import crc32c
from hypothesis import strategies as st

from lsmkv_cluster.versions import record_format
from lsmkv_cluster.versions.minting import Limits
from lsmkv_cluster.versions.record import Item, Kind, Record
from lsmkv_cluster.versions.vclock import Actor, Clock, Dot, Entry
from tests.support.record_lab import Copy, Lab

__all__ = ["checksummed", "encoded", "grown_records", "item_of", "records"]

ACTORS = [Actor(1, 7, 1), Actor(1, 7, 300), Actor(2, 0, 1 << 63), Actor(256, 1, 1 << 40)]
COUNTERS_MAX = 4


def item_of(dot: Dot, salt: int = 0) -> Item:
    """The one item of a dot: two records never disagree about it, unless the salt differs."""
    number = random.Random(f"{dot} {salt}").getrandbits(32)
    kind = list(Kind)[number % 5]
    name = bytes(number >> 4 & 3) if kind in (Kind.ELEMENT, Kind.FIELD) else b""
    value = b""
    if kind is Kind.COUNT:
        value = (number - (1 << 31)).to_bytes(8, "little", signed=True)
    elif kind in (Kind.VALUE, Kind.FIELD):
        value = b"%d" % number * (1 if number & 64 else 40)
    return Item(dot, kind, number << 20, name, value, number if number & 128 else 0)


@st.composite
def records(
    draw: st.DrawFn, cuts: tuple[int, ...] = (0, 10, 20), salts: tuple[int, ...] = (0,)
) -> Record:
    """Any record that the format allows, of a few actors."""
    cut_s = draw(st.sampled_from(cuts))
    entries: dict[Actor, Entry] = {}
    items: list[Item] = []
    for actor in sorted(draw(st.sets(st.sampled_from(ACTORS), min_size=1))):
        counter = draw(st.integers(1, COUNTERS_MAX))
        live = sorted(draw(st.sets(st.integers(1, counter))))
        time_s = max(1, cut_s + draw(st.integers(0, 25)))
        if live and cut_s and draw(st.booleans()):
            counter, time_s = live[-1], 0
        entries[actor] = Entry(counter, time_s)
        items += (item_of(Dot(actor, n), draw(st.sampled_from(salts))) for n in live)
    return Record(Clock(entries), tuple(items), cut_s)


def grown_records(seed: int, count: int, clock_threshold: int = 50) -> list[bytes]:
    """Records of one key as they come about on three nodes that lose, repair and cut."""
    choose = random.Random(seed)
    lab = Lab(Limits(clock_threshold=clock_threshold))
    copies = lab.copies("abc")
    found: list[bytes] = []
    while len(found) < count:
        copy: Copy = choose.choice(copies)
        action = choose.randrange(8)
        if action < 3:
            copy.put(choose.randbytes(choose.randrange(60)), choose.choice(copies).context())
        elif action == 3:
            copy.set(choose.randbytes(3))
        elif action == 4:
            copy.delete(copy.context())
        elif action == 5 and choose.random() < 0.2:
            copy.lose()
        elif action == 6 and choose.random() < 0.2:
            copy.start(ended_cleanly=False)
        else:
            copy.take(choose.choice(copies).data)
        if copy.data is not None:
            found.append(copy.data)
    return found


def checksummed(data: bytes) -> bytes:
    """The same bytes under a checksum that fits."""
    return crc32c(data[4:]).to_bytes(4, "little") + data[4:]


def encoded(record: Record) -> bytes:
    return record_format.encode(record)
