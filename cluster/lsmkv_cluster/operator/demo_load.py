"""A light load on the cluster of a demo, and what became of it, second by second.

Writers count upwards in keys of their own and remember what was acknowledged; readers look at
those, and at the index. At the end `lost` tells which acknowledged writes are gone, and there is
none.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from lsmkv_cluster.client.async_client import AsyncClient
from lsmkv_cluster.client.items import Item
from lsmkv_cluster.client.outcomes import Refused, Unknown

__all__ = ["Load", "Second"]

WRITERS = 4
READERS = 4
KEYS_EACH = 100  # of a writer
PAUSE_S = 0.04  # between two calls of one of them


@dataclass(slots=True)
class Second:
    """Counts of one second."""

    reads: int = 0
    reads_refused: int = 0
    writes: int = 0
    writes_refused: int = 0
    writes_unknown: int = 0
    slowest_ms: float = 0.0

    def text(self, clock: str) -> str:
        """`clock`: which second."""
        trouble = [
            f"{count} {what}"
            for count, what in (
                (self.reads_refused, "reads refused"),
                (self.writes_refused, "writes refused"),
                (self.writes_unknown, "writes unknown"),
            )
            if count
        ]
        line = f"{clock}  reads {self.reads:>4} ok   writes {self.writes:>4} ok   "
        return line + f"slowest {self.slowest_ms:>6.0f} ms   {', '.join(trouble)}".rstrip()


class Load:
    """`current` counts what ended since somebody took it last."""

    def __init__(self, client: AsyncClient, names: Sequence[bytes]) -> None:
        self._client = client
        self._names = names
        self._acknowledged: dict[bytes, int] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self.current = Second()
        self.total = Second()

    def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._write(number)) for number in range(WRITERS)]
        self._tasks += [loop.create_task(self._read()) for _ in range(READERS)]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def take(self) -> Second:
        second, self.current = self.current, Second()
        total = self.total
        total.reads += second.reads
        total.writes += second.writes
        total.reads_refused += second.reads_refused
        total.writes_refused += second.writes_refused
        total.writes_unknown += second.writes_unknown
        return second

    @property
    def acknowledged(self) -> int:
        """Keys with an acknowledged write."""
        return len(self._acknowledged)

    async def lost(self) -> list[bytes]:
        """Keys whose last acknowledged write is not there, nor a later one. REQUIRES: stopped"""
        expected = dict(self._acknowledged)
        items = await self._client.get_many(expected)
        return [item.key for item in items if _newest(item) < expected[item.key]]

    async def _write(self, writer: int) -> None:
        number = 0
        while True:
            number += 1
            key = b"load:%d:%d" % (writer, number % KEYS_EACH)
            started_s = time.monotonic()
            try:
                await self._client.put(key, b"%d" % number)
                self._acknowledged[key] = number
                self.current.writes += 1
            except Refused:
                self.current.writes_refused += 1
            except Unknown:
                self.current.writes_unknown += 1
            await self._ended(started_s)

    async def _read(self) -> None:
        while True:
            known = list(self._acknowledged) or [b"load"]
            key = random.choice(self._names if random.random() < 0.5 and self._names else known)
            started_s = time.monotonic()
            try:
                await self._client.get(key)
                self.current.reads += 1
            except Refused:
                self.current.reads_refused += 1
            await self._ended(started_s)

    async def _ended(self, started_s: float) -> None:
        took_ms = 1000 * (time.monotonic() - started_s)
        self.current.slowest_ms = max(self.current.slowest_ms, took_ms)
        await asyncio.sleep(PAUSE_S)


def _newest(item: Item) -> int:
    return max(map(int, item.values), default=0)
