"""Drives one node: gives it what has happened, and does what it wants done.

Everything runs in one event loop. What comes in while the loop is busy waits, and is given to the
node in one step: batches arise by themselves, the larger the more there is to do. Results that the
store knows at once go into the next step, which follows immediately, a few times at most, so that
sockets are read in between.

    sockets, timers -> inputs -> [ node.step ] -> effects -> peers, datagrams, store, callers

An error that comes out of the node or its store is a broken promise of ours: the driver stops, and
says so; nothing is served after it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Protocol

from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest
from lsmkv_cluster.coordination.telling import Told
from lsmkv_cluster.driver_ports import (
    AdminCall,
    AdminReply,
    ClientCall,
    ClientReply,
    DatagramIn,
    DatagramOut,
    DropConnections,
    ExplainCall,
    ExplainReply,
    FrameIn,
    FrameOut,
    Input,
    NodeEffect,
    PeerLost,
    RepairCall,
    RepairReply,
    ScanCall,
    ScanReply,
)
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Alarm, Now, Stored, StoreOrder
from lsmkv_cluster.reconfiguration.topology_changes import Change
from lsmkv_cluster.scanning.scan_pages import Page, ScanPage, Unlisted
from lsmkv_cluster.transport.wire import Frame

__all__ = ["Driver"]

STEPS_MAX = 4  # in a row, without a look at the sockets
DATAGRAMS_MAX = 1024  # that wait for a step

_log = logging.getLogger("lsmkv.node")

Answered = Callable[[ClientAnswer], None]
Changed = Callable[[AdminReply], None]
Scanned = Callable[[Page | Unlisted], None]
Explained = Callable[[tuple[Told, ...] | None], None]
Begun = Callable[[], None]


class DrivenNode(Protocol):
    def start(self, now: Now) -> list[NodeEffect]: ...
    def step(self, now: Now, inputs: Sequence[Input]) -> list[NodeEffect]: ...
    def next_deadline(self) -> int: ...


class Clock(Protocol):
    def now(self) -> Now: ...


class Peers(Protocol):
    def send(self, to: MemberId, frame: Frame) -> None: ...
    def drop_all(self) -> None: ...


class Datagrams(Protocol):
    def send(self, to: MemberId, data: bytes) -> None: ...


class Orders(Protocol):
    def give(self, orders: Sequence[StoreOrder]) -> list[Stored]: ...


class Driver:
    """`connect` first, then `start`. `stopped` is set when the node has failed."""

    def __init__(self, node: DrivenNode, clock: Clock) -> None:
        self._node = node
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._inputs: list[Input] = []
        self._datagrams_waiting = 0
        self._is_planned = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._calls: dict[int, Answered] = {}
        self._changes: dict[int, Changed] = {}
        self._scans: dict[int, Scanned] = {}
        self._explains: dict[int, Explained] = {}
        self._repairs: dict[int, Begun] = {}
        self._next_call = 0
        self._stepped: list[Callable[[], None]] = []
        self.failure: BaseException | None = None
        self.stopped = asyncio.Event()
        self.steps = 0

    def connect(self, peers: Peers, datagrams: Datagrams, orders: Orders) -> None:
        self._peers, self._datagrams, self._orders = peers, datagrams, orders

    def start(self) -> None:
        self._run(None)

    def after_step(self, function: Callable[[], None]) -> None:
        """Called after each step."""
        self._stepped.append(function)

    # --- what comes in

    def call(
        self, request: ClientRequest, timeout_ms: int, answered: Answered, client: int = 0
    ) -> None:
        """`answered` is called once, in the loop. `client` names who asks, 0 for nobody."""
        self._next_call += 1
        self._calls[self._next_call] = answered
        deadline_ms = self._clock.now().ms + timeout_ms
        self._take(ClientCall(self._next_call, request, deadline_ms, client))

    def scan(self, page: ScanPage, timeout_ms: int, scanned: Scanned) -> None:
        self._next_call += 1
        self._scans[self._next_call] = scanned
        self._take(ScanCall(self._next_call, page, self._clock.now().ms + timeout_ms))

    def explain(self, key: bytes, timeout_ms: int, explained: Explained) -> None:
        self._next_call += 1
        self._explains[self._next_call] = explained
        self._take(ExplainCall(self._next_call, key, self._clock.now().ms + timeout_ms))

    def change(self, change: Change, changed: Changed, *, is_forced: bool = False) -> None:
        self._next_call += 1
        self._changes[self._next_call] = changed
        self._take(AdminCall(self._next_call, change, is_forced))

    def repair(self, partition: int | None, begun: Begun) -> None:
        self._next_call += 1
        self._repairs[self._next_call] = begun
        self._take(RepairCall(self._next_call, partition))

    def frame_came(self, peer: MemberId, frame: Frame) -> None:
        self._take(FrameIn(peer, frame))

    def peer_lost(self, peer: MemberId) -> None:
        self._take(PeerLost(peer))

    def datagram_came(self, data: bytes) -> None:
        if self._datagrams_waiting < DATAGRAMS_MAX:
            self._datagrams_waiting += 1
            self._take(DatagramIn(data))

    def stored(self, results: Sequence[Stored]) -> None:
        self._inputs += results
        self._plan()

    def step_soon(self) -> None:
        """Somebody has touched a part of the node, which has to do something about it."""
        self._plan()

    def _take(self, event: Input) -> None:
        self._inputs.append(event)
        self._plan()

    def _plan(self) -> None:
        if not self._is_planned and self.failure is None:
            self._is_planned = True
            self._loop.call_soon(self._step)

    # --- steps

    def _step(self) -> None:
        self._is_planned = False
        for _ in range(STEPS_MAX):
            inputs, self._inputs = self._inputs, []
            self._datagrams_waiting = 0
            self._run(inputs)
            if not self._inputs or self.failure is not None:
                break
        if self._inputs:
            self._plan()

    def _run(self, inputs: list[Input] | None) -> None:
        """A step, or None: the start."""
        if self.failure is not None:
            return
        node, now = self._node, self._clock.now()
        try:
            self._carry_out(node.start(now) if inputs is None else node.step(now, inputs))
            for function in self._stepped:
                function()
        except Exception as error:  # noqa: BLE001  whatever it is, the node has failed
            self.fail(error)
            return
        self.steps += 1
        self._set_timer()

    def fail(self, error: BaseException) -> None:
        """Nothing is served from now on."""
        _log.critical("the node has failed, and stops", exc_info=error)
        self.failure = error
        self.stopped.set()

    def _set_timer(self) -> None:
        due_ms = self._node.next_deadline()
        if self._timer is not None:
            if due_ms == self._timer_ms:
                return
            self._timer.cancel()
        self._timer_ms = due_ms
        delay_ms = max(1, due_ms - self._clock.now().ms)
        self._timer = self._loop.call_later(delay_ms / 1000, self._due)

    def _due(self) -> None:
        self._timer = None
        self._plan()

    def stop(self) -> None:
        """No step follows."""
        if self._timer is not None:
            self._timer.cancel()
        if self.failure is None:
            self.failure = asyncio.CancelledError()

    # --- effects

    def _carry_out(self, effects: list[NodeEffect]) -> None:
        orders: list[StoreOrder] = []
        for effect in effects:
            if isinstance(effect, StoreOrder):
                orders.append(effect)
            elif isinstance(effect, ClientReply):
                self._calls.pop(effect.call_id)(effect.answer)
            elif isinstance(effect, FrameOut):
                self._peers.send(effect.to, effect.frame)
            elif isinstance(effect, DatagramOut):
                self._datagrams.send(effect.to, effect.data)
            elif isinstance(effect, Alarm):
                _log.warning("%s", effect.message)
            elif isinstance(effect, AdminReply):
                self._changes.pop(effect.call_id)(effect)
            elif isinstance(effect, ScanReply):
                self._scans.pop(effect.call_id)(effect.result)
            elif isinstance(effect, ExplainReply):
                self._explains.pop(effect.call_id)(effect.told)
            elif isinstance(effect, RepairReply):
                self._repairs.pop(effect.call_id)()
            else:
                assert isinstance(effect, DropConnections)
                self._drop()
        if orders:
            self._inputs += self._orders.give(orders)

    def _drop(self) -> None:
        """What came while the node slept is from before; results of its store and new calls are
        not."""
        kept = (Stored, ClientCall, ScanCall, ExplainCall, AdminCall, RepairCall)
        self._inputs = [event for event in self._inputs if isinstance(event, kept)]
        self._peers.drop_all()
