"""The port for tools that watch: GET of a few pages over HTTP/1.1, one answer for each connection.

It is not a web server: no bodies, no keep-alive, no TLS of its own; whatever is not a short GET or
HEAD ends with a status and the connection. Requests have a limit in size and in time. There are so
many connections at once: for one more the oldest is closed, which has said least for its time.

    /metrics   Prometheus text        /health   200 while the process works
    /          what there is          /ready    200 once the node serves, else 503
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast

__all__ = ["HttpPort", "Page"]

REQUEST_SIZE_MAX = 8192  # bytes of the head
REQUEST_S = 5.0
CONNECTIONS_MAX = 64

_REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


@dataclass(frozen=True, slots=True)
class Page:
    body: bytes
    content_type: str = "text/plain; charset=utf-8"
    status: int = 200


class HttpPort:
    """`pages`: what makes the page of a path."""

    def __init__(self, pages: Mapping[str, Callable[[], Page]]) -> None:
        self.pages = dict(pages)
        self.connections: dict[_Connection, None] = {}  # the oldest first

    def accept(self) -> asyncio.Protocol:
        return _Connection(self)

    def add(self, connection: _Connection) -> None:
        if len(self.connections) >= CONNECTIONS_MAX:
            next(iter(self.connections)).abort()
        self.connections[connection] = None

    def close(self) -> None:
        for connection in list(self.connections):
            connection.abort()

    def answer(self, head: bytes) -> bytes:
        """To the head of a request, without its empty line."""
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _response(_plain(400))
        method, target, _ = words
        if method not in (b"GET", b"HEAD"):
            return _response(_plain(405))
        path = target.split(b"?", 1)[0].decode("latin-1")
        make = self.pages.get(path)
        page = make() if make is not None else _plain(404)
        return _response(page, is_head=method == b"HEAD")


def _plain(status: int) -> Page:
    return Page(f"{_REASONS[status]}\n".encode(), status=status)


def _response(page: Page, *, is_head: bool = False) -> bytes:
    head = (
        f"HTTP/1.1 {page.status} {_REASONS[page.status]}\r\n"
        f"Content-Type: {page.content_type}\r\n"
        f"Content-Length: {len(page.body)}\r\n"
        "Cache-Control: no-store\r\n"
        "X-Content-Type-Options: nosniff\r\n"
        "Connection: close\r\n\r\n"
    ).encode()
    return head if is_head else head + page.body


class _Connection(asyncio.Protocol):
    def __init__(self, port: HttpPort) -> None:
        self._port = port
        self._head = bytearray()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._port.add(self)
        self._timer = asyncio.get_running_loop().call_later(REQUEST_S, self.abort)

    def connection_lost(self, error: Exception | None) -> None:
        self._port.connections.pop(self, None)
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._head += data
        head, end, _ = self._head.partition(b"\r\n\r\n")
        if len(head) > REQUEST_SIZE_MAX:
            self._finish(_response(_plain(431)))
        elif end:
            self._finish(self._port.answer(bytes(head)))

    def _finish(self, response: bytes) -> None:
        """The time limit goes on, for who does not read."""
        assert self._transport is not None
        self._transport.write(response)
        self._transport.close()

    def abort(self) -> None:
        self._port.connections.pop(self, None)
        if self._transport is not None:
            self._transport.abort()
