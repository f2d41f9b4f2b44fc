"""Operations to frames and back: who asked what, whom an answer belongs to, how long it is waited
for.

Payloads of operations in request and response frames, byte by byte:

    off  size  payload
      0     8  call id, little-endian: a number of the asker's, which the answer repeats
      8     .  what the machine of the opcode says

So a frame may carry many operations, of several machines, and they are answered one by one, in any
order and in as many frames as it takes. Example: call 5, a read of "k" (replica_messages.py):

    05000000 00000000 6b

Deadlines travel as wall time of the sender. The receiver knows how far the other's clock is ahead
of its own (membership measures it) and makes its own monotonic time of them; one that is further
away than any request may live is cut to that.

What holds:
- one Ask is followed by exactly one Answered or Unanswered;
- an answer is taken only from whom the question went to, and only once;
- what no frame can carry is not sent: a question ends as never sent, an answer leaves the other's
  question to its deadline;
- nor is what would be too much for the peer and lane (flights.py): it ends as never sent at once;
- a request of an unknown machine is answered UNKNOWN_OPCODE;
- a request of a newer epoch waits until this node has that document, or the deadline has come; of
  which epoch it is, machines are told: an older one is none of their concern unless what it is
  about has moved since. Handshake, membership and topology are not bound to an epoch.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterable
from struct import Struct
from typing import NamedTuple

from lsmkv_cluster.driver_ports import FrameOut
from lsmkv_cluster.operations import (
    OPERATION_HEADER_SIZE,
    Machine,
    Operation,
    OperationStatus,
)
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Answered, Ask, Asked, Now, Reply, Unanswered
from lsmkv_cluster.transport.flights import Flight, Flights
from lsmkv_cluster.transport.timers import Timers
from lsmkv_cluster.transport.wire import LANE_LIMITS, Frame, FrameKind, Lane

__all__ = ["REQUEST_LIFETIME_MAX_MS", "Incoming", "Traffic"]

REQUEST_LIFETIME_MAX_MS = 30_000
REQUEST, RESPONSE = FrameKind.REQUEST, FrameKind.RESPONSE
CALL_ID = Struct("<Q")
EARLY_MAX = 4096  # requests that wait for a document
EPOCHLESS = frozenset({Machine.CONNECTION, Machine.MEMBERSHIP, Machine.TOPOLOGY})


class _ReplyTo(NamedTuple):
    peer: MemberId
    lane: Lane
    opcode: int
    call_id: bytes


class _Pending(NamedTuple):
    machine: int
    token: Hashable
    peer: MemberId
    flight: Flight | None  # None: it is not on its way
    size: int  # of the payload


class _Early(NamedTuple):
    """A request of a newer epoch."""

    peer: MemberId
    frame: Frame
    operation: Operation
    deadline_ms: int


class Incoming(NamedTuple):
    """By the machine that they are for."""

    requests: dict[int, list[Asked]]
    answers: dict[int, list[Answered | Unanswered]]


class Traffic:
    """`clock_offset_ms(peer)`: how far the peer's wall clock is ahead of ours. `first_call_id`
    differs from run to run, so that nothing of an earlier one is taken for an answer."""

    def __init__(
        self,
        cluster_id: bytes,
        epoch: int,
        machines: Collection[int],
        clock_offset_ms: Callable[[MemberId], int],
        first_call_id: int,
        lifetime_max_ms: int = REQUEST_LIFETIME_MAX_MS,
        flights: Flights | None = None,
    ) -> None:
        self._cluster_id = cluster_id
        self._epoch = epoch
        self._machines = frozenset(machines)
        self._clock_offset_ms = clock_offset_ms
        self._next_call_id = first_call_id
        self._lifetime_max_ms = lifetime_max_ms
        self._pending: dict[int, _Pending] = {}
        self._timers = Timers()
        self._flights = flights or Flights()
        self._refused: list[int] = []  # calls of this step that are beyond what a peer is sent
        self._unsent: set[int] = set()  # calls that were not sent, and whose asker does not know
        # By what may share a frame, the last being the deadline of requests.
        self._packets: dict[tuple[MemberId, Lane, FrameKind, int], list[Operation]] = {}
        self._early: list[_Early] = []
        self._newest: tuple[MemberId, int] | None = None

    # --- epochs

    def adopt(self, epoch: int, into: Incoming) -> None:
        """Frames are of this epoch from now on; what has waited for it is taken."""
        self._epoch = epoch
        early, self._early = self._early, []
        for peer, frame, operation, deadline_ms in early:
            self._take_request(peer, frame, operation, deadline_ms, into)

    def take_newer(self) -> tuple[MemberId, int] | None:
        """A peer whose document is newer than this node's, and its epoch; once."""
        newest, self._newest = self._newest, None
        return newest if newest is not None and newest[1] > self._epoch else None

    # --- out

    def ask(self, machine: int, ask: Ask) -> None:
        call_id = self._next_call_id
        self._next_call_id += 1
        size = len(ask.payload)
        flight = self._flights.take(ask.to, ask.lane, size)
        self._pending[call_id] = _Pending(machine, ask.token, ask.to, flight, size)
        if flight is None:
            self._refused.append(call_id)
            return
        self._timers.start(call_id, ask.deadline_ms)
        packet = ask.to, ask.lane, REQUEST, ask.deadline_ms
        operation = Operation(ask.opcode, CALL_ID.pack(call_id) + ask.payload, ask.flags)
        self._packets.setdefault(packet, []).append(operation)

    def reply(self, reply: Reply) -> None:
        to = reply.reply_to
        assert isinstance(to, _ReplyTo)
        packet = to.peer, to.lane, RESPONSE, 0
        operation = Operation(to.opcode, to.call_id + reply.payload, 0, reply.status)
        self._packets.setdefault(packet, []).append(operation)

    def flush(self, now: Now) -> list[FrameOut]:
        """The frames of all that was asked and replied since the last time."""
        frames: list[FrameOut] = []
        for (to, lane, kind, due_ms), operations in self._packets.items():
            deadline_ms = 0
            if kind is REQUEST:
                deadline_ms = max(1, now.wall_ms + due_ms - now.ms)
            for part in self._parts(now, lane, kind, operations):
                frame = Frame(kind, lane, self._cluster_id, part, self._epoch, deadline_ms)
                frames.append(FrameOut(to, frame))
        self._packets = {}
        if self._refused:
            for call_id in filter(self._pending.__contains__, self._refused):
                self._give_up_sending(now, call_id)
            self._refused.clear()
        return frames

    def _parts(
        self, now: Now, lane: Lane, kind: FrameKind, operations: list[Operation]
    ) -> Iterable[tuple[Operation, ...]]:
        """The list cut into what fits a frame of the lane."""
        limits = LANE_LIMITS[lane]
        part: list[Operation] = []
        size = 0
        for operation in operations:
            needed = OPERATION_HEADER_SIZE + len(operation.payload)
            if needed > limits.body_size_max:
                if kind is REQUEST:
                    self._give_up_sending(now, _call_id_of(operation))
                continue
            full = len(part) == limits.operation_count_max or size + needed > limits.body_size_max
            if full:
                yield tuple(part)
                part, size = [], 0
            part.append(operation)
            size += needed
        if part:
            yield tuple(part)

    def _give_up_sending(self, now: Now, call_id: int) -> None:
        """The asker hears of it in the next step, which is due now: what it asks somebody else then
        cannot go round in circles within one step."""
        self._unsent.add(call_id)
        self._timers.start(call_id, now.ms)

    # --- in

    def receive(self, now: Now, peer: MemberId, frame: Frame, into: Incoming) -> None:
        if frame.epoch > max(self._epoch, self._newest[1] if self._newest else 0):
            self._newest = peer, frame.epoch
        if frame.kind is FrameKind.RESPONSE:
            for operation in frame.operations:
                self._take_answer(peer, operation, into)
        elif frame.kind is FrameKind.REQUEST:
            deadline_ms = self._deadline_here(now, peer, frame.deadline_ms)
            for operation in frame.operations:
                self._take_request(peer, frame, operation, deadline_ms, into)

    def _deadline_here(self, now: Now, peer: MemberId, sent_ms: int) -> int:
        left_ms = sent_ms - self._clock_offset_ms(peer) - now.wall_ms
        return now.ms + min(left_ms, self._lifetime_max_ms)

    def _take_request(
        self,
        peer: MemberId,
        frame: Frame,
        operation: Operation,
        deadline_ms: int,
        into: Incoming,
    ) -> None:
        machine = operation.opcode >> 8
        call_id = operation.payload[: CALL_ID.size]
        reply_to = _ReplyTo(peer, frame.lane, operation.opcode, call_id)
        if len(call_id) < CALL_ID.size:
            return  # nobody could tell whom the answer is for
        if machine not in self._machines:
            self.reply(Reply(reply_to, OperationStatus.UNKNOWN_OPCODE))
        elif frame.epoch > self._epoch and machine not in EPOCHLESS:
            if len(self._early) < EARLY_MAX:
                self._early.append(_Early(peer, frame, operation, deadline_ms))
            else:
                self.reply(Reply(reply_to, OperationStatus.OVERLOADED))
        else:
            payload = operation.payload[CALL_ID.size :]
            asked = Asked(
                peer,
                operation.opcode,
                payload,
                operation.flags,
                deadline_ms,
                reply_to,
                frame.epoch,
                frame.lane,
            )
            into.requests.setdefault(machine, []).append(asked)

    def _take_answer(self, peer: MemberId, operation: Operation, into: Incoming) -> None:
        if len(operation.payload) < CALL_ID.size:
            return
        call_id = _call_id_of(operation)
        pending = self._pending.get(call_id)
        if pending is None or pending.peer != peer:
            return
        self._end(call_id)
        payload = operation.payload[CALL_ID.size :]
        answered = Answered(pending.token, peer, operation.status, payload)
        into.answers.setdefault(pending.machine, []).append(answered)

    # --- what does not come

    def lost(self, peer: MemberId, into: Incoming) -> None:
        """The connection to a peer went away: nothing that was asked there will be answered."""
        for packet in [packet for packet in self._packets if packet[0] == peer]:
            operations = self._packets.pop(packet)
            if packet[2] is FrameKind.REQUEST:
                unsent = [_call_id_of(operation) for operation in operations]
                self._give_up([id for id in unsent if id in self._pending], into, never_sent=True)
        self._early = [early for early in self._early if early.peer != peer]
        gone = [id for id, pending in self._pending.items() if pending.peer == peer]
        self._give_up(gone, into)

    def expire(self, now: Now, into: Incoming) -> None:
        if self._early:
            self._early = [early for early in self._early if early.deadline_ms > now.ms]
        for call_id in self._timers.take_due(now.ms):
            self._give_up((call_id,), into)

    def _give_up(
        self, call_ids: Iterable[int], into: Incoming, *, never_sent: bool = False
    ) -> None:
        for call_id in call_ids:
            is_unsent = never_sent or call_id in self._unsent
            pending = self._end(call_id)
            unanswered = Unanswered(pending.token, pending.peer, is_unsent)
            into.answers.setdefault(pending.machine, []).append(unanswered)

    def _end(self, call_id: int) -> _Pending:
        pending = self._pending.pop(call_id)
        self._timers.stop(call_id)
        self._unsent.discard(call_id)
        if pending.flight is not None:
            pending.flight.give_back(pending.size)
        return pending

    def next_deadline(self) -> int | None:
        return self._timers.next_deadline()


def _call_id_of(operation: Operation) -> int:
    return int(CALL_ID.unpack_from(operation.payload)[0])
