"""One attempt to have a document chosen for an epoch: two rounds of questions to all voters.

    stage       what was heard                                     next
    PREPARING   ENOUGH promises                                    ACCEPTING
    ACCEPTING   ENOUGH have accepted                               CHOSEN
    either      TOO_FEW can still say yes, nobody is outbid        NO_MAJORITY
    either      TOO_FEW_OUTBID: the same, and somebody was         OUTBID
    either      FURTHER: the epoch is decided, here is a document  STALE

Enough is a majority of the voters. What is put forward for acceptance is the document of the
highest ballot that those who promised have accepted before, which may have been chosen, and the own
one only where there is none. Whoever owns the attempt asks the questions, once for each stage, and
makes another attempt with a higher ballot if it likes; no ballot is used for two attempts.
"""

from __future__ import annotations

from enum import Enum, auto

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.reconfiguration.paxos_messages import Accepted, NoVote, Outbid, Promise

__all__ = ["ENDS", "Heard", "Proposer", "Stage", "majority"]

Heard = Promise | Accepted | Outbid | NoVote | None  # None: no answer came


class Stage(Enum):
    PREPARING = auto()
    ACCEPTING = auto()
    CHOSEN = auto()
    NO_MAJORITY = auto()
    OUTBID = auto()
    STALE = auto()


class Event(Enum):
    ENOUGH = auto()
    TOO_FEW = auto()
    TOO_FEW_OUTBID = auto()
    FURTHER = auto()


TRANSITIONS = {
    (Stage.PREPARING, Event.ENOUGH): Stage.ACCEPTING,
    (Stage.ACCEPTING, Event.ENOUGH): Stage.CHOSEN,
    (Stage.PREPARING, Event.TOO_FEW): Stage.NO_MAJORITY,
    (Stage.ACCEPTING, Event.TOO_FEW): Stage.NO_MAJORITY,
    (Stage.PREPARING, Event.TOO_FEW_OUTBID): Stage.OUTBID,
    (Stage.ACCEPTING, Event.TOO_FEW_OUTBID): Stage.OUTBID,
    (Stage.PREPARING, Event.FURTHER): Stage.STALE,
    (Stage.ACCEPTING, Event.FURTHER): Stage.STALE,
}
ENDS = frozenset(Stage) - {stage for stage, _ in TRANSITIONS}


def majority(voter_count: int) -> int:
    return voter_count // 2 + 1


class Proposer:
    """`document` becomes what is put forward; `seen` is the highest ballot heard of."""

    def __init__(
        self, epoch: int, ballot: int, document: bytes, voters: frozenset[MemberId]
    ) -> None:
        self.epoch = epoch
        self.ballot = ballot
        self.document = document
        self.stage = Stage.PREPARING
        self.seen = ballot
        self.has_asked_to_accept = False  # the document may be chosen, whatever is heard
        self.voters = voters
        self._own = document
        self._accepted = 0  # the highest ballot of a document accepted before
        self._begin()

    def _begin(self) -> None:
        self._waiting = set(self.voters)
        self._agreed = 0
        self._was_outbid = False

    @property
    def is_own(self) -> bool:
        """Whether what is put forward is what it was made with."""
        return self.document == self._own

    def hear(self, stage: Stage, voter: MemberId, answer: Heard) -> None:
        """The answer of a voter to the question of `stage`; the first one of each counts."""
        if stage is not self.stage or voter not in self._waiting:
            return
        self._waiting.remove(voter)
        if isinstance(answer, Promise | Accepted):
            self._agreed += 1
            if isinstance(answer, Promise) and answer.accepted > self._accepted:
                self._accepted = answer.accepted
                self.document = answer.document
        elif isinstance(answer, Outbid):
            self._was_outbid = True
            self.seen = max(self.seen, answer.promised)
        needed = majority(len(self.voters))
        if self._agreed >= needed:
            self._follow(Event.ENOUGH)
        elif self._agreed + len(self._waiting) < needed:
            self._follow(Event.TOO_FEW_OUTBID if self._was_outbid else Event.TOO_FEW)

    def hear_further(self) -> None:
        """Somebody has a document of this epoch, or a later one."""
        if self.stage not in ENDS:
            self._follow(Event.FURTHER)

    def _follow(self, event: Event) -> None:
        self.stage = TRANSITIONS[self.stage, event]
        if self.stage is Stage.ACCEPTING:
            self.has_asked_to_accept = True
            self._begin()
