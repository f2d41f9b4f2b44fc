"""Both clients against whole daemons."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

import lsmkv
from lsmkv_cluster import NOTHING_SEEN, AsyncClient, Client, Refused, SiblingsError
from tests.cluster.client.daemons import Daemons


async def use_everything(client: AsyncClient) -> None:
    first = await client.put(b"k", b"one")
    await client.put(b"k", b"two", context=first)
    assert (await client.get(b"k")).value == b"two"
    await client.put(b"k", b"three", context=NOTHING_SEEN)
    both = await client.get(b"k")
    with pytest.raises(SiblingsError):
        _ = both.value
    one = await client.get(b"k", resolve=lambda values: b"+".join(sorted(values)))
    assert one.value == b"three+two"
    await client.put(b"k", b"all", context=one)
    assert (await client.get(b"k")).value == b"all"
    await client.delete(b"k", context=both)
    assert (await client.get(b"k")).value == b"all", "what was not seen is not deleted"
    await client.delete(b"k")
    assert not await client.get(b"k")
    await client.put(b"k", b"over")
    await client.put(b"k", b"over again")
    assert (await client.get(b"k")).values == (b"over again",)

    counted = await client.update(b"n", lambda value: b"%d" % (int(value or 0) + 1))
    counted = await client.update(b"n", lambda value: b"%d" % (int(value or 0) + 1))
    assert counted.value == (await client.get(b"n")).value == b"2"

    pairs = {b"m%d" % number: b"v%d" % number for number in range(1200)}
    assert len(await client.put_many(pairs)) == 1200
    found = await client.get_many([*pairs, b"missing"])
    assert [item.value for item in found] == [*pairs.values(), None]
    assert {key async for key in client.scan(b"m*")} == set(pairs)
    assert await client.execute(b"STRLEN", b"m10", key=b"m10") == 3


def test_one_node_alone(tmp_path: Path) -> None:
    async def run() -> None:
        async with Daemons(tmp_path) as daemons:
            await daemons.start("a")
            async with AsyncClient(daemons.address("a")) as client:
                await use_everything(client)

    asyncio.run(run())


def test_three_nodes_of_which_one_goes(tmp_path: Path) -> None:
    """Every call finds an owner, so nothing is proxied; without one node all goes on."""

    async def run() -> None:
        async with Daemons(tmp_path) as daemons:
            for name in "abc":
                await daemons.start(name)
            await daemons.settled()
            client = AsyncClient(daemons.address("a"), read="QUORUM", write="QUORUM")
            await use_everything(client)
            for daemon in daemons.running.values():
                assert daemon.clients.executor.statistics.proxied == 0
                assert daemon.clients.executor.statistics.redirected == 0
            keys = [b"m%d" % number for number in range(300)]
            await daemons.stop("b")
            assert all(await client.get_many(keys))
            await client.put_many((key, b"again") for key in keys)
            assert {item.value for item in await client.get_many(keys)} == {b"again"}
            gone = daemons.running["a"].running.node.topology.owners[0]
            others = [daemon.running.node.parts.membership for daemon in daemons.running.values()]
            await daemons.until(
                lambda: all(sum(map(each.is_reachable, gone)) <= 2 for each in others)
            )
            with pytest.raises(Refused):
                await client.put(b"k", b"v", write="ALL", mode="strict")
            await client.close()
            with pytest.raises(lsmkv.ClosedError):
                await client.get(b"k")

    asyncio.run(run())


def test_the_blocking_client_from_several_threads(tmp_path: Path) -> None:
    def work(client: Client, number: int) -> None:
        for turn in range(50):
            client.put(b"t%d" % number, b"%d" % turn)
            assert client.get(b"t%d" % number).value == b"%d" % turn

    def use(address: str) -> None:
        with Client(address, resolve=min) as client:
            client.put(b"k", b"b")
            client.put(b"k", b"a", context=NOTHING_SEEN)
            assert client.get(b"k").value == b"a"
            assert client.get(b"k", resolve=max).value == b"b"
            assert client.update(b"k", lambda value: (value or b"") + b"!").value == b"a!"
            client.delete(b"k")
            client.put_many([(b"p1", b"1"), (b"p2", b"2")])
            assert [item.value for item in client.get_many([b"p1", b"p3"])] == [b"1", None]
            assert sorted(client.scan(b"p*")) == [b"p1", b"p2"]
            assert client.execute(b"PING", at=address) == "PONG"
            child = os.fork()
            if child == 0:
                try:
                    client.get(b"k")
                except lsmkv.ForkError:
                    os._exit(7)
                os._exit(1)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        client.close()
        with pytest.raises(lsmkv.ClosedError):
            client.get(b"k")

    async def run() -> None:
        async with Daemons(tmp_path) as daemons:
            await daemons.start("a")
            address = daemons.address("a")
            await asyncio.to_thread(use, address)
            client = await asyncio.to_thread(Client, address)
            await asyncio.gather(*(asyncio.to_thread(work, client, number) for number in range(8)))
            await asyncio.to_thread(client.close)

    asyncio.run(run())


def test_arguments_that_cannot_be() -> None:
    for bad in ({"timeout_s": 0}, {"nodes": []}, {"nodes": "nowhere"}, {"connections_per_node": 0}):
        with pytest.raises(ValueError):
            AsyncClient(**bad)  # type: ignore[arg-type]


def test_nobody_there() -> None:
    with Client("127.0.0.1:1", timeout_s=0.2) as client, pytest.raises(Refused) as raised:
        client.put(b"k", b"v")
    assert raised.value.kind == "UNREACHABLE"


def test_a_program_that_forgets_to_close_ends_all_the_same() -> None:
    code = "from lsmkv_cluster import Client; c = Client('127.0.0.1:1', timeout_s=0.1)"
    assert subprocess.run([sys.executable, "-c", code], check=True, timeout=60).returncode == 0
