"""A store asks its peers whether its disk is the newest one, and begins anew when it is not.

cluster-review 15, 34: a restarted counter, an old copy of the disk and a wiped one must never use a
dot again.
"""

from __future__ import annotations

from random import Random

import pytest

from lsmkv_cluster.healing.start_messages import START
from lsmkv_cluster.healing.starting import Starting, StartSettings
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.ports import (
    Alarm,
    Answered,
    Ask,
    Asked,
    Effect,
    Now,
    Reply,
    Stored,
    StoreOrder,
    Unanswered,
)
from lsmkv_cluster.storage.storage_orders import Done, Failed, Failure, Remember
from lsmkv_cluster.versions.actor import ActorSource, Identity, Persist
from tests.support.members import member_id

A, B, C = (member_id(name) for name in "abc")
SETTINGS = StartSettings(patience_ms=5000, ask_again_ms=1000)


class Peer:
    """One store with its notes; `restart` keeps what was remembered."""

    def __init__(self, me: bytes, peers: tuple[bytes, ...], seed: int = 1) -> None:
        self.me, self.peers, self.seed = me, peers, seed
        self.identity = Identity(int.from_bytes(me[:4], "big"), 77)
        self.notes: dict[bytes, bytes] = {}
        self.start(0)

    def start(self, sequence: int) -> None:
        self.seed += 1
        self.actors = ActorSource(self.identity, ended_cleanly=True, peers_needed=len(self.peers))
        self.machine = Starting(
            self.actors, self.peers, sequence, self.notes, Random(self.seed), SETTINGS
        )
        self.persist()

    def begin(self, now_ms: int) -> list[Effect]:
        """A tick, after the own starts have been noted."""
        effects = self.machine.tick(Now(now_ms, 0))
        if [type(effect) for effect in effects] == [StoreOrder]:
            [order] = effects
            assert isinstance(order, StoreOrder)
            assert isinstance(order.order, Remember)
            self.notes[order.order.name] = order.order.value
            assert self.machine.stored(Now(now_ms, 0), [Stored(order.token, Done())]) == []
            effects = self.machine.tick(Now(now_ms, 0))
        return effects

    def persist(self) -> None:
        for effect in self.actors.effects:
            assert isinstance(effect, Persist)
            self.identity = effect.identity
            self.actors.persisted(effect.identity)
        self.actors.effects.clear()

    def answer(self, ask: Ask, peer: bytes) -> Reply:
        """What this store answers when asked by another."""
        asked = Asked(peer, ask.opcode, ask.payload, ask.flags, ask.deadline_ms, "here")
        [order] = self.machine.asked(Now(0, 0), [asked])
        assert isinstance(order, StoreOrder)
        assert isinstance(order.order, Remember)
        self.notes[order.order.name] = order.order.value
        [reply] = self.machine.stored(Now(0, 0), [Stored(order.token, Done())])
        assert isinstance(reply, Reply)
        return reply


def ask_all(starter: Peer, others: dict[bytes, Peer], now_ms: int) -> list[object]:
    """One round of questions and answers; the alarms."""
    effects = starter.begin(now_ms)
    alarms: list[object] = [effect for effect in effects if isinstance(effect, Alarm)]
    for ask in effects:
        if isinstance(ask, Ask) and ask.to in others:
            reply = others[ask.to].answer(ask, starter.me)
            answered = Answered(ask.token, ask.to, reply.status, reply.payload)
            alarms += starter.machine.answered(Now(now_ms, 0), [answered])
    starter.persist()
    return alarms


def test_a_new_store_mints_once_all_peers_have_not_seen_it() -> None:
    a, b, c = Peer(A, (B, C)), Peer(B, (A, C)), Peer(C, (A, B))
    assert ask_all(a, {B: b}, 0) == []
    assert (a.actors.may_mint, a.machine.is_settled) == (False, False)
    assert a.machine.next_deadline() == 1000, "C is asked again"
    assert ask_all(a, {B: b, C: c}, 1000) == []
    assert (a.actors.may_mint, a.machine.is_settled) == (True, True)
    assert not a.machine.is_stale
    assert a.machine.next_deadline() is None


def test_who_does_not_answer_is_not_waited_for_for_ever() -> None:
    """Nor taken for somebody who knows nothing: its answer counts whenever it comes."""
    a, b, c = Peer(A, (B, C)), Peer(B, (A, C)), Peer(C, (A, B))
    ask_all(a, {B: b, C: c}, 0)
    c.machine.heard_sequence(A, 1, 500)
    a.start(sequence=499)
    for now_ms in range(0, 5000, 1000):
        ask_all(a, {B: b}, now_ms)
        assert (a.actors.may_mint, a.machine.is_settled) == (False, False)
    assert ask_all(a, {B: b}, 5000) == []
    assert (a.actors.may_mint, a.machine.is_settled) == (True, True)
    assert a.identity.incarnation == 77
    assert [type(alarm) for alarm in ask_all(a, {C: c}, 6000)] == [Alarm]
    assert a.machine.is_stale
    assert a.identity.incarnation != 77


def test_a_restart_with_all_that_was_written_goes_on() -> None:
    a, b = Peer(A, (B,)), Peer(B, (A,))
    ask_all(a, {B: b}, 0)
    b.machine.heard_sequence(A, 1, 500)
    a.start(sequence=500)
    assert ask_all(a, {B: b}, 0) == []
    assert (a.actors.may_mint, a.machine.is_stale, a.identity.incarnation) == (True, False, 77)


@pytest.mark.parametrize("peer_restarts", [False, True])
def test_an_old_copy_of_the_disk_is_noticed_by_its_start_number(peer_restarts: bool) -> None:
    a, b = Peer(A, (B,)), Peer(B, (A,))
    ask_all(a, {B: b}, 0)
    copy = a.identity
    for _ in range(2):
        a.start(10)
        ask_all(a, {B: b}, 0)
    if peer_restarts:
        b.start(0)
    a.identity = copy
    a.start(10)
    assert [type(alarm) for alarm in ask_all(a, {B: b}, 0)] == [Alarm]
    assert a.machine.is_stale
    assert a.identity.incarnation != 77
    assert a.identity.start_number == 4, "above all that was seen"
    assert a.actors.may_mint
    assert a.machine.take_stale()
    assert not a.machine.take_stale(), "it is told once"


def test_a_store_that_somebody_else_writes_as_begins_anew_each_time() -> None:
    a, b = Peer(A, (B,)), Peer(B, (A,))
    ask_all(a, {B: b}, 0)
    incarnations = {a.identity.incarnation}
    for times in range(2, 4):
        assert not a.machine.take_stale()
        assert [type(effect) for effect in a.machine.run_twice()] == [Alarm]
        assert a.machine.take_stale()
        assert not a.actors.may_mint, "not before it is durable"
        a.persist()
        assert a.actors.may_mint
        incarnations.add(a.identity.incarnation)
        assert len(incarnations) == times


def test_an_old_copy_of_the_same_run_is_noticed_by_its_sequence() -> None:
    """The copy was made while the last run was going on: its start number is the expected one."""
    a, b = Peer(A, (B,)), Peer(B, (A,))
    ask_all(a, {B: b}, 0)
    b.machine.heard_sequence(A, 1, 500)
    a.start(sequence=499)
    assert [type(alarm) for alarm in ask_all(a, {B: b}, 0)] == [Alarm]
    assert a.identity.incarnation != 77


def test_an_old_copy_is_noticed_although_it_has_been_started_in_between() -> None:
    """Simulated cluster 1690: the old copy was stopped cleanly before anybody had answered it, and
    at its next start it had the number that was expected of the newer disk."""
    a, b = Peer(A, (B,)), Peer(B, (A,))
    ask_all(a, {B: b}, 0)
    copy, notes = a.identity, dict(a.notes)
    a.start(10)
    ask_all(a, {B: b}, 0)
    a.identity, a.notes = copy, notes
    a.start(10)
    a.begin(0)  # nobody answers
    a.start(20)
    assert [type(alarm) for alarm in ask_all(a, {B: b}, 0)] == [Alarm]
    assert a.machine.is_stale
    assert a.identity.incarnation != 77


def test_starts_that_nobody_answered_are_not_taken_for_those_of_another_disk() -> None:
    a, b = Peer(A, (B,)), Peer(B, (A,))
    ask_all(a, {B: b}, 0)
    for sequence in (10, 20):
        a.start(sequence)
        [ask] = a.begin(0)
        assert isinstance(ask, Ask)
        b.answer(ask, A)  # and the answer is lost
    a.start(30)
    assert ask_all(a, {B: b}, 0) == []
    assert (a.machine.is_stale, a.identity.incarnation) == (False, 77)


def test_nobody_is_asked_before_the_own_start_is_noted() -> None:
    a = Peer(A, (B,))
    [order] = a.machine.tick(Now(0, 0))
    assert isinstance(order, StoreOrder)
    a.machine.stored(Now(0, 0), [Stored(order.token, Failed(Failure.FULL))])
    assert a.machine.tick(Now(500, 0)) == []
    [again] = a.machine.tick(Now(1000, 0))
    assert isinstance(again, StoreOrder)


def test_the_new_incarnation_is_not_taken_for_stale_at_its_next_start() -> None:
    a, b = Peer(A, (B,)), Peer(B, (A,))
    ask_all(a, {B: b}, 0)
    b.machine.heard_sequence(A, 1, 500)
    a.start(sequence=100)
    ask_all(a, {B: b}, 0)
    second = a.identity.incarnation
    for sequence in (120, 130):
        a.start(sequence)
        assert ask_all(a, {B: b}, 0) == []
        assert a.identity.incarnation == second


def test_the_same_question_gets_the_same_answer() -> None:
    """The answer may be lost, and is asked for again: that must not look like an old disk."""
    a, b = Peer(A, (B,)), Peer(B, (A,))
    [ask] = a.begin(0)
    assert isinstance(ask, Ask)
    first = b.answer(ask, A)
    b.start(0)
    assert b.answer(ask, A).payload == first.payload
    assert ask_all(a, {B: b}, 1000) == []
    assert a.actors.may_mint


@pytest.mark.parametrize("sequence_seen", [10, 11])
def test_who_is_alone_begins_anew_after_a_while_and_learns_the_rest_later(
    sequence_seen: int,
) -> None:
    a, b, c = Peer(A, (B, C)), Peer(B, (A, C)), Peer(C, (A, B))
    ask_all(a, {B: b, C: c}, 0)
    b.machine.heard_sequence(A, 1, sequence_seen)
    a.start(10)
    for now_ms in range(0, 5000, 1000):
        assert ask_all(a, {}, now_ms) == []
        assert not a.actors.may_mint
    assert [type(alarm) for alarm in ask_all(a, {}, 5000)] == [Alarm]
    assert a.actors.may_mint
    assert not a.machine.is_stale
    assert a.identity.incarnation != 77
    ask_all(a, {B: b}, 6000)
    assert a.machine.is_stale == (sequence_seen > 10)
    assert a.actors.may_mint


def test_a_store_without_peers_needs_nobody() -> None:
    a = Peer(A, ())
    assert a.actors.may_mint
    assert a.machine.next_deadline() is None


def test_an_answer_is_given_only_once_it_is_remembered() -> None:
    a, b = Peer(A, (B,)), Peer(B, (A,))
    [ask] = a.begin(0)
    assert isinstance(ask, Ask)
    asked = Asked(A, START, ask.payload, 0, 1000, "here")
    [order] = b.machine.asked(Now(0, 0), [asked])
    assert isinstance(order, StoreOrder)
    failed = Stored(order.token, Failed(Failure.FULL))
    assert b.machine.stored(Now(0, 0), [failed]) == [Reply("here", OperationStatus.NOT_READY)]


def test_what_cannot_be_read_is_refused_and_ignored() -> None:
    a = Peer(A, (B,))
    bad = [Asked(B, START, b"short", 0, 1000, 1), Asked(B, START + 1, b"", 0, 1000, 2)]
    assert a.machine.asked(Now(0, 0), bad) == [
        Reply(1, OperationStatus.MALFORMED),
        Reply(2, OperationStatus.UNKNOWN_OPCODE),
    ]
    answers = [
        Answered(B, B, OperationStatus.DONE, b"short"),
        Answered(B, B, OperationStatus.NOT_READY, b""),
        Unanswered(B, B),
    ]
    assert a.machine.answered(Now(0, 0), answers) == []
    assert not a.actors.may_mint
    a.notes = {b"start/" + B: b"damaged", b"other": b""}
    a.start(0)
