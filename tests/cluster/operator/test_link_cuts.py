"""Cables that are none: who is cut off hears nothing, and after mending everything again."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest

from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.operator.link_cuts import Cables

A, B = b"a" * 16, b"b" * 16
DEADLINE_S = 30.0
SHORT_S = 0.3  # in which nothing is to come: a slow machine only makes this less strict


class Echo(asyncio.DatagramProtocol):
    """Node b: gives back streams, and keeps datagrams."""

    def __init__(self) -> None:
        self.came: asyncio.Queue[bytes] = asyncio.Queue()

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.came.put_nowait(data)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()


Script = Callable[[Cables, Endpoint, Echo, socket.socket], Awaitable[None]]


def play(script: Script) -> None:
    """`script` gets the address that b announces, and the socket of a's datagrams."""

    async def run() -> None:
        echo, cables = Echo(), Cables()
        server = await asyncio.start_server(echo.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        datagrams, _ = await loop.create_datagram_endpoint(
            lambda: echo, local_addr=("127.0.0.1", port)
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mine:
            mine.bind(("127.0.0.1", 0))
            try:
                await cables.add("a", A)
                announced = await cables.add("b", B)
                cables.listens("a", Endpoint("127.0.0.1", mine.getsockname()[1]))
                cables.listens("b", Endpoint("127.0.0.1", port))
                async with asyncio.timeout(DEADLINE_S):
                    await script(cables, announced, echo, mine)
            finally:
                await cables.close()
                datagrams.close()
                server.close()

    asyncio.run(run())


async def nothing(waiting: Awaitable[object]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(waiting, SHORT_S)


async def connect(at: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection(at.host, at.port)
    writer.write(b"hello from " + A)
    return reader, writer


def test_streams_go_through_until_they_are_cut_and_end_when_mended() -> None:
    async def script(cables: Cables, b: Endpoint, echo: Echo, mine: socket.socket) -> None:
        reader, writer = await connect(b)
        assert await reader.readexactly(27) == b"hello from " + A
        cables.cut(["a"], ["b"])
        assert cables.cuts == ["a - b"]
        writer.write(b"lost")
        await nothing(reader.read(1))
        late_reader, late = await connect(b)
        await nothing(late_reader.read(1))
        cables.mend()
        for each in (reader, late_reader):
            with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
                await each.readexactly(1)
        again_reader, again = await connect(b)
        assert await again_reader.readexactly(27) == b"hello from " + A
        for each in (writer, late, again):
            each.close()

    play(script)


def test_datagrams_are_lost_while_cut() -> None:
    async def script(cables: Cables, b: Endpoint, echo: Echo, mine: socket.socket) -> None:
        mine.sendto(b"one", (b.host, b.port))
        assert await echo.came.get() == b"one"
        cables.cut(["b", "c"], ["a"])
        mine.sendto(b"two", (b.host, b.port))
        await nothing(echo.came.get())
        cables.mend()
        mine.sendto(b"three", (b.host, b.port))
        assert await echo.came.get() == b"three"

    play(script)


def test_strangers_are_not_let_through() -> None:
    async def script(cables: Cables, b: Endpoint, echo: Echo, mine: socket.socket) -> None:
        reader, writer = await asyncio.open_connection(b.host, b.port)
        writer.write(b"x" * 300)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(b"x", (b.host, b.port))
            await nothing(echo.came.get())

    play(script)
