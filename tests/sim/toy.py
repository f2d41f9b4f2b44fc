"""A node of the simplest kind, to try the simulator on: right, but not good.

Whoever is asked mints, sends the record to all owners, answers when enough have it, and goes on
sending until each has answered. Reads ask all owners. From time to time every node sends all that
it holds to the next owner in turn. Each start is an actor of its own, so no dot comes twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from lsmkv import DB
from lsmkv.kernel import RecordMerger
from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Reason, Verb
from lsmkv_cluster.driver_ports import (
    ClientCall,
    ClientReply,
    FrameIn,
    FrameOut,
    Input,
    NodeEffect,
)
from lsmkv_cluster.operations import Operation
from lsmkv_cluster.placement.keyspaces import Level, Mode
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Now, Stored, StoreOrder
from lsmkv_cluster.storage.storage_orders import (
    Entries,
    Failed,
    ListEntries,
    Merge,
    Mint,
    Read,
    Result,
    Space,
    Values,
)
from lsmkv_cluster.transport.wire import Frame, FrameKind, Lane
from lsmkv_cluster.versions import context, crdt, minting
from lsmkv_cluster.versions.hlc import HybridClock
from lsmkv_cluster.versions.record import Record
from lsmkv_cluster.versions.record_format import decode, encode
from lsmkv_cluster.versions.vclock import Actor, Clock
from tests.sim.program import NodeLike, Start, StoreLike
from tests.sim.toy_store import ToyStore

__all__ = ["ToyNode", "ToyProgram"]

MERGE, READ = 0x0301, 0x0302
RESEND_MS = 500
EXCHANGE_MS = 1000
SECRET = b"toy"


@dataclass
class _Request:
    """`waiting` owners have not answered; those of a write are asked again and again."""

    call_id: int | None
    request: ClientRequest
    needed: int
    deadline_ms: int
    waiting: set[MemberId] = field(default_factory=set)
    record: bytes | None = None
    resend_ms: int = 0


class ToyNode:
    def __init__(self, start: Start) -> None:
        self._topology = start.topology
        self._me = start.me
        self._number = start.number
        self._clock = HybridClock()
        self._merger = RecordMerger()
        self._requests: dict[int, _Request] = {}
        self._next_id = 1
        self._exchange_ms = 0
        self._turn = 0
        self._out: list[NodeEffect] = []
        self._now = Now(0, 0)

    # --- the border

    def start(self, now: Now) -> list[NodeEffect]:
        self._exchange_ms = now.ms + EXCHANGE_MS
        return []

    def next_deadline(self) -> int | None:
        waits = [
            pending.resend_ms
            for pending in self._requests.values()
            if pending.request.is_write and pending.record and pending.waiting
        ]
        ends = [r.deadline_ms for r in self._requests.values() if r.call_id is not None]
        return min([*waits, *ends, self._exchange_ms])

    def step(self, now: Now, inputs: Sequence[Input]) -> list[NodeEffect]:
        self._now = now
        for given in inputs:
            if isinstance(given, ClientCall):
                self._called(given)
            elif isinstance(given, FrameIn):
                self._framed(given)
            elif isinstance(given, Stored):
                self._stored(given.token, given.result)
        self._tick()
        effects, self._out = self._out, []
        return effects

    # --- requests of clients

    def _called(self, call: ClientCall) -> None:
        request = call.request
        number = self._next_id
        self._next_id += 1
        needed = self._needed(request)
        pending = _Request(call.call_id, request, needed, call.deadline_ms)
        self._requests[number] = pending
        pending.waiting = set(self._owners(request.key))
        if request.is_write:
            self._mint(number, request)
        else:
            self._ask_all(number, READ, request.key)

    def _needed(self, request: ClientRequest) -> int:
        keyspace = self._topology.keyspace_of(request.key)
        chosen = request.write if request.is_write else request.read
        level = chosen or (keyspace.write if request.is_write else keyspace.read)
        owners = len(self._owners(request.key))
        if keyspace.mode is Mode.STRICT:
            return owners // 2 + 1 if request.is_write else owners
        counts = {Level.ONE: 1, Level.ALL: owners, Level.COUNT: min(owners, level.count)}
        return counts.get(level.level, owners // 2 + 1)

    def _mint(self, number: int, request: ClientRequest) -> None:
        now = self._now
        seen = context.NOTHING
        if request.context:
            seen = context.decode(request.context, request.key, SECRET)
        serial = 1 << 32 | now.wall_ms // 1000
        actor = Actor(int.from_bytes(self._me[:4], "big"), self._number, serial)
        stamp = self._clock.next(now.wall_ms)

        def decide(index: int, stored: bytes | None) -> bytes | None:
            local = decode(stored) if stored is not None else None
            own = (
                max((a for a, _ in local.clock if a[:2] == actor[:2]), default=actor)
                if local
                else actor
            )
            change = _change(request, local, seen, own, now.wall_ms)
            if change.is_empty:
                return None
            return encode(minting.mint(local, change, own, stamp, seen=seen).record)

        is_strict = self._topology.keyspace_of(request.key).mode.name == "STRICT"
        order = Mint(Space.DATA, (request.key,), decide, sync=is_strict)
        self._out.append(StoreOrder(("minted", number), order))
        self._out.append(StoreOrder(("local", number), Read(Space.DATA, (request.key,))))

    def _progress(self, number: int) -> None:
        pending = self._requests[number]
        have = len(self._owners(pending.request.key)) - len(pending.waiting)
        if pending.call_id is not None and have >= pending.needed:
            self._answer(pending, ClientAnswer(self._outcome(pending), answered=have))
        if not pending.waiting or (pending.call_id is None and pending.record is None):
            self._requests.pop(number)

    def _outcome(self, pending: _Request) -> Outcome:
        """A read that shows less than the client has seen is refused."""
        request = pending.request
        if request.is_write or not request.context:
            return Outcome.DONE
        seen = context.decode(request.context, request.key, SECRET).clock
        shown = decode(pending.record).clock if pending.record is not None else Clock()
        return Outcome.DONE if shown.descends(seen) else Outcome.REFUSED

    def _answer(self, pending: _Request, answer: ClientAnswer) -> None:
        assert pending.call_id is not None
        record = pending.record
        if answer.is_done and record is not None:
            seen = context.encode(context.seen_in(decode(record)), pending.request.key, SECRET)
            answer = ClientAnswer(
                answer.outcome, answer.reason, answer.answered, answer.needed, seen, record
            )
        self._out.append(ClientReply(pending.call_id, answer))
        pending.call_id = None

    # --- owners

    def _owners(self, key: bytes) -> tuple[MemberId, ...]:
        return self._topology.owners[self._topology.partition_of(key)]

    def _ask_all(self, number: int, code: int, payload: bytes) -> None:
        for owner in sorted(self._requests[number].waiting):
            if owner != self._me:
                self._send(owner, number, code, payload)
            elif code == READ:
                key = self._requests[number].request.key
                self._out.append(StoreOrder(("read", number), Read(Space.DATA, (key,))))

    def _send(self, to: MemberId, number: int, code: int, payload: bytes, flags: int = 0) -> None:
        frame = Frame(
            FrameKind.REQUEST,
            Lane.DATA,
            self._topology.cluster_id,
            (Operation(code, payload, flags),),
            1,
            self._now.wall_ms + 2000,
            number,
        )
        self._out.append(FrameOut(to, frame))

    def _framed(self, given: FrameIn) -> None:
        frame, operation = given.frame, given.frame.operations[0]
        if frame.kind is FrameKind.REQUEST:
            token = ("serve", given.peer, frame.request_id, operation.opcode)
            if operation.opcode == READ:
                self._out.append(StoreOrder(token, Read(Space.DATA, (operation.payload,))))
            else:
                size = operation.payload[0]
                key, data = operation.payload[1 : 1 + size], operation.payload[1 + size :]
                self._out.append(
                    StoreOrder(token, Merge(Space.DATA, ((key, data),), bool(operation.flags)))
                )
            return
        pending = self._requests.get(frame.request_id)
        if pending is not None and given.peer in pending.waiting:
            pending.waiting.discard(given.peer)
            if operation.opcode == READ:
                self._read(pending, operation.payload)
            self._progress(frame.request_id)

    def _read(self, pending: _Request, data: bytes) -> None:
        if data:
            pending.record = self._merger.merge(pending.record, data)

    def _stored(self, token: Any, result: Result) -> None:
        if isinstance(result, Failed):
            self._failed(token)
            return
        if token[0] == "serve":
            _, peer, request_id, code = token
            payload = _value(result) if isinstance(result, Values) else b""
            frame = Frame(
                FrameKind.RESPONSE,
                Lane.DATA,
                self._topology.cluster_id,
                (Operation(code, payload, 0, 1),),
                1,
                0,
                request_id,
            )
            self._out.append(FrameOut(peer, frame))
        elif token[0] == "push":
            assert isinstance(result, Values)
            self._push(token[1], token[2], result)
        elif token[0] == "list":
            assert isinstance(result, Entries)
            keys = tuple(entry.key for entry in result.entries)
            self._out.append(StoreOrder(("push", token[1], keys), Read(Space.DATA, keys)))
        elif token[0] in ("read", "local"):
            self._own_copy(token[0], token[1], result)

    def _failed(self, token: Any) -> None:
        """Whoever waits for it asks again or gives up; a client's write may be there or not."""
        pending = self._requests.get(token[1]) if token[0] in ("minted", "local") else None
        if pending is not None:
            if pending.call_id is not None:
                self._answer(pending, ClientAnswer(Outcome.UNKNOWN, Reason.STORE_FAILED))
            self._requests.pop(token[1])

    def _own_copy(self, kind: str, number: int, result: Result) -> None:
        pending = self._requests.get(number)
        if pending is None:
            return
        assert isinstance(result, Values)
        pending.waiting.discard(self._me)
        self._read(pending, _value(result))
        if kind == "local" and pending.record is not None:
            self._send_merges(number, pending)
        self._progress(number)

    def _send_merges(self, number: int, pending: _Request) -> None:
        key = pending.request.key
        assert pending.record is not None
        pending.resend_ms = self._now.ms + RESEND_MS
        flags = int(self._topology.keyspace_of(key).mode.name == "STRICT")
        for owner in sorted(pending.waiting):
            if owner != self._me:
                self._send(owner, number, MERGE, bytes([len(key)]) + key + pending.record, flags)

    # --- time

    def _tick(self) -> None:
        now_ms = self._now.ms
        for number, pending in list(self._requests.items()):
            if pending.call_id is not None and now_ms >= pending.deadline_ms:
                is_write = pending.request.is_write
                outcome = Outcome.UNKNOWN if is_write else Outcome.REFUSED
                self._answer(pending, ClientAnswer(outcome, Reason.DEADLINE))
                if not is_write or pending.record is None:
                    self._requests.pop(number)
            elif pending.request.is_write and pending.record and now_ms >= pending.resend_ms:
                self._send_merges(number, pending)
        if now_ms >= self._exchange_ms:
            self._exchange_ms = now_ms + EXCHANGE_MS
            others = [member.id for member in self._topology.members if member.id != self._me]
            self._turn += 1
            peer = others[self._turn % len(others)]
            order = ListEntries(Space.DATA, 0, 1 << 64)
            self._out.append(StoreOrder(("list", peer), order))

    def _push(self, peer: MemberId, keys: tuple[bytes, ...], result: Values) -> None:
        for key, data in zip(keys, result.values, strict=True):
            if isinstance(data, bytes) and peer in self._owners(key):
                self._send(peer, 0, MERGE, bytes([len(key)]) + key + data)


def _value(result: Values) -> bytes:
    """Of one key: the record, or nothing."""
    value = result.values[0]
    return value if isinstance(value, bytes) else b""


def _change(
    request: ClientRequest,
    local: Record | None,
    seen: context.Context,
    actor: Actor,
    now_ms: int,
) -> minting.Change:
    verb, values = request.verb, request.values
    if verb is Verb.PUT:
        return minting.write(local, values[0], seen)
    if verb is Verb.SET:
        return minting.overwrite(local, values[0])
    if verb is Verb.DELETE:
        return minting.delete(local, seen if request.context else None)
    if verb is Verb.INCREMENT:
        return crdt.increment(local, actor, request.delta, now_ms)
    if verb is Verb.ADD_ELEMENTS:
        return crdt.add_elements(local, values)
    if verb is Verb.REMOVE_ELEMENTS:
        return crdt.remove_elements(local, values)
    if verb is Verb.PUT_FIELDS:
        return crdt.put_fields(local, dict(zip(values[::2], values[1::2], strict=True)))
    return crdt.remove_fields(local, values)


class ToyProgram:
    settle_period_ms = EXCHANGE_MS * 8
    detection_ms = EXCHANGE_MS

    def start(self, database: DB, start: Start) -> tuple[NodeLike, StoreLike]:
        return ToyNode(start), ToyStore(database)

    def states_seen(self, node: NodeLike, now: Now) -> dict[MemberId, str]:
        return {}

    def document(self, node: NodeLike) -> None:
        return None

    def has_vote(self, node: NodeLike) -> bool:
        return True

    def root(self, store: StoreLike, partition: int) -> int | None:
        return None

    def is_ready(self, node: NodeLike) -> bool:
        return True
