"""Answers between the wire and those who decide: a vote becomes a Reply, an answer what was heard.

What cannot be read counts as no answer: whoever sent it is asked again in the next attempt.
"""

from __future__ import annotations

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.ports import Answered, Reply, Unanswered
from lsmkv_cluster.reconfiguration.paxos_messages import (
    Accepted,
    MemberReport,
    NoVote,
    Outbid,
    PaxosStatus,
    Promise,
)
from lsmkv_cluster.reconfiguration.proposer import Heard, Stage
from lsmkv_cluster.reconfiguration.voter import Vote

__all__ = ["heard_in", "reply_of", "report_in"]


def reply_of(vote: Vote) -> Reply:
    match vote.answer:
        case Promise():
            return Reply(vote.to, OperationStatus.DONE, vote.answer.encode())
        case Accepted():
            return Reply(vote.to, OperationStatus.DONE)
        case Outbid():
            return Reply(vote.to, PaxosStatus.OUTBID, vote.answer.encode())
        case NoVote():
            return Reply(vote.to, PaxosStatus.NO_VOTE)
        case None:
            return Reply(vote.to, OperationStatus.NOT_READY)


def heard_in(stage: Stage, answer: Answered | Unanswered) -> Heard:
    """The answer to a question of this stage."""
    if not isinstance(answer, Answered):
        return None
    try:
        if answer.is_done:
            is_promise = stage is Stage.PREPARING
            return Promise.decode(answer.payload) if is_promise else Accepted()
        if answer.status == PaxosStatus.OUTBID:
            return Outbid.decode(answer.payload)
    except Malformed:
        return None
    return NoVote()


def report_in(answer: Answered | Unanswered) -> MemberReport | None:
    if not isinstance(answer, Answered) or not answer.is_done:
        return None
    try:
        return MemberReport.decode(answer.payload)
    except Malformed:
        return None
