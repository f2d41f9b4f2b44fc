"""The short way gives what the long way would, and is left as soon as a node is not alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode, Resolution
from lsmkv_cluster.placement.members import MemberState
from lsmkv_cluster.resp.reply_reader import reply_parser
from lsmkv_cluster.serving import express
from lsmkv_cluster.serving.client_ports import ClientPorts
from lsmkv_cluster.serving.express import is_alone, is_plain
from lsmkv_cluster.serving.hosting import DaemonHost
from lsmkv_cluster.serving.reports import NodeReports
from lsmkv_cluster.serving.resp_connection import RespLimits
from lsmkv_cluster.serving.sockets import endpoint_of, listen
from lsmkv_cluster.serving.system_clock import SystemClock
from tests.cluster.serving.nodes import Cluster, until
from tests.support.heal_lab import heal_topology
from tests.support.members import member_id

COUNT = Consistency(Level.COUNT, 2)


@pytest.mark.parametrize(
    ("keyspace", "expected"),
    [
        (Keyspace(), True),
        (Keyspace(resolution=Resolution.LAST_WRITER), True),
        (Keyspace(read=Consistency(Level.ALL), write=Consistency(Level.ONE)), True),
        (Keyspace(write=Consistency(Level.COUNT, 1)), True),
        (Keyspace(write=COUNT), False),
        (Keyspace(read=COUNT), False),
        (Keyspace(mode=Mode.STRICT), False),
        (Keyspace(resolution=Resolution.CRDT), False),
    ],
)
def test_keyspaces_in_which_one_copy_in_memory_is_enough(
    keyspace: Keyspace, expected: bool
) -> None:
    assert is_plain(keyspace) is expected


def test_who_is_alone() -> None:
    topology = heal_topology(member_count=1, partition_count=2)
    me, other = topology.members[0].id, member_id("n2")
    assert is_alone(topology, me)
    assert not is_alone(topology, other)
    assert not is_alone(heal_topology(member_count=2, partition_count=2), me)
    both = heal_topology(member_count=2, partition_count=2).members
    [second] = [member for member in both if member.id != me]
    joined = replace(second, state=MemberState.JOINED)
    members = tuple(sorted((topology.members[0], joined), key=lambda member: member.id))
    assert not is_alone(replace(topology, members=members), me)


@asynccontextmanager
async def ports(cluster: Cluster, name: str) -> AsyncIterator[tuple[ClientPorts, Endpoint]]:
    running = cluster.nodes[name]
    settings = DaemonSettings(data=cluster.path)
    now = SystemClock().now
    founding = cluster.founding
    host = DaemonHost(
        running.local, settings, founding, now=now, stop=lambda: None, has_users=False
    )  # type: ignore[arg-type]
    clients = ClientPorts(
        running, host, NodeReports(running.node, now), None, RespLimits(), is_express=True
    )
    bound = listen(Endpoint("127.0.0.1", 0))
    await clients.listen(bound, is_cluster_port=False)
    try:
        yield clients, endpoint_of(bound)
    finally:
        await clients.close(1.0)


async def replies(
    at: Endpoint, commands: Sequence[Sequence[bytes]], rng: Random | None = None
) -> list[object]:
    """Of a pipeline, sent with pauses between some commands."""
    reader, writer = await asyncio.open_connection(at.host, at.port)
    for args in commands:
        if rng is not None and rng.random() < 0.3:
            await asyncio.sleep(0)
        writer.write(b"*%d\r\n" % len(args))
        writer.write(b"".join(b"$%d\r\n%b\r\n" % (len(arg), arg) for arg in args))
    found: list[object] = []
    parser = reply_parser()
    while len(found) < len(commands):
        data = await reader.read(1 << 16)
        assert data, found
        parser.feed(data)
        found += parser.take(len(commands))
    writer.close()
    return found


def script(rng: Random, count: int) -> tuple[list[list[bytes]], list[object]]:
    """Commands, and what Redis answers: plain ones with others between them."""
    model: dict[bytes, bytes] = {}
    commands: list[list[bytes]] = []
    expected: list[object] = []
    for number in range(count):
        key = b"k%d" % rng.randrange(20)
        kind = rng.choice(["get", "get", "set", "set", "append", "del", "incr", "setnx"])
        if kind == "get":
            commands.append([b"GET", key])
            expected.append(model.get(key))
        elif kind == "set":
            model[key] = b"%d" % number
            commands.append([b"SET", key, model[key]])
            expected.append("OK")
        elif kind == "append":
            model[key] = model.get(key, b"") + b"7"
            commands.append([b"APPEND", key, b"7"])
            expected.append(len(model[key]))
        elif kind == "del":
            commands.append([b"DEL", key])
            expected.append(int(model.pop(key, None) is not None))
        elif kind == "incr":
            model[key] = b"%d" % (int(model.get(key, b"0")) + 1)
            commands.append([b"INCR", key])
            expected.append(int(model[key]))
        else:
            commands.append([b"SETNX", key, b"1"])
            expected.append(int(key not in model))
            model.setdefault(key, b"1")
    return commands, expected


def test_plain_commands_among_others_give_what_redis_gives(tmp_path: Path) -> None:
    async def run() -> None:
        async with Cluster(tmp_path) as cluster:
            await cluster.start("a")
            async with ports(cluster, "a") as (clients, at):
                for seed in range(20):
                    commands, expected = script(Random(seed), 100)
                    keys = [b"k%d" % number for number in range(20)]
                    await replies(at, [[b"DEL", *keys]])
                    assert await replies(at, commands, Random(seed)) == expected
                assert clients.express is not None
                assert clients.express.served

    asyncio.run(run())


def test_who_has_to_wait_is_served_later_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every turn counts as slow, so that all is done on the thread of the store; and there are
    hardly any epochs at hand."""
    monkeypatch.setattr(express, "SLOW_S", -1.0)
    monkeypatch.setattr(express, "SERIALS_AT_ONCE", 8)
    monkeypatch.setattr(express, "SERIALS_LEAST", 4)

    async def run() -> None:
        async with Cluster(tmp_path) as cluster:
            await cluster.start("a")
            async with ports(cluster, "a") as (_, at):
                commands = [[b"SET", b"k%d" % n, b"v%d" % n] for n in range(300)]
                reads = [[b"GET", b"k%d" % n] for n in range(300)]
                found = await asyncio.gather(*[replies(at, commands) for _ in range(4)])
                assert found == [["OK"] * 300] * 4
                assert await replies(at, reads) == [b"v%d" % n for n in range(300)]

    asyncio.run(run())


def test_a_node_that_is_joined_goes_the_long_way_and_nothing_is_lost(tmp_path: Path) -> None:
    async def run() -> None:
        async with Cluster(tmp_path) as cluster:
            await cluster.start("a")
            async with ports(cluster, "a") as (clients, at):
                commands = [[b"SET", b"k%d" % n, b"v%d" % n] for n in range(200)]
                assert await replies(at, commands) == ["OK"] * 200
                assert clients.express is not None
                served = clients.express.served
                assert served
                await cluster.start("b")
                await until(cluster.is_settled, "both have their share")
                reads = [[b"GET", b"k%d" % n] for n in range(200)]
                assert await replies(at, reads) == [b"v%d" % n for n in range(200)]
                async with ports(cluster, "b") as (_, there):
                    assert await replies(there, reads) == [b"v%d" % n for n in range(200)]
                assert clients.express.served == served

    asyncio.run(run())


def test_what_was_written_the_short_way_is_there_after_a_restart(tmp_path: Path) -> None:
    async def run() -> None:
        async with Cluster(tmp_path) as cluster:
            for life in range(3):
                await cluster.start("a")
                async with ports(cluster, "a") as (clients, at):
                    if life:
                        reads = [[b"GET", b"k%d" % n] for n in range(100)]
                        assert await replies(at, reads) == [b"%d" % (life - 1)] * 100
                    writes = [[b"SET", b"k%d" % n, b"%d" % life] for n in range(100)]
                    assert await replies(at, writes) == ["OK"] * 100
                    assert clients.express is not None
                    assert clients.express.served >= 100
                await cluster.stop("a")

    asyncio.run(run())
