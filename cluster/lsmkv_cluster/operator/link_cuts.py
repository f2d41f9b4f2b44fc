"""Proxies between the nodes of a demo, so that cables can be cut that are none.

A node announces the address of its proxy, so all that others send to it comes through here: streams
and datagrams. Who sends is known by the first frame of a stream, which has the id of its node, and
by the port that a datagram comes from. What a cut holds back is neither refused nor answered, as
with a cable; once it is mended such streams are closed, and the nodes connect anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.serving.sockets import PeerSockets, listen_for_peers

__all__ = ["Cables"]

READ_SIZE = 64 << 10
HEAD_SIZE = 256  # of a stream, in which the id of the sender stands

Pair = frozenset[str]


@dataclass(slots=True)
class _Node:
    name: str
    id: bytes
    sockets: PeerSockets
    port: int = 0  # where it really listens, and sends datagrams from; 0: not known yet


class Cables:
    """Between all nodes that were added. Belongs to one event loop."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._cut: set[Pair] = set()
        self._held: set[asyncio.StreamWriter] = set()
        self._streams: set[asyncio.Task[None]] = set()
        self._datagrams: dict[str, asyncio.DatagramTransport] = {}
        self._servers: dict[str, asyncio.Server] = {}

    async def add(self, name: str, id: bytes) -> Endpoint:
        """What the node is to announce."""
        node = self._nodes[name] = _Node(name, id, listen_for_peers(Endpoint("127.0.0.1", 0)))
        loop = asyncio.get_running_loop()
        self._servers[name] = await asyncio.start_server(
            lambda reader, writer: self._stream(node, reader, writer), sock=node.sockets.stream
        )
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self, node), sock=node.sockets.datagrams
        )
        self._datagrams[name] = transport
        return node.sockets.endpoint

    def listens(self, name: str, at: Endpoint) -> None:
        """The node has started, and listens there."""
        self._nodes[name].port = at.port

    # --- cutting

    @property
    def cuts(self) -> list[str]:
        return sorted(" - ".join(sorted(pair)) for pair in self._cut)

    def cut(self, some: Iterable[str], others: Iterable[str]) -> None:
        """Between each of these and each of those, in both directions."""
        theirs = set(others)
        self._cut |= {frozenset((one, other)) for one in some for other in theirs if one != other}

    def mend(self) -> None:
        self._cut.clear()
        held, self._held = self._held, set()
        for writer in held:
            writer.transport.abort()

    def is_cut(self, one: str, other: str) -> bool:
        return frozenset((one, other)) in self._cut

    async def close(self) -> None:
        for server in self._servers.values():
            server.close()
        for transport in self._datagrams.values():
            transport.close()
        for task in self._streams:
            task.cancel()
        await asyncio.gather(*self._streams, return_exceptions=True)

    # --- streams

    async def _stream(
        self, node: _Node, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._streams.add(task)
        try:
            head = await reader.read(HEAD_SIZE)
            sender = self._sender_of(head)
            if sender is None or await self._holds(sender, node.name, writer):
                return
            inner_reader, inner = await asyncio.open_connection("127.0.0.1", node.port)
            inner.write(head)
            try:
                pair = (sender, node.name)
                await asyncio.gather(
                    self._pump(reader, inner, pair), self._pump(inner_reader, writer, pair)
                )
            finally:
                inner.transport.abort()
        except OSError:
            pass  # either side has gone: so does the other
        finally:
            writer.transport.abort()
            self._streams.discard(task)

    def _sender_of(self, head: bytes) -> str | None:
        return next((node.name for node in self._nodes.values() if node.id in head), None)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pair: tuple[str, str]
    ) -> None:
        while data := await reader.read(READ_SIZE):
            if await self._holds(*pair, writer):
                break
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError

    async def _holds(self, one: str, other: str, writer: asyncio.StreamWriter) -> bool:
        """Nothing goes on while they are cut; then the stream is of no use any more."""
        if not self.is_cut(one, other):
            return False
        self._held.add(writer)
        while self.is_cut(one, other) and not writer.is_closing():
            await asyncio.sleep(0.1)
        self._held.discard(writer)
        return True

    # --- datagrams

    def forward(self, node: _Node, data: bytes, port: int) -> None:
        sender = next((each.name for each in self._nodes.values() if each.port == port), None)
        if sender is not None and node.port and not self.is_cut(sender, node.name):
            self._datagrams[node.name].sendto(data, ("127.0.0.1", node.port))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, cables: Cables, node: _Node) -> None:
        self._cables = cables
        self._node = node

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._cables.forward(self._node, data, cast(int, addr[1]))
