"""A cluster of processes on this machine: founded, joined, asked, and gone without a trace.

    async with LocalCluster(folder, {"dc1": 2, "dc2": 1}) as cluster:
        await cluster.start({"a": "dc1", "b": "dc1", "c": "dc2"})

What holds: whatever happens in the block, no process is left behind it; if it fails, the ends of
all logs are in the error.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from lsmkv_cluster.client.calling import CallError, call
from lsmkv_cluster.config.cluster_file import new_cluster, save_cluster_file
from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.resp.replies import Reply
from tests.cluster.processes.node_process import NodeProcess
from tests.cluster.processes.waiting import DEADLINE_S, poll, until

__all__ = ["LocalCluster"]

ASK_S = 10.0
LOG_LINES = 30  # of each node, in the text of a failure

Announce = Callable[[str], Awaitable[Endpoint]]
Served = Callable[[NodeProcess], None]


class LocalCluster:
    """`announce` tells where the others are to find a node, if that is not where it listens;
    `served` is told of each start."""

    def __init__(
        self,
        folder: Path,
        replicas: Mapping[str, int],
        *,
        partitions: int = 32,
        settings: Sequence[str] = (),
        announce: Announce | None = None,
        served: Served | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.nodes: dict[str, NodeProcess] = {}
        self.gone: list[NodeProcess] = []  # that have left
        self.file = new_cluster(
            partition_count=partitions, replicas=tuple(sorted(replicas.items()))
        )
        self._path = folder / "cluster.toml"
        save_cluster_file(self._path, self.file)
        self._settings = list(settings)
        self._announce = announce
        self._served = served

    async def __aenter__(self) -> LocalCluster:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
        if error is not None and not isinstance(error, asyncio.CancelledError):
            error.add_note(self.logs())

    def close(self) -> None:
        for node in (*self.nodes.values(), *self.gone):
            node.kill()

    def logs(self) -> str:
        return "\n".join(
            f"--- {node.name}\n{node.last_of_log(LOG_LINES)}" for node in self.nodes.values()
        )

    # --- nodes come

    async def node(self, name: str, dc: str) -> NodeProcess:
        """One that has never run."""
        settings = [f"--dc={dc}", f"--cluster-file={self._path}", *self._settings]
        if self._announce is not None:
            settings.append(f"--announce-peer={await self._announce(name)}")
        node = self.nodes[name] = NodeProcess(name, self.folder, settings)
        return node

    async def start(self, layout: Mapping[str, str], prepare: Served | None = None) -> None:
        """Nodes with their data centres; the first founds, the others come together. `prepare` is
        called for each before that."""
        first, *others = [await self.node(name, dc) for name, dc in layout.items()]
        for node in (first, *others):
            if prepare is not None:
                prepare(node)
        first.start()
        await self.serving(first)
        for node in others:
            node.start(f"--join={first.at.resp}", "--staged")
        # Together: who has joined has a vote, and has to be found by those who come after it.
        await asyncio.gather(*map(self.serving, others))
        if others:
            await self.change({"change": "commit"}, first)
        await self.settled()

    async def join(self, name: str, dc: str, through: NodeProcess) -> NodeProcess:
        node = await self.node(name, dc)
        node.start(f"--join={through.at.resp}")
        await self.serving(node)
        return node

    async def serving(self, node: NodeProcess, deadline_s: float = DEADLINE_S) -> None:
        await until(node.look, f"{node.name} serves", deadline_s)
        if self._served is not None:
            self._served(node)

    # --- asking

    async def ask(self, node: NodeProcess, *args: bytes | str, timeout_s: float = ASK_S) -> Reply:
        """OSError, TimeoutError, CallError."""
        encoded = [arg.encode() if isinstance(arg, str) else arg for arg in args]
        return await call(node.at.resp, encoded, timeout_s=timeout_s)

    async def admin(self, node: NodeProcess, *args: str) -> Any:
        reply = await self.ask(node, "KV.CLUSTER", *args, timeout_s=30.0)
        assert isinstance(reply, bytes), reply
        return json.loads(reply)

    async def change(self, change: Mapping[str, Any], node: NodeProcess) -> Any:
        return await self.admin(node, "CHANGE", json.dumps(change))

    async def status(self, node: NodeProcess) -> Any:
        return await self.admin(node, "STATUS")

    async def settled(
        self, nodes: Iterable[NodeProcess] | None = None, deadline_s: float = DEADLINE_S
    ) -> None:
        """All serve, follow one document, take each other for alive, and nothing moves."""
        expected = list(self.nodes.values() if nodes is None else nodes)
        names = {node.name for node in expected}

        async def look() -> bool:
            epochs = set()
            for node in expected:
                try:
                    seen = await self.status(node)
                except CallError as error:
                    raise OSError(str(error)) from error
                up = {m["name"] for m in seen["members"] if m["status"] in ("up", "alive")}
                if not seen["is_serving"] or seen["moving"] or up != names:
                    return False
                epochs.add(seen["epoch"])
            return len(epochs) == 1

        await poll(look, f"{', '.join(sorted(names))} have settled", deadline_s)
