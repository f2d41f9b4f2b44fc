"""What this node wants the next document to be: changes of operators one after the other, and what
the conductor found, if nobody else waits.

A change is applied to the document that is worked by when an attempt begins (proposer.py), and to
the next one if another document was chosen meanwhile, as long as it still can be. Attempts that are
outbid, or reach too few, are made again after a random while, longer each time.

    outcome       the operator hears it when
    COMMITTED     the document is chosen, or it was so already
    REFUSED       the change cannot be made, and was never put forward
    LOST          others were first, and now it cannot be made any more
    NO_MAJORITY   too few voters can be reached; or none was had within the patience

The own voter promises first, and durably: so no ballot of this node is ever used twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from lsmkv_cluster.placement.members import MemberId, actor_number
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.placement.topology_format import successor
from lsmkv_cluster.ports import Alarm, Ask, Effect, Now, Random, StoreOrder
from lsmkv_cluster.reconfiguration.adoption import Known
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.reconfiguration.paxos_messages import (
    ACCEPT,
    DOCUMENT_SIZE_MAX,
    PREPARE,
    Accept,
    Prepare,
    Promise,
)
from lsmkv_cluster.reconfiguration.proposer import ENDS, Heard, Proposer, Stage, majority
from lsmkv_cluster.reconfiguration.topology_changes import (
    Change,
    Fields,
    Refused,
    Unchanged,
    follow,
)
from lsmkv_cluster.reconfiguration.voter import Voter
from lsmkv_cluster.transport.wire import Lane

__all__ = ["Changed", "Outcome", "Proposals", "Proposing"]

ROUND_SHIFT = 32  # bits of a ballot below its round
MAYBE = "it may still be decided on, as some have been asked to accept it"


class Outcome(Enum):
    COMMITTED = auto()
    REFUSED = auto()
    NO_MAJORITY = auto()
    LOST = auto()


class Changed(NamedTuple):
    """What became of an operator's change. `epoch` is that of the document that has it, or was the
    last one when it failed."""

    token: Hashable
    outcome: Outcome
    epoch: int
    text: str


class Proposing(NamedTuple):
    """The token of a question to a voter."""

    attempt: int
    stage: Stage


@dataclass(slots=True)
class _Pending:
    token: Hashable
    change: Change
    give_up_ms: int
    attempts: int = 0
    has_lost: bool = False
    may_be_chosen: bool = False


@dataclass(slots=True)
class _Attempt:
    proposer: Proposer
    pending: _Pending | None  # None: the conductor's
    text: str


class Proposals:
    """`decided` is called with every document that is chosen here."""

    def __init__(
        self,
        me: MemberId,
        voter: Voter,
        is_reachable: Callable[[MemberId], bool],
        decided: Callable[[Now, Known], list[Effect]],
        rng: Random,
        settings: KeeperSettings,
    ) -> None:
        self._me = me
        self._voter = voter
        self._is_reachable = is_reachable
        self._decided = decided
        self._rng = rng
        self._settings = settings
        self._queue: deque[_Pending] = deque()
        self._attempt: _Attempt | None = None
        self._number = 0
        self._seen = 0  # the highest ballot heard of
        self._retry_ms = 0
        self.outputs: list[Changed] = []

    # --- what is wanted

    def change(self, now: Now, token: Hashable, change: Change) -> None:
        self._queue.append(_Pending(token, change, now.ms + self._settings.patience_ms))

    def conduct(self, now: Now, current: Known, fields: Fields) -> list[Effect]:
        """Dropped while anything else is under way: the next round of reports finds it again."""
        if self._queue or self._attempt is not None or now.ms < self._retry_ms:
            return []
        following = Known.of(successor(current.document, **fields))
        if self._obstacle(current.document, following.document) is not None:
            return []
        if len(following.data) > DOCUMENT_SIZE_MAX:
            return [Alarm("partitions cannot move on: the topology is too large for a frame")]
        return self._begin(now, following, current.document, None, "")

    def go_on(self, now: Now, current: Known) -> list[Effect]:
        """REQUIRES: nothing newer than `current` is known."""
        effects: list[Effect] = []
        while self._queue and self._attempt is None and now.ms >= self._retry_ms:
            pending = self._queue[0]
            found = follow(current.document, pending.change)
            if isinstance(found, Unchanged):
                self._end(pending, Outcome.COMMITTED, current.epoch, found.text)
            elif isinstance(found, Refused):
                outcome = Outcome.LOST if pending.has_lost else Outcome.REFUSED
                self._end(pending, outcome, current.epoch, found.why)
            elif (obstacle := self._obstacle(current.document, found.document)) is not None:
                self._end(pending, *obstacle)
            else:
                following = Known.of(found.document)
                effects += self._begin(now, following, current.document, pending, found.text)
        return effects

    def _obstacle(self, before: Topology, after: Topology) -> tuple[Outcome, int, str] | None:
        """Why no attempt is made at all."""
        epoch = before.epoch
        if self._me not in before.voters or not self._voter.state.has_vote:
            return Outcome.REFUSED, epoch, "this node has no vote: another one can be asked"
        reached = {id for id in before.voters if id == self._me or self._is_reachable(id)}
        if len(reached) < majority(len(before.voters)):
            text = f"{len(reached)} of {len(before.voters)} voters can be reached"
            return Outcome.NO_MAJORITY, epoch, text
        left = len(after.voters & reached) + len(after.voters - before.voters)
        if after.voters != before.voters and left < majority(len(after.voters)):
            text = f"{left} of then {len(after.voters)} voters could be reached: nothing could be"
            return Outcome.REFUSED, epoch, f"{text} decided on any more"
        return None

    # --- an attempt

    def _begin(
        self, now: Now, following: Known, before: Topology, pending: _Pending | None, text: str
    ) -> list[Effect]:
        self._seen = max(self._seen, self._voter.state.promised)
        round = (self._seen >> ROUND_SHIFT) + 1
        ballot = round << ROUND_SHIFT | actor_number(self._me)
        proposer = Proposer(following.epoch, ballot, following.data, before.voters)
        self._seen = ballot
        self._number += 1
        self._attempt = _Attempt(proposer, pending, text)
        if pending is not None:
            pending.attempts += 1
        return self._ask_myself(now, Proposing(self._number, Stage.PREPARING))

    def _proposer_at(self, token: Proposing) -> Proposer | None:
        """Of the attempt under way, if it is still there."""
        attempt = self._attempt
        if attempt is None or token != Proposing(self._number, attempt.proposer.stage):
            return None
        return attempt.proposer

    def _ask_myself(self, now: Now, token: Proposing) -> list[Effect]:
        if (proposer := self._proposer_at(token)) is None:
            return []
        if token.stage is Stage.PREPARING:
            found = self._voter.prepare(token, proposer.ballot)
        else:
            found = self._voter.accept(token, proposer.ballot, proposer.document)
        if isinstance(found, StoreOrder):
            return [found]
        return self.hear(now, token, self._me, found.answer)

    def _ask_others(self, now: Now, token: Proposing) -> list[Effect]:
        """Who cannot be reached counts as silent at once."""
        if (proposer := self._proposer_at(token)) is None:
            return []
        if token.stage is Stage.PREPARING:
            opcode, payload = PREPARE, Prepare(proposer.epoch, proposer.ballot).encode()
        else:
            accept = Accept(proposer.epoch, proposer.ballot, proposer.document)
            opcode, payload = ACCEPT, accept.encode()
        deadline_ms = now.ms + self._settings.answer_ms
        effects: list[Effect] = []
        silent = []
        for id in sorted(proposer.voters - {self._me}):
            if self._is_reachable(id):
                effects.append(Ask(id, Lane.CONTROL, opcode, payload, deadline_ms, token))
            else:
                silent.append(id)
        for id in silent:
            effects += self.hear(now, token, id, None)
        return effects

    def hear(self, now: Now, token: Proposing, voter: MemberId, answer: Heard) -> list[Effect]:
        attempt, proposer = self._attempt, self._proposer_at(token)
        if attempt is None or proposer is None:
            return []
        proposer.hear(token.stage, voter, answer)
        if proposer.stage is not token.stage:
            return self._moved(now, attempt)
        if voter == self._me and token.stage is Stage.PREPARING:
            if not isinstance(answer, Promise):  # without its own it may not go on
                return self._again(now, attempt)
            return self._ask_others(now, token)
        return []

    def hear_further(self, now: Now, epoch: int) -> list[Effect]:
        """A document of this epoch is decided."""
        attempt = self._attempt
        if attempt is None or epoch < attempt.proposer.epoch:
            return []
        attempt.proposer.hear_further()
        return self._moved(now, attempt)

    def _moved(self, now: Now, attempt: _Attempt) -> list[Effect]:
        proposer, pending = attempt.proposer, attempt.pending
        if proposer.stage is Stage.ACCEPTING:
            if pending is not None and proposer.is_own:
                pending.may_be_chosen = True
            token = Proposing(self._number, Stage.ACCEPTING)
            return self._ask_others(now, token) + self._ask_myself(now, token)
        assert proposer.stage in ENDS
        if proposer.stage is Stage.CHOSEN and pending is not None and proposer.is_own:
            self._end(pending, Outcome.COMMITTED, proposer.epoch, attempt.text)
        elif proposer.stage in (Stage.CHOSEN, Stage.STALE) and pending is not None:
            pending.has_lost, pending.may_be_chosen = True, False
        effects = self._again(now, attempt)
        if proposer.stage is Stage.CHOSEN:
            effects += self._decided(now, Known.read(proposer.document))
        return effects

    def _again(self, now: Now, attempt: _Attempt) -> list[Effect]:
        self._attempt = None
        self._seen = max(self._seen, attempt.proposer.seen)
        settings, count = self._settings, attempt.pending.attempts if attempt.pending else 1
        delay_ms = min(settings.retry_min_ms << min(count, 16), settings.retry_max_ms)
        self._retry_ms = now.ms + 1 + self._rng.randrange(delay_ms)
        return []

    def _end(self, pending: _Pending, outcome: Outcome, epoch: int, text: str) -> None:
        self._queue.remove(pending)
        if pending.may_be_chosen and outcome in (Outcome.NO_MAJORITY, Outcome.LOST):
            text = f"{text}; {MAYBE}"
        self.outputs.append(Changed(pending.token, outcome, epoch, text))

    # --- time

    def tick(self, now: Now, current: Known) -> None:
        for pending in [each for each in self._queue if now.ms >= each.give_up_ms]:
            if self._attempt is not None and self._attempt.pending is pending:
                self._attempt = None
            self._end(pending, Outcome.NO_MAJORITY, current.epoch, "no majority was had in time")

    def next_deadline(self, *, is_settled: bool) -> int | None:
        if not self._queue:
            return None
        give_up_ms = min(pending.give_up_ms for pending in self._queue)
        if self._attempt is None and is_settled:
            return min(self._retry_ms, give_up_ms)
        return give_up_ms
