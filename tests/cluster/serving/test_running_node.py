"""Nodes over real sockets: what the simulator plays, with everything real but the processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lsmkv_cluster.coordination.requests import Outcome
from tests.cluster.serving.nodes import Cluster, until


def test_a_node_that_is_alone_keeps_what_it_was_given(tmp_path: Path) -> None:
    async def run() -> None:
        async with Cluster(tmp_path) as cluster:
            await cluster.start("a")
            assert (await cluster.put("a", b"k", b"v")).outcome is Outcome.DONE
            await cluster.stop("a")
            await cluster.start("a")
            answer = await cluster.get("a", b"k")
            assert answer.is_done
            assert b"v" in (answer.record or b"")

    asyncio.run(run())


def test_nodes_join_and_serve_what_was_written_before(tmp_path: Path) -> None:
    async def run() -> None:
        async with Cluster(tmp_path) as cluster:
            await cluster.start("a")
            for number in range(200):
                assert (await cluster.put("a", b"k%d" % number, b"v%d" % number)).is_done
            await cluster.start("b")
            await cluster.start("c")
            await until(cluster.is_settled, "all three have their share")
            for number in range(200):
                answer = await cluster.get("c", b"k%d" % number)
                assert answer.is_done
                assert b"v%d" % number in (answer.record or b"")
            await cluster.stop("a")
            for number in range(200):
                answer = await cluster.get("b", b"k%d" % number)
                assert answer.is_done, answer
                assert (await cluster.put("c", b"k%d" % number, b"w")).is_done
            await cluster.start("a")

    asyncio.run(run())
