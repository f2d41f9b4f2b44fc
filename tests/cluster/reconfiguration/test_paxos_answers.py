"""Votes go over the wire and come back as what they were; what cannot be read is no answer."""

from __future__ import annotations

import pytest

from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.ports import Answered, Unanswered
from lsmkv_cluster.reconfiguration.paxos_answers import heard_in, reply_of, report_in
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

PEER = b"p" * 16


@pytest.mark.parametrize(
    ("stage", "vote", "heard"),
    [
        (Stage.PREPARING, Promise(7, b"d"), Promise(7, b"d")),
        (Stage.PREPARING, Promise(), Promise()),
        (Stage.ACCEPTING, Accepted(), Accepted()),
        (Stage.PREPARING, Outbid(9), Outbid(9)),
        (Stage.ACCEPTING, Outbid(9), Outbid(9)),
        (Stage.PREPARING, NoVote(), NoVote()),
        (Stage.PREPARING, None, NoVote()),
    ],
)
def test_votes_arrive(stage: Stage, vote: Heard, heard: Heard) -> None:
    reply = reply_of(Vote("here", vote))
    assert reply.reply_to == "here"
    assert heard_in(stage, Answered("token", PEER, reply.status, reply.payload)) == heard


@pytest.mark.parametrize(
    "answer",
    [
        Unanswered("token", PEER),
        Answered("token", PEER, OperationStatus.DONE, b"short"),
        Answered("token", PEER, PaxosStatus.OUTBID, b"short"),
    ],
)
def test_what_cannot_be_read_is_no_answer(answer: Answered | Unanswered) -> None:
    assert heard_in(Stage.PREPARING, answer) is None
    assert report_in(answer) is None


def test_reports_arrive() -> None:
    report = MemberReport(6, (1, 2))
    assert report_in(Answered("token", PEER, OperationStatus.DONE, report.encode())) == report
    refused = Answered("token", PEER, OperationStatus.NOT_READY, report.encode())
    assert report_in(refused) is None
