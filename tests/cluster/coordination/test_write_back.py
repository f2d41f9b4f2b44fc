"""Write-backs end once, with enough or without, and nothing of them is kept; mends are sent and
forgotten."""

from __future__ import annotations

import pytest

from lsmkv_cluster.coordination.quorum import Need, need
from lsmkv_cluster.coordination.replica_messages import MERGE, ReplicaFlags, decode_merge
from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.coordination.write_back import MEND_TIMEOUT_MS, Kept, KeptToken, WriteBack
from lsmkv_cluster.operations import OperationStatus
from lsmkv_cluster.placement.keyspaces import Consistency, Level
from lsmkv_cluster.ports import Answered, Ask, Now, Stored, StoreOrder, Unanswered
from lsmkv_cluster.storage.storage_orders import Failed, Failure, Merge, Merged, Space
from lsmkv_cluster.transport.wire import Lane
from tests.support.members import member_id
from tests.support.quorum_lab import make_lab_topology

A, B, C = map(member_id, "abc")
TOPOLOGY = make_lab_topology("a b c d", "a b c")
DEADLINE_MS = 500


def needed(level: Level = Level.QUORUM) -> Need:
    return need(Consistency(level), {"east": (A, B, C)}, "east")


def make(down: bytes = b"") -> WriteBack:
    return WriteBack(View(TOPOLOGY, A, lambda id: id != down, lambda _: True))


def begin(write_back: WriteBack, keeping: tuple[bytes, ...], level: Level = Level.QUORUM):
    return write_back.begin(1, b"k", b"record", keeping, needed(level), DEADLINE_MS)


def answered(write_back: WriteBack, member: bytes, status: int = OperationStatus.DONE):
    return write_back.answered([Answered(KeptToken(1, member), member, status, b"")])


def stored(write_back: WriteBack, result: object):
    return write_back.stored([Stored(KeptToken(1, A), result)])


def test_enough_keep_it_already():
    write_back = make()
    assert begin(write_back, (A, C)) == ([], [Kept(1, True)])
    assert not write_back._jobs


def test_all_who_lack_it_are_asked_synced():
    effects, over = begin(make(), (B,))
    assert over == []
    order, ask = effects
    assert order == StoreOrder(KeptToken(1, A), Merge(Space.DATA, ((b"k", b"record"),), True))
    assert isinstance(ask, Ask)
    assert (ask.to, ask.lane, ask.opcode, ask.flags) == (C, Lane.DATA, MERGE, ReplicaFlags.SYNC)
    assert (ask.deadline_ms, decode_merge(ask.payload)) == (DEADLINE_MS, (b"k", b"record"))


@pytest.mark.parametrize("changed", [True, False])
def test_it_is_over_with_the_first_that_makes_enough(changed):
    write_back = make()
    begin(write_back, (B,))
    assert stored(write_back, Merged((changed,))) == [Kept(1, True)]
    assert answered(write_back, C) == []
    assert not write_back._jobs


@pytest.mark.parametrize(
    "result", [Merged((Failure.BROKEN,)), Merged((Failure.LOST_DOT,)), Failed(Failure.FULL)]
)
def test_failures_of_the_own_store_do_not_count(result):
    write_back = make()
    begin(write_back, (B,))
    assert stored(write_back, result) == []
    assert answered(write_back, C) == [Kept(1, True)]


def test_it_is_over_as_soon_as_there_cannot_be_enough():
    write_back = make()
    begin(write_back, (), Level.ALL)
    assert answered(write_back, B) == []
    unanswered = Unanswered(KeptToken(1, C), C)
    assert write_back.answered([unanswered]) == [Kept(1, False)]
    assert stored(write_back, Merged((True,))) == []
    assert not write_back._jobs


def test_who_cannot_be_reached_is_not_waited_for():
    assert begin(make(down=C), (B,), Level.ALL) == ([], [Kept(1, False)])


def test_statuses_other_than_done_do_not_count():
    write_back = make()
    begin(write_back, (B,))
    assert answered(write_back, C, OperationStatus.NOT_READY) == []
    assert stored(write_back, Merged((True,))) == [Kept(1, True)]


def test_what_is_forgotten_ends_nothing():
    write_back = make()
    begin(write_back, ())
    write_back.forget(1)
    assert answered(write_back, B) == []
    assert stored(write_back, Merged((True,))) == []


def test_mends_are_not_waited_for_and_not_synced():
    write_back = make()
    effects = write_back.mend(Now(10, 0), b"k", b"record", [A, C])
    order, ask = effects
    assert order == StoreOrder(KeptToken(None, A), Merge(Space.DATA, ((b"k", b"record"),), False))
    assert isinstance(ask, Ask)
    assert (ask.to, ask.lane, ask.flags) == (C, Lane.BULK, ReplicaFlags.NONE)
    assert ask.deadline_ms == 10 + MEND_TIMEOUT_MS
    assert write_back.mended == 2
    assert write_back.answered([Unanswered(ask.token, C)]) == []
    assert write_back.stored([Stored(order.token, Merged((True,)))]) == []
    assert not write_back._jobs
