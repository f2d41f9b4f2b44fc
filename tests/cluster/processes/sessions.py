"""A client of real nodes: one connection, one command or pipeline at a time, and how each ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from lsmkv_cluster.client.calling import encode_command
from lsmkv_cluster.resp.replies import ErrorReply, Push, Reply
from lsmkv_cluster.resp.reply_reader import reply_parser
from tests.cluster.processes.node_process import NodeProcess
from tests.cluster.processes.operations import Operation, Recorder, ending_of
from tests.sim.history import Ending

__all__ = ["Session"]

CONNECT_S = 1.0
ANSWER_S = 4.0  # a node answers within two, unless it is gone or asleep
READ_SIZE = 64 << 10
AGAIN_S = 0.1  # after a connection that was refused
MOVE_SHARE = 0.02  # of operations before which a session goes to another node


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = reply_parser()

    def send(self, commands: Iterable[list[bytes]]) -> None:
        self._writer.write(b"".join(map(encode_command, commands)))

    async def reply(self) -> Reply:
        """The next one. OSError."""
        while True:
            for reply in self._parser.take(1):
                if not isinstance(reply, Push):
                    return reply
            assert self._parser.fault is None, self._parser.fault
            data = await self._reader.read(READ_SIZE)
            if not data:
                raise ConnectionResetError("closed before the reply")
            self._parser.feed(data)

    def close(self) -> None:
        self._writer.transport.abort()


class Session:
    """`homes` are the nodes that it may talk to, as they are now."""

    def __init__(
        self,
        number: int,
        homes: Callable[[], list[NodeProcess]],
        recorder: Recorder,
        random: Random,
        now_s: Callable[[], float],
    ) -> None:
        self.number = number
        self.random = random
        self.contexts: dict[bytes, bytes] = {}  # the newest of each register
        self._homes = homes
        self._recorder = recorder
        self._now_s = now_s
        self._node: NodeProcess | None = None
        self._connection: _Connection | None = None

    def leave(self) -> None:
        """The next operation goes to any node."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._node = None

    async def do(self, args: list[bytes], **fields: Any) -> tuple[Operation, Reply]:
        """Its operation, with its ending, and the reply, if there was one. Errors of nodes end an
        operation; they do not come out."""
        [done] = await self.do_all([(args, fields)])
        return done

    async def do_all(
        self, commands: list[tuple[list[bytes], dict[str, Any]]]
    ) -> list[tuple[Operation, Reply]]:
        """All at once, as a pipeline."""
        if self._node is None or self.random.random() < MOVE_SHARE:
            self.leave()
            self._node = self.random.choice(self._homes())
        began_s, name = self._now_s(), self._node.name
        operations = [
            Operation(self._recorder.next_id(), self.number, name, began_s=began_s, **fields)
            for _, fields in commands
        ]
        try:
            if self._connection is None:
                self._connection = await self._connected()
        except (OSError, TimeoutError) as error:
            self.leave()
            for operation in operations:
                self._end(operation, Ending.NOT_SENT, str(error))
            await asyncio.sleep(AGAIN_S)
            return [(operation, None) for operation in operations]
        self._connection.send(args for args, _ in commands)
        return [(operation, await self._reply(operation)) for operation in operations]

    def ended(self, operation: Operation) -> None:
        self._recorder.ended(operation)

    def _end(self, operation: Operation, ending: Ending, text: str = "") -> None:
        operation.ending, operation.text, operation.ended_s = ending, text, self._now_s()

    async def _reply(self, operation: Operation) -> Reply:
        if self._connection is None:  # lost while the one before it was answered
            self._end(operation, Ending.UNKNOWN, "no reply")
            return None
        try:
            async with asyncio.timeout(ANSWER_S):
                reply = await self._connection.reply()
        except (OSError, TimeoutError) as error:
            self.leave()
            self._end(operation, Ending.UNKNOWN, str(error))
            return None
        if isinstance(reply, ErrorReply):
            self._end(operation, ending_of(reply.text), reply.text)
            return None
        self._end(operation, Ending.DONE)
        return reply

    async def _connected(self) -> _Connection:
        assert self._node is not None
        at = self._node.at.resp
        async with asyncio.timeout(CONNECT_S):
            return _Connection(*await asyncio.open_connection(at.host, at.port))
