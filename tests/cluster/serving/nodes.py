"""Nodes of one process for tests: real sockets and files, one event loop, no processes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from lsmkv_cluster.boot import NodeSettings, Secrets
from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Verb
from lsmkv_cluster.driver_ports import AdminReply
from lsmkv_cluster.placement.members import PEER_FACE, Address, Member
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.reconfiguration.topology_changes import AddMember, Change
from lsmkv_cluster.serving.founding import Founding, first_document
from lsmkv_cluster.serving.local_node import is_serving, open_node
from lsmkv_cluster.serving.running_node import RunningNode
from lsmkv_cluster.serving.sockets import listen_for_peers

SECRETS = Secrets(b"contexts", (b"d" * 32,))
DEADLINE_S = 30.0


async def until(condition: Callable[[], bool], what: str) -> None:
    """Waits for a condition, for a long while at most."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.005)
    assert condition(), what


class Cluster:
    """A node for each name; the first founds it, the others join one after the other."""

    def __init__(self, path: Path, replicas: int = 3, partition_count: int = 16) -> None:
        self.path = path
        self.nodes: dict[str, RunningNode] = {}
        self.founding = Founding(b"c" * 16, 7, partition_count, (("dc1", replicas),))
        self._endpoints: dict[str, Endpoint] = {}

    def member(self, name: str, location: Endpoint) -> Member:
        id = name.encode().ljust(16, b"-")
        return Member(id, name, "dc1", "r1", name, addresses=(Address(PEER_FACE, str(location)),))

    async def start(self, name: str, settings: NodeSettings | None = None) -> RunningNode:
        at = self._endpoints.get(name, Endpoint("127.0.0.1", 0))
        sockets = listen_for_peers(at)
        self._endpoints[name] = sockets.endpoint
        member = self.member(name, sockets.endpoint)
        document: Topology | None = None
        if not (self.path / name).exists():
            document = await self._joined(member)
        is_founding = document is not None and document.epoch == 1
        local = open_node(
            self.path / name, member.id, SECRETS, document,
            is_founding=is_founding, settings=settings,
        )  # fmt: skip
        running = self.nodes[name] = RunningNode(local, sockets)
        await running.start()
        await until(lambda: is_serving(running.node), f"{name} serves")
        return running

    async def _joined(self, member: Member) -> Topology:
        others = list(self.nodes.values())
        if not others:
            return first_document(self.founding, member)
        reply = await self.change(AddMember(member), others[0])
        first = others[0].node
        await until(lambda: first.topology.epoch >= reply.epoch, f"{reply} is followed")
        assert member.id in first.topology.voters
        return first.topology

    async def change(self, change: Change, at: RunningNode) -> AdminReply:
        answer: asyncio.Future[AdminReply] = asyncio.get_running_loop().create_future()
        at.driver.change(change, answer.set_result)
        return await answer

    async def stop(self, name: str) -> None:
        await self.nodes.pop(name).stop()

    async def __aenter__(self) -> Cluster:
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in list(self.nodes):
            await self.stop(name)

    async def ask(self, name: str, request: ClientRequest, timeout_ms: int = 5000) -> ClientAnswer:
        answer: asyncio.Future[ClientAnswer] = asyncio.get_running_loop().create_future()
        self.nodes[name].driver.call(request, timeout_ms, answer.set_result)
        return await answer

    async def put(self, name: str, key: bytes, value: bytes) -> ClientAnswer:
        return await self.ask(name, ClientRequest(Verb.SET, key, (value,)))

    async def get(self, name: str, key: bytes) -> ClientAnswer:
        return await self.ask(name, ClientRequest(Verb.GET, key))

    def endpoint(self, name: str) -> Endpoint:
        return self._endpoints[name]

    def is_settled(self) -> bool:
        """All follow one document, everybody has his share, and nothing moves."""
        topologies = {node.node.topology.epoch: node.node.topology for node in self.nodes.values()}
        if len(topologies) != 1:
            return False
        [topology] = topologies.values()
        owning = {id for row in topology.owners for id in row}
        return not topology.transitions and owning == {node.node.me for node in self.nodes.values()}
