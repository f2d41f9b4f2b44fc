"""The connections of a client to one node: a few, shared by all that is under way.

One is enough until much waits on it; then another is opened. What has ended is forgotten, and
nothing is opened before it is needed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from lsmkv_cluster.client.pipelines import Lost, Pipeline

__all__ = ["Pool"]

CROWD = 64  # commands under way on one connection, from which on another is opened
IN_FLIGHT_MAX = 512  # on one connection; nodes read no more than about so many ahead


class Pool:
    def __init__(self, open_one: Callable[[], Awaitable[Pipeline]], size_max: int) -> None:
        self._open_one = open_one
        self._size_max = size_max
        self._pipelines: list[Pipeline] = []
        self._opening: asyncio.Task[None] | None = None
        self._is_closed = False

    def ready(self) -> Pipeline | None:
        """One that can be used at once."""
        best = self._best()
        if best is None or best.in_flight >= IN_FLIGHT_MAX or not best.is_flowing:
            return None
        if best.in_flight >= CROWD and len(self._pipelines) < self._size_max:
            self._start_opening()
        return best

    async def lease(self) -> Pipeline:
        """What open_one raises comes out; nobody's impatience stops it for the others."""
        while (pipeline := self.ready()) is None:
            best = self._best()
            if best is not None and len(self._pipelines) >= self._size_max:
                await best.stirred()
                continue
            opening = self._start_opening()
            await asyncio.shield(opening)
            if self._best() is None:
                raise Lost("the connection ended at once")
        return pipeline

    def close(self) -> None:
        self._is_closed = True
        if self._opening is not None:
            self._opening.cancel()
        for pipeline in self._pipelines:
            pipeline.end("the client was closed")
        self._pipelines.clear()

    def _best(self) -> Pipeline | None:
        if any(not pipeline.is_open for pipeline in self._pipelines):
            self._pipelines = [each for each in self._pipelines if each.is_open]
        return min(self._pipelines, key=_load, default=None)

    def _start_opening(self) -> asyncio.Task[None]:
        if self._opening is None or self._opening.done():
            self._opening = asyncio.get_running_loop().create_task(self._open())
            # Whoever does not wait for it learns of its failure when there is none to use.
            self._opening.add_done_callback(_retrieve)
        return self._opening

    async def _open(self) -> None:
        pipeline = await self._open_one()
        if self._is_closed:
            pipeline.end("the client was closed")
        else:
            self._pipelines.append(pipeline)


def _load(pipeline: Pipeline) -> tuple[bool, int]:
    return not pipeline.is_flowing, pipeline.in_flight


def _retrieve(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
