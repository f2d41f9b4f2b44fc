"""Whole daemons in the process of a test: real sockets and files, ports of the system's choice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.config.settings import DaemonSettings
from lsmkv_cluster.serving.daemon import Daemon
from lsmkv_cluster.serving.local_node import is_serving

__all__ = ["Daemons"]

ANY = Endpoint("127.0.0.1", 0)
DEADLINE_S = 60.0


class Daemons:
    """The first founds a cluster, the others join it. Use in `async with`."""

    def __init__(self, path: Path, base: DaemonSettings | None = None) -> None:
        self.path = path
        self.running: dict[str, Daemon] = {}
        self._base = base or DaemonSettings(
            data=path, listen=ANY, cluster_listen=ANY, peer_listen=ANY, http=None
        )
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def __aenter__(self) -> Daemons:
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self.running):
            await self.stop(name)

    async def start(self, name: str, dc: str = "dc1", *, staged: bool = False) -> Daemon:
        """Returns once it serves."""
        join = [self.address(other) for other in self.running][:1]
        settings = replace(
            self._base, data=self.path / name, node_id=name, dc=dc, staged=staged,
            join=tuple(Endpoint("127.0.0.1", int(each.rpartition(":")[2])) for each in join),
        )  # fmt: skip
        daemon = self.running[name] = Daemon(settings)
        await daemon.start()
        self._tasks[name] = asyncio.create_task(daemon.run())
        await self.until(lambda: is_serving(daemon.running.node))
        return daemon

    async def stop(self, name: str) -> None:
        self.running.pop(name).request_stop()
        await self._tasks.pop(name)

    def address(self, name: str, face: str = "resp") -> str:
        return next(each.location for each in self.running[name].addresses if each.face == face)

    async def settled(self) -> None:
        """Until every member has its share."""

        def is_done() -> bool:
            documents = [daemon.running.node.topology for daemon in self.running.values()]
            return (
                len({each.epoch for each in documents}) == 1
                and not documents[0].transitions
                and all(len(each) == len(documents) for each in documents[0].owners[:1])
            )

        await self.until(is_done)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.01)
