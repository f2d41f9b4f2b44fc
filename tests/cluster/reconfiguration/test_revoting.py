"""A voter that has forgotten votes again when nothing that it may have promised can matter."""

from __future__ import annotations

import pytest

from lsmkv_cluster.ports import Ask, Now
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.reconfiguration.paxos_messages import REPORT, MemberReport
from lsmkv_cluster.reconfiguration.revoting import EPOCHS_WITHOUT_VOTE, Revoting, Surveying
from tests.support.members import member_id
from tests.support.quorum_lab import make_lab_topology

DOCUMENT = make_lab_topology("a b c d e", "a b c")
A, B, C, D, E = (member_id(name) for name in "abcde")
NOW = Now(1000, 0)


def started() -> Revoting:
    revoting = Revoting(A, KeeperSettings())
    revoting.begin()
    return revoting


def test_nothing_is_asked_by_who_remembers():
    revoting = Revoting(A, KeeperSettings())
    assert revoting.next_deadline() is None
    assert revoting.tick(NOW, DOCUMENT) == []
    revoting.hear(B, MemberReport(7))
    assert revoting.votes_from(DOCUMENT) is None


def test_all_others_are_asked_until_a_majority_has_told():
    revoting = started()
    asks = revoting.tick(NOW, DOCUMENT)
    assert all(isinstance(ask, Ask) and ask.opcode == REPORT for ask in asks)
    assert [ask.to for ask in asks if isinstance(ask, Ask)] == sorted([B, C, D, E])
    assert all(isinstance(ask.token, Surveying) for ask in asks if isinstance(ask, Ask))
    assert revoting.tick(NOW, DOCUMENT) == []
    for peer, epoch in ((B, 4), (C, 6)):
        revoting.hear(peer, MemberReport(epoch))
        assert revoting.votes_from(DOCUMENT) is None, "not even with this one itself"
    assert revoting.tick(Now(2000, 0), DOCUMENT) != []
    revoting.hear(D, MemberReport(5))
    assert revoting.votes_from(DOCUMENT) == 6 + EPOCHS_WITHOUT_VOTE
    assert revoting.votes_from(DOCUMENT) is None, "once"
    assert revoting.next_deadline() is None


@pytest.mark.parametrize(
    "report", [None, MemberReport(9, has_vote=False)], ids=["silent", "has forgotten, too"]
)
def test_who_says_nothing_or_remembers_nothing_does_not_count(report: MemberReport | None):
    revoting = started()
    for peer in (B, C):
        revoting.hear(peer, MemberReport(5))
    revoting.hear(D, report)
    assert revoting.votes_from(DOCUMENT) is None


def test_who_is_no_voter_does_not_count():
    revoting = started()
    for peer in (B, C, member_id("f")):
        revoting.hear(peer, MemberReport(5))
    assert revoting.votes_from(DOCUMENT) is None


def test_another_loss_begins_anew():
    revoting = started()
    for peer in (B, C, D):
        revoting.hear(peer, MemberReport(5))
    revoting.begin()
    assert revoting.votes_from(DOCUMENT) is None
