"""The load of the demo counts what became of calls, and finds lost writes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from lsmkv_cluster.client.items import Item
from lsmkv_cluster.client.outcomes import Refused, Unknown
from lsmkv_cluster.operator.demo_load import Load, Second


class FakeClient:
    def __init__(self) -> None:
        self.stored: dict[bytes, tuple[bytes, ...]] = {}
        self.failure: Exception | None = None

    async def put(self, key: bytes, value: bytes) -> bytes:
        if self.failure is not None:
            raise self.failure
        self.stored[key] = (value,)
        return b""

    async def get(self, key: bytes) -> Item:
        if self.failure is not None:
            raise self.failure
        return Item(key, self.stored.get(key, ()))

    async def get_many(self, keys: Iterable[bytes]) -> list[Item]:
        return [await self.get(key) for key in keys]


async def loaded(client: Any, done: Any) -> Load:
    load = Load(client, [b"name"])
    load.start()
    async with asyncio.timeout(30):
        while not done(load):
            await asyncio.sleep(0.01)
    await load.stop()
    return load


def test_what_was_acknowledged_and_is_gone_is_lost() -> None:
    async def run() -> None:
        client = FakeClient()
        load = await loaded(client, lambda load: load.current.writes >= 8)
        assert await load.lost() == []
        assert load.acknowledged == len(client.stored)
        key = next(iter(client.stored))
        client.stored[key] = (b"0", *client.stored[key])
        assert await load.lost() == [], "an older sibling beside it is no loss"
        client.stored[key] = (b"0",)
        assert await load.lost() == [key]
        del client.stored[key]
        assert await load.lost() == [key]

    asyncio.run(run())


def test_failures_are_counted_and_end_nothing() -> None:
    async def run() -> None:
        client = FakeClient()
        client.failure = Refused("NOREPLICAS")
        load = await loaded(
            client, lambda load: load.current.writes_refused and load.current.reads_refused
        )
        assert (load.current.writes, load.current.reads) == (0, 0)
        client.failure = Unknown("UNKNOWN")
        unknown = Load(client, [])  # type: ignore[arg-type]
        unknown.start()
        async with asyncio.timeout(30):
            while not unknown.current.writes_unknown:
                await asyncio.sleep(0.01)
        tasks = list(unknown._tasks)
        await unknown.stop()
        assert not any(task.cancelled() is False and task.exception() for task in tasks[:4])

    asyncio.run(run())


def test_a_second_as_a_line() -> None:
    line = Second(reads=5, writes=70, slowest_ms=12.4).text("12:00:00")
    assert line == "12:00:00  reads    5 ok   writes   70 ok   slowest     12 ms"
    trouble = Second(reads_refused=1, writes_refused=2, writes_unknown=3).text("12:00:00")
    assert trouble.endswith("   1 reads refused, 2 writes refused, 3 writes unknown")


def test_seconds_add_up() -> None:
    load = Load(FakeClient(), [])  # type: ignore[arg-type]
    for _ in range(3):
        load.current.writes += 2
        assert load.take().writes == 2
    assert (load.total.writes, load.current.writes) == (6, 0)
