"""The lab moves nothing by itself, and notices what must never happen."""

from __future__ import annotations

import pytest

from lsmkv_cluster.coordination.replica_messages import MERGE, encode_merge
from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Verb
from lsmkv_cluster.driver_ports import ClientReply
from lsmkv_cluster.operations import Machine
from lsmkv_cluster.placement.keyspaces import Consistency, Level
from lsmkv_cluster.ports import Ask, Reply
from lsmkv_cluster.storage.storage_orders import (
    Failed,
    Failure,
    Merge,
    Merged,
    Mint,
    Read,
    Space,
    Sync,
    Values,
)
from lsmkv_cluster.transport.wire import Lane
from tests.support.fake_store import some_record
from tests.support.members import member_id
from tests.support.quorum_lab import QuorumLab, make_lab_topology

PUT = ClientRequest(Verb.PUT, b"k", (b"v",), write=Consistency(Level.ALL))
RECORD = some_record(1)


@pytest.fixture
def lab() -> QuorumLab:
    return QuorumLab()


def test_nothing_moves_by_itself(lab):
    id = lab.call(PUT)
    assert (len(lab["a"].orders), lab.shown()) == (1, "")
    lab.run(count=1)
    assert (len(lab["a"].orders), lab.shown()) == (0, "merge b, merge c")
    sent = lab.handle("b")
    assert sent.answer is not None
    assert lab.shown() == "merge b, merge c"
    lab.hear("b")
    assert lab.shown() == "merge c"
    assert not lab["a"].is_idle
    lab.settle()
    assert lab.replies[id].is_done
    assert lab.holders(b"k", b"v") == {"a", "b", "c"}
    assert lab.holders(b"k", b"v", durable=True) == set()
    assert lab["a"].is_idle


def test_time_ends_questions_and_calls(lab):
    id = lab.call(PUT, timeout_ms=400)
    lab.run()
    lab.advance(400)
    assert lab.replies[id].outcome is Outcome.UNKNOWN
    assert lab.sent == []
    lab.advance(1000)


def test_data_centres_and_owners():
    topology = make_lab_topology("a b west/c", "c a")
    assert [member.dc for member in topology.members].count("west") == 1
    assert topology.owners == ((member_id("a"), member_id("c")),) * 16


# --- what it notices -----------------------------------------------------------------------------


def test_a_call_that_is_answered_twice(lab):
    id = lab.call(PUT)
    reply = ClientReply(id, ClientAnswer(Outcome.DONE))
    lab._take(lab["a"], Machine.COORDINATOR, [reply])
    with pytest.raises(AssertionError, match="answered twice"):
        lab._take(lab["a"], Machine.COORDINATOR, [reply])


def test_a_question_that_is_answered_twice(lab):
    lab.call(PUT)
    lab.run()
    sent = lab.handle("b")
    with pytest.raises(AssertionError, match="replied twice"):
        lab._take(lab["b"], Machine.REPLICA, [Reply(sent, 1)])


def test_a_dot_that_is_used_twice(lab):
    lab.plant(b"k", some_record(1, 1, b"one"), "a")
    with pytest.raises(AssertionError, match="used twice"):
        lab.plant(b"k", some_record(1, 1, b"two"), "b")


def test_a_record_that_leaves_before_it_is_stored(lab):
    other = QuorumLab()
    other.call(PUT)
    other.run()
    record = other["a"].store.get(b"k")
    assert record is not None
    ask = Ask(member_id("b"), Lane.DATA, MERGE, encode_merge(b"k", record), 2000, None)
    with pytest.raises(AssertionError, match="before it was stored"):
        lab._take(lab["a"], Machine.COORDINATOR, [ask])


def test_a_timer_that_spins(lab, monkeypatch):
    monkeypatch.setattr(lab["a"].coordinator, "next_deadline", lambda: lab.now_ms)
    with pytest.raises(AssertionError, match="spins"):
        lab.advance(10)


# --- its stores ----------------------------------------------------------------------------------


def test_a_store_mints_as_the_orders_say(lab):
    store = lab["a"].store
    asked: list[tuple[int, bytes | None]] = []

    def decide(index: int, old: bytes | None) -> bytes | None:
        asked.append((index, old))
        return RECORD if index == 0 else None

    assert store.carry_out(Mint(Space.DATA, (b"k", b"k"), decide)) == Merged((True, False))
    assert asked == [(0, None), (0, None), (1, RECORD), (1, RECORD)]
    assert store.get(b"k") == RECORD
    assert not store.is_durable(b"k")


def test_faults_of_a_store(lab):
    store = lab["a"].store
    mint = Mint(Space.DATA, (b"k",), lambda *_: RECORD)
    store.write_failure = Failure.FULL
    assert store.carry_out(mint) == Merged((Failure.FULL,))
    store.write_failure, store.unreadable = None, {b"k"}
    assert store.carry_out(mint) == Merged((Failure.CORRUPT,))
    store.unreadable, store.sync_failure = set(), Failure.BROKEN
    merge = Merge(Space.DATA, ((b"k", RECORD),), sync=True)
    assert store.carry_out(merge) == Merged((Failure.BROKEN,))
    assert store.get(b"k") == RECORD
    assert store.carry_out(Sync()) == Failed(Failure.BROKEN)
    assert store.carry_out(Read(Space.DATA, (b"k",), True)) == Values((Failure.BROKEN,))
    assert not store.is_durable(b"k")
