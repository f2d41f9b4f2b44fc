"""A client of real nodes: one connection, one command at a time, and how each of them ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from random import Random

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
MOVE_SHARE = 0.02  # of operations after which a session goes to another node


class _Connection:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._parser = reply_parser()

    async def ask(self, args: list[bytes]) -> Reply:
        """OSError."""
        self._writer.write(encode_command(args))
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

    async def do(self, args: list[bytes], **fields: object) -> tuple[Operation, Reply]:
        """Its operation, with its ending, and the reply, if there was one. Errors of nodes end an
        operation; they do not come out."""
        if self._node is None or self.random.random() < MOVE_SHARE:
            self.leave()
            self._node = self.random.choice(self._homes())
        operation = Operation(
            self._recorder.next_id(), self.number, self._node.name, **fields  # type: ignore[arg-type]
        )  # fmt: skip
        operation.began_s = self._now_s()
        reply = await self._carried_out(operation, args)
        operation.ended_s = self._now_s()
        return operation, reply

    def ended(self, operation: Operation) -> None:
        self._recorder.ended(operation)

    async def _carried_out(self, operation: Operation, args: list[bytes]) -> Reply:
        try:
            if self._connection is None:
                self._connection = await self._connected()
        except (OSError, TimeoutError) as error:
            self.leave()
            operation.ending, operation.text = Ending.NOT_SENT, str(error)
            await asyncio.sleep(0.02)
            return None
        try:
            async with asyncio.timeout(ANSWER_S):
                reply = await self._connection.ask(args)
        except (OSError, TimeoutError) as error:
            self.leave()
            operation.ending, operation.text = Ending.UNKNOWN, str(error)
            return None
        if isinstance(reply, ErrorReply):
            operation.ending, operation.text = ending_of(reply.text), reply.text
            self.leave()
            return None
        operation.ending = Ending.DONE
        return reply

    async def _connected(self) -> _Connection:
        assert self._node is not None
        at = self._node.at.resp
        async with asyncio.timeout(CONNECT_S):
            return _Connection(*await asyncio.open_connection(at.host, at.port))
