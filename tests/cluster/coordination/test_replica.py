"""A replica answers every operation once, keeps only what belongs to it, and says "nothing here" of
whole copies alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lsmkv.kernel import entry_hash
from lsmkv_cluster.coordination.replica import Replica
from lsmkv_cluster.coordination.replica_messages import (
    MERGE,
    READ,
    Found,
    ReplicaFlags,
    ReplicaStatus,
    decode_failure,
    decode_found,
    encode_merge,
    encode_read,
)
from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.operations import Machine, OperationStatus, opcode
from lsmkv_cluster.ports import Asked, Effect, Now, Reply, Stored, StoreOrder
from lsmkv_cluster.storage.backlog import Backlog, BacklogSettings
from lsmkv_cluster.storage.storage_orders import Failed, Failure, Merge, Merged, Read, Space, Values
from lsmkv_cluster.transport.wire import Lane
from tests.support.fake_store import HASH_KEY, FakeStore, some_record
from tests.support.members import member_id
from tests.support.quorum_lab import digest, make_lab_topology

TOPOLOGY = make_lab_topology("a b c d", "a b c")
RECORD = some_record(1, 1, b"v")
LATER = some_record(1, 2, b"w")
DEADLINE_MS = 100
NONE, SYNC, HINT, DIGEST, REPAIR = (
    ReplicaFlags.NONE,
    ReplicaFlags.SYNC,
    ReplicaFlags.AS_HINT,
    ReplicaFlags.DIGEST,
    ReplicaFlags.REPAIR,
)


@dataclass
class Lab:
    """The replica of `a`, an owner, or of `d`, none."""

    me: str = "a"
    is_ready: bool = True
    has_room: bool = True
    now_ms: int = 0
    limits: BacklogSettings = field(default_factory=BacklogSettings)
    hints: list[tuple[bytes, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        view = View(TOPOLOGY, member_id(self.me), lambda _: True, lambda _: self.is_ready)
        self.backlog = Backlog(self.limits)
        self.replica = Replica(view, digest, self._take_hint, self.backlog)
        self.store = FakeStore(TOPOLOGY, member_id(self.me))

    def _take_hint(self, now: Now, key: bytes, size: int) -> bool:
        self.hints.append((key, size))
        return self.has_room

    @property
    def now(self) -> Now:
        return Now(self.now_ms, 0)

    def ask(self, *asked: tuple[int, bytes, int], lane: Lane = Lane.DATA) -> list[Effect]:
        self.backlog.look(self.now_ms)
        return self.replica.asked(
            self.now,
            [
                Asked(b"peer", code, payload, flags, DEADLINE_MS, n, lane=lane)
                for n, (code, payload, flags) in enumerate(asked)
            ],
        )

    def finish(self, effects: Sequence[Effect]) -> dict[int, Reply]:
        """Every reply by the number of its question, each exactly once."""
        replies: dict[int, Reply] = {}
        results: list[Stored] = []
        for effect in effects:
            if isinstance(effect, StoreOrder):
                results.append(Stored(effect.token, self.store.carry_out(effect.order)))
            else:
                assert isinstance(effect, Reply)
                assert isinstance(effect.reply_to, int)
                assert effect.reply_to not in replies
                replies[effect.reply_to] = effect
        if results:
            replies |= self.finish(self.replica.stored(self.now, results))
        return replies

    def do(self, *asked: tuple[int, bytes, int]) -> list[tuple[int, bytes]]:
        replies = self.finish(self.ask(*asked))
        assert sorted(replies) == list(range(len(asked)))
        return [(replies[n].status, replies[n].payload) for n in range(len(asked))]


def merge(record: bytes = RECORD, flags: int = NONE, key: bytes = b"k") -> tuple[int, bytes, int]:
    return MERGE, encode_merge(key, record), flags


def read(flags: int = NONE, key: bytes = b"k") -> tuple[int, bytes, int]:
    return READ, encode_read(key), flags


DONE = OperationStatus.DONE, b""


def found(answer: tuple[int, bytes]) -> Found:
    assert answer[0] == OperationStatus.DONE
    return decode_found(answer[1])


# --- merging -------------------------------------------------------------------------------------


def test_an_owner_keeps_what_it_is_sent():
    lab = Lab()
    assert lab.do(merge(), merge(LATER), merge()) == [DONE] * 3
    assert lab.store.get(b"k") == LATER
    assert not lab.store.is_durable(b"k")


def test_with_sync_it_is_durable_before_the_answer():
    lab = Lab()
    [order] = lab.ask(merge(flags=SYNC))
    assert order == StoreOrder(order.token, Merge(Space.DATA, ((b"k", RECORD),), True))
    lab.finish([order])
    assert lab.store.is_durable(b"k")


def test_also_what_is_there_already_is_synced():
    lab = Lab()
    lab.do(merge())
    assert lab.do(merge(flags=SYNC)) == [DONE]
    assert lab.store.is_durable(b"k")


@pytest.mark.parametrize(
    ("me", "flags", "space"),
    [
        ("a", NONE, Space.DATA),
        ("a", HINT, Space.DATA),  # an owner needs no hints
        ("d", HINT, Space.HINT),
        ("d", NONE, None),
        ("d", SYNC, None),
    ],
)
def test_who_keeps_what_where(me, flags, space):
    lab = Lab(me)
    [(status, _)] = lab.do(merge(flags=flags))
    assert status == (OperationStatus.DONE if space else ReplicaStatus.NOT_OWNER)
    for each in (Space.DATA, Space.HINT):
        assert lab.store.get(b"k", each) == (RECORD if each is space else None)
    assert lab.hints == ([(b"k", 1 + len(RECORD))] if space is Space.HINT else [])


def test_without_room_no_hint_is_kept():
    lab = Lab("d", has_room=False)
    assert lab.do(merge(flags=HINT)) == [(ReplicaStatus.HINTS_FULL, b"")]
    assert lab.store.records == {}


def test_a_partition_that_is_being_filled_takes_writes():
    lab = Lab(is_ready=False)
    assert lab.do(merge()) == [DONE]


# --- reading -------------------------------------------------------------------------------------


def test_what_is_here():
    lab = Lab()
    lab.do(merge(key=b"k"))
    record, hashed, nothing, no_digest = lab.do(
        read(), read(DIGEST), read(key=b"x"), read(DIGEST, b"x")
    )
    assert found(record) == Found(record=RECORD)
    assert found(hashed) == Found(digest=entry_hash(HASH_KEY, b"k", RECORD))
    assert found(nothing) == found(no_digest) == Found()


@pytest.mark.parametrize(
    ("me", "is_ready", "flags", "status"),
    [
        ("a", True, NONE, OperationStatus.DONE),
        ("a", False, NONE, OperationStatus.NOT_READY),
        ("a", False, DIGEST, OperationStatus.NOT_READY),
        ("a", False, HINT, OperationStatus.NOT_READY),
        ("a", False, REPAIR, OperationStatus.DONE),
        ("a", False, REPAIR | HINT | SYNC, OperationStatus.DONE),
        ("d", False, HINT, OperationStatus.DONE),
        ("d", True, NONE, ReplicaStatus.NOT_OWNER),
        ("d", True, REPAIR, ReplicaStatus.NOT_OWNER),
    ],
)
def test_who_says_what_of_nothing(me, is_ready, flags, status):
    [(given, payload)] = Lab(me, is_ready).do(read(flags))
    assert given == status
    assert payload == (b"\0" if status == OperationStatus.DONE else b"")


def test_hints_are_read_as_hints():
    lab = Lab("d")
    lab.do(merge(flags=HINT))
    assert found(lab.do(read(HINT))[0]) == Found(record=RECORD)


def test_a_synced_read_is_of_stable_storage():
    lab = Lab()
    lab.do(merge())
    [order] = lab.ask(read(SYNC))
    assert isinstance(order, StoreOrder)
    assert order.order == Read(Space.DATA, (b"k",), True)
    lab.finish([order])
    assert lab.store.is_durable(b"k")


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize("failure", Failure)
def test_failures_of_the_store(failure):
    """Of one key alone, or of all; what cannot be read is like what is not here yet."""
    for result in (Failed(failure), Merged((True, failure)), Values((None, failure))):
        lab = Lab()
        asked = merge if isinstance(result, Merged) else read
        [order] = lab.ask(asked(key=b"x"), asked())
        assert isinstance(order, StoreOrder)
        replies = lab.finish(lab.replica.stored(lab.now, [Stored(order.token, result)]))
        assert sorted(replies) == [0, 1]
        if not isinstance(result, Failed):
            assert replies[0].status == OperationStatus.DONE
        if failure is Failure.CORRUPT:
            assert replies[1] == Reply(1, OperationStatus.NOT_READY)
        else:
            assert replies[1].status == ReplicaStatus.FAILED
            assert decode_failure(replies[1].payload) is failure


def test_a_damaged_record_takes_nothing_with_it():
    lab = Lab()
    damaged = RECORD[:-1] + bytes([RECORD[-1] ^ 1])
    first, second, third = lab.do(merge(), merge(damaged, key=b"x"), merge(key=b"y"))
    assert (first, third) == (DONE, DONE)
    assert second == (ReplicaStatus.FAILED, b"\x02")


@pytest.mark.parametrize(
    ("asked", "status"),
    [
        ((MERGE, b"", 0), OperationStatus.MALFORMED),
        ((MERGE, b"\x05k", 0), OperationStatus.MALFORMED),
        ((MERGE, b"\x01k", 0), OperationStatus.MALFORMED),
        ((READ, bytes(1 << 16), 0), OperationStatus.MALFORMED),
        (merge(flags=DIGEST), OperationStatus.UNKNOWN_FLAGS),
        (merge(flags=REPAIR), OperationStatus.UNKNOWN_FLAGS),
        (merge(flags=16), OperationStatus.UNKNOWN_FLAGS),
        (read(16), OperationStatus.UNKNOWN_FLAGS),
        ((opcode(Machine.REPLICA, 3), b"k", 0), OperationStatus.UNKNOWN_OPCODE),
    ],
)
def test_what_is_refused_at_once(asked, status):
    lab = Lab()
    assert lab.do(merge(), asked, read()) == [DONE, (status, b""), lab.do(read())[0]]


def test_after_the_deadline_nothing_is_done():
    lab = Lab(now_ms=DEADLINE_MS)
    assert lab.do(merge(), read()) == [(OperationStatus.EXPIRED, b"")] * 2
    assert lab.store.orders == []
    lab.now_ms -= 1
    assert lab.do(merge()) == [DONE]


# --- batches -------------------------------------------------------------------------------------

OPERATIONS = st.one_of(
    st.builds(
        merge,
        record=st.sampled_from([RECORD, LATER, b"damaged"]),
        flags=st.integers(0, 20),
        key=st.sampled_from([b"", b"k", b"x"]),
    ),
    st.builds(read, flags=st.integers(0, 20), key=st.sampled_from([b"", b"k", b"x"])),
    st.tuples(st.integers(0x0300, 0x0304), st.binary(max_size=4), st.integers(0, 20)),
)


@given(st.lists(OPERATIONS, max_size=12), st.sampled_from("ad"), st.booleans(), st.booleans())
def test_each_of_a_batch_is_answered_once_and_each_kind_is_one_order(asked, me, ready, room):
    lab = Lab(me, ready, room)
    effects = lab.ask(*asked)
    orders = [effect.order for effect in effects if isinstance(effect, StoreOrder)]
    kinds = [
        (type(order), order.space, order.sync if isinstance(order, Merge) else order.durable)
        for order in orders
        if isinstance(order, Merge | Read)
    ]
    assert len(kinds) == len(orders) == len(set(kinds))
    replies = lab.finish(effects)
    assert sorted(replies) == list(range(len(asked)))
    if me == "d":
        assert lab.store.contents(Space.DATA) == {}
    else:
        assert lab.store.contents(Space.HINT) == {}


def test_a_replica_waits_for_nothing():
    lab = Lab()
    lab.ask(merge(), read())
    assert lab.replica.next_deadline() is None
    assert lab.replica.tick(lab.now) == []


# --- more than the store can do ------------------------------------------------------------------

FOUR = BacklogSettings(operation_count_max=4, operation_count_min=1)
SHED = OperationStatus.OVERLOADED, b""


@pytest.mark.parametrize("make", [merge, read])
@pytest.mark.parametrize(("lane", "count"), [(Lane.DATA, 4), (Lane.BULK, 2)])
def test_what_the_store_cannot_do_is_refused_and_not_done(make, lane, count):
    """What is for requests is refused after what runs in the background."""
    lab = Lab(limits=FOUR)
    effects = lab.ask(*[make(key=b"%d" % n) for n in range(6)], lane=lane)
    replies = lab.finish(effects)
    shed = [n for n in range(6) if replies[n].status == OperationStatus.OVERLOADED]
    assert shed == list(range(count, 6))
    assert len(lab.store.contents()) == (count if make is merge else 0)


def test_what_waits_counts_until_it_is_done():
    lab = Lab(limits=FOUR)
    [order] = lab.ask(merge(), merge(), merge())
    assert isinstance(order, StoreOrder)
    lab.backlog.ordered(1, order.order)
    assert [type(effect) for effect in lab.ask(merge(), merge())] == [Reply, StoreOrder]
    lab.backlog.done(1, Merged((True,) * 3))
    assert lab.do(merge(), merge()) == [DONE] * 2


def test_a_hint_that_is_refused_for_the_store_is_not_counted_as_one():
    lab = Lab("d", limits=FOUR)
    lab.backlog.ordered(1, Merge(Space.DATA, ((b"", b""),) * 4))
    assert lab.do(merge(flags=ReplicaFlags.AS_HINT)) == [SHED]
    assert lab.hints == []


def test_who_is_not_asked_the_right_thing_is_told_so_however_much_waits():
    lab = Lab("d", limits=FOUR)
    lab.backlog.ordered(1, Merge(Space.DATA, ((b"", b""),) * 4))
    assert lab.do(merge(), read()) == [(ReplicaStatus.NOT_OWNER, b"")] * 2
