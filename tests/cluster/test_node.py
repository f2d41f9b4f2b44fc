"""A node composes its machines: requests go around, sleep is noticed, starts are announced.

What a whole cluster makes of faults is for tests/sim; here is what only the node decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest

from lsmkv_cluster.coordination.requests import ClientRequest, Outcome, Reason, Verb
from lsmkv_cluster.driver_ports import (
    AdminCall,
    AdminReply,
    ClientCall,
    DatagramIn,
    FrameIn,
    Input,
    NodeEffect,
    PeerLost,
    RepairCall,
    RepairReply,
)
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.ports import Alarm, Now, Stored, StoreOrder
from lsmkv_cluster.reconfiguration.topology_changes import Reweigh
from lsmkv_cluster.storage.storage_orders import (
    Failure,
    Merge,
    Merged,
    Order,
    Read,
    Result,
    Space,
    Values,
)
from lsmkv_cluster.swim.gossip_messages import Load
from lsmkv_cluster.versions.record_format import decode
from lsmkv_cluster.versions.resolve import siblings
from tests.support.fake_store import some_record
from tests.support.trio import Trio


@pytest.fixture
def trio() -> Iterator[Trio]:
    with Trio() as nodes:
        yield nodes


def put(key: bytes, value: bytes, context: bytes = b"") -> ClientRequest:
    return ClientRequest(Verb.PUT, key, (value,), context)


def get(key: bytes) -> ClientRequest:
    return ClientRequest(Verb.GET, key)


def values(record: bytes | None) -> tuple[bytes, ...]:
    return siblings(decode(record) if record is not None else None, 0)


def stored(trio: Trio, key: bytes) -> list[tuple[bytes, ...]]:
    """What each store has."""
    found = []
    for store in trio.stores.values():
        result = store.carry_out(Read(Space.DATA, (key,)))
        assert isinstance(result, Values)
        [value] = result.values
        assert value is None or isinstance(value, bytes)
        found.append(values(value))
    return found


@pytest.mark.parametrize("as_bytes", [False, True])
@pytest.mark.parametrize("key", [b"k", b"s:k", b""])
def test_a_put_is_read_through_every_node(key: bytes, as_bytes: bool) -> None:
    with Trio(as_bytes=as_bytes) as trio:
        a, b, c = trio.ids
        assert trio.call(a, get(key)).record is None
        written = trio.call(a, put(key, b"1"))
        assert (written.outcome, written.needed) == (Outcome.DONE, 2)
        for node in (a, b, c):
            assert values(trio.call(node, get(key)).record) == (b"1",)
        seen = trio.call(c, get(key)).context
        assert trio.call(b, put(key, b"2", seen)).is_done
        assert stored(trio, key) == [(b"2",)] * 3
        assert trio.others == []


def test_the_classic_example_of_the_paper_through_nodes(trio: Trio) -> None:
    """D1 to D5 (Dynamo, figure 3): Sx twice, then Sy and Sz at the same time, then Sx again."""
    x, y, z = trio.ids
    d1 = trio.call(x, put(b"k", b"D1"))
    d2 = trio.call(x, put(b"k", b"D2", d1.context))
    d3 = trio.call(y, put(b"k", b"D3", d2.context))
    d4 = trio.call(z, put(b"k", b"D4", d2.context))
    assert values(d4.record) == (b"D4", b"D3")
    both = trio.call(x, get(b"k"))
    assert set(values(both.record)) == {b"D3", b"D4"}
    d5 = trio.call(x, put(b"k", b"D5", both.context))
    assert d5.record is not None
    record = decode(d5.record)
    counters = {actor.node: entry.counter for actor, entry in record.clock}
    numbers = [int.from_bytes(id[:4], "big") for id in (x, y, z)]
    assert [counters[number] for number in numbers] == [3, 1, 1]
    assert values(d3.record) == (b"D3",)
    assert values(d5.record) == (b"D5",)


def test_a_node_that_was_asleep_drops_what_it_had_read(trio: Trio) -> None:
    a, b, c = trio.ids
    frames: list[FrameIn] = []
    receive = trio.nodes[b].step

    def keep(now: object, inputs: object) -> list[object]:
        frames.extend(i for i in inputs if isinstance(i, FrameIn))  # type: ignore[attr-defined]
        return []

    trio.nodes[b].step = keep  # type: ignore[method-assign,assignment]
    trio.call(a, put(b"k", b"1"))
    trio.nodes[b].step = receive  # type: ignore[method-assign]
    trio.now_ms += 60_000
    trio.step(b, [*frames, DatagramIn(b"noise"), PeerLost(c)])
    assert b in trio.dropped
    assert stored(trio, b"k")[1] == ()
    trio.nodes[b].step(trio.now(), [ClientCall(99, get(b"k"), trio.now_ms - 1)])
    trio.run(1000)
    assert trio.dropped.count(b) == 1


def test_a_call_that_waited_while_the_node_slept_is_refused(trio: Trio) -> None:
    a = trio.ids[0]
    trio.now_ms += 60_000
    trio.step(a, [ClientCall(1, put(b"k", b"1"), trio.now_ms + 2000)])
    answer = trio.answers[1]
    assert (answer.outcome, answer.reason) == (Outcome.REFUSED, Reason.DEADLINE)
    assert stored(trio, b"k") == [()] * 3


def test_who_hears_nothing_of_others_refuses_strict_writes_and_writes_nothing(trio: Trio) -> None:
    a, b, c = trio.ids
    trio.cut |= {(a, b), (a, c), (b, a), (c, a)}
    trio.run(60_000)
    answer = trio.call(a, put(b"s:k", b"1"))
    assert (answer.outcome, answer.reason) == (Outcome.REFUSED, Reason.NOT_ENOUGH_REPLICAS)
    assert stored(trio, b"s:k") == [()] * 3
    assert trio.call(b, put(b"s:k", b"2")).is_done
    trio.cut.clear()
    trio.run(60_000)
    assert values(trio.call(a, get(b"s:k")).record) == (b"2",)


def test_a_wild_clock_of_another_is_told_once(trio: Trio) -> None:
    a, b, _ = trio.ids
    step = trio.nodes[b].step

    def an_hour_ahead(now: Now, inputs: Sequence[Input]) -> list[NodeEffect]:
        return step(Now(now.ms, now.wall_ms + 3_600_000), inputs)

    trio.nodes[b].step = an_hour_ahead  # type: ignore[method-assign]
    trio.run(20_000)
    told = [effect.message for me, effect in trio.others if me == a and isinstance(effect, Alarm)]
    assert told == ["n2: its clock is off by more than 5000 ms"]


def test_datagrams_that_nobody_of_the_cluster_sent_change_nothing(trio: Trio) -> None:
    a = trio.ids[0]
    before = trio.nodes[a].parts.membership.report(trio.now())
    for data in (b"", b"x" * 100, b"LSMD" + bytes(1196)):
        trio.step(a, [DatagramIn(data)])
    assert trio.nodes[a].parts.membership.report(trio.now()) == before


# --- more than can be done -----------------------------------------------------------------------


def held_back(trio: Trio, me: MemberId) -> list[StoreOrder]:
    """What the store of a node is given from now on, and does not do."""
    orders: list[StoreOrder] = []
    step = trio.nodes[me].step

    def keep(now: Now, inputs: Sequence[Input]) -> list[NodeEffect]:
        effects = step(now, inputs)
        orders.extend(effect for effect in effects if isinstance(effect, StoreOrder))
        return [effect for effect in effects if not isinstance(effect, StoreOrder)]

    trio.nodes[me].step = keep  # type: ignore[method-assign]
    return orders


def test_a_start_is_no_long_wait(trio: Trio) -> None:
    limits = {node.parts.backlog.limit for node in trio.nodes.values()}
    assert limits == {trio.nodes[trio.ids[0]].settings.backlog.operation_count_max}


def test_a_store_that_hangs_costs_a_node_nothing_but_its_own_copy(trio: Trio) -> None:
    """Its node says so to the others, and goes on with theirs: reads, and writes that it forwards.
    What waits is bounded, and once the store is back everything is as before."""
    a = trio.ids[0]
    for number in range(20):
        assert trio.call(a, put(b"%d" % number, b"1")).is_done
    orders = held_back(trio, a)
    trio.call(a, put(b"x", b"1"))  # unknown: it was given to the store that hangs
    trio.run(5000)
    waiting = len(orders)
    for number in range(200):
        assert trio.call(a, put(b"%d" % (number % 20), b"2")).is_done
        assert values(trio.call(a, get(b"%d" % (number % 20))).record)[0] == b"2"
        trio.run(20, pace_ms=20)
    assert len(orders) <= waiting + 10
    loads = {id: trio.nodes[id].parts.membership.load(a) for id in trio.ids}
    assert set(loads.values()) == {int(Load.OVERLOADED)}
    del trio.nodes[a].step  # type: ignore[method-assign]
    given = [Stored(token, trio.stores[a].carry_out(order)) for token, order in orders]
    trio.step(a, given)
    trio.run(10_000)
    assert {trio.nodes[id].parts.membership.load(a) for id in trio.ids} == {0}
    answer = trio.call(a, put(b"y", b"3"))
    assert answer.record is not None
    [(actor, _)] = decode(answer.record).clock
    assert actor.node == int.from_bytes(a[:4], "big")


def test_a_full_disk_is_announced_as_long_as_it_is_full(trio: Trio) -> None:
    a, b, _ = trio.ids
    carry_out = trio.stores[a].carry_out

    def full(order: Order) -> Result:
        if isinstance(order, Merge):
            return Merged((Failure.FULL,) * len(order.records))
        return carry_out(order)

    trio.stores[a].carry_out = full  # type: ignore[method-assign]
    for number in range(30):
        trio.call(b, put(b"%d" % number, b"1"))
        trio.run(300)
    assert trio.nodes[b].parts.membership.load(a) == Load.READ_ONLY
    trio.stores[a].carry_out = carry_out  # type: ignore[method-assign]
    trio.run(10_000)
    assert trio.nodes[b].parts.membership.load(a) == 0


# --- what operators want --------------------------------------------------------------------------


def test_a_repair_brings_back_what_a_copy_lacks(trio: Trio) -> None:
    """The period is ten minutes."""
    _a, b, c = trio.ids
    record = some_record(9)
    trio.stores[b].carry_out(Merge(Space.DATA, ((b"k", record),)))
    trio.run(5000)
    assert [bool(each) for each in stored(trio, b"k")] == [False, True, False]
    trio.step(c, [RepairCall(7)])
    assert trio.others == [(c, RepairReply(7))]
    trio.run(2000)
    assert [bool(each) for each in stored(trio, b"k")] == [True] * 3
    progress = trio.nodes[c].parts.antientropy.progress
    assert (progress.partitions, progress.done, progress.missing) == (16, 16, ())
    assert (progress.pulled, progress.pushed) == (1, 1)


def test_operators_who_ask_while_the_node_sleeps_are_answered(trio: Trio) -> None:
    a, b, _c = trio.ids
    trio.now_ms += 60_000
    trio.step(a, [AdminCall(1, Reweigh(b, 50)), RepairCall(2)])
    trio.run(5000)
    replies = [effect for _, effect in trio.others if isinstance(effect, AdminReply | RepairReply)]
    assert sorted(each.call_id for each in replies) == [1, 2]
