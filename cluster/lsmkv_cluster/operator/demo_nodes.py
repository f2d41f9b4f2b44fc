"""The cluster of a demo: nodes, the cables between them, and what is done to both.

Two data centres, three fifths of the nodes in the first; of every key there are two copies there
and one in the other. All of it belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lsmkv import Error
from lsmkv_cluster.client.async_client import AsyncClient
from lsmkv_cluster.client.outcomes import Refused, Unknown
from lsmkv_cluster.config.cluster_file import new_cluster, save_cluster_file
from lsmkv_cluster.config.node_file import create_node_file
from lsmkv_cluster.operator.link_cuts import Cables
from lsmkv_cluster.operator.node_processes import NodeProcess

__all__ = ["DemoNodes"]

EAST, WEST = "east", "west"
REPLICAS = ((EAST, 2), (WEST, 1))
PARTITION_COUNT = 64
SETTLED_S = 60.0
LOOK_EVERY_S = 0.2


class DemoNodes:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._cluster_file = path / "cluster.toml"
        self._cables = Cables()
        self.nodes: dict[str, NodeProcess] = {}
        self.client: AsyncClient

    async def start(self, count: int, told: Callable[[str], None]) -> None:
        cluster = new_cluster(partition_count=PARTITION_COUNT, replicas=REPLICAS)
        self._path.mkdir(parents=True, exist_ok=True)
        save_cluster_file(self._cluster_file, cluster)
        in_east = -(-3 * count // 5)
        first, *others = [
            await self._made(EAST if number < in_east else WEST) for number in range(count)
        ]
        await self._started(first)
        self.client = AsyncClient(str(first.ports.plain), dc=EAST)
        told(f"{first.name} has founded a cluster; {len(others)} others join")
        for node in others:
            await self._started(node, first, staged=True)
        await self.change({"change": "commit"})
        await self.settled()

    async def stop(self) -> None:
        """All processes have ended then, however they were."""
        for node in self.nodes.values():
            node.ask_to_end()
        await asyncio.gather(*(asyncio.to_thread(each.ended) for each in self.nodes.values()))
        if hasattr(self, "client"):
            await self.client.close()
        await self._cables.close()

    async def _made(self, dc: str) -> NodeProcess:
        name = f"n{len(self.nodes) + 1}"
        data = self._path / name
        file = await asyncio.to_thread(create_node_file, data, name)
        announce = await self._cables.add(name, file.id)
        node = self.nodes[name] = NodeProcess(name, dc, data, self._cluster_file, announce)
        return node

    async def _started(
        self, node: NodeProcess, join: NodeProcess | None = None, *, staged: bool = False
    ) -> None:
        """It may speak to others before it says where it listens, which they do not hear."""
        there = join.ports.plain if join is not None else None
        await asyncio.to_thread(node.start, there, staged=staged)
        self._cables.listens(node.name, node.ports.peers)

    # --- looking

    def some_running(self) -> NodeProcess:
        for node in self.nodes.values():
            if node.state == "running":
                return node
        raise Error("no node is running: heal")

    async def report(self, subject: str, at: NodeProcess | None = None) -> Any:
        """What KV.CLUSTER answers there."""
        node = at or self.some_running()
        reply = await self.client.execute(b"KV.CLUSTER", subject.encode(), at=str(node.ports.plain))
        return json.loads(reply if isinstance(reply, bytes) else b"null")

    async def change(self, change: dict[str, object], *, subject: str = "CHANGE") -> Any:
        """Error where it is refused."""
        args = (b"KV.CLUSTER", subject.encode(), json.dumps(change).encode())
        reply = await self.client.execute(*args, at=str(self.some_running().ports.plain))
        answer = json.loads(reply if isinstance(reply, bytes) else b"null")
        if answer.get("outcome", "COMMITTED") not in ("COMMITTED", "UNCHANGED"):
            raise Error(f"{answer['outcome'].lower().replace('_', ' ')}: {answer['text']}")
        return answer

    async def settled(self) -> None:
        """Until those that run agree on a document in which nothing moves."""
        try:
            async with asyncio.timeout(SETTLED_S):
                while not await self._is_settled():
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise Error(f"still moving after {SETTLED_S:g} s") from None

    async def _is_settled(self) -> bool:
        running = [node for node in self.nodes.values() if node.state == "running"]
        try:
            all_seen = [await self.report("STATUS", node) for node in running]
        except (Refused, Unknown):
            return False
        return len({seen["epoch"] for seen in all_seen}) == 1 and not any(
            seen["moving"] or any(member["state"] == "JOINED" for member in seen["members"])
            for seen in all_seen
        )

    def node(self, text: str) -> NodeProcess:
        """By name or number. Error where there is none."""
        name = f"n{text}" if text.isdecimal() else text
        if name not in self.nodes:
            raise Error(f"there is no {text}; there are {', '.join(self.nodes)}")
        return self.nodes[name]

    def side(self, text: str) -> list[str]:
        """A node, or all of a data centre."""
        of_dc = [node.name for node in self.nodes.values() if node.dc == text]
        return of_dc or [self.node(text).name]

    # --- doing

    @property
    def cuts(self) -> list[str]:
        return self._cables.cuts

    def cut(self, some: Iterable[str], others: Iterable[str]) -> None:
        self._cables.cut(some, others)

    async def heal(self) -> list[str]:
        """Mend cables, wake and start nodes; who was started again."""
        self._cables.mend()
        dead = [node for node in self.nodes.values() if not node.is_running]
        for node in self.nodes.values():
            if node.state == "paused":
                node.resume()
        for node in dead:
            await self._started(node)
        return [node.name for node in dead]

    async def add(self) -> NodeProcess:
        """One more, in the smaller data centre; it takes its share by itself."""
        in_east = sum(node.dc == EAST for node in self.nodes.values())
        node = await self._made(EAST if 2 * in_east <= len(self.nodes) else WEST)
        await self._started(node, self.some_running())
        return node

    async def remove(self, node: NodeProcess) -> Any:
        """It gives away what it has if it runs, and is given up if it does not."""
        what = "leave" if node.state == "running" else "remove"
        return await self.change({"change": what, "member": node.name})

    async def forget(self, node: NodeProcess) -> None:
        """It is no member any more."""
        del self.nodes[node.name]
        node.ask_to_end()
        await asyncio.to_thread(node.ended)
