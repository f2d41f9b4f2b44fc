"""Datagrams are full of news, never too large, and tell the accused first."""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.operations import Operation, encoded_size
from lsmkv_cluster.ports import Now
from lsmkv_cluster.swim.gossip import Gossip
from lsmkv_cluster.swim.gossip_messages import PING, Statement, Vitals, decode_statement
from lsmkv_cluster.swim.local_health import LocalHealth
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.member_table import MemberTable
from lsmkv_cluster.swim.membership_settings import MembershipSettings
from lsmkv_cluster.swim.own_state import SelfDescription
from lsmkv_cluster.swim.peers import Peers
from lsmkv_cluster.transport.datagram import OPERATIONS_SIZE_MAX

ME = b"\0" * 16
NOW = Now(5000, 1_800_000_000_000)
VITALS = Vitals(0, 0, 1, 0, 0, 0)


class Laboratory:
    def __init__(self, count: int, lifeguard: bool = True) -> None:
        self.others = [bytes([number]) * 16 for number in range(1, count)]
        settings = MembershipSettings(lifeguard=lifeguard)
        self.table = MemberTable(ME, self.others, settings.suspicion(count), lifeguard)
        peers = Peers(self.others, random.Random(1))
        own = SelfDescription(ME, 3)
        self.gossip = Gossip(own, self.table, peers, LocalHealth(8), settings)

    def learn(self, member: bytes, status: Status) -> None:
        has_vitals = status is Status.ALIVE
        accusers = () if has_vitals else (ME,)
        said = Statement(status, member, 1, VITALS if has_vitals else None, accusers)
        self.table.learn(0, self.table.records[member], said)

    def told(self, to: bytes, *operations: Operation) -> list[Statement]:
        [datagram] = self.gossip.datagram(NOW, to, list(operations))
        return [
            decode_statement(operation.payload)
            for operation in datagram.operations[len(operations) :]
        ]


def test_a_datagram_is_filled_with_news_and_never_too_large():
    lab = Laboratory(200)
    for member in lab.others:
        lab.learn(member, Status.SUSPECT)
        lab.gossip.spread(0, member)
    largest = 0
    for to in lab.others:
        [datagram] = lab.gossip.datagram(NOW, to, [Operation(PING, b"x" * 42)])
        largest = max(largest, encoded_size(datagram.operations))
    assert OPERATIONS_SIZE_MAX - 50 < largest <= OPERATIONS_SIZE_MAX


@pytest.mark.parametrize("status", [Status.SUSPECT, Status.DEAD])
def test_the_accused_is_told_first(status: Status):
    lab = Laboratory(5)
    one, two, *_ = lab.others
    lab.learn(one, status)
    lab.learn(two, Status.ALIVE)
    lab.gossip.spread(0, two)
    told = lab.told(one, Operation(PING, b""))
    assert [(said.member, said.status) for said in told] == [(one, status), (two, Status.ALIVE)]
    assert lab.table.records[one].told_ms == NOW.ms


def test_plain_swim_tells_the_dead_alone():
    lab = Laboratory(5, lifeguard=False)
    one, two, *_ = lab.others
    lab.learn(one, Status.SUSPECT)
    lab.learn(two, Status.DEAD)
    assert lab.gossip.datagram(NOW, one, []) == []
    assert [said.member for said in lab.told(two)] == [two]


def test_there_is_gossip_while_there_is_news_and_no_longer():
    lab = Laboratory(8)
    assert lab.gossip.next_deadline() is None
    assert lab.gossip.tick(NOW) == []
    lab.gossip.spread(NOW.ms, ME)
    assert lab.gossip.next_deadline() == NOW.ms
    counts = []
    for _ in range(4):
        due_ms = lab.gossip.next_deadline()
        if due_ms is None:
            break
        counts.append(len(lab.gossip.tick(Now(due_ms, 0))))
    assert counts == [3, 2]  # five times in all
    lab.gossip.spread(NOW.ms, ME)
    assert lab.gossip.next_deadline() == NOW.ms + 2 * 200


def test_nobody_gossips_to_the_dead():
    lab = Laboratory(4)
    one, two, three = lab.others
    for member in (one, two):
        lab.learn(member, Status.DEAD)
    lab.gossip.spread(0, ME)
    assert {datagram.to for datagram in lab.gossip.round(NOW)} == {three}
