"""What is news is passed on once, what wrongs this node is refuted, the rest is ignored."""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.errors import Malformed
from lsmkv_cluster.ports import Now
from lsmkv_cluster.swim.gossip import Gossip
from lsmkv_cluster.swim.gossip_messages import OwnState, Statement, Vitals, encode_exchange
from lsmkv_cluster.swim.hearsay import Hearsay
from lsmkv_cluster.swim.local_health import LocalHealth
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.member_table import MemberTable
from lsmkv_cluster.swim.membership_settings import MembershipSettings
from lsmkv_cluster.swim.own_state import SelfDescription
from lsmkv_cluster.swim.peers import Peers

ME, ONE, TWO, NOBODY = (bytes([number]) * 16 for number in range(4))
SETTINGS = MembershipSettings()
VITALS = Vitals(0, 0, 1, 0, 0, 0)


class Laboratory:
    def __init__(self) -> None:
        self.own = SelfDescription(ME, 3)
        self.health = LocalHealth(8)
        self.table = MemberTable(ME, [ONE, TWO], SETTINGS.suspicion(3), True)
        peers = Peers([ONE, TWO], random.Random(1))
        self.gossip = Gossip(self.own, self.table, peers, self.health, SETTINGS)
        self.hearsay = Hearsay(self.own, self.table, self.gossip, self.health, peers)

    @property
    def has_news(self) -> bool:
        """And there is none afterwards."""
        found = self.gossip.next_deadline() is not None
        while self.gossip.next_deadline() is not None:
            self.gossip.round(Now(0, 0))
        return found


def test_what_a_member_says_of_itself_is_news_once():
    lab = Laboratory()
    for expected in (True, False):
        lab.hearsay.learn_state(Now(0, 0), ONE, OwnState(1, 5, VITALS))
        assert lab.has_news is expected
    assert lab.table.records[ONE].incarnation == 5


def test_of_a_table_only_a_change_of_status_is_passed_on():
    lab = Laboratory()
    dead = Statement(Status.DEAD, TWO, 1, None, (ONE,))
    lab.hearsay.learn_rows(0, encode_exchange([Statement(Status.ALIVE, ONE, 5, VITALS)]))
    assert not lab.has_news
    lab.hearsay.learn_rows(0, encode_exchange([dead]))
    assert lab.has_news
    assert lab.table.records[ONE].incarnation == 5
    with pytest.raises(Malformed):
        lab.hearsay.learn_rows(0, b"\xff")


def test_what_is_said_of_nobody_is_ignored():
    lab = Laboratory()
    lab.hearsay.learn(0, Statement(Status.DEAD, NOBODY, 1, None, (ONE,)))
    assert not lab.has_news
    assert set(lab.table.records) == {ONE, TWO}


def test_what_wrongs_this_node_is_refuted_and_another_run_is_an_alarm_once():
    lab = Laboratory()
    lab.hearsay.learn(0, Statement(Status.SUSPECT, ME, 3 << 32, None, (ONE,)))
    assert (lab.own.incarnation, lab.health.score) == ((3 << 32) + 1, 1)
    assert lab.has_news
    assert lab.hearsay.take_alarms() == []
    for incarnation in (9 << 32, 10 << 32):
        lab.hearsay.learn(0, Statement(Status.ALIVE, ME, incarnation, VITALS))
        assert lab.own.incarnation == incarnation + 1
    assert len(lab.hearsay.take_alarms()) == 1
    assert lab.hearsay.take_alarms() == []
