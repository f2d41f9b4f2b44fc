"""A node at work: its machines, its store, its peers, put together and taken apart.

    sockets -> PeerLinks, DatagramPort -> Driver -> node -> StoreRunner -> store

What holds: sockets are bound before the node is opened; the node is started before anything that
came in is read; at the end nothing comes in any more before the store is closed, and the store is
closed whatever else went wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from lsmkv_cluster.config.endpoints import Endpoint, parse_endpoint
from lsmkv_cluster.config.tls import PeerContexts
from lsmkv_cluster.placement.members import PEER_FACE, MemberId
from lsmkv_cluster.serving.datagram_port import DatagramPort
from lsmkv_cluster.serving.driver import Driver
from lsmkv_cluster.serving.founding import FEATURE_LEVEL
from lsmkv_cluster.serving.local_node import LocalNode
from lsmkv_cluster.serving.peer_links import PeerLinks
from lsmkv_cluster.serving.sockets import PeerSockets
from lsmkv_cluster.serving.store_runner import StoreRunner
from lsmkv_cluster.serving.system_clock import SystemClock
from lsmkv_cluster.transport.handshake import (
    INCARNATION_SIZE,
    PROTOCOL_VERSION_MAX,
    PROTOCOL_VERSION_MIN,
    Hello,
    boot_number,
)
from lsmkv_cluster.transport.wire import Lane

__all__ = ["RunningNode"]

DRAIN_S = 10.0  # that the store has for what was ordered


class RunningNode:
    """`start` once, `stop` once. `driver` takes calls."""

    def __init__(
        self, local: LocalNode, sockets: PeerSockets, tls: PeerContexts | None = None
    ) -> None:
        self.local = local
        self.node = local.node
        self._sockets = sockets
        self._tls = tls
        self._loop = asyncio.get_running_loop()
        self._server: asyncio.Server | None = None
        self._epoch_seen = 0
        self.driver = Driver(local.node, SystemClock())
        self.links = PeerLinks(self, self.driver, self.address_of, tls.client if tls else None)
        self.datagrams = DatagramPort(self.driver.datagram_came, self.address_of)
        self.runner = StoreRunner(local.store, self._post, self.driver.stored, self.driver.fail)
        self.driver.connect(self.links, self.datagrams, self.runner)
        self.driver.after_step(self._look_at_topology)

    def _post(self, function: Callable[[], None]) -> None:
        """From any thread."""
        self._loop.call_soon_threadsafe(function)

    async def start(self) -> None:
        self.driver.start()
        await self.datagrams.open(self._sockets.datagrams)
        self._server = await self._loop.create_server(
            self.links.accept,
            sock=self._sockets.stream,
            ssl=self._tls.server if self._tls else None,
        )

    async def stop(self) -> None:
        """What was answered is on stable storage then."""
        try:
            if self._server is not None:
                self._server.close()
            self.datagrams.close()
            await self.links.close()
            self.driver.stop()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_S):
                    await self.runner.drained()
            self.runner.close()
        finally:
            self._sockets.close()
            self.local.close()

    # --- what peers are told

    def hello(self, lane: Lane) -> Hello:
        identity = self.node.parts.actors.identity
        topology = self.node.topology
        me = topology.members_by_id.get(self.node.me)
        return Hello(
            PROTOCOL_VERSION_MIN,
            PROTOCOL_VERSION_MAX,
            lane,
            FEATURE_LEVEL,
            topology.feature_level,
            self.node.me,
            identity.incarnation.to_bytes(INCARNATION_SIZE, "big"),
            boot_number(max(1, identity.start_number), 0),
            me.name if me is not None else "removed",
        )

    @property
    def cluster_id(self) -> bytes:
        return self.node.topology.cluster_id

    @property
    def epoch(self) -> int:
        return self.node.topology.epoch

    def name_of(self, member: MemberId) -> str | None:
        found = self.node.topology.members_by_id.get(member)
        return found.name if found is not None else None

    # --- where peers are

    def address_of(self, member: MemberId) -> Endpoint | None:
        found = self.node.topology.members_by_id.get(member)
        location = found.location_of(PEER_FACE) if found is not None else None
        try:
            return parse_endpoint(location) if location is not None else None
        except ValueError:
            return None

    def _look_at_topology(self) -> None:
        topology = self.node.topology
        if topology.epoch != self._epoch_seen:
            self._epoch_seen = topology.epoch
            self.links.forget(topology.voters)
