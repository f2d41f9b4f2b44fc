"""Asks everybody who may have a key what they have, for people who want to know.

Owners are asked, and stand-ins for those that cannot be reached; each for its record. Nothing is
mended and nothing decided: what it amounts to is for the reader (explanation.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from lsmkv_cluster.coordination.replica_messages import (
    READ,
    ReplicaFlags,
    ReplicaStatus,
    decode_found,
    encode_read,
)
from lsmkv_cluster.coordination.telling import Told
from lsmkv_cluster.coordination.view import Target, View
from lsmkv_cluster.driver_ports import ExplainCall, ExplainReply
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import (
    Answered,
    Ask,
    Asked,
    Effect,
    Now,
    Reply,
    Stored,
    StoreOrder,
    Unanswered,
)
from lsmkv_cluster.storage.storage_orders import Failure, Read, Space, Values
from lsmkv_cluster.transport.wire import Lane

__all__ = ["Explainer"]

OPEN_MAX = 16  # keys at once
WORDS: dict[int, str] = {
    OperationStatus.NOT_READY: "not ready",
    OperationStatus.STALE_EPOCH: "stale epoch",
    OperationStatus.OVERLOADED: "overloaded",
    ReplicaStatus.FAILED: "failed",
    ReplicaStatus.NOT_OWNER: "not owner",
}

Out = Effect | ExplainReply


class _Token(NamedTuple):
    id: int
    target: Target
    asked_ms: int


@dataclass(slots=True)
class _Open:
    call: ExplainCall
    waiting: set[MemberId] = field(default_factory=set)
    told: list[Told] = field(default_factory=list)


class Explainer:
    def __init__(self, view: View) -> None:
        self._view = view
        self._open: dict[int, _Open] = {}
        self._next_id = 0

    def called(self, now: Now, calls: Sequence[ExplainCall]) -> list[Out]:
        out: list[Out] = []
        for call in calls:
            if len(self._open) >= OPEN_MAX:
                out.append(ExplainReply(call.call_id, None))
                continue
            self._next_id += 1
            self._open[self._next_id] = _Open(call)
            self._begin(now, self._next_id, out)
        return out

    def _begin(self, now: Now, id: int, out: list[Out]) -> None:
        opened, view = self._open[id], self._view
        place = view.place_of(opened.call.key)
        targets = view.readable(place, sloppy=True)
        owners = {target.member for target in targets}
        opened.told += [Told(o, o, "unreachable") for o in place.owners if o not in owners]
        for target in targets:
            token = _Token(id, target, now.ms)
            opened.waiting.add(target.member)
            if target.member != view.me:
                flags = ReplicaFlags.AS_HINT if target.is_hint else ReplicaFlags.NONE
                payload = encode_read(opened.call.key)
                deadline_ms = opened.call.deadline_ms
                ask = Ask(target.member, Lane.DATA, READ, payload, deadline_ms, token, flags)
                out.append(ask)
            elif target.is_hint or view.is_ready(place.partition):
                space = Space.HINT if target.is_hint else Space.DATA
                out.append(StoreOrder(token, Read(space, (opened.call.key,))))
            else:
                self._hear(id, Told(view.me, view.me, "not ready"), out)
        self._finish_if_done(id, out)

    def answered(self, now: Now, answers: Sequence[Answered | Unanswered]) -> list[Out]:
        out: list[Out] = []
        for answer in answers:
            assert isinstance(answer.token, _Token)
            id, target, asked_ms = answer.token
            word, record = "silent", None
            if isinstance(answer, Answered):
                word = WORDS.get(answer.status, "refused")
                if answer.is_done:
                    try:
                        record = decode_found(answer.payload).record
                        word = "record" if record is not None else "nothing"
                    except Malformed:
                        word = "damaged"
            told = Told(target.member, target.owner, word, record, now.ms - asked_ms)
            self._hear(id, told, out)
            self._finish_if_done(id, out)
        return out

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Out]:
        out: list[Out] = []
        for token, result in results:
            assert isinstance(token, _Token)
            value = result.values[0] if isinstance(result, Values) else Failure.BROKEN
            word = "nothing" if value is None else "record"
            if isinstance(value, Failure):
                word, value = value.value, None
            target, elapsed_ms = token.target, now.ms - token.asked_ms
            self._hear(token.id, Told(target.member, target.owner, word, value, elapsed_ms), out)
            self._finish_if_done(token.id, out)
        return out

    def _hear(self, id: int, told: Told, out: list[Out]) -> None:
        self._open[id].told.append(told)
        self._open[id].waiting.discard(told.member)

    def _finish_if_done(self, id: int, out: list[Out]) -> None:
        opened = self._open.get(id)
        if opened is not None and not opened.waiting:
            del self._open[id]
            out.append(ExplainReply(opened.call.call_id, tuple(opened.told)))

    # --- nothing else happens here

    def asked(self, now: Now, requests: Sequence[Asked]) -> list[Effect]:
        return [Reply(asked.reply_to, OperationStatus.UNKNOWN_OPCODE) for asked in requests]

    def tick(self, now: Now) -> list[Effect]:
        return []

    def next_deadline(self) -> int | None:
        return None
