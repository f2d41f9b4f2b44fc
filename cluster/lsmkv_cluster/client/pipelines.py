"""One connection of a client: many commands under way, answered in their order.

    send(command) -> future          what was sent in one turn of the loop leaves in one write

What holds: each future gets the reply of its command, or Lost once the connection has ended;
whoever stops waiting disturbs nobody. If the oldest command waits too long the connection ends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from ssl import SSLContext
from typing import NamedTuple

from lsmkv import Error
from lsmkv_cluster.client.calling import CallError, Login, encode_command
from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.resp.replies import ErrorReply, Push, Reply
from lsmkv_cluster.resp.reply_reader import reply_parser

__all__ = ["Lost", "Pipeline", "open_pipeline"]

REPLIES_AT_ONCE = 256


class Lost(Error):
    """The connection ended before the reply; the command was perhaps carried out."""


class _Waiting(NamedTuple):
    future: asyncio.Future[Reply]
    since_s: float


class Pipeline(asyncio.Protocol):
    """`patience_s`: how long a reply may take."""

    def __init__(self, patience_s: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._patience_s = patience_s
        self._parser = reply_parser()
        self._waiting: deque[_Waiting] = deque()
        self._outgoing: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._stirred: asyncio.Future[None] | None = None
        self.is_flowing = True  # it takes more bytes
        self._ended: str | None = None

    @property
    def is_open(self) -> bool:
        return self._ended is None

    @property
    def in_flight(self) -> int:
        return len(self._waiting)

    async def stirred(self) -> None:
        """Until replies have come, or it takes more bytes, or has ended. REQUIRES: it is open"""
        if self._stirred is None:
            self._stirred = self._loop.create_future()
        await asyncio.shield(self._stirred)

    def send(self, command: bytes) -> asyncio.Future[Reply]:
        """REQUIRES: it is open"""
        future: asyncio.Future[Reply] = self._loop.create_future()
        now_s = self._loop.time()
        self._waiting.append(_Waiting(future, now_s))
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(command)
        if self._watch is None:
            self._watch = self._loop.call_at(now_s + self._patience_s, self._look_at_oldest)
        return future

    def end(self, why: str) -> None:
        """All that waits is told. Again is nothing."""
        if self._ended is not None:
            return
        self._ended = why
        if self._transport is not None:
            self._transport.abort()
        if self._watch is not None:
            self._watch.cancel()
        waiting, self._waiting = self._waiting, deque()
        self._outgoing.clear()
        for each in waiting:
            if not each.future.done():
                each.future.set_exception(Lost(why))
        self._stir()

    def _stir(self) -> None:
        if self._stirred is not None:
            self._stirred.set_result(None)
            self._stirred = None

    def _flush(self) -> None:
        if self._transport is not None and self._outgoing:
            self._transport.write(b"".join(self._outgoing))
            self._outgoing.clear()

    def _look_at_oldest(self) -> None:
        self._watch = None
        if not self._waiting:
            return
        due_s = self._waiting[0].since_s + self._patience_s
        if due_s <= self._loop.time():
            self.end(f"no reply within {self._patience_s:g} s")
        else:
            self._watch = self._loop.call_at(due_s, self._look_at_oldest)

    # --- told by the loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        while replies := self._parser.take(REPLIES_AT_ONCE):
            for reply in replies:
                if isinstance(reply, Push):
                    continue
                if not self._waiting:
                    self.end("a reply to nothing")
                    return
                future = self._waiting.popleft().future
                if not future.done():
                    future.set_result(reply)
        self._stir()
        if self._parser.fault is not None:
            self.end(f"this is no RESP: {self._parser.fault}")

    def connection_lost(self, error: Exception | None) -> None:
        self.end(str(error) if error else "the node has closed the connection")

    def pause_writing(self) -> None:
        self.is_flowing = False

    def resume_writing(self) -> None:
        self.is_flowing = True
        self._stir()


async def open_pipeline(
    endpoint: Endpoint,
    tls: SSLContext | None,
    login: Login | None,
    *,
    connect_s: float,
    reply_s: float,
) -> Pipeline:
    """Connected, and logged in. CallError where that is refused; OSError, TimeoutError, Lost."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(connect_s):
        _, pipeline = await loop.create_connection(
            lambda: Pipeline(reply_s), endpoint.host, endpoint.port, ssl=tls
        )
        try:
            await _greet(pipeline, login)
        except BaseException:
            pipeline.end("it was given up")
            raise
    return pipeline


async def _greet(pipeline: Pipeline, login: Login | None) -> None:
    args = [b"HELLO", b"3"]
    if login is not None:
        args += [b"AUTH", login.user.encode(), login.password]
    reply = await pipeline.send(encode_command([*args, b"SETNAME", b"lsmkv-python"]))
    if isinstance(reply, ErrorReply):
        raise CallError(reply.text)
