"""One running process: a node that is stepped, its storage thread, what waits for it.

Inputs that come while a step runs, or before the next one begins, are given together. The storage
thread takes all orders that wait as one batch, carries them out at its end, in order, and hands the
results over; the engine's sync ticker works beside it. A process that dies in the middle of a batch
has carried out some first part of it, drawn, and nobody got the results.

A paused process takes no step. When it wakes it first steps with no inputs, and then with all that
came meanwhile, unless it drops its connections: then everything but results of its own store is
lost.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING

import lsmkv
from lsmkv_cluster.coordination.requests import ClientRequest
from lsmkv_cluster.driver_ports import (
    AdminCall,
    AdminReply,
    ClientCall,
    ClientReply,
    DatagramIn,
    DatagramOut,
    DropConnections,
    FrameIn,
    FrameOut,
    Input,
    NodeEffect,
    PeerLost,
)
from lsmkv_cluster.operations import Machine as Part
from lsmkv_cluster.operations import opcode
from lsmkv_cluster.ports import Alarm, Now, Stored, StoreOrder
from lsmkv_cluster.reconfiguration.topology_changes import Change
from lsmkv_cluster.storage.storage_orders import Merge, Mint, Order, Result, Sync
from lsmkv_cluster.transport.wire import Frame, FrameKind
from tests.sim.ledger import is_broken
from tests.sim.loop import MS, SECOND
from tests.sim.program import NodeLike, StoreLike

if TYPE_CHECKING:
    from tests.sim.machine import Machine

__all__ = ["MERGE", "DATAGRAMS_WAITING_MAX", "Host"]

MERGE = opcode(Part.REPLICA, 1)
STEP_US = 30
INPUT_US = 4
ORDER_US = (20, 120)
SYNC_US = (300, 3000)
TICK_US = SECOND  # of the engine's sync ticker
WAKE_GAP_US = MS
WAKES_IN_VAIN_MAX = 200  # in a row
DATAGRAMS_WAITING_MAX = 64


class Host:
    def __init__(self, machine: Machine, node: NodeLike, store: StoreLike, random: Random) -> None:
        self.machine = machine
        self.node = node
        self.store = store
        self.is_alive = True
        self.is_paused = False
        self._random = random
        self._loop = machine.world.loop
        self._trace = machine.world.trace
        self._inbox: list[Input] = []
        self._datagrams_waiting = 0
        self._is_step_planned = False
        self._busy_until_us = 0
        self._due_us: int | None = None  # the node's next deadline
        self._wake_us: int | None = None  # when it is looked at next
        self._wakes_in_vain = 0
        self._orders: list[StoreOrder] = []
        self._batch: list[StoreOrder] = []
        self._is_tick_planned = False
        self._after_pause: list[Callable[[], None]] = []
        self.trap: str | None = None  # "minted", "sending" or "replying": there it dies

    # --- what comes from outside

    def receive_frame(self, source: int, frame: Frame) -> None:
        self._receive(FrameIn(self.machine.world.ids[source], frame))

    def receive_datagram(self, data: bytes) -> None:
        if self._datagrams_waiting < DATAGRAMS_WAITING_MAX:
            self._datagrams_waiting += 1
            self._receive(DatagramIn(data))

    def peer_lost(self, peer: int) -> None:
        self._trace.add(self.machine.name, "peer lost", peer)
        self._receive(PeerLost(self.machine.world.ids[peer]))

    def call(self, call_id: int, request: ClientRequest) -> None:
        """The deadline is set when the call is read."""
        self._receive(ClientCall(call_id, request, 0))

    def admin(self, call_id: int, change: Change, *, is_forced: bool = False) -> None:
        self._receive(AdminCall(call_id, change, is_forced))

    def _receive(self, given: Input) -> None:
        self._inbox.append(given)
        if not self._is_step_planned and not self.is_paused:
            self._plan_step()

    # --- steps

    def start(self) -> None:
        self._run(self.node.start)

    def _plan_step(self) -> None:
        self._is_step_planned = True
        self._loop.at(self._busy_until_us, self._step)

    def _step(self) -> None:
        self._is_step_planned = False
        if not self.is_alive or self.is_paused:
            return
        inputs, self._inbox = self._inbox, []
        self._datagrams_waiting = 0
        cost_us = (STEP_US + INPUT_US * len(inputs)) * self.machine.cpu_factor
        self._busy_until_us = self._loop.now_us + cost_us
        self._run(lambda now: self.node.step(now, self._with_deadlines(now, inputs)))

    def _run(self, step: Callable[[Now], list[NodeEffect]]) -> None:
        try:
            effects = step(self.machine.now())
        except Exception:
            self.machine.world.fail("the node raised", self.machine.name, traceback.format_exc())
            return
        self._carry_out(effects)
        if self.is_alive:
            self._plan_wake()

    def _with_deadlines(self, now: Now, inputs: list[Input]) -> list[Input]:
        timeout_ms = self.machine.world.request_timeout_ms
        return [
            ClientCall(given.call_id, given.request, now.ms + timeout_ms)
            if isinstance(given, ClientCall)
            else given
            for given in inputs
        ]

    def _plan_wake(self) -> None:
        """After each step, which alone can move the deadline."""
        deadline_ms = self.node.next_deadline()
        if deadline_ms is None:
            self._due_us = None
            return
        at_us = self.machine.virtual_us(deadline_ms)
        if at_us <= self._loop.now_us:
            at_us = self._loop.now_us + WAKE_GAP_US
            self._wakes_in_vain += 1
            if self._wakes_in_vain == WAKES_IN_VAIN_MAX:
                text = f"its next deadline stays {deadline_ms}"
                self.machine.world.fail("the node spins", self.machine.name, text)
        else:
            self._wakes_in_vain = 0
        self._due_us = at_us
        self._set_alarm_clock()

    def _set_alarm_clock(self) -> None:
        due_us = self._due_us
        if due_us is not None and (self._wake_us is None or due_us < self._wake_us):
            self._wake_us = due_us
            self._loop.at(due_us, self._wake, due_us)

    def _wake(self, planned_us: int) -> None:
        if self._wake_us != planned_us or not self.is_alive:
            return
        self._wake_us = None
        if self.is_paused:
            return
        if self._due_us is None or self._due_us > self._loop.now_us:
            self._set_alarm_clock()
        elif not self._is_step_planned:
            self._plan_step()

    # --- effects

    def _carry_out(self, effects: Sequence[NodeEffect]) -> None:
        world = self.machine.world
        for effect in effects:
            if not self.is_alive:
                return  # it died in the middle
            if isinstance(effect, FrameOut):
                self._send(effect)
            elif isinstance(effect, StoreOrder):
                self._orders.append(effect)
            elif isinstance(effect, DatagramOut):
                world.datagrams.send(self.machine.number, world.numbers[effect.to], effect.data)
            elif isinstance(effect, ClientReply):
                if self.trap == "replying" and world.clients.is_write(effect.call_id):
                    self._spring_trap()
                    return
                world.clients.replied(self.machine.number, effect.call_id, effect.answer)
            elif isinstance(effect, AdminReply):
                text = f"{effect.outcome} {effect.epoch} {effect.text}"
                self._trace.add(self.machine.name, "admin reply", effect.call_id, text)
                world.admin_replies[effect.call_id] = effect
            elif isinstance(effect, DropConnections):
                self._drop_connections()
            elif isinstance(effect, Alarm):
                self._trace.add(self.machine.name, "alarm", effect.message)
                world.alarms.append((self._loop.now_us, self.machine.name, effect.message))
        if self._orders and not self._batch:
            self._begin_batch()

    def _send(self, effect: FrameOut) -> None:
        world, frame = self.machine.world, effect.frame
        target = world.numbers[effect.to]
        self._trace.add(
            self.machine.name,
            "frame",
            target,
            int(frame.kind),
            int(frame.lane),
            frame.request_id,
            frame.operations,
        )
        world.streams.send(self.machine.number, target, frame)
        if self.trap == "sending" and _carries_merge(frame):
            self._spring_trap()

    def _drop_connections(self) -> None:
        self._trace.add(self.machine.name, "drops its connections")
        world = self.machine.world
        self._inbox = [given for given in self._inbox if isinstance(given, Stored)]
        self._datagrams_waiting = 0
        world.clients.disconnected(self.machine.number)
        world.streams.drop_all_of(self.machine.number)

    # --- the storage thread

    def _begin_batch(self) -> None:
        self._batch, self._orders = self._orders, []
        low, high = ORDER_US
        cost_us = sum(low + int(self._random.random() * (high - low)) for _ in self._batch)
        if any(_syncs(order.order) for order in self._batch):
            cost_us += SYNC_US[0] + self._random.randrange(SYNC_US[1] - SYNC_US[0])
        self._loop.after(cost_us * self.machine.disk_factor, self._end_batch)

    def _end_batch(self) -> None:
        if not self.is_alive:
            return
        if self.is_paused:
            self._after_pause.append(self._end_batch)
            return
        batch, self._batch = self._batch, []
        for token, order in batch:
            result = self._execute(order)
            if result is None:
                return
            self._inbox.append(Stored(token, result))
            if self.trap == "minted" and isinstance(order, Mint):
                self._spring_trap()
                return
        if not self._is_step_planned:
            self._plan_step()
        if self._orders:
            self._begin_batch()

    def _execute(self, order: Order) -> Result | None:
        """None when it raised, which no store may."""
        try:
            result = self.machine.world.ledger.carried_out(self.machine, self.store, order)
        except Exception:
            text = traceback.format_exc()
            self.machine.world.fail("the store raised", self.machine.name, text)
            return None
        if is_broken(result):
            self.machine.store_failed(self)
        if not self._is_tick_planned and isinstance(order, Merge | Mint) and not order.sync:
            self._is_tick_planned = True
            self._loop.after(TICK_US, self._tick)
        return result

    def _tick(self) -> None:
        """What the engine's ticker does once a second, when there is something to sync."""
        if not self.is_alive:
            return
        if self.is_paused:
            self._after_pause.append(self._tick)
            return
        self._is_tick_planned = False
        try:
            self.machine.sync_database()
        except lsmkv.Error as error:
            self._trace.add(self.machine.name, "store failed", str(error))
            self.machine.store_failed(self)

    # --- ends

    def die(self) -> None:
        """Some first part of what the storage thread had before it is done."""
        self.is_alive = False
        waiting = self._batch + self._orders
        for _, order in waiting[: self._random.randrange(len(waiting) + 1)]:
            self._execute(order)

    def finish(self) -> None:
        """A clean end: all that the storage thread has is done."""
        self.is_alive = False
        for _, order in self._batch + self._orders:
            self._execute(order)
        self.store.close()

    def _spring_trap(self) -> None:
        self.trap = None
        self.machine.trapped()

    def pause(self) -> None:
        self.is_paused = True

    def resume(self) -> None:
        if not self.is_paused or not self.is_alive:
            return
        self.is_paused = False
        delayed, self._after_pause = self._after_pause, []
        for action in delayed:
            self._loop.after(0, action)
        waiting, self._inbox = self._inbox, []

        def step(now: Now) -> list[NodeEffect]:
            effects = self.node.step(now, [])
            self._inbox = waiting + self._inbox
            return effects

        self._run(step)
        if self.is_alive and self._inbox and not self._is_step_planned:
            self._plan_step()


def _syncs(order: Order) -> bool:
    return isinstance(order, Sync) or bool(getattr(order, "sync", False))


def _carries_merge(frame: Frame) -> bool:
    return frame.kind is FrameKind.REQUEST and any(
        operation.opcode == MERGE for operation in frame.operations
    )
