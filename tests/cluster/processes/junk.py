"""What nobody should send to a node, on every port: for the tests, and to be measured.

Each kind is a coroutine that is given the node and returns when the node has had it all; what it
still holds open then is closed by `Junk.close`. That a node closes such connections is expected.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Callable
from random import Random

from crc32c import crc32c

from lsmkv_cluster.client.calling import encode_command
from lsmkv_cluster.config.endpoints import Endpoint
from tests.cluster.processes.node_process import Greeting

__all__ = ["KINDS", "Junk"]

IDLE_COUNT = 1000
HALF_COUNT = 100  # connections of each port that never finish what they began
HALF_SIZE = 1 << 20  # bytes, of what they began: not much each, and too much together
BODY_SIZE = 64 << 10  # bytes behind a length that is too large
RANDOM_COUNT = 20
RANDOM_SIZE = 256 << 10
DATAGRAM_COUNT = 2000
BIG_SIZE = 1 << 20  # of a value that nobody reads
BIG_COUNT = 200
SENDING_S = 1.0  # until one who is not read from gives up

HUGE = (
    b"*1000000000\r\n",
    b"*1048576\r\n" + b"$1\r\nx\r\n" * 1000,
    b"*2\r\n$3\r\nGET\r\n$536870912\r\n" + bytes(BODY_SIZE),
    b"*2\r\n$3\r\nGET\r\n$99999999999999999999\r\n",
    b"*-1\r\n$-7\r\n",
    b"GET " + b"k" * (1 << 20),
)


def frame_head(body_size: int, count: int) -> bytes:
    """Of a hello frame with sums that are right."""
    head = struct.pack(
        "<4sBBBBII16sQQQI", b"LSMF", 1, 3, 2, 0, body_size, count, b"c" * 16, 1, 0, 0, 0
    )
    return head + struct.pack("<I", crc32c(head))


class Junk:
    def __init__(self, at: Greeting, random: Random) -> None:
        self.at = at
        self.random = random
        self._writers: list[asyncio.StreamWriter] = []

    @property
    def ports(self) -> list[Endpoint]:
        return [self.at.resp, self.at.cluster, self.at.peer, self.at.http]

    async def connect(self, at: Endpoint) -> asyncio.StreamWriter | None:
        """None where it is refused."""
        try:
            _, writer = await asyncio.open_connection(at.host, at.port)
        except OSError:
            return None
        self._writers.append(writer)
        return writer

    async def send(self, at: Endpoint, data: bytes) -> None:
        """As much of it as is taken."""
        writer = await self.connect(at)
        if writer is None:
            return
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(SENDING_S):
                writer.write(data)
                await writer.drain()

    def close(self) -> None:
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


async def random_bytes(junk: Junk) -> None:
    for at in junk.ports:
        for _ in range(RANDOM_COUNT):
            await junk.send(at, junk.random.randbytes(RANDOM_SIZE))


async def huge_lengths(junk: Junk) -> None:
    for at in (junk.at.resp, junk.at.cluster):
        for data in HUGE:
            for _ in range(RANDOM_COUNT):
                await junk.send(at, data)
    for size, count in (((1 << 32) - 1, 1), (1 << 20, (1 << 32) - 1), (4096, 1)):
        for _ in range(RANDOM_COUNT):
            await junk.send(junk.at.peer, frame_head(size, count) + bytes(BODY_SIZE))
    for _ in range(RANDOM_COUNT):
        await junk.send(junk.at.http, b"GET /metrics HTTP/1.1\r\nX: " + b"y" * RANDOM_SIZE)


async def half_frames(junk: Junk) -> None:
    """Begun, and never ended."""
    half = encode_command([b"SET", b"half", bytes(2 * HALF_SIZE)])[:HALF_SIZE]
    begun = {
        junk.at.resp: half,
        junk.at.cluster: half,
        junk.at.peer: frame_head(4096, 1)[: junk.random.randrange(1, 64)],
        junk.at.http: b"GET /metrics HTTP/1.1\r\nX",
    }
    for at, data in begun.items():
        for _ in range(HALF_COUNT):
            await junk.send(at, data)


async def idle_connections(junk: Junk) -> None:
    for at in junk.ports:
        for _ in range(IDLE_COUNT):
            await junk.connect(at)


async def never_reads(junk: Junk) -> None:
    """One who asks for more and more, and takes none of it."""
    value = encode_command([b"SET", b"big", bytes(BIG_SIZE)])
    asked = encode_command([b"GET", b"big"]) * BIG_COUNT
    with contextlib.suppress(OSError):
        loop = asyncio.get_running_loop()
        reader = socket.socket()
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        reader.setblocking(False)
        await loop.sock_connect(reader, (junk.at.resp.host, junk.at.resp.port))
        await loop.sock_sendall(reader, value + asked)
        _, writer = await asyncio.open_connection(sock=reader)
        writer.transport.pause_reading()
        junk._writers.append(writer)


async def datagrams(junk: Junk) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for n in range(DATAGRAM_COUNT):
            size = junk.random.choice((0, 1, 60, 1200, 1201, 9000, 60_000))
            data = junk.random.randbytes(size)
            if n % 2:
                data = b"LSMD\x01\x00\x01\x00" + data
            sender.sendto(data[:65_000], (junk.at.peer.host, junk.at.peer.port))
            if n % 50 == 0:
                await asyncio.sleep(0)


KINDS: dict[str, Callable[[Junk], Awaitable[None]]] = {
    "random bytes": random_bytes,
    "huge lengths": huge_lengths,
    "half frames": half_frames,
    "idle connections": idle_connections,
    "a reader that never reads": never_reads,
    "datagrams": datagrams,
}
