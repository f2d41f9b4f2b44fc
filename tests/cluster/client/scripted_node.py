"""A node that answers as a test says: real RESP on a real socket, nothing behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from lsmkv.kernel import ReplyWriter, RequestParser
from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.resp.replies import ErrorReply, Reply

__all__ = ["DROP", "SILENCE", "ScriptedNode", "ring"]


class Mischief(Enum):
    SILENCE = 0  # never an answer
    DROP = 1  # the connection ends


SILENCE, DROP = Mischief
Answers = Mapping[str, Reply | Mischief | Callable[[list[bytes]], Reply | Mischief]]


class ScriptedNode:
    """`answers` by the name of the command; HELLO is answered, and KV.CLUSTER by `ring`."""

    def __init__(self, answers: Answers | None = None) -> None:
        self.answers: dict[str, object] = {"HELLO": {b"proto": 3}, **(answers or {})}
        self.asked: list[list[bytes]] = []
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> ScriptedNode:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.endpoint = Endpoint("127.0.0.1", self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await self._server.wait_closed()

    def count(self, name: str) -> int:
        return sum(args[0] == name.encode() for args in self.asked)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        parser, replies = RequestParser(1 << 10, 1 << 20, 1 << 22), ReplyWriter(1 << 24, 3)
        try:
            while data := await reader.read(1 << 16):
                parser.feed(data)
                while commands := parser.take(1):
                    if not self._answer(commands[0], replies):
                        return
                writer.write(replies.take())
        finally:
            self._writers.discard(writer)
            writer.close()

    def _answer(self, args: list[bytes], replies: ReplyWriter) -> bool:
        self.asked.append(args)
        answer = self.answers.get(args[0].decode(), ErrorReply("ERR unknown command"))
        reply = answer(args) if callable(answer) else answer
        if reply is DROP:
            return False
        if reply is not SILENCE:
            replies.value(reply)
        return True


def ring(nodes: Mapping[str, Endpoint], rows: Sequence[Sequence[str]], epoch: int = 1) -> bytes:
    """The answer to KV.CLUSTER RING of a cluster with so many partitions."""
    members = [
        {
            "name": name,
            "dc": "dc1" if name < "x" else "dc2",
            "addresses": {"cluster": str(endpoint), "resp": str(endpoint)},
        }
        for name, endpoint in nodes.items()
    ]
    partitions = [{"partition": number, "owners": list(row)} for number, row in enumerate(rows)]
    content = {
        "cluster_id": "c0", "generation": 0, "epoch": epoch, "members": members,
        "partitions": partitions,
    }  # fmt: skip
    return json.dumps(content).encode()
