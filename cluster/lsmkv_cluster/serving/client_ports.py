"""The ports of clients, put together: executor, queries, connections, and what listens.

plain port, cluster port -> RespPort -> Executor -> Inquiries -> Driver
"""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
from ssl import SSLContext

from lsmkv_cluster.config.users import Users
from lsmkv_cluster.resp.executor import Executor
from lsmkv_cluster.serving.express import Express
from lsmkv_cluster.serving.hosting import DaemonHost
from lsmkv_cluster.serving.inquiries import Inquiries, Reports
from lsmkv_cluster.serving.resp_connection import RespLimits
from lsmkv_cluster.serving.resp_port import RespPort
from lsmkv_cluster.serving.running_node import RunningNode
from lsmkv_cluster.serving.system_clock import SystemClock

__all__ = ["ClientPorts"]


class ClientPorts:
    """`is_express`: whether plain commands may take the short way, where the node is alone."""

    def __init__(
        self,
        running: RunningNode,
        host: DaemonHost,
        reports: Reports,
        users: Users | None,
        limits: RespLimits,
        *,
        is_express: bool,
    ) -> None:
        clock = SystemClock()
        local = running.local
        self.executor = Executor(host, random.Random(secrets.randbits(256)))
        self.express: Express | None = None
        if is_express:
            self.express = Express(
                local.node,
                local.store,
                local.db,
                running.runner,
                clock,
                self.executor.held_keys.held,
                running.driver.step_soon,
            )
            running.driver.after_step(self.express.stepped)
        self._is_planned = False
        self._loop = asyncio.get_running_loop()
        self.inquiries = Inquiries(
            self.executor, running, reports, users, clock.now, self._plan_pump
        )
        self.port = RespPort(
            self.executor,
            clock,
            limits,
            lambda: host.has_users,
            self.inquiries.ask,
            self.express,
        )
        self._servers: list[asyncio.Server] = []

    async def listen(
        self, bound: socket.socket, *, is_cluster_port: bool, tls: SSLContext | None = None
    ) -> None:
        port = self.port
        server = await self._loop.create_server(
            lambda: port.protocol(is_cluster_port=is_cluster_port), sock=bound, ssl=tls
        )
        self._servers.append(server)

    async def close(self, drain_s: float) -> None:
        """New clients are refused, what is under way is answered, then all are disconnected."""
        for server in self._servers:
            server.close()
        await self.port.drain(drain_s)
        self.port.close()

    def _plan_pump(self) -> None:
        """Once for all answers of a step."""
        if not self._is_planned:
            self._is_planned = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        self._is_planned = False
        self.port.pump()
