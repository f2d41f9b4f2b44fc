"""One member asks the others how far they are, and another one when that one does not."""

from __future__ import annotations

from dataclasses import replace

from lsmkv_cluster.placement.members import MemberId, MemberState
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.placement.topology_format import successor
from lsmkv_cluster.ports import Ask, Now
from lsmkv_cluster.reconfiguration.conductor import Conductor, Polling
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.reconfiguration.paxos_messages import REPORT, MemberReport, decode_epoch
from lsmkv_cluster.reconfiguration.topology_changes import Following, Leave, follow
from tests.support.heal_lab import heal_topology

SETTINGS = KeeperSettings(poll_interval_ms=1000, conduct_after_ms=5000)
SETTLED = heal_topology(member_count=4)
A, B, C, D = sorted(member.id for member in SETTLED.members)


def opened() -> Topology:
    found = follow(SETTLED, Leave(D))
    assert isinstance(found, Following)
    return found.document


MOVING = opened()
EVERYTHING = tuple(range(len(MOVING.owners)))
DONE = MemberReport(MOVING.epoch, EVERYTHING, EVERYTHING)


class Lab:
    def __init__(self, me: MemberId = A, unreachable: tuple[MemberId, ...] = ()) -> None:
        self.unreachable = unreachable
        self.has_vote = True
        self.machine = Conductor(
            me, lambda id: id not in self.unreachable, lambda: self.has_vote, lambda: DONE, SETTINGS
        )

    def poll(self, now_ms: int, document: Topology = MOVING) -> list[MemberId]:
        """Who is asked."""
        effects = self.machine.tick(Now(now_ms, 1), document)
        for ask in effects:
            assert isinstance(ask, Ask)
            assert (ask.opcode, decode_epoch(ask.payload)) == (REPORT, document.epoch)
            assert now_ms < ask.deadline_ms < self.machine.next_deadline()
        return [ask.to for ask in effects if isinstance(ask, Ask)]


def test_the_first_who_can_be_reached_asks_all_others_each_second() -> None:
    lab = Lab(B, unreachable=(A,))
    assert lab.poll(0) == [C, D]
    assert lab.machine.next_deadline() == 1000
    assert lab.poll(999) == []
    assert lab.poll(1000) == [C, D]


def test_what_the_reports_allow_is_said_when_all_have_answered() -> None:
    lab = Lab(unreachable=(D,))
    assert lab.poll(0) == [B, C]
    lab.machine.hear(Polling(1), B, DONE)
    assert lab.machine.judge(MOVING) is None
    lab.machine.hear(Polling(1), C, None)
    lab.poll(1000)
    for id in (B, C):
        lab.machine.hear(Polling(1), id, DONE)
    assert lab.machine.judge(MOVING) is None, "those were answers to an earlier round"
    for id in (B, C):
        lab.machine.hear(Polling(2), id, DONE)
    fields = lab.machine.judge(MOVING)
    assert fields is not None
    assert successor(MOVING, **fields).transitions != MOVING.transitions
    assert lab.machine.judge(MOVING) is None, "once a round"


def test_the_next_one_takes_over_when_nobody_was_heard_to_conduct() -> None:
    """The first may be without a vote, or see nobody."""
    lab = Lab(C)
    for now_ms in range(0, 7000, 1000):
        assert lab.poll(now_ms) == []
    lab.machine.polled(Now(6500, 1), A)
    lab.machine.polled(Now(9500, 1), D)
    for now_ms in range(7000, 16000, 1000):
        assert lab.poll(now_ms) == []
    assert lab.poll(17000) == [A, B, D], "two are before it, and one after it does not count"


def test_who_has_no_vote_does_not_conduct() -> None:
    lab = Lab()
    lab.has_vote = False
    assert lab.poll(0) == []
    lab.has_vote = True
    assert lab.poll(1000) == [B, C, D]


def test_where_nothing_is_open_it_has_one_look_in_each_epoch() -> None:
    """What was left out of a plan may be due."""
    lab = Lab()
    assert lab.poll(0, SETTLED) == [B, C, D]
    for id in (B, C, D):
        lab.machine.hear(Polling(1), id, None)
    assert lab.machine.judge(SETTLED) is None
    assert lab.poll(1000, SETTLED) == []
    assert lab.poll(2000, successor(SETTLED, feature_level=2)) == [B, C, D]


def test_the_removed_are_not_asked() -> None:
    members = [
        replace(member, state=MemberState.REMOVED) if member.id == D else member
        for member in MOVING.members
    ]
    assert Lab().poll(0, replace(MOVING, members=tuple(members))) == [B, C]
