"""One command to one node, on a connection of its own: for joining, and for tools that ask rarely.

What a server sends has limits, too, checked before anything is allocated for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from ssl import SSLContext
from typing import NamedTuple

from lsmkv import Error
from lsmkv.kernel import ReplyParser
from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.resp.replies import ErrorReply, Push, Reply
from lsmkv_cluster.resp.reply_reader import reply_parser

__all__ = ["CallError", "Login", "call", "encode_command"]

READ_SIZE = 64 << 10


class Login(NamedTuple):
    user: str
    password: bytes


class CallError(Error):
    """The node refused, or does not speak RESP."""


def encode_command(args: Sequence[bytes]) -> bytes:
    parts = [b"*%d\r\n" % len(args)]
    for arg in args:
        parts.append(b"$%d\r\n%b\r\n" % (len(arg), arg))
    return b"".join(parts)


async def call(
    endpoint: Endpoint,
    args: Sequence[bytes],
    *,
    timeout_s: float,
    tls: SSLContext | None = None,
    login: Login | None = None,
) -> Reply:
    """The reply, if it is no error; CallError, OSError, TimeoutError."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=tls)
        try:
            commands = [args]
            if login is not None:
                commands.insert(0, (b"AUTH", login.user.encode(), login.password))
            reply: Reply = None
            parser = reply_parser()
            for command in commands:
                writer.write(encode_command(command))
                reply = await _reply(reader, parser)
                if isinstance(reply, ErrorReply):
                    raise CallError(reply.text)
            return reply
        finally:
            writer.close()


async def _reply(reader: asyncio.StreamReader, parser: ReplyParser) -> Reply:
    while True:
        found = parser.take(1)
        if found:
            if not isinstance(found[0], Push):
                reply: Reply = found[0]
                return reply
            continue
        if parser.fault is not None:
            raise CallError(f"this is no RESP: {parser.fault}")
        data = await reader.read(READ_SIZE)
        if not data:
            raise CallError("the connection was closed before the reply")
        parser.feed(data)
