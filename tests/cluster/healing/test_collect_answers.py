"""An owner answers only about what it holds as the asker believes, and what it says is durable."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_cluster.coordination.replica_messages import ReplicaStatus, encode_failure
from lsmkv_cluster.healing.collect_answers import CollectAnswers
from lsmkv_cluster.healing.tombstone_messages import (
    COLLECT,
    CONFIRM,
    HINTS,
    Question,
    decode_hint_age,
    encode_question,
    encode_same,
)
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.owners import Phase, Transition
from lsmkv_cluster.ports import Asked, Now, Reply, StoreOrder
from lsmkv_cluster.storage.storage_orders import (
    Collect,
    Confirm,
    Confirmed,
    Done,
    Failed,
    Failure,
    Merged,
    Sync,
)
from tests.support.heal_lab import heal_topology, keys_of

FIRST = heal_topology()
TOPOLOGY = replace(FIRST, epoch=5, parent=b"p" * 32, placed=(3, 1, 1, 1))
ENTRIES = tuple((key, number) for number, key in enumerate(keys_of(TOPOLOGY, 0, 2)))
ME = TOPOLOGY.owners[0][1]
NOW = Now(100, 1_000)


class Asking:
    def __init__(self, topology=TOPOLOGY, me=ME, *, is_ready=True, hint_age_ms=None):
        self.answers = CollectAnswers(
            topology, me, lambda partition: is_ready, lambda now: hint_age_ms, open_max=2
        )

    def ask(self, opcode=CONFIRM, payload=None, *, epoch=5, flags=0, deadline_ms=200, **changes):
        question = Question(**{"partition": 0, "placed": 3, "entries": ENTRIES, **changes})
        if payload is None:
            payload = encode_question(question)
        asked = Asked(b"peer", opcode, payload, flags, deadline_ms, "reply", epoch)
        return self.answers.asked(NOW, asked)


def status(effect: object) -> int:
    assert isinstance(effect, Reply)
    return effect.status


@pytest.mark.parametrize("opcode", [CONFIRM, COLLECT])
@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        ({"flags": 1}, OperationStatus.UNKNOWN_FLAGS),
        ({"deadline_ms": 100}, OperationStatus.EXPIRED),
        ({"payload": b""}, OperationStatus.MALFORMED),
        ({"partition": 1}, OperationStatus.MALFORMED),
        ({"partition": 9}, OperationStatus.MALFORMED),
        ({"epoch": 2}, OperationStatus.STALE_EPOCH),
        ({"placed": 2}, OperationStatus.STALE_EPOCH),
        ({"placed": 4}, OperationStatus.STALE_EPOCH),
    ],
    ids=lambda each: next(iter(each)) if isinstance(each, dict) else "",
)
def test_what_is_asked_wrongly_is_refused(opcode, changes, refusal):
    assert status(Asking().ask(opcode, **changes)) == refusal


def test_an_unknown_question_is_said_to_be_so():
    assert status(Asking().ask(HINTS + 1)) == OperationStatus.UNKNOWN_OPCODE


@pytest.mark.parametrize("opcode", [CONFIRM, COLLECT])
def test_who_has_no_whole_copy_that_stays_refuses(opcode):
    [stranger, *_] = TOPOLOGY.stand_ins(0)
    assert status(Asking(me=stranger).ask(opcode)) == ReplicaStatus.NOT_OWNER
    assert status(Asking(is_ready=False).ask(opcode)) == OperationStatus.NOT_READY
    moving = Transition(0, Phase.FILLING, (*TOPOLOGY.owners[0][:2], stranger))
    topology = replace(TOPOLOGY, transitions=(moving,))
    assert status(Asking(topology).ask(opcode)) == OperationStatus.NOT_READY


@pytest.mark.parametrize(
    ("opcode", "order", "result"),
    [
        (CONFIRM, Confirm(ENTRIES), Confirmed((True, False))),
        (COLLECT, Collect(ENTRIES), Merged((True, False))),
    ],
    ids=["confirm", "collect"],
)
def test_what_the_store_finds_is_told(opcode, order, result):
    asking = Asking()
    assert asking.ask(opcode) == StoreOrder(("answer", 1), order)
    reply = asking.answers.stored(1, result)
    assert reply == Reply("reply", OperationStatus.DONE, encode_same((True, False)))


@pytest.mark.parametrize(
    ("opcode", "result"),
    [
        (CONFIRM, Failed(Failure.BROKEN)),
        (COLLECT, Merged((True, Failure.BROKEN))),
        (HINTS, Failed(Failure.BROKEN)),
    ],
    ids=["confirm", "collect", "hints"],
)
def test_a_store_that_fails_is_no_answer(opcode, result):
    asking = Asking()
    asking.ask(opcode, b"" if opcode == HINTS else None)
    payload = encode_failure(Failure.BROKEN)
    assert asking.answers.stored(1, result) == Reply("reply", ReplicaStatus.FAILED, payload)


@pytest.mark.parametrize("age_ms", [None, 0, 17])
def test_every_member_tells_of_its_hints_after_a_sync(age_ms):
    [stranger, *_] = TOPOLOGY.stand_ins(0)
    asking = Asking(me=stranger, hint_age_ms=age_ms, is_ready=False)
    assert asking.ask(HINTS, b"", epoch=1) == StoreOrder(("answer", 1), Sync())
    reply = asking.answers.stored(1, Done())
    assert status(reply) == OperationStatus.DONE
    assert decode_hint_age(reply.payload) == age_ms


def test_who_does_not_know_its_hints_says_so():
    assert status(Asking(hint_age_ms=-1).ask(HINTS, b"")) == OperationStatus.NOT_READY
    assert status(Asking().ask(HINTS, b"x")) == OperationStatus.MALFORMED


def test_open_questions_are_bounded():
    asking = Asking()
    for _ in range(2):
        assert isinstance(asking.ask(), StoreOrder)
    assert status(asking.ask()) == OperationStatus.OVERLOADED
    asking.answers.stored(1, Confirmed((True, True)))
    assert isinstance(asking.ask(), StoreOrder)
