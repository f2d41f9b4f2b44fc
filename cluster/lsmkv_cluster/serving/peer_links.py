"""The connections to all peers: made when there is something to send, and made anew when lost.

A frame goes to the connection of its peer and lane, or to one that the peer has made where it
cannot be reached. While a connection is being made frames wait for it, so many bytes at most. When
it cannot be made, or breaks, or an incoming one of the peer does, the node is told that the peer is
lost: what was sent may or may not have come. Frames for a peer without an address, and for one that
could not be reached a moment ago, are lost at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from ssl import SSLContext
from typing import Any, Protocol

from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.operations import encoded_size
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.serving.peer_connection import Greeting, Incoming, Outgoing
from lsmkv_cluster.transport.wire import Frame, Lane

__all__ = ["NodeEvents", "PeerLinks"]

CONNECT_S = 3.0
WAITING_SIZE_MAX = 8 << 20  # bytes of frames for one connection that is being made
RETRY_MIN_S = 0.05
RETRY_MAX_S = 1.0
STRANGERS_MAX = 256  # connections that others have made, and have not said hello on

_log = logging.getLogger("lsmkv.peers")


class NodeEvents(Protocol):
    def frame_came(self, peer: MemberId, frame: Frame) -> None: ...
    def peer_lost(self, peer: MemberId) -> None: ...


@dataclass(slots=True)
class _Link:
    """To one peer on one lane. `connection` is one that the peer has made only where it could not
    be reached, and then for as long as it lasts."""

    connection: Outgoing | Incoming | None = None
    is_connecting: bool = False
    waiting: list[Frame] = field(default_factory=list)
    waiting_size: int = 0
    retry_s: float = RETRY_MIN_S
    not_before_s: float = 0.0  # of the loop


class PeerLinks:
    """`address_of` tells where a peer is to be found, None if nobody knows."""

    def __init__(
        self,
        greeting: Greeting,
        events: NodeEvents,
        address_of: Callable[[MemberId], Endpoint | None],
        tls: SSLContext | None = None,
    ) -> None:
        self._greeting = greeting
        self._events = events
        self._address_of = address_of
        self._tls = tls
        self._links: dict[tuple[MemberId, Lane], _Link] = {}
        self._incoming: dict[Incoming, None] = {}  # the oldest first
        self._made_by: dict[tuple[MemberId, Lane], Incoming] = {}  # the last of each
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closing = False

    @property
    def open_count(self) -> int:
        return len(self._incoming) + sum(1 for link in self._links.values() if link.connection)

    # --- sending

    def send(self, to: MemberId, frame: Frame) -> None:
        link = self._links.get((to, frame.lane))
        if link is None:
            link = self._links[to, frame.lane] = _Link()
        if link.connection is not None:
            link.connection.send(frame)
            return
        size = encoded_size(frame.operations)
        if link.waiting_size + size > WAITING_SIZE_MAX and link.waiting:
            self._lose(link, to)
        link.waiting.append(frame)
        link.waiting_size += size
        if not link.is_connecting:
            self._connect(to, frame.lane, link)

    def _connect(self, to: MemberId, lane: Lane, link: _Link) -> None:
        address = self._address_of(to)
        if address is None or self._is_closing or _now_s() < link.not_before_s:
            made = self._made_by.get((to, lane))
            if made is not None and not self._is_closing:
                self._use(link, made)
            else:
                self._lose(link, to)
            return
        link.is_connecting = True
        self._start(self._make(to, lane, link, address))

    async def _make(self, to: MemberId, lane: Lane, link: _Link, address: Endpoint) -> None:
        connection = Outgoing(self._greeting, self, to, lane)
        loop = asyncio.get_running_loop()
        hostname = address.host if self._tls is not None else None
        try:
            async with asyncio.timeout(CONNECT_S):
                await loop.create_connection(
                    lambda: connection,
                    address.host,
                    address.port,
                    ssl=self._tls,
                    server_hostname=hostname,
                )
        except (OSError, TimeoutError) as error:
            self._could_not(link, to, lane, f"{address}: {error or 'no answer in time'}")

    def connected(self, connection: Outgoing) -> None:
        assert connection.lane is not None
        link = self._links[connection.expected, connection.lane]
        link.is_connecting = False
        link.retry_s = RETRY_MIN_S
        self._use(link, connection)

    def _use(self, link: _Link, connection: Outgoing | Incoming) -> None:
        link.connection = connection
        waiting, link.waiting, link.waiting_size = link.waiting, [], 0
        for frame in waiting:
            connection.send(frame)

    # --- losing

    def disconnected(self, connection: Outgoing | Incoming, why: str) -> None:
        if isinstance(connection, Incoming):
            self._lost_incoming(connection)
            return
        assert connection.lane is not None
        link = self._links.get((connection.expected, connection.lane))
        if link is None:
            return
        if link.connection is connection:
            link.connection = None
            self._lose(link, connection.expected)
        elif link.connection is None and link.is_connecting:
            self._could_not(link, connection.expected, connection.lane, why)

    def _lost_incoming(self, connection: Incoming) -> None:
        self._incoming.pop(connection, None)
        peer, lane = connection.peer, connection.lane
        if peer is None or lane is None:
            return
        if self._made_by.get((peer, lane)) is connection:
            del self._made_by[peer, lane]
        link = self._links.get((peer, lane))
        if link is not None and link.connection is connection:
            link.connection = None
            link.waiting, link.waiting_size = [], 0
        self._events.peer_lost(peer)

    def _could_not(self, link: _Link, to: MemberId, lane: Lane, why: str) -> None:
        _log.debug("no connection to %s: %s", to.hex(), why)
        link.is_connecting = False
        made = self._made_by.get((to, lane))
        if made is not None:
            self._use(link, made)
            return
        link.not_before_s = _now_s() + link.retry_s
        link.retry_s = min(2 * link.retry_s, RETRY_MAX_S)
        self._lose(link, to)

    def _lose(self, link: _Link, to: MemberId) -> None:
        link.waiting, link.waiting_size = [], 0
        self._events.peer_lost(to)

    def drop_all(self) -> None:
        """What was received and not handed over is from before a sleep."""
        for link in self._links.values():
            connection, link.connection = link.connection, None
            if connection is not None:
                connection.close("this node was asleep")
        for incoming in list(self._incoming):
            incoming.close("this node was asleep")

    def forget(self, kept: frozenset[MemberId]) -> None:
        """Who is no member any more is not connected to."""
        for to, lane in [key for key in self._links if key[0] not in kept]:
            connection = self._links.pop((to, lane)).connection
            if connection is not None:
                connection.close("no member any more")

    # --- incoming

    def accept(self) -> Incoming:
        """The protocol of a connection that somebody makes."""
        connection = Incoming(self._greeting, self)
        strangers = [each for each in self._incoming if each.peer is None]
        if len(strangers) >= STRANGERS_MAX:
            self._incoming.pop(strangers[0])
            strangers[0].close("it says nothing, and others wait")
        self._incoming[connection] = None
        return connection

    def met(self, connection: Incoming) -> None:
        assert connection.peer is not None
        assert connection.lane is not None
        self._made_by[connection.peer, connection.lane] = connection

    def frame_came(self, peer: MemberId, frame: Frame) -> None:
        self._events.frame_came(peer, frame)

    # --- the end

    async def close(self) -> None:
        self._is_closing = True
        self.drop_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
