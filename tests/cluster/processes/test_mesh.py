"""The proxies between nodes tell who sends by the bytes, and strike one direction at a time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.operations import Operation
from lsmkv_cluster.serving.sockets import endpoint_of
from lsmkv_cluster.transport.datagram import DatagramSealer
from lsmkv_cluster.transport.handshake import Hello, hello_frame
from lsmkv_cluster.transport.wire import Lane
from tests.cluster.processes.mesh import Mesh

A, B = b"a" * 16, b"b" * 16
NAMES = {A: "a", B: "b"}
SHORT_S = 0.3  # in which nothing comes
LONG_S = 30.0


def hello(sender: bytes) -> bytes:
    said = Hello(1, 1, Lane.DATA, 1, 1, sender, b"i" * 16, 1 << 32 | 1, "name")
    return hello_frame(said, b"c" * 16, 1)


class Lab:
    """A mesh in front of "to", which is this test: what comes there is in `came`."""

    def __init__(self) -> None:
        self.mesh = Mesh(NAMES.get, Random(1))
        self.came: asyncio.Queue[bytes] = asyncio.Queue()
        self._writers: list[asyncio.StreamWriter] = []

    async def open(self) -> None:
        self.at = await self.mesh.open("to")
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.mesh.lead("to", endpoint_of(self._server.sockets[0]))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        while data := await reader.read(1 << 16):
            self.came.put_nowait(data)
            writer.write(b"back")
        self.came.put_nowait(b"end")
        writer.close()

    async def connect(self, sender: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(self.at.host, self.at.port)
        self._writers.append(writer)
        writer.write(hello(sender))
        return reader, writer

    async def next(self, size: int) -> bytes:
        data = b""
        async with asyncio.timeout(LONG_S):
            while len(data) < size:
                data += await self.came.get()
        return data

    async def is_silent(self) -> bool:
        try:
            async with asyncio.timeout(SHORT_S):
                self.late = await self.came.get()
        except TimeoutError:
            return True
        return False

    async def close(self) -> None:
        self._server.close()
        await self.mesh.close()
        for writer in self._writers:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


@asynccontextmanager
async def lab() -> AsyncIterator[Lab]:
    made = Lab()
    await made.open()
    try:
        yield made
    finally:
        await made.close()


def test_streams_pass_both_ways():
    async def play() -> None:
        async with lab() as it:
            reader, writer = await it.connect(A)
            assert await it.next(len(hello(A))) == hello(A)
            assert await reader.readexactly(4) == b"back"
            writer.write(b"x" * 200_000)
            assert await it.next(200_000) == b"x" * 200_000
            writer.close()
            assert await it.next(3) == b"end"

    asyncio.run(play())


def test_a_cut_holds_back_what_one_node_sends_and_no_other():
    async def play() -> None:
        async with lab() as it:
            _, cut_off = await it.connect(A)
            await it.next(len(hello(A)))
            it.mesh.conditions["a", "to"].cut()
            cut_off.write(b"held back")
            await it.connect(B)
            assert await it.next(len(hello(B))) == hello(B)
            assert await it.is_silent()
            it.mesh.conditions["a", "to"].mend()
            assert await it.next(9) == b"held back"

    asyncio.run(play())


def test_a_connection_that_is_made_during_a_cut_waits_for_its_end():
    async def play() -> None:
        async with lab() as it:
            it.mesh.conditions["a", "to"].cut()
            it.mesh.conditions["a", "to"].cut()
            await it.connect(A)
            it.mesh.conditions["a", "to"].mend()
            assert await it.is_silent()
            it.mesh.heal()
            assert await it.next(len(hello(A))) == hello(A)

    asyncio.run(play())


def test_a_cut_of_the_way_back_lets_requests_pass():
    async def play() -> None:
        async with lab() as it:
            it.mesh.conditions["to", "a"].cut()
            reader, writer = await it.connect(A)
            writer.write(b"request")
            assert (await it.next(len(hello(A)) + 7)).endswith(b"request")
            back = asyncio.ensure_future(reader.readexactly(4))
            assert not (await asyncio.wait([back], timeout=SHORT_S))[0]
            it.mesh.heal()
            assert await back == b"back"

    asyncio.run(play())


def test_a_drip_brings_everything_in_small_pieces():
    async def play() -> None:
        async with lab() as it:
            _, writer = await it.connect(A)
            await it.next(len(hello(A)))
            it.mesh.conditions["a", "to"].drip_bytes_s = 4000
            writer.write(bytes(range(200)))
            pieces = [await it.came.get()]
            while sum(map(len, pieces)) < 200:
                pieces.append(await it.came.get())
            assert b"".join(pieces) == bytes(range(200))
            assert len(pieces) > 5

    asyncio.run(play())


def test_a_reset_breaks_the_streams_of_a_pair():
    async def play() -> None:
        async with lab() as it:
            await it.mesh.open("a")
            reader, _ = await it.connect(A)
            other, _ = await it.connect(B)
            await it.next(2 * len(hello(A)))
            await reader.readexactly(4)
            await other.readexactly(4)
            assert it.mesh.reset("a", "to") == 1
            assert await reader.read() == b""
            assert await it.next(3) == b"end"
            assert not other.at_eof()

    asyncio.run(play())


def test_datagrams_are_lost_by_sender():
    async def play() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as node:
            node.setblocking(False)
            node.bind(("127.0.0.1", 0))
            async with lab() as it:
                it.mesh.lead("to", Endpoint("127.0.0.1", node.getsockname()[1]))
                it.mesh.conditions["a", "to"].loss = 1.0
                sealed = {
                    id: DatagramSealer(b"k" * 32, b"c" * 16, id, 1).seal([Operation(1, b"")])
                    for id in NAMES
                }
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                    for id in (A, A, B):
                        sender.sendto(sealed[id], (it.at.host, it.at.port))
                    async with asyncio.timeout(LONG_S):
                        assert await loop.sock_recv(node, 2000) == sealed[B]
                    it.mesh.heal()
                    sender.sendto(sealed[A], (it.at.host, it.at.port))
                    async with asyncio.timeout(LONG_S):
                        assert await loop.sock_recv(node, 2000) == sealed[A]

    asyncio.run(play())
