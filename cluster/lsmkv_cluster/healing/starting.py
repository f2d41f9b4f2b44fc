"""The start of a store: is this disk the newest there was?

A store numbers its starts. It announces each to its peers and asks what they have seen before. All
are waited for, as only some may have been there all the time; after `patience_ms` those who have
answered have to do. Until then it mints nothing (actor.py), and answers no reader.

    peer has seen this start, or a later one          the disk is an old copy
    peer has seen an earlier one that was another's   the disk is an old copy that was started since
    peer has seen more operations than the disk has   the disk is an old copy, or lost a part
    nobody answers for `patience_ms`                  nobody can tell yet

In all these cases the store begins as a new incarnation, which is always safe. In the first three
its copies are not whole: `is_stale` (recovery.py). Peers that were away are asked until they
answer. If later a write of this store turns up that it cannot have made (merging.py), its disk was
copied, and was so before the start or runs twice: that is the same (`run_twice`).

A start may end before anybody has answered: so a store keeps, on stable storage and before it asks,
the nonces of its own starts, and knows which of those that others have seen were its own.

Who answers remembers it first, on stable storage: with the nonce of the run, so that the same
question gets the same answer however often it comes. How far a peer's store is they hear by gossip
and keep in memory: an old copy of the very run that ended is known to nobody if all who were there
have lost their memory, too. Payloads: start_messages.py.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.healing.start_messages import (
    START,
    Announcement,
    OwnStarts,
    Seen,
    SeenBefore,
)
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId, actor_number
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
from lsmkv_cluster.storage.storage_orders import Done, Remember
from lsmkv_cluster.transport.wire import Lane
from lsmkv_cluster.versions.actor import ActorSource

__all__ = ["StartSettings", "Starting"]

NOTE = b"start/"
OWN_NOTE = b"starts"


@dataclass(frozen=True, slots=True)
class StartSettings:
    patience_ms: int = 5_000
    ask_again_ms: int = 1_000


class _Noting(NamedTuple):
    """Of the own starts."""


class _Answering(NamedTuple):
    reply_to: Hashable
    seen: Seen


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
        self._own = _own_starts(notes).begin(self._announced.start_number, self._nonce)
        self._is_noted = False
        self._seen = _remembered(notes)
        self._ask_at_ms: int | None = 0 if self._waiting else None
        self._patience_ms: int | None = None
        self._is_settled = not self._waiting
        self._has_answers = False
        self._is_new = False  # this run has begun a new incarnation
        self.is_stale = False  # the disk was not the newest there was when it started
        self._is_news = False  # that it is not the newest

    @property
    def is_settled(self) -> bool:
        """All have answered, or were waited for long enough."""
        return self._is_settled

    def heard_sequence(self, member: MemberId, start_number: int, sequence: int) -> None:
        """Gossip has told how far a peer's store is. Kept in memory: the next start asks those who
        are there."""
        seen = self._seen.get(member, Seen())
        announced = seen.announced
        if start_number == announced.start_number and sequence > announced.sequence:
            self._seen[member] = replace(seen, announced=replace(announced, sequence=sequence))

    # --- the own start

    def tick(self, now: Now) -> list[Effect]:
        if self._ask_at_ms is None or now.ms < self._ask_at_ms:
            return []
        if not self._is_noted:
            self._ask_at_ms = now.ms + self._settings.ask_again_ms
            return [StoreOrder(_Noting(), Remember(OWN_NOTE, self._own.encode()))]
        if self._patience_ms is None:
            self._patience_ms = now.ms + self._settings.patience_ms
        effects: list[Effect] = []
        if now.ms >= self._patience_ms and not self._is_settled:
            self._is_settled = True
            self._actors.settle_for_those_who_answered()
        if self._is_settled and not self._has_answers and not self._is_new:
            effects.append(Alarm("no peer could tell whether this disk is the newest one"))
            self._distrust(0)
        self._ask_at_ms = now.ms + self._settings.ask_again_ms
        payload = self._question()
        effects += [
            Ask(peer, Lane.CONTROL, START, payload, self._ask_at_ms, peer) for peer in self._waiting
        ]
        return effects

    def _noted(self, is_done: bool) -> None:
        """Now others may be asked; what could not be noted is tried again later."""
        if is_done:
            self._is_noted = True
            self._ask_at_ms = 0

    def _question(self) -> bytes:
        own = self._announced
        return Announcement(own.incarnation, own.start_number, self._nonce, self._sequence).encode()

    def answered(self, now: Now, answers: Sequence[Answered | Unanswered]) -> list[Effect]:
        effects: list[Effect] = []
        for answer in answers:
            if not isinstance(answer, Answered) or not answer.is_done:
                continue
            try:
                seen = SeenBefore.decode(answer.payload)
            except Malformed:
                continue
            self._has_answers = True
            if answer.peer in self._waiting:
                self._waiting.remove(answer.peer)
                effects += self._judge(answer.peer, seen)
        if not self._waiting:
            self._ask_at_ms = None
            self._is_settled = True
        return effects

    def _judge(self, peer: MemberId, seen: SeenBefore) -> list[Effect]:
        start_number = seen.start_number
        is_later = start_number >= self._announced.start_number or not self._own.know(seen)
        if is_later or seen.sequence > self._sequence:
            if self.is_stale:
                return []
            self.is_stale = self._is_news = True
            self._distrust(start_number)
            return [Alarm("this disk is an old copy, or has lost a part: a new incarnation")]
        self._actors.peer_answered(actor_number(peer), start_number, 0)
        return []

    def run_twice(self) -> list[Effect]:
        """Somebody else writes as this store: from now on it is another one."""
        self._is_news = True
        self._distrust(0)
        return [Alarm("this node runs twice, or on a copy of its disk: a new incarnation")]

    def take_stale(self) -> bool:
        """Whether the disk was found not to be the newest, since the last time."""
        found, self._is_news = self._is_news, False
        return found

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
                told = Announcement.decode(request.payload)
            except Malformed:
                effects.append(Reply(request.reply_to, OperationStatus.MALFORMED))
                continue
            seen = self._seen.get(request.peer, Seen()).follow(told)
            self._seen[request.peer] = seen
            token = _Answering(request.reply_to, seen)
            effects.append(StoreOrder(token, Remember(NOTE + request.peer, seen.encode())))
        return effects

    def stored(self, now: Now, results: Sequence[Stored]) -> list[Effect]:
        effects: list[Effect] = []
        for token, result in results:
            if isinstance(token, _Noting):
                self._noted(isinstance(result, Done))
                continue
            assert isinstance(token, _Answering)
            if not isinstance(result, Done):
                effects.append(Reply(token.reply_to, OperationStatus.NOT_READY))
                continue
            payload = token.seen.before.encode()
            effects.append(Reply(token.reply_to, OperationStatus.DONE, payload))
        return effects


def _own_starts(notes: Mapping[bytes, bytes]) -> OwnStarts:
    """A note that cannot be read is as good as none."""
    try:
        return OwnStarts.decode(notes[OWN_NOTE]) if OWN_NOTE in notes else OwnStarts()
    except Malformed:
        return OwnStarts()


def _remembered(notes: Mapping[bytes, bytes]) -> dict[MemberId, Seen]:
    """What the last run wrote down. A note that cannot be read is as good as none."""
    found: dict[MemberId, Seen] = {}
    for name, value in notes.items():
        if name.startswith(NOTE):
            try:
                found[name.removeprefix(NOTE)] = Seen.decode(value)
            except Malformed:
                continue
    return found
