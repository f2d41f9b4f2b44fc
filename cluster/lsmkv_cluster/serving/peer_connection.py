"""One connection to a peer, on one lane: handshake first, frames then.

Whoever has frames for a peer connects to it, and the other side says hello. So a pair of nodes has
up to two connections for each lane, and no rule is needed for who connects. Only who cannot connect
to the peer sends on the one that the peer has made: so a node that has come back at an address that
nobody knows can tell the others where it is.

    who connects   -> hello                          <- hello, or a refusal
                   -> requests and answers, in order

What holds: nothing of a peer is believed before its hello was accepted; a frame is handed over
whole and in order, and none after the connection was closed; what cannot be a frame ends the
connection, with a refusal that says why.
"""

from __future__ import annotations

import asyncio
from typing import Protocol, cast

from lsmkv_cluster.config.tls import node_of
from lsmkv_cluster.errors import ProtocolError
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.refusals import Refusal
from lsmkv_cluster.transport.handshake import (
    HELLO,
    REFUSED,
    Hello,
    decode_hello,
    decode_refusal,
    hello_frame,
    negotiate,
    refusal_frame,
)
from lsmkv_cluster.transport.wire import Frame, FrameDecoder, FrameKind, Lane, encode_frame

__all__ = ["Greeting", "Incoming", "Outgoing", "PeerEvents"]

HANDSHAKE_S = 5.0  # until both have said hello
BUFFERED_SIZE_MAX = 32 << 20  # bytes that a peer has not read yet: it is given up then


class Greeting(Protocol):
    """What this node says of itself."""

    def hello(self, lane: Lane) -> Hello: ...

    def name_of(self, member: MemberId) -> str | None: ...

    @property
    def cluster_id(self) -> bytes: ...

    @property
    def epoch(self) -> int: ...


class PeerEvents(Protocol):
    """Who is told of a connection."""

    def frame_came(self, peer: MemberId, frame: Frame) -> None: ...
    def connected(self, connection: Outgoing) -> None: ...
    def met(self, connection: Incoming) -> None: ...
    def disconnected(self, connection: Outgoing | Incoming, why: str) -> None: ...


class _RefusedError(Exception):
    """By the other side, which has closed the connection."""


class _Connection(asyncio.Protocol):
    def __init__(self, greeting: Greeting, events: PeerEvents) -> None:
        self._greeting = greeting
        self._events = events
        self._decoder = FrameDecoder(greeting.cluster_id)
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._why = ""
        self.peer: MemberId | None = None  # once it has said hello
        self.lane: Lane | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_S, self._was_silent)

    def connection_lost(self, error: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._transport = None
        why = self._why or (str(error) if error is not None else "closed by the other side")
        self._events.disconnected(self, why)  # type: ignore[arg-type]

    def data_received(self, data: bytes) -> None:
        try:
            self._decoder.feed(data)
            while self._transport is not None and (frame := self._decoder.next_frame()) is not None:
                self._take(frame)
        except ProtocolError as error:
            self._refuse(error)
        except _RefusedError as error:
            self.close(str(error))

    def send(self, frame: Frame) -> None:
        """REQUIRES: both have said hello."""
        transport = self._transport
        if transport is None:
            return
        if transport.get_write_buffer_size() > BUFFERED_SIZE_MAX:
            self.close("the peer does not read")
            return
        transport.write(encode_frame(frame))

    def close(self, why: str) -> None:
        """At once: what was not sent is not sent any more."""
        if self._transport is not None:
            self._why = self._why or why
            self._transport.abort()

    def _was_silent(self) -> None:
        if self.peer is None:
            self.close("no handshake in time")

    def _take(self, frame: Frame) -> None:
        raise NotImplementedError

    def _refuse(self, error: ProtocolError) -> None:
        """The other side is told, and the connection ends."""
        self._why = error.message
        if self._transport is not None:
            lane = self.lane or Lane.CONTROL
            self._transport.write(refusal_frame(error, lane, self._greeting.cluster_id))
            self._transport.close()

    def _met(self, hello: Hello) -> None:
        assert self.lane is not None
        negotiate(self._greeting.hello(self.lane), hello)
        self._check_certificate(hello)
        self.peer = hello.node_id
        if self._timer is not None:
            self._timer.cancel()

    def _check_certificate(self, hello: Hello) -> None:
        """Over TLS nobody speaks for another member."""
        assert self._transport is not None
        if self._transport.get_extra_info("ssl_object") is None:
            return
        certificate = self._transport.get_extra_info("peercert")
        shown = node_of(certificate, self._greeting.cluster_id)
        name = self._greeting.name_of(hello.node_id) or hello.name
        if shown != name:
            raise ProtocolError(Refusal.UNAUTHENTIC, f"the certificate of {shown} is not {name}'s")

    def _say_hello(self, lane: Lane) -> None:
        assert self._transport is not None
        greeting = self._greeting
        frame = hello_frame(greeting.hello(lane), greeting.cluster_id, greeting.epoch)
        self._transport.write(frame)


def _hello_in(frame: Frame) -> Hello:
    [operation] = frame.operations
    if frame.kind is FrameKind.REFUSAL and operation.opcode == REFUSED:
        notice = decode_refusal(operation.payload)
        raise _RefusedError(f"the other side refuses: {notice.message}")
    if frame.kind is not FrameKind.HELLO or operation.opcode != HELLO:
        raise ProtocolError(Refusal.NO_HANDSHAKE, f"a {frame.kind.name} frame, opcode not hello's")
    return decode_hello(operation.payload)


class Incoming(_Connection):
    """Made by the peer. `met` is told once it has said hello."""

    def _take(self, frame: Frame) -> None:
        if self.peer is None:
            hello = _hello_in(frame)
            self.lane = hello.lane
            self._met(hello)
            self._say_hello(hello.lane)
            self._decoder.admit(hello.lane)
            self._events.met(self)
        else:
            self._events.frame_came(self.peer, frame)


class Outgoing(_Connection):
    """Made by this node. `send` once it is `connected`."""

    def __init__(
        self, greeting: Greeting, events: PeerEvents, expected: MemberId, lane: Lane
    ) -> None:
        super().__init__(greeting, events)
        self.lane = lane
        self.expected = expected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.lane is not None
        self._say_hello(self.lane)

    def _take(self, frame: Frame) -> None:
        if self.peer is not None:
            self._events.frame_came(self.peer, frame)
            return
        hello = _hello_in(frame)
        if hello.node_id != self.expected:
            raise ProtocolError(Refusal.NOT_A_MEMBER, f"{hello.name} answers at this address")
        self._met(hello)
        assert self.lane is not None
        self._decoder.admit(self.lane)
        self._events.connected(self)
