"""What machines are told and what they ask for: the vocabulary between protocol logic and node.

A machine decides; it never waits. It is called with what has happened and returns effects:

    Ask / Answered, Unanswered   a request to another node, and how it ended
    Asked / Reply                a request from another node, and the answer to it
    StoreOrder / Stored          work for the store (storage_orders.py), and its result
    SendDatagram                 gossip, which may get lost
    StatusChanged                another member is taken for something else now (member_status.py)
    Alarm                        what an operator has to know

`token` belongs to the machine that asked and comes back as it was; `reply_to` belongs to the node.
Times are monotonic milliseconds of this node, except `wall_ms`, which may jump: deadlines, timers
and ages never look at it; stamps, expiry and what people read do.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import NamedTuple, Protocol

from lsmkv_cluster.operations import Operation, OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.storage.storage_orders import Order, Result
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.transport.wire import Lane

__all__ = [
    "Alarm",
    "Answered",
    "Ask",
    "Asked",
    "Effect",
    "Machine",
    "Now",
    "Random",
    "Reply",
    "SendDatagram",
    "StatusChanged",
    "StoreOrder",
    "Stored",
    "Unanswered",
]


class Now(NamedTuple):
    """The moment of a step."""

    ms: int  # monotonic
    wall_ms: int  # since 1970, as this node believes


class Random(Protocol):
    """The part of random.Random that machines use."""

    def random(self) -> float: ...
    def randrange(self, stop: int, /) -> int: ...
    def getrandbits(self, count: int) -> int: ...


# --- what a machine asks for ---------------------------------------------------------------------


class Ask(NamedTuple):
    """One operation for another node. Exactly one Answered or Unanswered follows."""

    to: MemberId
    lane: Lane
    opcode: int
    payload: bytes
    deadline_ms: int  # of the answer, monotonic
    token: Hashable
    flags: int = 0


class Reply(NamedTuple):
    """The answer to one Asked."""

    reply_to: Hashable
    status: int  # an OperationStatus, or the machine's own from 64 on
    payload: bytes = b""


class StoreOrder(NamedTuple):
    token: Hashable
    order: Order


class SendDatagram(NamedTuple):
    """At most OPERATIONS_SIZE_MAX bytes of operations (datagram.py)."""

    to: MemberId
    operations: tuple[Operation, ...]


class StatusChanged(NamedTuple):
    member: MemberId
    before: Status
    after: Status


class Alarm(NamedTuple):
    message: str


Effect = Ask | Reply | StoreOrder | SendDatagram | StatusChanged | Alarm


# --- what a machine is told ----------------------------------------------------------------------


class Asked(NamedTuple):
    """One operation from another node; a Reply is owed, at the latest by the deadline."""

    peer: MemberId
    opcode: int
    payload: bytes
    flags: int
    deadline_ms: int  # monotonic time of this node
    reply_to: Hashable
    epoch: int = 1  # of the asker's topology, never later than this node's
    lane: Lane = Lane.DATA


class Answered(NamedTuple):
    token: Hashable
    peer: MemberId
    status: int
    payload: bytes

    @property
    def is_done(self) -> bool:
        return self.status == OperationStatus.DONE


class Unanswered(NamedTuple):
    """The deadline passed, or the connection was lost. The other side may have done it, unless
    `never_sent`."""

    token: Hashable
    peer: MemberId
    never_sent: bool = False


class Stored(NamedTuple):
    token: Hashable
    result: Result


class Machine(Protocol):
    """What the node knows of each of its parts. All inputs come as lists: a step has many."""

    def asked(self, now: Now, requests: Sequence[Asked]) -> list[Effect]: ...
    def answered(self, now: Now, answers: Sequence[Answered | Unanswered]) -> list[Effect]: ...
    def stored(self, now: Now, results: Sequence[Stored]) -> list[Effect]: ...
    def tick(self, now: Now) -> list[Effect]: ...
    def next_deadline(self) -> int | None: ...
