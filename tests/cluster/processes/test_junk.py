"""Whatever is sent to a node, on every port: its memory stays small, and others are served.

Each kind of junk is sent to one node while a client reads and writes. Memory is the most that the
node has held meanwhile (VmHWM) above what it held before.
"""

from __future__ import annotations

import asyncio
import resource
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.cluster.processes.bystander import Bystander
from tests.cluster.processes.junk import KINDS, Junk
from tests.cluster.processes.local_cluster import LocalCluster
from tests.cluster.processes.node_process import NodeProcess
from tests.cluster.processes.tools import metrics

pytestmark = pytest.mark.slow
GROWTH_MAX = 64 << 20  # bytes
FILES = 8192  # connections that this process may hold


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, FILES), hard), hard))
    cluster = LocalCluster(tmp_path_factory.mktemp("junk"), {"dc1": 1})
    try:
        asyncio.run(cluster.start({"a": "dc1"}))
        yield cluster.nodes["a"]
    finally:
        cluster.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("kind", KINDS)
def test_junk_costs_little_memory_and_nobody_else_notices(node: NodeProcess, kind: str):
    async def play() -> Bystander:
        junk = Junk(node.at, Random(kind))
        try:
            async with Bystander(node.at.resp) as bystander:
                await KINDS[kind](junk)
                served = len(bystander.latencies_s)
                while len(bystander.latencies_s) < served + 20:  # also while all is still open
                    await asyncio.sleep(0.01)
                assert await asyncio.to_thread(metrics, node)
        finally:
            junk.close()
        return bystander

    before = _reset_peak(node)
    bystander = asyncio.run(play())
    growth = _peak(node) - before
    assert growth <= GROWTH_MAX, f"{growth >> 20} MiB"
    assert len(bystander.latencies_s) > 20
    assert node.is_running


def _reset_peak(node: NodeProcess) -> int:
    Path(f"/proc/{node.pid}/clear_refs").write_text("5", encoding="ascii")
    return node.memory_bytes()


def _peak(node: NodeProcess) -> int:
    for line in Path(f"/proc/{node.pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    raise AssertionError("no VmHWM")
