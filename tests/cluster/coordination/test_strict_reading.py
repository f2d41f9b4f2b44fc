"""A strict read answers only what as many owners keep on stable storage as a write needs, so that
no later read finds less."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_cluster.coordination.replica_messages import ReplicaStatus
from lsmkv_cluster.coordination.requests import ClientAnswer, ClientRequest, Outcome, Reason, Verb
from lsmkv_cluster.placement.keyspaces import Consistency, Level, Mode
from lsmkv_cluster.storage.storage_orders import Failure, Space
from tests.support.fake_store import merged, some_record
from tests.support.quorum_lab import QuorumLab

QUORUM, ALL = Consistency(Level.QUORUM), Consistency(Level.ALL)
STRICT = ClientRequest(Verb.GET, b"k", read=QUORUM, write=QUORUM, mode=Mode.STRICT)
OLD = some_record(1, 1, b"old")
NEW = some_record(1, 2, b"new")  # supersedes OLD
SIDE = some_record(2, 1, b"side")  # beside both


@pytest.fixture
def lab() -> QuorumLab:
    return QuorumLab()


def refused(answer: ClientAnswer) -> Reason:
    assert answer.outcome is Outcome.REFUSED
    return answer.reason


def found(answer: ClientAnswer) -> bytes | None:
    assert answer.is_done
    return answer.record


def test_it_answers_at_once_when_enough_keep_exactly_that(lab):
    lab.plant(b"k", NEW, "a b")
    id = lab.call(STRICT)
    lab.run()
    assert lab.shown() == "read b digest sync"
    lab.deliver("b")
    assert found(lab.replies[id]) == NEW
    assert lab.shown() == ""


def test_it_writes_back_before_it_answers(lab):
    """What one read has returned every later one finds, whoever it asks."""
    lab.plant(b"k", OLD, "a")
    lab.plant(b"k", NEW, "b")
    id = lab.call(STRICT)
    lab.run()
    lab.deliver("b")
    lab.deliver("b")
    assert lab.shown() == "merge c sync"
    assert len(lab["a"].orders) == 1
    assert lab.replies == {}
    lab.run()
    assert found(lab.replies[id]) == NEW
    assert lab.holders(b"k", b"new", durable=True) == {"a", "b"}
    lab.deliver("c")
    assert lab["a"].is_idle


def test_it_joins_and_keeps_the_join(lab):
    lab.plant(b"k", OLD, "a")
    lab.plant(b"k", SIDE, "b")
    id = lab.call(STRICT)
    lab.run()
    lab.deliver("b")
    lab.deliver("b")
    assert lab.shown() == "merge b sync, merge c sync"
    lab.deliver("c")
    assert lab.replies == {}
    lab.deliver("b")
    both = merged(OLD, SIDE)
    assert found(lab.replies[id]) == both
    assert lab["b"].store.get(b"k") == lab["c"].store.get(b"k") == both


def test_it_refuses_what_it_cannot_keep(lab):
    lab.plant(b"k", OLD, "a")
    lab.plant(b"k", NEW, "b")
    id = lab.call(STRICT)
    lab.run()
    lab.deliver("b")
    lab.deliver("b")
    lab["a"].store.sync_failure = Failure.BROKEN
    lab.run()
    assert lab.replies == {}
    lab.answer(lab.open("c"), ReplicaStatus.FAILED, b"\x03")
    assert refused(lab.replies[id]) is Reason.NOT_ENOUGH_REPLICAS
    assert lab["a"].is_idle


def test_it_does_not_answer_from_memory(lab):
    """The own copy has it, not on stable storage: the read syncs it."""
    lab.plant(b"k", NEW, "b")
    node = lab["a"]
    node.store._change(node.store.engine_key(Space.DATA, b"k"), NEW)
    assert not node.store.is_durable(b"k")
    id = lab.call(STRICT)
    lab.settle()
    assert found(lab.replies[id]) == NEW
    assert node.store.is_durable(b"k")


def test_what_cannot_be_kept_in_time_is_refused(lab):
    lab.plant(b"k", OLD, "a")
    lab.plant(b"k", NEW, "b")
    id = lab.call(replace(STRICT, write=ALL))
    lab.run()
    lab.deliver("b")
    lab.deliver("b")
    lab.run()
    lab.sent.clear()
    lab.advance(1000)
    assert refused(lab.replies[id]) is Reason.DEADLINE
    assert lab["a"].is_idle


def test_not_found_needs_no_writing(lab):
    id = lab.call(STRICT)
    lab.settle()
    assert found(lab.replies[id]) is None
