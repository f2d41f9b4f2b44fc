"""The asked side answers by the document it has: about what it keeps, to who knows the place."""

from __future__ import annotations

import random

import pytest

from lsmkv_cluster.coordination.replica_messages import ReplicaStatus, encode_failure
from lsmkv_cluster.healing.antientropy_answers import Answers
from lsmkv_cluster.healing.antientropy_messages import COMPARE, WHOLE, Question, encode_question
from lsmkv_cluster.healing.antientropy_repair_messages import (
    LIST,
    ListQuestion,
    encode_list_question,
)
from lsmkv_cluster.healing.antientropy_sync_messages import (
    SYNC,
    decode_sync_answer,
    encode_sync_question,
)
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.ports import Asked, Effect, Reply, StoreOrder
from lsmkv_cluster.storage.engine_key import partition_tokens
from lsmkv_cluster.storage.storage_orders import Done, Entries, Failed, Failure, Space, Sync
from tests.support.fake_store import FakeStore
from tests.support.heal_lab import heal_topology, moved

TOPOLOGY = heal_topology()
ME = TOPOLOGY.owners[0][2]
ELSEWHERE = next(p for p in range(4) if ME not in TOPOLOGY.owners[p])
OTHER = TOPOLOGY.stand_ins(0)[0]
NEW = (*TOPOLOGY.owners[0][:2], OTHER)
FILLING = moved(TOPOLOGY, 0, Phase.FILLING, NEW)
SWITCHED = moved(FILLING, 0, Phase.SWITCHED, NEW)
SETTLED = moved(SWITCHED, 0, None, NEW)
OPCODES = (COMPARE, LIST, SYNC)


class Laboratory:
    def __init__(self, topology: Topology = TOPOLOGY, me: bytes = ME, seed: int = 1) -> None:
        self.store = FakeStore(topology, me)
        self.lacking: set[int] = set()
        self.answers = Answers(
            topology,
            me,
            self.store.tree,
            random.Random(seed),
            2,
            is_whole=lambda partition: partition not in self.lacking,
        )

    def ask(self, opcode: int, epoch: int = 1, partition: int = 0, flags: int = 0) -> Effect:
        tokens = partition_tokens(Space.DATA, TOPOLOGY.partitioning, partition)
        span_bits = (tokens.end - tokens.first - 1).bit_length()
        payloads = {
            COMPARE: encode_question(Question(1, 0, tokens.first, span_bits, 2, 0, 7, 64)),
            LIST: encode_list_question(ListQuestion(tokens.first, tokens.end, 10)),
            SYNC: encode_sync_question(tokens.first),
        }
        asked = Asked(b"peer", opcode, payloads[opcode], flags, 10**9, "r", epoch)
        return self.answers.asked(asked)[0]

    def sync(self, result=None) -> Reply:
        order = self.ask(SYNC, 9)
        assert isinstance(order, StoreOrder)
        assert order.order == Sync()
        [reply], corrupt = self.answers.stored(serial_of(order), result or Done())
        assert isinstance(reply, Reply)
        assert corrupt is None
        return reply

    def copy(self) -> int:
        reply = self.sync()
        assert reply.status == OperationStatus.DONE
        return decode_sync_answer(reply.payload)


def serial_of(order: Effect) -> int:
    assert isinstance(order, StoreOrder)
    assert isinstance(order.token, tuple)
    return order.token[1]


@pytest.mark.parametrize("opcode", OPCODES)
def test_only_about_what_is_kept_and_by_the_document_that_placed_it(opcode: int):
    lab = Laboratory(FILLING)
    assert lab.ask(opcode, 2, ELSEWHERE) == Reply("r", ReplicaStatus.NOT_OWNER)
    assert lab.ask(opcode, 1) == Reply("r", OperationStatus.STALE_EPOCH)
    for epoch in (2, 3):
        answer = lab.ask(opcode, epoch)
        assert not isinstance(answer, Reply) or answer.status == OperationStatus.DONE
    other = next(p for p in TOPOLOGY.kept_by(ME) if p != 0)
    answer = Laboratory(FILLING).ask(opcode, 1, other)
    assert not isinstance(answer, Reply) or answer.status == OperationStatus.DONE


def test_who_wants_a_whole_copy_is_told_where_there_is_none():
    lab = Laboratory()
    for partition in ([], [0]):
        lab.lacking.update(partition)
        assert lab.ask(COMPARE).status == OperationStatus.DONE
    assert lab.ask(COMPARE, flags=WHOLE) == Reply("r", OperationStatus.NOT_READY)
    lab.lacking.clear()
    assert lab.ask(COMPARE, flags=WHOLE).status == OperationStatus.DONE
    assert lab.ask(SYNC, flags=WHOLE) == Reply("r", OperationStatus.UNKNOWN_FLAGS)


@pytest.mark.parametrize("opcode", OPCODES)
@pytest.mark.parametrize("topology", [FILLING, SWITCHED])
def test_coming_and_leaving_copies_answer_too(opcode: int, topology: Topology):
    for me in (OTHER, ME):
        answer = Laboratory(topology, me).ask(opcode, topology.epoch)
        assert not isinstance(answer, Reply) or answer.status == OperationStatus.DONE


@pytest.mark.parametrize("opcode", OPCODES)
def test_a_copy_that_is_gone_does_not(opcode: int):
    assert Laboratory(SETTLED).ask(opcode, 9) == Reply("r", ReplicaStatus.NOT_OWNER)


def test_done_only_after_the_store_has_synced():
    lab = Laboratory()
    failed = Reply("r", ReplicaStatus.FAILED, encode_failure(Failure.FULL))
    assert lab.sync(Failed(Failure.FULL)) == failed
    assert lab.sync().status == OperationStatus.DONE


def test_questions_to_the_store_are_bounded():
    lab = Laboratory()
    assert [type(lab.ask(opcode)) for opcode in (SYNC, LIST)] == [StoreOrder] * 2
    for opcode in (SYNC, LIST):
        assert lab.ask(opcode) == Reply("r", OperationStatus.OVERLOADED)


def test_a_copy_has_one_number_until_it_is_another_copy():
    lab = Laboratory()
    numbers = [lab.copy(), lab.copy()]
    lab.answers.forget(0)
    numbers.append(lab.copy())
    lab.answers.follow(FILLING, [0])
    numbers.append(lab.copy())
    lab.answers.follow(FILLING, [1])
    numbers.append(lab.copy())
    assert numbers[0] == numbers[1]
    assert numbers[3] == numbers[4]
    assert len(set(numbers)) == 3
    assert Laboratory(seed=2).copy() not in numbers


def test_answers_about_what_has_moved_meanwhile_are_not_given():
    lab = Laboratory()
    for opcode, result in ((SYNC, Done()), (LIST, Entries((), None))):
        order = lab.ask(opcode, 2)
        assert lab.answers.follow(SETTLED, [0]) == [Reply("r", OperationStatus.STALE_EPOCH)]
        assert lab.answers.stored(serial_of(order), result) == ([], None)
        lab.answers.follow(TOPOLOGY, [])
        order = lab.ask(opcode)
        assert lab.answers.follow(TOPOLOGY, [1]) == []
        assert len(lab.answers.stored(serial_of(order), result)[0]) == 1
