"""Connections over real sockets: order, limits, faults and ends; commands run on a fake cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from lsmkv_cluster.config.roles import Role
from lsmkv_cluster.resp.reply_reader import reply_parser
from lsmkv_cluster.serving import resp_port
from lsmkv_cluster.serving.read_queue import LARGE_COMMAND_SIZE, ReadQueue
from lsmkv_cluster.serving.resp_connection import RespConnection, RespLimits
from lsmkv_cluster.serving.resp_port import RespPort
from lsmkv_cluster.serving.system_clock import SystemClock
from tests.support.resp_lab import RespLab

LIMITS = RespLimits()
DEADLINE_S = 20.0


class Bench:
    """A port whose queries are answered by a lab, at once unless `is_slow`."""

    def __init__(self, limits: RespLimits) -> None:
        self.lab = RespLab()
        self.is_slow = False
        host = self.lab.host
        self.port = RespPort(
            self.lab.executor, SystemClock(), limits, lambda: host.has_users, self.ask
        )

    def ask(self) -> None:
        executor = self.lab.executor
        while not self.is_slow and (asks := executor.take_asks()):
            for asking in asks:
                executor.answered(asking.token, self.lab._answer(asking.query), self.lab.now)

    def answer_all(self) -> None:
        self.is_slow = False
        self.port.pump()

    async def listen(self) -> tuple[str, int]:
        loop = asyncio.get_running_loop()
        self.server = await loop.create_server(
            lambda: self.port.protocol(is_cluster_port=False), "127.0.0.1", 0
        )
        host, port = self.server.sockets[0].getsockname()[:2]
        return host, port


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.parser = reply_parser()

    def send(self, *args: bytes) -> None:
        parts = [b"*%d\r\n" % len(args), *(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args)]
        self.writer.write(b"".join(parts))

    async def reply(self) -> object:
        while not (found := self.parser.take(1)):
            data = await self.reader.read(1 << 16)
            if not data:
                raise EOFError
            self.parser.feed(data)
        return found[0]

    async def do(self, *args: bytes) -> object:
        self.send(*args)
        return await self.reply()

    async def ended(self) -> bool:
        """By either end: what was never read makes it a reset."""
        try:
            return await self.reader.read(1 << 20) == b""
        except ConnectionResetError:
            return True


Story = Callable[[Bench, Callable[[], Awaitable[Client]]], Awaitable[None]]


def play(story: Story, limits: RespLimits = LIMITS) -> None:
    async def run() -> None:
        bench = Bench(limits)
        address = await bench.listen()
        clients: list[Client] = []

        async def connect() -> Client:
            clients.append(Client(*await asyncio.open_connection(*address)))
            return clients[-1]

        try:
            async with asyncio.timeout(DEADLINE_S):
                await story(bench, connect)
        finally:
            bench.server.close()
            bench.port.close()
            for client in clients:
                client.writer.transport.abort()
            await asyncio.sleep(0)

    asyncio.run(run())


def test_a_pipeline_is_answered_in_its_order() -> None:
    async def story(bench: Bench, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        for number in range(500):
            client.send(b"SET", b"k%d" % number, b"v%d" % number)
            client.send(b"GET", b"k%d" % number)
        for number in range(500):
            assert await client.reply() == "OK"
            assert await client.reply() == b"v%d" % number

    play(story)


def test_no_more_than_so_many_commands_are_under_way() -> None:
    async def story(bench: Bench, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.do(b"PING")
        bench.is_slow = True
        for number in range(100):
            client.send(b"SET", b"k%d" % number, b"v")
        [session] = bench.lab.executor.sessions.values()
        while bench.lab.executor.pending(session) < 8:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.05)
        assert bench.lab.executor.pending(session) == 8
        bench.answer_all()
        for _ in range(100):
            assert await client.reply() == "OK"

    play(story, replace(LIMITS, pipeline_max=8))


def test_who_sends_a_large_command_waits_for_its_turn_after_each_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reads: list[int] = []
    wait = ReadQueue.wait

    def counted(queue: ReadQueue, connection: RespConnection) -> None:
        reads.append(connection.parser.buffered_size)
        assert not connection._is_reading
        wait(queue, connection)

    monkeypatch.setattr(ReadQueue, "wait", counted)

    async def story(bench: Bench, connect: Callable[[], Awaitable[Client]]) -> None:
        first, second = await connect(), await connect()
        await first.do(b"SET", b"k", bytes(LARGE_COMMAND_SIZE - 100))
        assert reads == []
        value = bytes(1 << 20)
        for client in (first, second):
            client.send(b"SET", b"k", value)
            client.send(b"GET", b"k")
        for client in (first, second):
            assert await client.reply() == "OK"
            assert await client.reply() == value
        assert len(reads) > 2 * (1 << 20) // (128 << 10)
        assert max(reads) <= 1 << 20

    play(story, replace(LIMITS, value_size_max=2 << 20, command_size_max=3 << 20))


def test_what_is_no_resp_ends_the_connection_after_the_replies_before_it() -> None:
    async def story(bench: Bench, connect: Callable[[], Awaitable[Client]]) -> None:
        client, other = await connect(), await connect()
        bench.is_slow = True
        client.send(b"SET", b"k", b"v")
        client.writer.write(b"*1\r\n!nonsense\r\n")
        client.send(b"SET", b"k", b"never")
        assert await other.do(b"PING") == "PONG"
        bench.answer_all()
        assert await client.reply() == "OK"
        error = await client.reply()
        assert "ERR Protocol error: expected '$', got '!'" in str(error)
        assert await client.ended()
        assert await other.do(b"GET", b"k") == b"v"

    play(story)


def test_a_client_that_has_said_all_still_gets_its_replies() -> None:
    async def story(bench: Bench, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        client.send(b"SET", b"k", b"v")
        client.send(b"GET", b"k")
        client.writer.write_eof()
        assert await client.reply() == "OK"
        assert await client.reply() == b"v"
        assert await client.ended()

    play(story)


def test_quit_is_answered_and_ends_it() -> None:
    async def story(bench: Bench, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        assert await client.do(b"QUIT") == "OK"
        assert await client.ended()
        assert not bench.port.connections

    play(story)


def test_connections_have_a_limit() -> None:
    async def story(bench: Bench, connect: Callable[[], Awaitable[Client]]) -> None:
        first = await connect()
        assert await first.do(b"PING") == "PONG"
        second = await connect()
        assert "max number of clients reached" in str(await second.reply())
        assert await second.ended()
        assert await first.do(b"PING") == "PONG"
        assert bench.port.refused == 1

    play(story, replace(LIMITS, connections_max=1))


def test_strangers_have_small_limits_until_they_log_in() -> None:
    async def story(bench: Bench, connect: Callable[[], Awaitable[Client]]) -> None:
        bench.lab.host.users["default"] = (b"secret", Role.ADMIN)
        client, large = await connect(), await connect()
        assert "NOAUTH" in str(await client.do(b"GET", b"k"))
        assert len(bench.port.strangers) == 2
        large.send(b"SET", b"k", bytes(20_000))
        assert "unauthenticated bulk length" in str(await large.reply())
        assert await large.ended()
        client.send(b"AUTH", b"secret")
        client.send(b"SET", b"k", bytes(20_000))
        assert await client.reply() == "OK"
        assert await client.reply() == "OK"
        assert not bench.port.strangers
        assert "WRONGPASS" in str(await (await connect()).do(b"AUTH", b"other"))

    play(story)


def test_who_does_not_log_in_in_time_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resp_port, "SWEEP_S", 0.01)

    async def story(bench: Bench, connect: Callable[[], Awaitable[Client]]) -> None:
        bench.lab.host.users["default"] = (b"secret", Role.ADMIN)
        assert await (await connect()).ended()

    play(story, replace(LIMITS, login_s=0.0))


def test_who_never_reads_is_disconnected_and_others_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not before, and little is held for it: no more commands of it are begun."""
    monkeypatch.setattr(resp_port, "SWEEP_S", 0.01)

    async def story(bench: Bench, connect: Callable[[], Awaitable[Client]]) -> None:
        deaf, other = await connect(), await connect()
        assert await other.do(b"SET", b"k", bytes(1 << 20)) == "OK"
        for _ in range(64):
            deaf.send(b"GET", b"k")
        while not bench.port.disconnected_slow:
            assert await other.do(b"PING") == "PONG"
            assert bench.port.output_size < 8 << 20
        assert await other.do(b"PING") == "PONG"
        assert len(bench.port.connections) == 1

    play(story, replace(LIMITS, slow_s=0.05))


def test_who_reads_too_slowly_is_not_read_from(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resp_port, "SWEEP_S", 0.01)

    async def story(bench: Bench, connect: Callable[[], Awaitable[Client]]) -> None:
        slow = await connect()
        assert await slow.do(b"SET", b"k", bytes(1 << 20)) == "OK"
        for _ in range(64):
            slow.send(b"GET", b"k")
        for _ in range(32):
            assert len(await slow.reply()) == 1 << 20  # type: ignore[arg-type]
        while bench.port.output_size > 24 << 20:
            await asyncio.sleep(0.001)
        for _ in range(32):
            await slow.reply()
        slow.send(b"GET", b"k")
        assert not bench.port.disconnected_slow

    play(story, replace(LIMITS, slow_s=15.0))


def test_idle_clients_are_disconnected_where_that_is_wished(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resp_port, "SWEEP_S", 0.01)

    async def story(bench: Bench, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        assert await client.do(b"PING") == "PONG"
        assert await client.ended()

    play(story, replace(LIMITS, idle_s=0.05))


def test_at_the_end_what_is_under_way_is_answered() -> None:
    async def story(bench: Bench, connect: Callable[[], Awaitable[Client]]) -> None:
        client = await connect()
        await client.do(b"PING")
        bench.is_slow = True
        client.send(b"SET", b"k", b"v")
        [session] = bench.lab.executor.sessions.values()
        while not bench.lab.executor.pending(session):
            await asyncio.sleep(0.001)
        draining = asyncio.ensure_future(bench.port.drain(10))
        await asyncio.sleep(0.01)
        client.send(b"SET", b"late", b"v")
        bench.answer_all()
        await draining
        bench.port.close()
        assert await client.reply() == "OK"
        assert await client.ended()

    play(story)
