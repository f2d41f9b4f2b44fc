"""Sockets that others connect to, opened before anything is promised to anybody.

A node listens first and says where afterwards: port 0 takes a free one. Peers are answered on one
port, whose datagrams are gossip.
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass

from lsmkv_cluster.config.endpoints import Endpoint

__all__ = ["PeerSockets", "endpoint_of", "listen", "listen_for_peers"]

BACKLOG = 512  # connections that wait to be accepted
FREE_PORTS_TRIED_MAX = 64
DATAGRAM_BUFFER_SIZE = 1 << 20  # bytes; the system may give less


@dataclass(frozen=True, slots=True)
class PeerSockets:
    """Both on one port."""

    stream: socket.socket
    datagrams: socket.socket

    @property
    def endpoint(self) -> Endpoint:
        return endpoint_of(self.stream)

    def close(self) -> None:
        self.stream.close()
        self.datagrams.close()


def endpoint_of(bound: socket.socket) -> Endpoint:
    host, port, *_ = bound.getsockname()
    return Endpoint(host, port)


def listen(at: Endpoint) -> socket.socket:
    """OSError, naming the address, when it cannot be had."""
    return _bind(at, socket.SOCK_STREAM)


def listen_for_peers(at: Endpoint) -> PeerSockets:
    for _ in range(FREE_PORTS_TRIED_MAX):
        stream = _bind(at, socket.SOCK_STREAM)
        port = stream.getsockname()[1]
        try:
            return PeerSockets(stream, _bind(Endpoint(at.host, port), socket.SOCK_DGRAM))
        except OSError as error:
            stream.close()
            if at.port != 0 or error.errno != errno.EADDRINUSE:
                raise
    raise OSError(errno.EADDRINUSE, f"{at.host}: no port is free for both TCP and UDP")


def _bind(at: Endpoint, kind: socket.SocketKind) -> socket.socket:
    found = socket.getaddrinfo(at.host, at.port, type=kind, flags=socket.AI_PASSIVE)
    family, _, _, _, address = found[0]
    bound = socket.socket(family, kind)
    try:
        if kind is socket.SOCK_STREAM:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, DATAGRAM_BUFFER_SIZE)
        bound.bind(address)
        if kind is socket.SOCK_STREAM:
            bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"{at}: {error.strerror or error}") from error
    return bound
