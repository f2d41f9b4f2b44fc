"""Who is asked, in which order, for what: nobody twice, no more than may be enough."""

from __future__ import annotations

from itertools import product

import pytest

from lsmkv_cluster.coordination.asking import Asking
from lsmkv_cluster.coordination.calls import Call
from lsmkv_cluster.coordination.evidence import NOTHING_HERE, Heard
from lsmkv_cluster.coordination.latency import Latencies
from lsmkv_cluster.coordination.quorum import is_met, need
from lsmkv_cluster.coordination.read_state import OwnToken, ReadState
from lsmkv_cluster.coordination.replica_messages import ReplicaFlags
from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.coordination.view import View
from lsmkv_cluster.placement.keyspaces import Consistency, Level
from lsmkv_cluster.ports import Ask, Now, StoreOrder
from lsmkv_cluster.storage.storage_orders import Read, Space
from lsmkv_cluster.swim.gossip_messages import Load
from lsmkv_cluster.versions.context import NOTHING
from tests.support.members import member_id
from tests.support.quorum_lab import make_lab_topology

TOPOLOGY = make_lab_topology("a b c d e west/x west/y west/z", "a b c x y")
NAMES = {member.id: member.name for member in TOPOLOGY.members}
NOW = Now(5, 0)


def lab(
    me: str,
    level: Level = Level.QUORUM,
    down: str = "",
    *,
    strict: bool = False,
    ready: bool = True,
    overloaded: str = "",
) -> tuple[Asking, ReadState]:
    gone = {member_id(name) for name in down.split()}
    loads = {member_id(name): int(Load.OVERLOADED) for name in overloaded.split()}
    view = View(
        TOPOLOGY,
        member_id(me),
        lambda id: id not in gone,
        lambda _: ready,
        lambda id: loads.get(id, int(Load.READ_ONLY)),
    )
    place = view.place_of(b"k")
    needed = need(Consistency(level), place.owners_by_dc, view.dc)
    call = Call(1, ClientRequest(Verb.GET, b"k"), 500, place, NOTHING, needed, needed, 2, strict)
    asking = Asking(view, Latencies())
    return asking, ReadState(1, call, asking.candidates(call), NOW.ms)


def shown(read: ReadState) -> str:
    return " ".join(NAMES[target.member] for target in read.candidates)


def test_candidates_are_the_own_copy_then_the_own_data_centre_then_stand_ins():
    assert shown(lab("b")[1]) == "b a c x y"
    assert shown(lab("y")[1]) == "y x a b c"
    assert shown(lab("d")[1]) == "a b c x y"
    sloppy, strict = lab("b", down="a x")[1], lab("b", down="a x", strict=True)[1]
    assert shown(sloppy).startswith("b c y ")
    assert [target.is_hint for target in sloppy.candidates] == [False] * 3 + [True] * 2
    assert shown(strict) == "b c y"


def test_the_own_copy_is_none_while_it_is_not_whole():
    assert shown(lab("b", ready=False)[1]) == "a c x y"


def test_the_overloaded_come_behind_the_others_and_before_stand_ins():
    assert shown(lab("b", overloaded="b")[1]) == "a c x y b"
    assert shown(lab("b", overloaded="a c x")[1]) == "b y a c x"
    sloppy = lab("b", down="a", overloaded="b")[1]
    assert shown(sloppy).startswith("c x y b ")


@pytest.mark.parametrize("me", "abdxz")
def test_no_more_are_asked_than_may_be_enough(me):
    for level, strict in product(set(Level) - {Level.COUNT}, (False, True)):
        asking, read = lab(me, level, strict=strict)
        asking.ask_enough(NOW, read, [])
        asked = [wait.owner for wait in read.waiting.values()]
        assert is_met(read.call.read, asked)
        assert not any(
            is_met(read.call.read, [owner for owner in asked if owner != one]) for one in asked
        )
        before = dict(read.waiting)
        asking.ask_enough(NOW, read, [])
        assert read.waiting == before


def test_the_first_sends_the_record_and_others_digests():
    asking, read = lab("d")
    steps: list[object] = []
    asking.ask_enough(NOW, read, steps)  # type: ignore[arg-type]
    asks = [step for step in steps if isinstance(step, Ask)]
    assert [ask.flags for ask in asks] == [0, ReplicaFlags.DIGEST, ReplicaFlags.DIGEST]
    assert {ask.deadline_ms for ask in asks} == {500}
    assert asking.take_orders() == []


def test_own_reads_are_one_order_for_each_kind():
    asking, read = lab("a")
    _, other = lab("a")
    other.id = 2
    for one in (read, other):
        asking.ask_enough(NOW, one, [])
    [order] = asking.take_orders()
    assert order == StoreOrder(OwnToken((1, 2)), Read(Space.DATA, (b"k", b"k"), False))
    assert asking.take_orders() == []


def test_a_strict_read_is_one_of_stable_storage():
    asking, read = lab("a", strict=True)
    steps: list[object] = []
    asking.ask_enough(NOW, read, steps)  # type: ignore[arg-type]
    assert asking.take_orders() == [StoreOrder(OwnToken((1,)), Read(Space.DATA, (b"k",), True))]
    flags = {step.flags for step in steps if isinstance(step, Ask)}
    assert flags == {ReplicaFlags.DIGEST | ReplicaFlags.SYNC}


def test_who_answered_nothing_in_the_place_of_another_is_replaced():
    asking, read = lab("d", down="a b c x")
    asking.ask_enough(NOW, read, [])
    assert (len(read.waiting), len(read.candidates)) == (3, 1)
    stand_in = next(member for member, wait in read.waiting.items() if member != wait.owner)
    owner = read.waiting.pop(stand_in).owner
    read.heard[stand_in] = Heard(stand_in, owner, NOTHING_HERE)
    asking.ask_enough(NOW, read, [])
    assert (len(read.waiting), len(read.candidates)) == (3, 0)


def test_one_more_is_who_could_help():
    """With the own data centre answered for, somebody of the other one."""
    asking, read = lab("a", Level.EACH_QUORUM)
    read.heard = {member_id(n): Heard(member_id(n), member_id(n), 1, b"r") for n in "ab"}
    asking.ask_one_more(NOW, read, [])
    assert [NAMES[member] for member in read.waiting] == ["x"]


def test_where_all_are_wanted_all_are_asked():
    asking, read = lab("a", Level.ONE)
    read.wants_all = True
    asking.ask_enough(NOW, read, [])
    assert {NAMES[member] for member in read.waiting} == set("abcxy")
    assert read.candidates == []


def test_a_record_is_fetched_once_at_a_time():
    asking, read = lab("a")
    digest = Heard(member_id("b"), member_id("b"), 7)
    steps: list[object] = []
    for _ in range(2):
        asking.fetch(NOW, read, [digest], steps)  # type: ignore[arg-type]
    [ask] = steps
    assert isinstance(ask, Ask)
    assert (ask.to, ask.flags) == (member_id("b"), 0)
