"""Carries commands of a client to the nodes that they concern, and goes on when one is gone.

    perform(command, key) -> reply, or Refused, or Unknown

Owners are asked first, so the node that coordinates has a copy. Whatever is wrong with a node, the
next one is tried, unless that could carry out a write twice (retrying.py). Who owns what is asked
when the first call comes, and again after anything that hints at a change, once a second at most.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from ssl import SSLContext

from lsmkv import ClosedError
from lsmkv_cluster.client.calling import CallError, Login, encode_command
from lsmkv_cluster.client.outcomes import UNREACHABLE, Refused, Unknown, failure_of, kind_of
from lsmkv_cluster.client.pipelines import Lost, Pipeline, open_pipeline
from lsmkv_cluster.client.pool import Pool
from lsmkv_cluster.client.retrying import (
    CONNECT_SHARE,
    REPLY_SHARE,
    Step,
    after_error,
    after_loss,
    is_passing,
    may_go_on,
)
from lsmkv_cluster.client.routes import Routes, Suspects, moved_to, routes_of, turns
from lsmkv_cluster.config.endpoints import Endpoint
from lsmkv_cluster.resp.replies import ErrorReply, Reply

__all__ = ["ClientSettings", "Dispatcher"]

RING = encode_command((b"KV.CLUSTER", b"RING"))
LEARN_EVERY_S = 1.0  # at most
REDIRECTS_MAX = 3
PAUSE_S = 0.05  # about, before all are asked again, if it may pass; then twice as long
PAUSE_MAX_S = 0.5
KNOWN_AT_ONCE = frozenset({"WRONGPASS", "NOAUTH", "NOPERM"})  # others would say the same


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """`nodes` are asked for the others. A call takes about `timeout_s` at most."""

    nodes: tuple[Endpoint, ...]
    timeout_s: float = 7.0
    connections_per_node: int = 2
    dc: str = ""
    tls: SSLContext | None = None
    login: Login | None = None


class _NotSent(Exception):
    """No connection: whatever was to be sent was not carried out."""


class Dispatcher:
    """Of one event loop."""

    def __init__(self, settings: ClientSettings) -> None:
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._pools: dict[Endpoint, Pool] = {}
        self._suspects = Suspects()
        self._learning: asyncio.Task[None] | None = None
        self._learn_after_s = self._loop.time()
        self._is_closed = False
        self.routes: Routes | None = None

    async def close(self) -> None:
        """What is under way is Lost. Again is nothing."""
        self._is_closed = True
        if self._learning is not None:
            self._learning.cancel()
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()
        await asyncio.sleep(0)  # transports close in the next turn of the loop

    # --- one command

    async def perform(self, command: bytes, key: bytes | None, *, is_write: bool) -> Reply:
        """`key`: whose owners are to be asked; None: anybody. ClosedError, too."""
        if self._is_closed:
            raise ClosedError("the client was closed")
        started_s = self._loop.time()
        if self.routes is None:
            await self._first_routes()
        pause_s = PAUSE_S
        while True:
            try:
                return await self._ask_in_turn(command, key, started_s, is_write=is_write)
            except Refused as refused:
                elapsed_s = self._loop.time() - started_s + pause_s
                if not is_passing(refused.kind) or not self._may_go_on(elapsed_s):
                    raise
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    def _may_go_on(self, elapsed_s: float) -> bool:
        return not self._is_closed and may_go_on(elapsed_s, self._settings.timeout_s)

    async def _ask_in_turn(
        self, command: bytes, key: bytes | None, started_s: float, *, is_write: bool
    ) -> Reply:
        """Each node once."""
        order = deque(self._turns(key))
        redirects = 0
        failure = Refused("nobody to ask", UNREACHABLE)
        while order:
            endpoint = order.popleft()
            try:
                reply = await self._attempt(endpoint, command)
            except _NotSent as error:
                failure = Refused(f"{endpoint} cannot be reached: {error}", UNREACHABLE)
            except Lost as error:
                self._failed(endpoint)
                if after_loss(is_write=is_write, was_sent=True) is Step.GIVE_UP:
                    raise Unknown(
                        f"UNKNOWN it may have been written: {endpoint}: {error}"
                    ) from None
                failure = Refused(f"{endpoint} has not answered: {error}", UNREACHABLE)
            else:
                if not isinstance(reply, ErrorReply):
                    return reply
                step = after_error(kind_of(reply.text))
                if step is Step.GIVE_UP:
                    raise failure_of(reply.text)
                self._learn_soon()
                failure = Refused(reply.text)
                there = moved_to(reply.text) if step is Step.REROUTE else None
                if there is not None and redirects < REDIRECTS_MAX:
                    redirects += 1
                    order.appendleft(there)
            if not self._may_go_on(self._loop.time() - started_s):
                break
        raise failure

    async def ask_at(self, endpoint: Endpoint, command: bytes) -> Reply:
        """That node alone, once; as if it wrote. Refused, Unknown."""
        try:
            reply = await self._attempt(endpoint, command)
        except _NotSent as error:
            raise Refused(f"{endpoint} cannot be reached: {error}", UNREACHABLE) from None
        except Lost as error:
            raise Unknown(f"UNKNOWN it may have been done: {endpoint}: {error}") from None
        if isinstance(reply, ErrorReply):
            raise failure_of(reply.text)
        return reply

    async def _attempt(self, endpoint: Endpoint, command: bytes) -> Reply:
        pool = self._pools.get(endpoint)
        if pool is None:
            pool = self._pools[endpoint] = Pool(
                lambda: self._open(endpoint), self._settings.connections_per_node
            )
        pipeline = pool.ready()
        if pipeline is None:
            try:
                pipeline = await pool.lease()
            except CallError as error:
                if kind_of(str(error)) in KNOWN_AT_ONCE:
                    raise Refused(str(error)) from None
                raise _NotSent(str(error)) from None
            except (OSError, Lost) as error:
                self._failed(endpoint)
                raise _NotSent(str(error) or "no connection in time") from None
        reply = await pipeline.send(command)
        self._suspects.worked(endpoint)
        return reply

    async def _open(self, endpoint: Endpoint) -> Pipeline:
        settings = self._settings
        connect_s, reply_s = (share * settings.timeout_s for share in (CONNECT_SHARE, REPLY_SHARE))
        return await open_pipeline(
            endpoint, settings.tls, settings.login, connect_s=connect_s, reply_s=reply_s
        )

    def _failed(self, endpoint: Endpoint) -> None:
        self._suspects.failed(endpoint, self._loop.time())
        self._learn_soon()

    # --- who is there

    def _turns(self, key: bytes | None) -> list[Endpoint]:
        routes, now_s = self.routes, self._loop.time()
        if routes is None:
            return turns(self._settings.nodes, (), self._suspects, now_s)
        if key is None:
            near = sorted(routes.stations, key=lambda each: each.dc != self._settings.dc)
            plain = [each.plain for each in near]
            return turns(plain, self._settings.nodes, self._suspects, now_s)
        owners = [each.data for each in routes.owners(key)]
        others = (each.data for each in routes.stations)
        return turns(owners, others, self._suspects, now_s)

    async def _first_routes(self) -> None:
        """Without them it goes on by way of the nodes that were given."""
        self._learn_soon()
        if self._learning is not None:
            await asyncio.wait([self._learning], timeout=REPLY_SHARE * self._settings.timeout_s)

    def _learn_soon(self) -> None:
        now_s = self._loop.time()
        if (self._learning is None or self._learning.done()) and now_s >= self._learn_after_s:
            self._learn_after_s = now_s + LEARN_EVERY_S
            self._learning = self._loop.create_task(self._learn())

    async def _learn(self) -> None:
        for endpoint in self._teachers():
            try:
                reply = await self._attempt(endpoint, RING)
                found = routes_of(reply, self._settings.dc) if isinstance(reply, bytes) else None
            except (_NotSent, Lost, Refused, ValueError):
                continue
            if found is not None and found.replaces(self.routes):
                self.routes = found
                self._forget_others(found)
                return

    def _teachers(self) -> Iterator[Endpoint]:
        known = [each.plain for each in self.routes.stations] if self.routes else []
        every = dict.fromkeys((*known, *self._settings.nodes))
        yield from turns(list(every), (), self._suspects, self._loop.time())

    def _forget_others(self, routes: Routes) -> None:
        """Connections to who is no member any more."""
        kept = {each.data for each in routes.stations} | {each.plain for each in routes.stations}
        kept.update(self._settings.nodes)
        for endpoint in [each for each in self._pools if each not in kept]:
            self._pools.pop(endpoint).close()
