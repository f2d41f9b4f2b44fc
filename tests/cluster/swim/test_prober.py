"""A probe tries every way before it fails; what comes at the wrong time or place does not count."""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.ports import Ask, Now
from lsmkv_cluster.swim.gossip_messages import (
    INDIRECT_PING,
    NOT_REACHED,
    PING,
    REACHED,
    IndirectPing,
    OwnState,
    Statement,
    Vitals,
    decode_indirect_ping,
    decode_number,
    encode_number,
)
from lsmkv_cluster.swim.local_health import LocalHealth
from lsmkv_cluster.swim.member_status import Status
from lsmkv_cluster.swim.member_table import MemberTable
from lsmkv_cluster.swim.membership_settings import MembershipSettings
from lsmkv_cluster.swim.peers import Peers
from lsmkv_cluster.swim.prober import RELAYS_MAX, Failed, PingToken, Prober, Tell
from lsmkv_cluster.transport.wire import Lane

SETTINGS = MembershipSettings()
ME = b"\0" * 16
OTHERS = [bytes([number]) * 16 for number in range(1, 7)]
VITALS = Vitals(0, 0, 1, 0, 0, 5000)


def now(ms: int) -> Now:
    return Now(ms, 1000 + ms)


def ack(number: int) -> OwnState:
    return OwnState(number, 1, VITALS)


class Laboratory:
    """A prober of `count` others, and the probe that it made first."""

    def __init__(self, count: int = 6, seed: int = 1) -> None:
        others = OTHERS[:count]
        rng = random.Random(seed)
        self.table = MemberTable(ME, others, SETTINGS.suspicion(count + 1), True)
        self.health = LocalHealth(8)
        self.prober = Prober(
            self.table,
            Peers(others, rng),
            self.health,
            SETTINGS,
            rng,
            lambda number, _: encode_number(number),
        )
        self.prober.start(0)
        self.began_ms = self.prober.next_deadline()
        [tell] = self.prober.tick(now(self.began_ms))
        assert isinstance(tell, Tell)
        assert tell.operation.opcode == PING
        self.target = tell.to
        self.number = decode_number(tell.operation.payload)

    def at(self, after_ms: int):
        return self.prober.tick(now(self.began_ms + after_ms))

    def asks_others(self) -> list[bytes]:
        """At the timeout; the relays."""
        *tells, ask = self.at(SETTINGS.probe_timeout_ms)
        assert isinstance(ask, Ask)
        assert (ask.to, ask.lane, ask.opcode) == (self.target, Lane.CONTROL, PING)
        assert ask.deadline_ms == self.began_ms + SETTINGS.probe_interval_ms
        assert ask.token == PingToken(self.number)
        for tell in tells:
            assert tell.operation.opcode == INDIRECT_PING
            asked = decode_indirect_ping(tell.operation.payload)
            assert asked == IndirectPing(self.number, self.target)
        return [tell.to for tell in tells]

    def failures(self) -> list[bytes]:
        found = self.at(SETTINGS.probe_interval_ms)
        return [effect.record.member for effect in found if isinstance(effect, Failed)]


def test_a_probe_tries_every_way_and_fails_at_the_end_of_its_interval():
    lab = Laboratory()
    assert lab.at(SETTINGS.probe_timeout_ms - 1) == []
    relays = lab.asks_others()
    assert len(set(relays)) == 3
    assert lab.target not in relays
    assert lab.at(SETTINGS.probe_interval_ms - 1) == []
    assert lab.failures() == [lab.target]


def test_an_answer_ends_it():
    lab = Laboratory()
    assert lab.prober.acknowledged(now(lab.began_ms + 7), lab.target, ack(lab.number)) == []
    assert lab.prober.next_deadline() == lab.began_ms + SETTINGS.probe_interval_ms
    assert lab.failures() == []
    clock = lab.table.records[lab.target].clock
    assert clock is not None
    assert clock.offset_ms == 5000 - (1000 + lab.began_ms) - 3


@pytest.mark.parametrize("way", ["relay", "stream"])
def test_so_does_one_that_comes_another_way(way: str):
    lab = Laboratory()
    relays = lab.asks_others()
    if way == "relay":
        lab.prober.reported(relays[1], lab.number, True)
    else:
        lab.prober.answered(lab.number)
    assert lab.failures() == []


def test_what_does_not_fit_the_probe_does_not_end_it():
    lab = Laboratory()
    other = next(member for member in OTHERS if member != lab.target)
    lab.prober.reported(other, lab.number, True)  # it was not asked yet
    relays = lab.asks_others()
    lab.prober.acknowledged(now(600), other, ack(lab.number))
    lab.prober.acknowledged(now(600), lab.target, ack(lab.number + 1))
    lab.prober.reported(relays[0], lab.number + 1, True)
    lab.prober.reported(relays[0], lab.number, False)
    lab.prober.answered(lab.number + 1)
    assert lab.failures() == [lab.target]


@pytest.mark.parametrize(("report_count", "score"), [(3, 0), (2, 1), (0, 3)])
def test_silent_relays_cost_health(report_count: int, score: int):
    lab = Laboratory()
    for relay in lab.asks_others()[:report_count]:
        lab.prober.reported(relay, lab.number, False)
    lab.failures()
    assert lab.health.score == score


def test_without_relays_the_failure_itself_does():
    lab = Laboratory(1)
    assert lab.asks_others() == []
    assert lab.failures() == [lab.target]
    assert lab.health.score == 1


def test_that_it_still_fails_says_nothing_of_us():
    lab = Laboratory(1)
    lab.table.accuse(0, lab.table.records[lab.target])
    lab.asks_others()
    lab.failures()
    assert lab.health.score == 0


def test_who_is_unwell_waits_longer():
    lab = Laboratory()
    lab.prober.answered(lab.number)
    lab.health.note(2)
    start_ms = SETTINGS.probe_interval_ms
    lab.at(start_ms)
    assert lab.at(start_ms + 3 * SETTINGS.probe_timeout_ms - 1) == []
    assert lab.at(start_ms + 3 * SETTINGS.probe_timeout_ms) != []
    assert lab.at(start_ms + 3 * SETTINGS.probe_interval_ms - 1) == []
    failed, *_ = lab.at(start_ms + 3 * SETTINGS.probe_interval_ms)
    assert isinstance(failed, Failed)


def test_pings_for_others_are_reported_either_way():
    lab = Laboratory()
    one, two = OTHERS[:2]
    [tell] = lab.prober.relay(now(0), one, IndirectPing(77, two))
    number = decode_number(tell.operation.payload)
    assert tell.to == two
    assert lab.prober.acknowledged(now(1), one, ack(number)) == []
    [reached] = lab.prober.acknowledged(now(1), two, ack(number))
    assert (reached.to, reached.operation.opcode) == (one, REACHED)
    assert decode_number(reached.operation.payload) == 77
    start_ms = lab.began_ms + 10
    lab.prober.relay(now(start_ms), one, IndirectPing(78, two))
    assert lab.prober.next_deadline() == start_ms + SETTINGS.relay_timeout_ms
    [not_reached] = lab.prober.tick(now(start_ms + SETTINGS.relay_timeout_ms))
    assert (not_reached.to, not_reached.operation.opcode) == (one, NOT_REACHED)
    assert decode_number(not_reached.operation.payload) == 78


def test_pings_for_others_are_bounded_and_for_members():
    lab = Laboratory()
    one, two = OTHERS[:2]
    assert lab.prober.relay(now(0), one, IndirectPing(1, b"?" * 16)) == []
    made = [lab.prober.relay(now(0), one, IndirectPing(1, two)) for _ in range(RELAYS_MAX + 1)]
    assert [len(tells) for tells in made] == [1] * RELAYS_MAX + [0]


def test_after_a_reset_nothing_counts():
    lab = Laboratory()
    lab.prober.relay(now(0), OTHERS[0], IndirectPing(1, OTHERS[1]))
    lab.prober.reset(5000)
    assert lab.prober.next_deadline() == 5000 + SETTINGS.probe_interval_ms
    effects = lab.prober.tick(now(6000))
    assert [effect.operation.opcode for effect in effects] == [PING]
    assert lab.health.score == 0


def test_each_of_the_dead_is_pinged_about_once_an_interval_by_somebody():
    lab = Laboratory()
    dead = [member for member in OTHERS if member != lab.target][:2]
    for member in dead:
        record = lab.table.records[member]
        lab.table.learn(0, record, Statement(Status.DEAD, member, 1))
    assert lab.table.live_count == 5
    counts = dict.fromkeys(OTHERS, 0)
    for second in range(1, 2001):
        for effect in lab.at(second * 1000):
            if isinstance(effect, Tell):
                counts[effect.to] += 1
                lab.prober.acknowledged(
                    now(0), effect.to, ack(decode_number(effect.operation.payload))
                )
    # Five live members do it: a fifth of the intervals for each of the dead.
    assert all(300 < counts[member] < 500 for member in dead)
