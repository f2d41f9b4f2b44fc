"""A client that minds its own business while others abuse the node: is it served, and how fast?"""

from __future__ import annotations

import asyncio
from itertools import count

from lsmkv_cluster.client.calling import encode_command
from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.resp.replies import Reply
from lsmkv_cluster.resp.reply_reader import reply_parser

__all__ = ["Bystander"]

ANSWER_S = 10.0


class Bystander:
    """Writes and reads back, one after the other, until it is stopped. An answer that is wrong, an
    error, or none in time comes out of `stop`."""

    def __init__(self, at: Endpoint) -> None:
        self._at = at
        self._is_over = False
        self._task: asyncio.Task[None] | None = None
        self.latencies_s: list[float] = []

    async def __aenter__(self) -> Bystander:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        self._is_over = True
        if self._task is not None:
            await self._task

    def quantile_s(self, share: float) -> float:
        found = sorted(self.latencies_s)
        return found[min(len(found) - 1, int(share * len(found)))]

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection(self._at.host, self._at.port)
        parser = reply_parser()

        async def ask(*args: bytes) -> Reply:
            began_s = loop.time()
            writer.write(encode_command(args))
            async with asyncio.timeout(ANSWER_S):
                while not (found := parser.take(1)):
                    data = await reader.read(1 << 16)
                    assert data, "the node has closed the connection of somebody else"
                    parser.feed(data)
            self.latencies_s.append(loop.time() - began_s)
            reply: Reply = found[0]
            return reply

        try:
            for n in count():
                if self._is_over:
                    break
                value = b"%d" % n
                assert await ask(b"SET", b"bystander", value) == "OK"
                assert await ask(b"GET", b"bystander") == value
        finally:
            writer.close()
