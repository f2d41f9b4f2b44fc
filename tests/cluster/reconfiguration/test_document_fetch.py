"""One question for a newer document at a time, to whoever may have it."""

from __future__ import annotations

from random import Random

from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology_format import successor
from lsmkv_cluster.ports import Ask, Effect, Now
from lsmkv_cluster.reconfiguration.adoption import Known
from lsmkv_cluster.reconfiguration.document_fetch import DocumentFetch, Fetching
from lsmkv_cluster.reconfiguration.keeper_settings import KeeperSettings
from lsmkv_cluster.reconfiguration.paxos_messages import FETCH, Fetch
from tests.support.heal_lab import heal_topology
from tests.support.members import member_id

FIRST = Known.of(heal_topology(member_count=5))
SECOND = Known.of(successor(FIRST.document, feature_level=2))
N1, N2, N3, N4, N5 = (member_id(f"n{number}") for number in range(1, 6))
STRANGER = member_id("stranger")
NOW = Now(100, 1)


def fetch(unreachable: tuple[MemberId, ...] = ()) -> DocumentFetch:
    return DocumentFetch(N1, lambda id: id not in unreachable, Random(1), KeeperSettings())


def asked(effects: list[Effect]) -> tuple[MemberId, Fetching] | None:
    if not effects:
        return None
    [ask] = effects
    assert isinstance(ask, Ask)
    assert ask.opcode == FETCH
    assert Fetch.decode(ask.payload) == Fetch(FIRST.epoch, FIRST.hash)
    assert isinstance(ask.token, Fetching)
    return ask.to, ask.token


def test_who_shows_a_newer_epoch_is_asked_once() -> None:
    machine = fetch()
    found = asked(machine.heard(NOW, STRANGER, 2, FIRST))
    assert found is not None
    assert found[0] == STRANGER
    assert machine.heard(NOW, N2, 2, FIRST) == []
    assert machine.ended(NOW, found[1], SECOND) == []
    assert machine.heard(NOW, N2, 2, SECOND) == []
    assert machine.heard(NOW, N2, 1, FIRST) == []
    assert machine.heard(NOW, N1, 9, FIRST) == [], "that is this node itself"


def test_if_it_fails_all_others_are_asked_once_each() -> None:
    machine = fetch(unreachable=(N5,))
    found = asked(machine.heard(NOW, N2, 2, FIRST))
    order = []
    while found is not None:
        order.append(found[0])
        found = asked(machine.ended(NOW, found[1], FIRST))
    assert order[0] == N2
    assert sorted(order[1:]) == sorted([N2, N3, N4])
    assert asked(machine.heard(NOW, N3, 2, FIRST)) is not None, "the next frame begins anew"


def test_who_shows_it_meanwhile_is_asked_next() -> None:
    machine = fetch()
    found = asked(machine.heard(NOW, N2, 2, FIRST))
    assert found is not None
    machine.heard(NOW, STRANGER, 3, FIRST)
    second = asked(machine.ended(NOW, found[1], FIRST))
    assert second is not None
    assert second[0] == STRANGER
    assert machine.ended(NOW, found[1], FIRST) == [], "an answer that came late"


def test_now_and_then_somebody_is_asked_without_a_cause() -> None:
    machine = fetch()
    found = asked(machine.tick(NOW, FIRST))
    assert found is not None
    due_ms = machine.next_deadline()
    assert 5_000 < due_ms - NOW.ms <= 15_001
    assert machine.ended(NOW, found[1], FIRST) == []
    assert machine.tick(Now(due_ms - 1, 1), FIRST) == []
    assert asked(machine.tick(Now(due_ms, 1), FIRST)) is not None
    later = Now(machine.next_deadline(), 1)
    assert machine.tick(later, FIRST) == [], "the last question is still open"


def test_nobody_is_there_to_be_asked() -> None:
    machine = fetch(unreachable=(N2, N3, N4, N5))
    assert machine.tick(NOW, FIRST) == []
    assert machine.next_deadline() > NOW.ms
