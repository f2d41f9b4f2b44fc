"""Nodes are lost for good, with their disks; what operators type then brings the cluster back."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lsmkv_cluster.client.calling import CallError
from tests.cluster.processes.local_cluster import LocalCluster
from tests.cluster.processes.node_process import LAUNCH, ROOT, NodeProcess
from tests.cluster.processes.stored_copies import read_copies

pytestmark = pytest.mark.slow

THREE = {"a": "dc1", "b": "dc1", "c": "dc1"}
KEYS = [f"key:{number}" for number in range(200)]
COMMAND_S = 60.0


def lose(cluster: LocalCluster, name: str) -> None:
    """The process and all that it knew."""
    node = cluster.nodes.pop(name)
    cluster.gone.append(node)
    node.kill()
    shutil.rmtree(node.data)


async def typed(node: NodeProcess, *words: str) -> subprocess.CompletedProcess[str]:
    """`lsmkv cluster ...`, as an operator types it."""
    command = [sys.executable, "-P", str(LAUNCH), str(os.getpid()), "cluster", *words]
    command += ["--at", str(node.at.resp)]
    return await asyncio.to_thread(
        subprocess.run, command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True,
        text=True, timeout=COMMAND_S, check=False,
    )  # fmt: skip


async def write(cluster: LocalCluster, node: NodeProcess) -> None:
    pairs = [text for key in KEYS for text in (key, f"value of {key}")]
    assert await cluster.ask(node, "MSET", *pairs) == "OK"


async def missing(cluster: LocalCluster, node: NodeProcess) -> int:
    """Keys that are not read as they were written."""
    values = await cluster.ask(node, "MGET", *KEYS)
    assert isinstance(values, list)
    wanted = [f"value of {key}".encode() for key in KEYS]
    return sum(value != want for value, want in zip(values, wanted, strict=True))


def test_a_staged_node_takes_the_place_of_one_that_is_lost_with_its_disk(tmp_path: Path) -> None:
    async def run() -> None:
        async with LocalCluster(tmp_path, {"dc1": 3}) as cluster:
            await cluster.start(THREE)
            a, b = cluster.nodes["a"], cluster.nodes["b"]
            await write(cluster, a)
            lose(cluster, "c")
            new = await cluster.node("d", "dc1")
            new.start(f"--join={a.at.resp}", "--staged")
            await cluster.serving(new)
            done = await typed(a, "replace", "c", "--wait")
            assert done.returncode == 0, done.stderr
            assert done.stdout.count("committed in epoch") == 2
            assert "32 partitions move; 32 copies to make" in done.stdout
            status = await cluster.status(a)
            states = {member["name"]: member["state"] for member in status["members"]}
            copies = {member["name"]: member["partitions"] for member in status["members"]}
            assert states == {"a": "SERVING", "b": "SERVING", "c": "REMOVED", "d": "SERVING"}
            assert copies == {"a": 32, "b": 32, "c": 0, "d": 32}
            await cluster.settled()
            assert await missing(cluster, new) == 0
            assert [node.stop() for node in (a, b, new)] == [0, 0, 0]
            stored = read_copies(node.data for node in (a, b, new))
            assert stored.unequal() == []
            assert {*stored.by_key} == {key.encode() for key in KEYS}
            assert all(copies["d"] for copies in stored.by_key.values())

    asyncio.run(run())


def test_the_only_node_that_is_left_serves_again_once_it_is_forced(tmp_path: Path) -> None:
    async def run() -> None:
        async with LocalCluster(tmp_path, {"dc1": 3}) as cluster:
            await cluster.start(THREE)
            a = cluster.nodes["a"]
            await write(cluster, a)
            lose(cluster, "b")
            lose(cluster, "c")
            with pytest.raises(CallError, match=r"NOREPLICAS|UNKNOWN"):
                await cluster.ask(a, "SET", "key", "value")
            warned = await typed(a, "force", "remove", "b")
            assert warned.returncode == 1
            for risk in ("there are two clusters", "are lost", "nothing was changed"):
                assert risk in warned.stderr
            for words in (["b"], ["c", "--wait"]):
                done = await typed(a, "force", "remove", *words, "--yes")
                assert done.returncode == 0, done.stderr
                assert "committed in epoch" in done.stdout
                assert "may be lost" in done.stdout
            assert await cluster.ask(a, "SET", "key", "value") == "OK"
            assert await cluster.ask(a, "GET", "key") == b"value"
            assert await missing(cluster, a) == 0
            status = await cluster.status(a)
            assert (status["generation"], status["moving"]) == (2, 0)
            assert a.stop() == 0
            assert {key.encode() for key in KEYS} < {*read_copies([a.data]).by_key}

    asyncio.run(run())
