"""The start of a store: is this disk the newest there was?

A store numbers its starts. It announces each to its peers and asks what they have seen before;
until one of them has answered it mints nothing (actor.py).

    peer has seen this start, or a later one          the disk is an old copy
    peer has seen more operations than the disk has   the disk is an old copy, or lost a part
    nobody answers for `alone_after_ms`               nobody can tell yet

In all three cases the store begins as a new incarnation, which is always safe. In the first two its
copies are not whole: `is_stale` (recovery.py). Peers that were away are asked until they answer.

Payload of START (opcode 0x0103), in terms of coding.py, and of its answer:

    u32  incarnation of the store              u64  the largest start number seen before
    u64  start number                          u64  the largest sequence seen before
    u64  nonce of this run
    u64  sequence of the engine when it was opened

Who answers remembers it first, on stable storage: with the nonce, so that the same question gets
the same answer however often it comes.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lsmkv_cluster.actor import ActorSource
from lsmkv_cluster.coding import Reader, Writer
from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.members import MemberId, actor_number
from lsmkv_cluster.operations import Machine, OperationStatus, opcode
from lsmkv_cluster.ports import (
    Alarm,
    Answered,
    Ask,
    Asked,
    Effect,
    Now,
    Random,
    Reply,
    Stored,
    StoreOrder,
    Unanswered,
)
from lsmkv_cluster.storage_orders import Done, Remember
from lsmkv_cluster.wire import Lane

__all__ = ["START", "Starting", "StartSettings"]

START = opcode(Machine.CONNECTION, 3)
NOTE = b"start/"


@dataclass(frozen=True, slots=True)
class StartSettings:
    alone_after_ms: int = 5_000
    ask_again_ms: int = 1_000


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is known of a peer's store: this run of it, and the most that came before. Sequences
    are those of one incarnation: another one counts anew."""

    incarnation: int = 0
    start_number: int = 0
    nonce: int = 0
    sequence: int = 0
    start_before: int = 0
    sequence_before: int = 0

    def encode(self) -> bytes:
        writer = Writer().u32(self.incarnation).u64(self.start_number).u64(self.nonce)
        writer.u64(self.sequence).u64(self.start_before).u64(self.sequence_before)
        return writer.finish()

    @staticmethod
    def decode(data: bytes) -> _Seen:
        reader = Reader(data)
        seen = _Seen(reader.u32(), *(reader.u64() for _ in range(5)))
        reader.end()
        return seen


class _Answering(NamedTuple):
    reply_to: Hashable
    seen: _Seen


class Starting:
    """`sequence` is that of the engine when it was opened; `notes` what was remembered."""

    def __init__(
        self,
        actors: ActorSource,
        peers: Sequence[MemberId],
        sequence: int,
        notes: Mapping[bytes, bytes],
        rng: Random,
        settings: StartSettings | None = None,
    ) -> None:
        self._actors = actors
        self._waiting = list(peers)
        self._sequence = sequence
        self._nonce = rng.getrandbits(63)
        self._rng = rng
        self._settings = settings or StartSettings()
        self._announced = actors.identity
        self._seen = _remembered(notes)
        self._ask_at_ms: int | None = 0 if self._waiting else None
        self._alone_at_ms: int | None = None
        self._is_new = False  # this run has begun a new incarnation
        self.is_stale = False  # the disk is not the newest there was

    @property
    def is_over(self) -> bool:
        return self._ask_at_ms is None

    def heard_sequence(self, member: MemberId, start_number: int, sequence: int) -> None:
        """Gossip has told how far a peer's store is. Kept in memory: the next start asks those who
        are there."""
        seen = self._seen.get(member, _Seen())
        if start_number == seen.start_number and sequence > seen.sequence:
            self._seen[member] = replace(seen, sequence=sequence)

    # --- the own start

    def tick(self, now: Now) -> list[Effect]:
        if self._ask_at_ms is None or now.ms < self._ask_at_ms:
            return []
        if self._alone_at_ms is None:
            self._alone_at_ms = now.ms + self._settings.alone_after_ms
        effects: list[Effect] = []
        if now.ms >= self._alone_at_ms and not self._actors.may_mint and not self._is_new:
            effects.append(Alarm("no peer could tell whether this disk is the newest one"))
            self._distrust(0)
        self._ask_at_ms = now.ms + self._settings.ask_again_ms
        payload = self._question()
        effects += [
            Ask(peer, Lane.CONTROL, START, payload, self._ask_at_ms, peer) for peer in self._waiting
        ]
        return effects

    def _question(self) -> bytes:
        announced = self._announced
        writer = Writer().u32(announced.incarnation).u64(announced.start_number)
        return writer.u64(self._nonce).u64(self._sequence).finish()

    def answered(self, now: Now, answers: Sequence[Answered | Unanswered]) -> list[Effect]:
        effects: list[Effect] = []
        for answer in answers:
            if not isinstance(answer, Answered) or not answer.is_done:
                continue
            try:
                reader = Reader(answer.payload)
                start_number, sequence = reader.u64(), reader.u64()
                reader.end()
            except Malformed:
                continue
            if answer.peer in self._waiting:
                self._waiting.remove(answer.peer)
                effects += self._judge(answer.peer, start_number, sequence)
        if not self._waiting:
            self._ask_at_ms = None
        return effects

    def _judge(self, peer: MemberId, start_number: int, sequence: int) -> list[Effect]:
        if start_number >= self._announced.start_number or sequence > self._sequence:
            if self.is_stale:
                return []
            self.is_stale = True
            self._distrust(start_number)
            return [Alarm("this disk is an old copy, or has lost a part: a new incarnation")]
        self._actors.peer_answered(actor_number(peer), start_number, 0)
        return []

    def _distrust(self, start_number_seen: int) -> None:
        self._is_new = True
        self._actors.distrust_disk(self._rng.getrandbits(32), start_number_seen)

    def next_deadline(self) -> int | None:
        return self._ask_at_ms

    # --- the starts of others

    def asked(self, now: Now, requests: Sequence[Asked]) -> list[Effect]:
        effects: list[Effect] = []
        for request in requests:
            if request.opcode != START:
                effects.append(Reply(request.reply_to, OperationStatus.UNKNOWN_OPCODE))
                continue
            try:
                reader = Reader(request.payload)
                told = _Seen(reader.u32(), reader.u64(), reader.u64(), reader.u64())
                reader.end()
            except Malformed:
                effects.append(Reply(request.reply_to, OperationStatus.MALFORMED))
                continue
            seen = self._noted(request.peer, told)
            token = _Answering(request.reply_to, seen)
            effects.append(StoreOrder(token, Remember(NOTE + request.peer, seen.encode())))
        return effects

    def _noted(self, peer: MemberId, told: _Seen) -> _Seen:
        before = self._seen.get(peer, _Seen())
        if (before.start_number, before.nonce) != (told.start_number, told.nonce):
            known = before.sequence if before.incarnation == told.incarnation else 0
            self._seen[peer] = _Seen(
                told.incarnation,
                max(told.start_number, before.start_number),
                told.nonce,
                max(told.sequence, known),
                before.start_number,
                known,
            )
        return self._seen[peer]

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Effect]:
        effects: list[Effect] = []
        for token, result in results:
            assert isinstance(token, _Answering)
            if not isinstance(result, Done):
                effects.append(Reply(token.reply_to, OperationStatus.NOT_READY))
                continue
            seen = token.seen
            payload = Writer().u64(seen.start_before).u64(seen.sequence_before).finish()
            effects.append(Reply(token.reply_to, OperationStatus.DONE, payload))
        return effects


def _remembered(notes: Mapping[bytes, bytes]) -> dict[MemberId, _Seen]:
    """What the last run wrote down. A note that cannot be read is as good as none."""
    found: dict[MemberId, _Seen] = {}
    for name, value in notes.items():
        if name.startswith(NOTE):
            try:
                found[name.removeprefix(NOTE)] = _Seen.decode(value)
            except Malformed:
                continue
    return found
