"""Datagrams between machines: lost, doubled, late, overtaken, damaged.

A duplicate may come seconds later, as a replayed one would. What comes while the receiver is paused
waits in a small buffer; what does not fit there is lost.
"""

from __future__ import annotations

from random import Random
from typing import Protocol

from tests.sim.links import Links
from tests.sim.loop import SECOND, Loop
from tests.sim.paths import Paths

__all__ = ["Datagrams", "Receiver", "damaged"]

LATE_MAX_US = 10 * SECOND


class Receiver(Protocol):
    """What stands behind a machine's number, as far as datagrams go."""

    def receive_datagram(self, source: int, data: bytes) -> None: ...


class Datagrams:
    def __init__(self, loop: Loop, random: Random, links: Links, paths: Paths) -> None:
        self._loop = loop
        self._random = random
        self._links = links
        self._paths = paths
        self.receivers: list[Receiver] = []
        self.hits = {"loss": 0, "duplication": 0, "corruption": 0, "reordering": 0}

    def send(self, source: int, target: int, data: bytes) -> None:
        if not self._links.is_open(source, target):
            return
        quality = self._paths.quality(source, target)
        random = self._random.random
        low, high = quality.delay_us
        delay_us = low + int(random() * (high - low))
        if quality.loss and random() < quality.loss:
            self.hits["loss"] += 1
            return
        if quality.reordering and random() < quality.reordering:
            self.hits["reordering"] += 1
            delay_us *= 20
        if quality.corruption and random() < quality.corruption:
            self.hits["corruption"] += 1
            data = damaged(data, self._random)
        self._loop.after(delay_us, self._arrive, source, target, data)
        if quality.duplication and random() < quality.duplication:
            self.hits["duplication"] += 1
            late_us = int(random() ** 4 * LATE_MAX_US)
            self._loop.after(delay_us + late_us, self._arrive, source, target, data)

    def _arrive(self, source: int, target: int, data: bytes) -> None:
        if self._links.is_open(source, target):
            self.receivers[target].receive_datagram(source, data)


def damaged(data: bytes, random: Random) -> bytes:
    """One bit flipped, or the end cut off."""
    if not data:
        return b"\0"
    if random.random() < 0.2:
        return data[: random.randrange(len(data))]
    changed = bytearray(data)
    changed[random.randrange(len(data))] ^= 1 << random.randrange(8)
    return bytes(changed)
