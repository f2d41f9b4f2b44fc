"""The port of peers: who says nothing there keeps nobody out."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lsmkv_cluster.serving import peer_links
from tests.cluster.serving.nodes import Cluster, until


def test_strangers_make_room_for_members(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer_links, "STRANGERS_MAX", 3)

    async def run() -> None:
        async with Cluster(tmp_path) as cluster:
            first = await cluster.start("a")
            at = cluster.endpoint("a")
            silent = [await asyncio.open_connection(at.host, at.port) for _ in range(8)]
            await until(lambda: first.links.open_count == 3, "the others have been closed")
            assert await silent[0][0].read() == b""
            await cluster.start("b")
            await until(cluster.is_settled, "a member is let in")
            for _, writer in silent:
                writer.close()

    asyncio.run(run())
