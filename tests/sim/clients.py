"""Clients: sessions that call nodes, wait, give up, and write down what they saw.

A session has one call at a time. Nobody knows what became of a call whose connection ended or
whose answer did not come in time; one that no process took was not sent.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest
from tests.sim.history import ENDINGS, Call, Ending, History
from tests.sim.loop import MS, true_ms
from tests.sim.workload import Session, Workload

if TYPE_CHECKING:
    from tests.sim.world import World

__all__ = ["Clients"]

DELAY_US = (100, 1000)
PATIENCE_US = 500 * MS  # beyond the node's own deadline


class Clients:
    def __init__(self, world: World, random: Random) -> None:
        self.history = History()
        self.calls_left = 0
        self._world = world
        self._random = random
        self._workload: Workload | None = None
        self._blocked = [0] * world.options.machines
        self._held: list[dict[int, Call]] = [{} for _ in self._blocked]  # by machine, not answered
        self._replied: set[int] = set()
        self._sessions: dict[int, Session] = {}  # of calls under way

    # --- a load

    def begin(self, workload: Workload, calls: int) -> None:
        self._workload = workload
        self.calls_left = calls
        for session in workload.sessions:
            self._think(session)

    @property
    def is_idle(self) -> bool:
        return self.calls_left <= 0 and not self._sessions

    def _think(self, session: Session) -> None:
        mean_us = self._world.options.think_ms * MS
        self._world.loop.after(self._random.randrange(2 * mean_us), self._next, session)

    def _next(self, session: Session) -> None:
        if self.calls_left <= 0 or self._workload is None:
            return
        self.calls_left -= 1
        planned = self._workload.next(session, true_ms(self._world.loop.now_us))
        self.call(session, planned.request, planned.machine)

    # --- one call

    def call(self, session: Session, request: ClientRequest, machine: int) -> Call:
        world, number = self._world, len(self.history.calls)
        mode = request.mode or world.topology.keyspace_of(request.key).mode
        now_us = world.loop.now_us
        call = Call(number, session.number, machine, mode, request, now_us, world.ledger.number)
        self.history.calls.append(call)
        self._sessions[number] = session
        verb, values = request.verb.name, request.values
        world.trace.add(f"s{session.number}", "call", number, machine, verb, request.key, values)
        world.loop.after(world.request_timeout_ms * MS + PATIENCE_US, self._give_up, call)
        world.loop.after(self._delay_us(), self._arrive, call)
        return call

    def _arrive(self, call: Call) -> None:
        machine = self._world.machines[call.machine]
        if self._blocked[call.machine] or not machine.is_powered:
            return  # until the client gives up
        if machine.process is None:
            self._world.loop.after(self._delay_us(), self._end, call, Ending.NOT_SENT)
            return
        self._held[call.machine][call.id] = call
        machine.process.call(call.id, call.request)

    def _give_up(self, call: Call) -> None:
        """Whatever became of it. A process that has it may still carry it out."""
        self._end(call, Ending.UNKNOWN)

    # --- what processes do

    def is_write(self, call_id: int) -> bool:
        return self.history.calls[call_id].request.is_write

    def replied(self, machine: int, call_id: int, answer: ClientAnswer) -> None:
        world = self._world
        where = world.names[machine]
        outcome, reason = answer.outcome.name, answer.reason.name
        world.trace.add(where, "reply", call_id, outcome, reason, answer.record or b"")
        if call_id in self._replied:
            world.fail("a call answered twice", where, f"call {call_id}")
        self._replied.add(call_id)
        call = self._held[machine].pop(call_id, None)
        if call is None or self._blocked[machine]:
            return
        call.replied, call.replied_us = world.ledger.number, world.loop.now_us
        call.clock_error_ms = world.machines[machine].wall_offset_ms
        world.loop.after(self._delay_us(), self._answered, call, answer)

    def disconnected(self, machine: int) -> None:
        """The process is gone, or has closed all connections."""
        held, self._held[machine] = self._held[machine], {}
        for call in held.values():
            if not self._blocked[machine] and self._world.machines[machine].is_powered:
                self._world.loop.after(self._delay_us(), self._end, call, Ending.UNKNOWN)

    def _answered(self, call: Call, answer: ClientAnswer) -> None:
        if call.ending is not None:
            return
        call.answer = answer
        session = self._sessions[call.id]
        if answer.is_done and answer.context:
            session.contexts[call.key] = answer.context
        self._end(call, ENDINGS[answer.outcome])

    def _end(self, call: Call, ending: Ending) -> None:
        if call.ending is not None:
            return
        world = self._world
        call.ending, call.ended_us, call.ended = ending, world.loop.now_us, world.ledger.number
        world.trace.add(f"s{call.session}", "end", call.id, ending.value)
        session = self._sessions.pop(call.id)
        if self._workload is not None:
            if ending in (Ending.UNKNOWN, Ending.NOT_SENT):
                self._workload.failed(session)
            self._think(session)

    # --- membership

    def serves(self, machine: int) -> None:
        if self._workload is not None:
            self._workload.use(machine)

    def leaves(self, machine: int) -> None:
        if self._workload is not None:
            self._workload.avoid(machine)

    # --- faults

    def block(self, machine: int) -> None:
        """Nothing gets from clients to the machine, nor back."""
        self._blocked[machine] += 1

    def unblock(self, machine: int) -> None:
        self._blocked[machine] -= 1

    def _delay_us(self) -> int:
        return DELAY_US[0] + int(self._random.random() * (DELAY_US[1] - DELAY_US[0]))
