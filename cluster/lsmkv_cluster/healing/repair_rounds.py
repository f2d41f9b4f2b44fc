"""What a round of repair is to do, and how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from lsmkv_cluster.healing.antientropy_messages import WHOLE
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Answered, Unanswered
from lsmkv_cluster.storage.engine_key import TokenRange

__all__ = ["Outcome", "RoundPlan", "RoundReport", "refusal"]


class Outcome(Enum):
    """How a round ended."""

    EQUAL = "nothing differed"
    REPAIRED = "everything that differed was merged, here and there"
    CUT_OFF = "a bound was reached, and the rest is for the next round"
    INCOMPLETE = "some records could not be pulled or pushed"
    GAVE_UP = "the peer, or the store here, did not do its part"
    REFUSED = "the peer's copy cannot be compared now"
    OVERLOADED = "the peer has too much to do for any of its copies"


def refusal(answer: Answered | Unanswered) -> Outcome:
    """How a round ends that was not answered as it was to be."""
    status = answer.status if isinstance(answer, Answered) else None
    if status == OperationStatus.OVERLOADED:
        return Outcome.OVERLOADED
    return Outcome.REFUSED if status == OperationStatus.NOT_READY else Outcome.GAVE_UP


@dataclass(frozen=True, slots=True)
class RoundPlan:
    """Who is compared, and from where on."""

    round_id: int
    partition: int
    peer: MemberId
    tokens: TokenRange  # of the partition, in Space.DATA
    cursor: int  # a token
    exchange_id: int
    must_sync: bool  # whether `knows_all` is wanted, at the price of a sync
    wants_whole: bool = False  # nothing is learned of a peer that may lack something itself

    @property
    def flags(self) -> int:
        """Of questions about trees."""
        return WHOLE if self.wants_whole else 0


@dataclass(frozen=True, slots=True)
class RoundReport:
    """What one round has found and done."""

    partition: int
    peer: MemberId
    outcome: Outcome
    ranges: int = 0  # that differed
    pulled: int = 0  # records of the peer that were merged here
    pushed: int = 0  # records that the peer has merged
    pull_failures: int = 0
    push_failures: int = 0
    invalid: int = 0  # of the pull failures: the peer's record is damaged
    is_whole: bool = False  # the peer lacked nothing, as was wanted
    knows_all: bool = False  # everything that the peer had is merged and durable here
    gave_all: bool = False  # everything that was here is merged and durable there
    is_corrupt: bool = False  # something here cannot be read
    has_lost_dot: bool = False  # a record shows a write of this store that the store lacks
