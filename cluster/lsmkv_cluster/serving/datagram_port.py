"""Gossip: one datagram socket, beside the port that peers connect to.

Datagrams may get lost, so whatever goes wrong with one is counted and forgotten. Names of hosts are
looked up at most once in a while, and never waited for: until an address is known a datagram for it
is lost.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.transport.datagram import DATAGRAM_SIZE_MAX

__all__ = ["DatagramPort"]

LOOK_UP_AGAIN_S = 30.0

_Resolved = tuple[str, int] | tuple[str, int, int, int]


class DatagramPort(asyncio.DatagramProtocol):
    """`came(data)` is called for each datagram of a possible size."""

    def __init__(
        self,
        came: Callable[[bytes], None],
        address_of: Callable[[MemberId], Endpoint | None],
    ) -> None:
        self._came = came
        self._address_of = address_of
        self._transport: asyncio.DatagramTransport | None = None
        self._known: dict[Endpoint, tuple[float, _Resolved | None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.dropped = 0

    async def open(self, bound: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, sock=bound)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if 0 < len(data) <= DATAGRAM_SIZE_MAX:
            self._came(data)

    def error_received(self, error: Exception) -> None:
        self.dropped += 1

    def send(self, to: MemberId, data: bytes) -> None:
        address = self._address_of(to)
        resolved = self._resolved(address) if address is not None else None
        if resolved is None or self._transport is None:
            self.dropped += 1
            return
        self._transport.sendto(data, resolved)

    def _resolved(self, address: Endpoint) -> _Resolved | None:
        now_s = asyncio.get_running_loop().time()
        since_s, known = self._known.get(address, (-LOOK_UP_AGAIN_S, None))
        if now_s - since_s >= LOOK_UP_AGAIN_S:
            if (literal := _literal(address)) is not None:
                known = literal
            else:
                self._look_up(address)
            self._known[address] = now_s, known
        return known

    def _look_up(self, address: Endpoint) -> None:
        task = asyncio.get_running_loop().create_task(self._ask(address))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _ask(self, address: Endpoint) -> None:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(address.host, address.port, type=socket.SOCK_DGRAM)
        except OSError:
            return
        self._known[address] = loop.time(), found[0][4]  # type: ignore[assignment]

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        if self._transport is not None:
            self._transport.close()


def _literal(address: Endpoint) -> _Resolved | None:
    """The address itself where it is one in numbers."""
    host, port = address.host, address.port
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            socket.inet_pton(family, host)
        except OSError:
            continue
        return (host, port) if family is socket.AF_INET else (host, port, 0, 0)
    return None
