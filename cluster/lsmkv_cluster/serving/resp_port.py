"""All connections of clients: who may stay, for how long, and what all together may take.

Everything happens in the loop, nothing waits. What holds:
- who has not logged in has small limits and little time;
- who does not read its replies for too long is disconnected, and so is whoever has most of them
  unread when all together are too many;
- commands that have begun and not ended hold so much memory together (input_budget.py);
- at the end nobody is read from any more, and what is under way is answered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import monotonic

from lsmkv_cluster.resp.executor import Executor
from lsmkv_cluster.resp.session import Session
from lsmkv_cluster.serving.express import Express
from lsmkv_cluster.serving.input_budget import InputBudget
from lsmkv_cluster.serving.read_queue import ReadQueue
from lsmkv_cluster.serving.resp_connection import Clock, RespConnection, RespLimits

__all__ = ["RespPort"]

SWEEP_S = 1.0


class RespPort:
    """All ports of clients of one process. `flush` is to be called whenever something was
    answered; `has_users` says whether a client has to log in."""

    def __init__(
        self,
        executor: Executor,
        clock: Clock,
        limits: RespLimits,
        has_users: Callable[[], bool],
        ask: Callable[[], None],
        express: Express | None = None,
    ) -> None:
        self.executor = executor
        self.clock = clock
        self.limits = limits
        self._has_users = has_users
        self.ask = ask
        self.express = express
        self.connections: dict[int, RespConnection] = {}
        self.strangers: set[RespConnection] = set()
        self.is_draining = False
        self.refused = 0
        self.disconnected_slow = 0
        self._next_id = 0
        self._loop = asyncio.get_running_loop()
        self.inputs = InputBudget(limits.input_total_size_max, self._loop.call_soon)
        self.read_queue = ReadQueue(self._loop.call_soon)
        self._sweeper: asyncio.TimerHandle | None = None

    def has_users(self) -> bool:
        """Whether a client has to log in."""
        return self._has_users()

    def protocol(self, *, is_cluster_port: bool) -> asyncio.BaseProtocol:
        """Of a new connection."""
        self._next_id += 1
        session = Session(self._next_id, self.clock.now().wall_ms, is_cluster_port=is_cluster_port)
        return RespConnection(self, session)

    def flush(self) -> None:
        """Hand over what has been answered: an answer may be there, and not sent yet."""
        for ready in self.executor.take_replies():
            connection = self.connections.get(ready.session.id)
            if connection is not None:
                connection.answer(ready)

    def pump(self) -> None:
        """After commands were submitted or answered: queries go out, replies go back."""
        self.ask()
        self.flush()

    # --- who is there

    def opened(self, connection: RespConnection) -> str | None:
        """Why it may not stay."""
        if len(self.connections) >= self.limits.connections_max:
            return "ERR max number of clients reached"
        if self.has_users():
            if len(self.strangers) >= self.limits.strangers_max:
                return "ERR too many clients that have not logged in"
            self.strangers.add(connection)
        self.connections[connection.session.id] = connection
        self.executor.opened(connection.session)
        if self._sweeper is None:
            self._plan_sweep()
        return None

    def closed(self, connection: RespConnection) -> None:
        self.strangers.discard(connection)
        if self.connections.pop(connection.session.id, None) is not None:
            self.executor.closed(connection.session)

    def logged_in(self, connection: RespConnection) -> None:
        self.strangers.discard(connection)

    def is_stranger(self, connection: RespConnection) -> bool:
        return connection in self.strangers

    @property
    def output_size(self) -> int:
        """Bytes of replies that nobody has read yet."""
        return sum(connection.unread_size for connection in self.connections.values())

    # --- time limits

    def _plan_sweep(self) -> None:
        self._sweeper = self._loop.call_later(SWEEP_S, self._sweep)

    def _sweep(self) -> None:
        """Once a second: who is too slow, too idle, a stranger for too long, or takes too much."""
        self._sweeper = None
        now_s = monotonic()
        for connection in list(self.connections.values()):
            connection.look(now_s)
        self.inputs.look(now_s)
        if self.output_size > self.limits.output_total_size_max:
            largest = max(self.connections.values(), key=lambda each: each.unread_size)
            largest.give_up("replies to all clients together take too much memory")
        if self.connections:
            self._plan_sweep()

    async def drain(self, timeout_s: float) -> None:
        """Nobody is read from any more; what is under way is answered, and sent."""
        self.is_draining = True
        for connection in list(self.connections.values()):
            connection.reconsider_reading()
        deadline_s = monotonic() + timeout_s
        while monotonic() < deadline_s and any(
            connection.is_busy for connection in self.connections.values()
        ):
            await asyncio.sleep(0.005)

    def close(self) -> None:
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self.connections.values()):
            connection.close()
