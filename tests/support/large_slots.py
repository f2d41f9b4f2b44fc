"""What the writers of the large soak have acknowledged, in a file that outlives them.

Every key is a slot with one writer, and every write of it has a number, from which alone follows
what it writes (value_of). So two numbers for each slot say what may be there: `begun` is set before
a write, `acknowledged` after it. Whatever is found must be of a number from the one acknowledged
before the look to the one begun after it (explains).

    settle   after a kill: all is there that was acknowledged, batches are whole; go on from it

File: for each slot 16 bytes in the order of this machine: begun, acknowledged, both 0 at first.
"""

from __future__ import annotations

import mmap
import random
from collections.abc import Iterable, Mapping
from pathlib import Path

__all__ = ["BALLAST", "SLOTS", "WRITERS", "Slots", "explains", "key_of", "value_of"]

WRITERS = 2
SLOTS_EACH = 8_000
MIXED = WRITERS * SLOTS_EACH
BALLAST = range(MIXED, MIXED + 4_096)  # odd writes fill these slots, even ones empty them
BALLAST_BYTES = 4_096
SLOTS = BALLAST.stop
VALUE_MAX = 600
FILLER = random.Random(7).randbytes(1 << 16)


def slots_of(writer: int) -> range:
    return range(writer * SLOTS_EACH, (writer + 1) * SLOTS_EACH)


def key_of(slot: int) -> bytes:
    return b"%05d" % slot


def value_of(slot: int, number: int) -> bytes | None:
    """What that write leaves: a quarter of them are deletes."""
    mixed = (slot * 0x9E3779B1 + number * 0x85EBCA6B) & 0xFFFFFFFF
    mixed ^= mixed >> 15
    if slot in BALLAST:
        size, is_there = BALLAST_BYTES, number % 2 == 1
    else:
        size, is_there = mixed // 4 % VALUE_MAX, mixed % 4 > 0 and number > 0
    if not is_there:
        return None
    start = mixed % (len(FILLER) - size)
    return b"%05d=%d:" % (slot, number) + FILLER[start : start + size]


def explains(slot: int, found: bytes | None, first: int, last: int) -> bool:
    """Whether one of the writes from `first` to `last` leaves that."""
    return any(value_of(slot, number) == found for number in range(first, last + 1))


class Slots:
    """The file, mapped: what is written here stays when the process is killed."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            path.write_bytes(bytes(SLOTS * 16))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), SLOTS * 16)
        self._numbers = memoryview(self._map).cast("Q")

    def close(self) -> None:
        self._numbers.release()
        self._map.close()

    def begun(self, slot: int) -> int:
        return self._numbers[2 * slot]

    def acknowledged(self, slot: int) -> int:
        return self._numbers[2 * slot + 1]

    def begin(self, slots: Iterable[int]) -> dict[bytes, bytes | None]:
        """The next write of each of them: by key what it leaves."""
        changes = {}
        for slot in slots:
            number = self._numbers[2 * slot] = self._numbers[2 * slot + 1] + 1
            changes[key_of(slot)] = value_of(slot, number)
        return changes

    def acknowledge(self, slots: Iterable[int]) -> None:
        for slot in slots:
            self._numbers[2 * slot + 1] = self._numbers[2 * slot]

    def live_bytes(self, slots: Iterable[int]) -> int:
        """Of keys and values that are there."""
        values = ((slot, value_of(slot, self.acknowledged(slot))) for slot in slots)
        return sum(len(key_of(slot)) + len(value) for slot, value in values if value is not None)

    def settle(self, found: Mapping[bytes, bytes]) -> int:
        """How many writes were under way. AssertionError when `found` is not what may be there."""
        strange = found.keys() - {key_of(slot) for slot in range(SLOTS)}
        assert not strange, f"nobody wrote {sorted(strange)[:5]}"
        wrong = [slot for slot in range(SLOTS) if not self._may_hold(slot, found)]
        assert not wrong, f"{len(wrong)} slots are lost or wrong: {self._story(wrong, found)}"
        under_way = [slot for slot in range(SLOTS) if self.begun(slot) != self.acknowledged(slot)]
        for slots in (*map(slots_of, range(WRITERS)), BALLAST):
            self._settle_batch([slot for slot in under_way if slot in slots], found)
        return len(under_way)

    def _may_hold(self, slot: int, found: Mapping[bytes, bytes]) -> bool:
        value = found.get(key_of(slot))
        return explains(slot, value, self.acknowledged(slot), self.begun(slot))

    def _settle_batch(self, slots: list[int], found: Mapping[bytes, bytes]) -> None:
        """What one writer had under way is there as a whole, or not at all."""
        news, olds = (
            {slot for slot in slots if found.get(key_of(slot)) == value_of(slot, number(slot))}
            for number in (self.begun, self.acknowledged)
        )
        assert len(slots) in (len(news), len(olds)), f"half a batch: {self._story(slots, found)}"
        if len(news) == len(slots):
            self.acknowledge(slots)
        for slot in slots:
            self._numbers[2 * slot] = self._numbers[2 * slot + 1]

    def _story(self, slots: list[int], found: Mapping[bytes, bytes]) -> str:
        return ", ".join(
            f"slot {slot}: {found.get(key_of(slot), b'nothing')[:20]!r} is there, write "
            f"{self.acknowledged(slot)} was acknowledged, {self.begun(slot)} begun"
            for slot in slots[:5]
        )
