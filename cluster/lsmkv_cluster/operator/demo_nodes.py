"""The cluster of a demo: nodes, the cables between them, and what is done to both.

Two data centres, three fifths of the nodes in the first; of every key there are two copies there
and one in the other. All of it belongs to one event loop.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterable
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
        await asyncio.gather(*(self._started(node, first, staged=True) for node in others))
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

    @property
    def _running(self) -> list[NodeProcess]:
        return [node for node in self.nodes.values() if node.state == "running"]

    def some_running(self) -> NodeProcess:
        if running := self._running:
            return running[0]
        raise Error("no node is running: heal")

    async def report(self, *subject: str, at: NodeProcess | None = None) -> Any:
        """What KV.CLUSTER answers there."""
        node = at or self.some_running()
        args = (b"KV.CLUSTER", *(word.encode() for word in subject))
        reply = await self.client.execute(*args, at=str(node.ports.plain))
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
        await self._until(self._is_settled, "still moving")

    async def well(self) -> None:
        """Until those that run hear each other, and no hints wait for one of them."""
        await self._until(self._is_well, "not all is as it was")

    async def _until(self, look: Callable[[], Awaitable[bool]], otherwise: str) -> None:
        try:
            async with asyncio.timeout(SETTLED_S):
                while not await look():
                    await asyncio.sleep(LOOK_EVERY_S)
        except TimeoutError:
            raise Error(f"{otherwise} after {SETTLED_S:g} s") from None

    async def _told(self, subject: str) -> list[Any]:
        """By all that run; nothing if one of them cannot be asked now."""
        try:
            return [await self.report(subject, at=node) for node in self._running]
        except (Refused, Unknown):
            return []

    async def _is_well(self) -> bool:
        names = {node.name for node in self._running}
        seen, hints = await self._told("STATUS"), await self._told("HINTS")
        up = [
            {each["name"] for each in one["members"] if each["status"] in ("up", "alive")}
            for one in seen
        ]
        is_delivered = all(each["is_counted"] and not each["count"] for each in hints)
        return bool(seen and hints) and is_delivered and all(names <= found for found in up)

    async def _is_settled(self) -> bool:
        all_seen = await self._told("STATUS")
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

    async def repair(self) -> int:
        """Compare every copy with all others; how many records lacked somewhere."""
        found = 0
        for node in self._running:
            state = await self.report("REPAIR", at=node)
            while state["done"] < state["partitions"]:
                await asyncio.sleep(LOOK_EVERY_S)
                state = await self.report("REPAIR", "PROGRESS", at=node)
            found += state["pulled"] + state["pushed"]
        return found

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
