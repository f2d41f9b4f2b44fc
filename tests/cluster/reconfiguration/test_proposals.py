"""Changes are put forward one after the other, with ballots that are never used twice."""

from __future__ import annotations

from random import Random

import pytest

from lsmkv_cluster.placement.members import MemberId, actor_number
from lsmkv_cluster.placement.topology_format import decode_topology, successor
from lsmkv_cluster.ports import Alarm, Ask, Effect, Now, StoreOrder
from lsmkv_cluster.reconfiguration import proposals as module
from lsmkv_cluster.reconfiguration.acceptor import Acceptor
from lsmkv_cluster.reconfiguration.adoption import Known
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.reconfiguration.paxos_messages import (
    ACCEPT,
    PREPARE,
    Accept,
    Accepted,
    Outbid,
    Prepare,
    Promise,
)
from lsmkv_cluster.reconfiguration.proposals import Changed, Outcome, Proposals, Proposing
from lsmkv_cluster.reconfiguration.proposer import Heard
from lsmkv_cluster.reconfiguration.topology_changes import Reweigh
from lsmkv_cluster.reconfiguration.voter import Voter, Voting
from tests.support.heal_lab import heal_topology
from tests.support.members import member_id

FIRST = Known.of(heal_topology(member_count=3))
OTHER = Known.of(successor(FIRST.document, feature_level=2))
N1, N2, N3 = (member_id(f"n{number}") for number in range(1, 4))
SETTINGS = KeeperSettings(retry_min_ms=50, retry_max_ms=400, patience_ms=10_000)


class Lab:
    """The proposals of N1; the store remembers at once unless `store_fails`."""

    def __init__(self, state: Acceptor | None = None) -> None:
        self.now_ms = 0
        self.unreachable: set[MemberId] = set()
        self.store_fails = False
        self.decided: list[Known] = []
        self.voter = Voter(state or Acceptor(2))
        self.asks: list[Ask] = []
        self.machine = Proposals(
            N1, self.voter, self.is_reachable, self.on_decided, Random(1), SETTINGS
        )

    def is_reachable(self, id: MemberId) -> bool:
        return id not in self.unreachable

    def on_decided(self, now: Now, known: Known) -> list[Effect]:
        self.decided.append(known)
        return []

    @property
    def now(self) -> Now:
        return Now(self.now_ms, 1)

    def take(self, effects: list[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, StoreOrder):
                assert isinstance(effect.token, Voting)
                vote = self.voter.stored(effect.token, is_done=not self.store_fails)
                assert isinstance(vote.to, Proposing)
                self.take(self.machine.hear(self.now, vote.to, N1, vote.answer))
            else:
                assert isinstance(effect, Ask)
                self.asks.append(effect)

    def want(self, token: str, change: Reweigh) -> None:
        self.machine.change(self.now, token, change)
        self.go_on()

    def go_on(self, current: Known = FIRST) -> None:
        self.take(self.machine.go_on(self.now, current))

    def answer(self, answers: dict[MemberId, Heard]) -> None:
        """To the questions asked since the last time."""
        asks, self.asks = self.asks, []
        for ask in asks:
            if ask.to in answers:
                assert isinstance(ask.token, Proposing)
                self.take(self.machine.hear(self.now, ask.token, ask.to, answers[ask.to]))

    def ballots(self) -> set[int]:
        return {Prepare.decode(ask.payload).ballot for ask in self.asks if ask.opcode == PREPARE}

    def next_attempt(self) -> None:
        due_ms = self.machine.next_deadline(is_settled=True)
        assert due_ms is not None
        assert self.now_ms < due_ms <= self.now_ms + SETTINGS.retry_max_ms
        self.now_ms = due_ms
        self.go_on()


def ballot(round: int) -> int:
    return round << 32 | actor_number(N1)


def test_a_change_is_chosen_by_a_majority_with_oneself() -> None:
    lab = Lab()
    lab.want("weigh", Reweigh(N2, 150))
    assert lab.ballots() == {ballot(1)}
    lab.answer({N2: Promise()})
    accepts = [Accept.decode(ask.payload) for ask in lab.asks if ask.opcode == ACCEPT]
    assert {each.ballot for each in accepts} == {ballot(1)}
    assert decode_topology(accepts[0].document).members_by_id[N2].weight == 150
    lab.answer({N2: Accepted()})
    [known] = lab.decided
    assert known.data == accepts[0].document
    [changed] = lab.machine.outputs
    assert (changed.token, changed.outcome, changed.epoch) == ("weigh", Outcome.COMMITTED, 2)


def test_after_a_restart_a_higher_round_is_taken() -> None:
    lab = Lab(Acceptor(2, promised=ballot(7)))
    lab.want("weigh", Reweigh(N2, 150))
    assert lab.ballots() == {ballot(8)}


def test_nobody_is_asked_before_the_own_promise_is_remembered() -> None:
    lab = Lab()
    lab.store_fails = True
    lab.want("weigh", Reweigh(N2, 150))
    assert lab.asks == []
    lab.store_fails = False
    lab.next_attempt()
    assert lab.ballots() == {ballot(2)}


def test_who_is_outbid_comes_again_with_a_higher_ballot() -> None:
    lab = Lab()
    lab.want("weigh", Reweigh(N2, 150))
    lab.answer({N2: Outbid(5 << 32 | 3), N3: None})
    lab.next_attempt()
    assert lab.ballots() == {ballot(6)}
    assert lab.machine.outputs == []


def test_what_others_chose_is_taken_and_the_change_made_after_it() -> None:
    lab = Lab()
    lab.want("weigh", Reweigh(N2, 150))
    lab.answer({N2: Promise(3, OTHER.data)})
    lab.answer({N2: Accepted()})
    assert lab.decided == [OTHER]
    assert lab.machine.outputs == []
    lab.voter.decide(3)
    lab.now_ms += 500
    lab.go_on(OTHER)
    assert {Prepare.decode(ask.payload).epoch for ask in lab.asks} == {3}


def test_what_cannot_be_made_any_more_is_lost() -> None:
    lab = Lab()
    lab.want("weigh", Reweigh(N2, 150))
    lab.machine.hear_further(lab.now, 2)
    lab.now_ms += 500
    members = tuple(member for member in FIRST.document.members if member.id != N2)
    rows = tuple(tuple(id for id in row if id != N2) for row in FIRST.document.owners)
    lab.go_on(Known.of(successor(FIRST.document, members=members, owners=rows)))
    [changed] = lab.machine.outputs
    assert changed.outcome is Outcome.LOST


def test_patience_ends_and_says_whether_it_may_still_be_decided() -> None:
    for is_asked, text in ((False, "no majority was had in time"), (True, "may still be decided")):
        lab = Lab()
        lab.want("weigh", Reweigh(N2, 150))
        if is_asked:
            lab.answer({N2: Promise()})
        lab.now_ms = 9_999
        lab.machine.tick(lab.now, FIRST)
        assert lab.machine.outputs == []
        assert lab.machine.next_deadline(is_settled=True) == 10_000
        lab.now_ms = 10_000
        lab.machine.tick(lab.now, FIRST)
        [changed] = lab.machine.outputs
        assert changed.outcome is Outcome.NO_MAJORITY
        assert text in changed.text
        assert ("may still" in changed.text) == is_asked


def test_who_cannot_be_reached_is_not_waited_for() -> None:
    lab = Lab()
    lab.unreachable = {N3}
    lab.want("weigh", Reweigh(N2, 150))
    assert [ask.to for ask in lab.asks] == [N2]
    lab.answer({N2: None})
    lab.next_attempt()
    lab.unreachable = {N2, N3}
    lab.answer({N2: None})
    lab.now_ms += 500
    lab.go_on()
    [changed] = lab.machine.outputs
    assert (changed.outcome, changed.text) == (
        Outcome.NO_MAJORITY,
        "1 of 3 voters can be reached",
    )


def test_a_member_alone_decides_alone() -> None:
    alone = Known.of(heal_topology(member_count=1, copies=1))
    lab = Lab()
    lab.machine.change(lab.now, "weigh", Reweigh(N1, 150))
    lab.go_on(alone)
    [changed] = lab.machine.outputs
    assert isinstance(changed, Changed)
    assert changed.outcome is Outcome.COMMITTED
    assert lab.asks == []


def test_the_conductor_waits_for_operators() -> None:
    lab = Lab()
    fields = {"feature_level": 2}
    lab.want("weigh", Reweigh(N2, 150))
    assert lab.machine.conduct(lab.now, FIRST, fields) == []
    lab.answer({N2: Promise()})
    lab.answer({N2: Accepted()})
    lab.now_ms += 500
    lab.asks = []
    lab.take(lab.machine.conduct(lab.now, FIRST, fields))
    lab.answer({N2: Promise()})
    document = decode_topology(Accept.decode(lab.asks[0].payload).document)
    assert document.members_by_id[N2].weight == 150, "that was accepted before"


def test_the_conductor_proposes_nothing_that_cannot_be_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fields = {"feature_level": 2}
    lab = Lab()
    lab.unreachable = {N2, N3}
    assert lab.machine.conduct(lab.now, FIRST, fields) == []
    lab.unreachable = set()
    monkeypatch.setattr(module, "DOCUMENT_SIZE_MAX", 100)
    [alarm] = lab.machine.conduct(lab.now, FIRST, fields)
    assert isinstance(alarm, Alarm)
