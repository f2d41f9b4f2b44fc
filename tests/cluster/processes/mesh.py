"""The network between real nodes: a proxy in front of each, for streams and for datagrams.

A node announces the address of its proxy, so all that others send to it passes there. Who sends it
is in the bytes: a stream begins with a hello, whose node id stands at a fixed place, and so does
that of a datagram. So each direction of each pair can be struck by itself:

    cut      nothing passes, and nothing is lost of streams: they go on when it ends, as TCP does
    loss     so many of the datagrams vanish
    delay    everything comes later
    drip     streams pass in small pieces, so many bytes a second
    reset    the streams of a pair break

Requests go along the direction in which a connection was made, and nothing but a hello comes back.
"""

from __future__ import annotations

import asyncio
import socket
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import cast

from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.operations import OPERATION_HEADER_SIZE
from lsmkv_cluster.transport.wire import FRAME_HEADER_SIZE

__all__ = ["Condition", "Mesh"]

HELLO_ID_AT = FRAME_HEADER_SIZE + OPERATION_HEADER_SIZE + 12  # transport/handshake.py
DATAGRAM_ID_AT = 24  # transport/datagram.py
ID_SIZE = 16
CHUNK_SIZE = 64 << 10
CHUNKS_MAX = 64  # under way in one direction of a stream
DRIP_SIZE = 16  # bytes at a time
PORT_ATTEMPTS = 50

Pair = tuple[str, str]  # (from, to)


@dataclass(slots=True)
class Condition:
    """Of one direction between two nodes."""

    cuts: int = 0  # that overlap
    loss: float = 0.0
    delay_s: float = 0.0
    drip_bytes_s: int = 0
    mended: asyncio.Event = field(default_factory=asyncio.Event)

    def cut(self) -> None:
        self.cuts += 1
        self.mended.clear()

    def mend(self) -> None:
        self.cuts = max(0, self.cuts - 1)
        if not self.cuts:
            self.mended.set()


class Mesh:
    """`name_of` tells which node has an id, None if nobody knows: it is not struck then."""

    def __init__(self, name_of: Callable[[bytes], str | None], random: Random) -> None:
        self._name_of = name_of
        self.random = random
        self.conditions: defaultdict[Pair, Condition] = defaultdict(Condition)
        self._doors: dict[str, _Door] = {}

    async def open(self, name: str) -> Endpoint:
        """Where the others find the node from now on. `lead` it there before anybody comes."""
        door = self._doors[name] = _Door(self, name)
        return await door.open()

    def lead(self, name: str, to: Endpoint) -> None:
        self._doors[name].target = to

    def endpoint(self, name: str) -> Endpoint:
        return self._doors[name].endpoint

    def condition(self, sender: bytes, to: str) -> tuple[str, Condition]:
        name = self._name_of(sender) or ""
        return name, self.conditions[name, to]

    def reset(self, one: str, other: str) -> int:
        """How many streams have broken."""
        broken = 0
        for door, peer in ((one, other), (other, one)):
            for stream in list(self._doors[door].streams):
                if stream.sender == peer:
                    stream.abort()
                    broken += 1
        return broken

    def heal(self) -> None:
        for condition in self.conditions.values():
            condition.cuts, condition.loss = 0, 0.0
            condition.delay_s, condition.drip_bytes_s = 0.0, 0
            condition.mended.set()

    async def close(self) -> None:
        for door in self._doors.values():
            await door.close()


class _Door(asyncio.DatagramProtocol):
    """In front of one node."""

    def __init__(self, mesh: Mesh, name: str) -> None:
        self.mesh = mesh
        self.name = name
        self.target: Endpoint | None = None
        self.endpoint = Endpoint("127.0.0.1", 0)
        self.streams: set[_Stream] = set()
        self._server: asyncio.Server | None = None
        self._datagrams: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> Endpoint:
        """One number that is free for both."""
        loop = asyncio.get_running_loop()
        for _ in range(PORT_ATTEMPTS):
            stream = socket.create_server(("127.0.0.1", 0))
            port = stream.getsockname()[1]
            try:
                await loop.create_datagram_endpoint(lambda: self, ("127.0.0.1", port))
            except OSError:
                stream.close()
                continue
            self._server = await asyncio.start_server(self._came, sock=stream)
            self.endpoint = Endpoint("127.0.0.1", port)
            return self.endpoint
        raise OSError("no port is free for streams and datagrams")

    async def close(self) -> None:
        if self._datagrams is not None:
            self._datagrams.close()
        if self._server is not None:
            self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # --- streams

    def _came(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream: _Stream | None = None
        try:
            head = await reader.readexactly(HELLO_ID_AT + ID_SIZE)
            sender, there = self.mesh.condition(head[HELLO_ID_AT:], self.name)
            back = self.mesh.conditions[self.name, sender]
            await _passable(there)
            if self.target is None:
                return
            near = await asyncio.open_connection(self.target.host, self.target.port)
            stream = _Stream(sender, writer, near[1])
            self.streams.add(stream)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass(reader, near[1], there, head))
                group.create_task(_pass(near[0], writer, back))
        except* (OSError, asyncio.IncompleteReadError):
            pass  # one side is gone, and then the other
        finally:
            writer.transport.abort()
            if stream is not None:
                stream.abort()
                self.streams.discard(stream)

    # --- datagrams

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._datagrams = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        sender = data[DATAGRAM_ID_AT : DATAGRAM_ID_AT + ID_SIZE]
        _, condition = self.mesh.condition(sender, self.name)
        if condition.cuts or self.mesh.random.random() < condition.loss:
            return
        if condition.delay_s:
            asyncio.get_running_loop().call_later(condition.delay_s, self._hand_over, data)
        else:
            self._hand_over(data)

    def _hand_over(self, data: bytes) -> None:
        if self._datagrams is not None and self.target is not None:
            self._datagrams.sendto(data, (self.target.host, self.target.port))

    def error_received(self, error: Exception) -> None:
        """The node is not there: the datagram is lost."""


@dataclass(eq=False, slots=True)
class _Stream:
    sender: str
    far: asyncio.StreamWriter
    near: asyncio.StreamWriter

    def abort(self) -> None:
        self.far.transport.abort()
        self.near.transport.abort()


async def _passable(condition: Condition) -> None:
    while condition.cuts:
        await condition.mended.wait()


async def _pass(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    condition: Condition,
    first: bytes = b"",
) -> None:
    """Until one side ends; then ConnectionResetError, for the other to end, too."""
    loop = asyncio.get_running_loop()
    chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(CHUNKS_MAX)

    async def deliver() -> None:
        while True:
            due_s, data = await chunks.get()
            if due_s > loop.time():
                await asyncio.sleep(due_s - loop.time())
            await _passable(condition)
            if not data:
                raise ConnectionResetError("the other side has ended")
            await _write(writer, data, condition)

    async def take() -> None:
        data = first or await reader.read(CHUNK_SIZE)
        while data:
            await chunks.put((loop.time() + condition.delay_s, data))
            data = await reader.read(CHUNK_SIZE)
        await chunks.put((loop.time() + condition.delay_s, b""))

    async with asyncio.TaskGroup() as group:
        group.create_task(deliver())
        group.create_task(take())


async def _write(writer: asyncio.StreamWriter, data: bytes, condition: Condition) -> None:
    while condition.drip_bytes_s and data:
        await _sent(writer, data[:DRIP_SIZE])
        data = data[DRIP_SIZE:]
        await asyncio.sleep(DRIP_SIZE / condition.drip_bytes_s)
        await _passable(condition)
    if data:
        await _sent(writer, data)


async def _sent(writer: asyncio.StreamWriter, data: bytes) -> None:
    if writer.is_closing():
        raise ConnectionResetError("it was closed meanwhile")
    writer.write(data)
    await writer.drain()
