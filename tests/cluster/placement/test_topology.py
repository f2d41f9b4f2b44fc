"""A topology document holds what it promises, or cannot be made; and answers who owns what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lsmkv_cluster.errors import TopologyError
from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode
from lsmkv_cluster.placement.members import Address, MemberState, default_host
from lsmkv_cluster.placement.owners import Phase, Transition
from lsmkv_cluster.placement.planner import plan
from lsmkv_cluster.placement.slots import slot_of
from lsmkv_cluster.placement.topology import DataCentre
from tests.support.members import make_member, make_topology, member_id

TOPOLOGY = make_topology()


def test_owners_and_stand_ins_are_all_members_that_store():
    for partition, row in enumerate(TOPOLOGY.owners):
        east, west = (TOPOLOGY.owners_in(partition, dc) for dc in ("east", "west"))
        assert east + west == row
        assert (len(east), len(west)) == (2, 1)
        others = set(TOPOLOGY.stand_ins(partition))
        assert others | set(row) == {m.id for m in TOPOLOGY.members if m.stores}
        assert not others & set(row)


def test_stand_ins_of_neighbours_differ_but_never_change():
    orders = {TOPOLOGY.stand_ins(partition) for partition in range(16)}
    assert len(orders) > 4
    assert TOPOLOGY.stand_ins(5) == make_topology().stand_ins(5)


def test_a_key_belongs_to_the_partition_of_its_slot():
    assert TOPOLOGY.partition_of(b"{user}.name") == TOPOLOGY.partition_of(b"user")
    assert TOPOLOGY.partition_of(b"user") == slot_of(b"user") * 16 // 16384


def test_the_longest_prefix_decides():
    def prefix(key: bytes) -> bytes:
        return TOPOLOGY.keyspace_of(key).prefix

    assert prefix(b"user:1") == b"user:"
    assert prefix(b"user:session:1") == b"user:session:"
    assert prefix(b"user:sessions") == b"user:"
    assert prefix(b"user") == prefix(b"") == b""


def moving(partition: int, row: tuple[bytes, ...] = ()) -> Transition:
    return Transition(partition, Phase.FILLING, row or ROWS[0][:1])


HOST_TWICE = make_member("z", host="h1", dc="west", rack="w")
ROWS = TOPOLOGY.owners


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cluster_id": b"short"}, "wrong size"),
        ({"epoch": 0}, "epoch 0"),
        ({"epoch": 2}, "with the parent"),
        ({"parent": b"p" * 32}, "with the parent"),
        ({"feature_level": 0}, "out of range"),
        ({"key_seed": 1 << 64}, "out of range"),
        ({"members": TOPOLOGY.members[::-1]}, "members out of order"),
        ({"members": TOPOLOGY.members[1:]}, "is not a member"),
        ({"data_centres": (DataCentre("east", 2),)}, "which is not listed"),
        ({"data_centres": TOPOLOGY.data_centres[::-1]}, "data centres out of order"),
        ({"data_centres": (DataCentre("east", 1), DataCentre("west", 1))}, "more owners than"),
        ({"keyspaces": ()}, "0 keyspaces"),
        ({"keyspaces": (Keyspace(b"a"),)}, "no keyspace has the empty prefix"),
        ({"keyspaces": (Keyspace(), Keyspace())}, "keyspaces out of order"),
        ({"owners": ()}, "0 partitions"),
        ({"owners": (ROWS[0][::-1], *ROWS[1:])}, "not in the order of data centres"),
        ({"owners": ((ROWS[0][0], ROWS[0][0]), *ROWS[1:])}, "on one host"),
        ({"transitions": (moving(1), moving(0))}, "transitions out of order"),
        ({"transitions": (moving(0), moving(0))}, "transitions out of order"),
        ({"transitions": (moving(16),)}, "a transition of partition 16"),
        ({"transitions": (moving(0, ROWS[0]),)}, "to the same row"),
        ({"transitions": (moving(0, (ROWS[0][0], ROWS[0][0])),)}, "on one host"),
        ({"transitions": (moving(0, (member_id("?"),)),)}, "is not a member"),
        ({"placed": (1,) * 15}, "15 places of 16"),
        ({"placed": (0,) * 16}, "an epoch that is not"),
        ({"placed": (2,) * 16}, "an epoch that is not"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], message: str):
    with pytest.raises(TopologyError, match=message):
        replace(TOPOLOGY, **changes)


@pytest.mark.parametrize(
    "make",
    [
        lambda: replace(TOPOLOGY.members[0], id=b"short"),
        lambda: replace(TOPOLOGY.members[0], name="a b"),
        lambda: replace(TOPOLOGY.members[0], rack=""),
        lambda: replace(TOPOLOGY.members[0], weight=-1),
        lambda: replace(TOPOLOGY.members[0], weight=10_001),
        lambda: replace(TOPOLOGY.members[0], addresses=(Address("b", "x"), Address("a", "x"))),
        lambda: replace(TOPOLOGY.members[0], addresses=(Address("a", "x"), Address("a", "y"))),
        lambda: Address("peer", "with space"),
        lambda: DataCentre("east", 16),
        lambda: Consistency(Level.COUNT, 0),
        lambda: Consistency(Level.ONE, 1),
        lambda: Keyspace(b"x" * 1025),
    ],
)
def test_values_out_of_range_are_refused(make: Any):
    with pytest.raises(TopologyError):
        make()


def test_a_member_of_two_racks_or_names_is_refused():
    twice = make_member("n1", dc="east", rack="elsewhere", host="h9")
    with pytest.raises(TopologyError, match="two members n1"):
        replace(TOPOLOGY, members=tuple(sorted([*TOPOLOGY.members, twice], key=lambda m: m.id)))
    with pytest.raises(TopologyError, match="host h1 stands in two racks"):
        members = sorted([*TOPOLOGY.members, HOST_TWICE], key=lambda m: m.id)
        replace(TOPOLOGY, members=tuple(members))


def test_leaving_members_stay_owners_until_the_next_plan():
    leaving = tuple(replace(m, state=MemberState.LEAVING) for m in TOPOLOGY.members)
    document = replace(TOPOLOGY, members=leaving)
    assert document.stand_ins(0) == ()
    assert plan(document.owners, document.members, document.replicas).owners == ((),) * 16


def test_levels_print_as_operators_write_them():
    assert str(Consistency(Level.EACH_QUORUM)) == "EACH_QUORUM"
    assert str(Consistency(Level.COUNT, 2)) == "2"
    assert TOPOLOGY.keyspace_of(b"user:session:x").mode is Mode.STRICT


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("127.0.0.1:7100", "n1"),
        ("127.8.9.1", "n1"),
        ("[::1]:7100", "n1"),
        ("::1", "n1"),
        ("localhost:7100", "n1"),
        ("10.0.0.1:7100", "server"),
        ("[2001:db8::1]:7100", "server"),
        ("example.org:7100", "server"),
    ],
)
def test_on_loopback_every_node_counts_as_a_host(address: str, host: str):
    assert default_host("n1", address, "server") == host


# --- transitions

OLD = TOPOLOGY.owners[0]
COMING, *_ = (id for id in TOPOLOGY.stand_ins(0) if TOPOLOGY.members_by_id[id].dc == "east")
NEW = (OLD[0], COMING, OLD[2])


def test_while_a_copy_is_filled_the_old_row_is_read_and_both_are_written():
    topology = replace(TOPOLOGY, transitions=(Transition(0, Phase.FILLING, NEW),))
    assert topology.keepers(0) == (*OLD, COMING)
    assert topology.written_rows(0) == (OLD, NEW)
    assert topology.keepers(1) == TOPOLOGY.owners[1]
    assert topology.written_rows(1) == (TOPOLOGY.owners[1],)
    assert topology.is_filling(0, COMING)
    assert not any(topology.is_filling(0, id) for id in OLD)
    assert COMING not in topology.stand_ins(0)
    assert set(topology.kept_by(COMING)) == {0, *TOPOLOGY.kept_by(COMING)}


def test_when_switched_the_new_row_is_read_and_nobody_fills():
    owners = (NEW, *TOPOLOGY.owners[1:])
    topology = replace(TOPOLOGY, owners=owners, transitions=(Transition(0, Phase.SWITCHED, OLD),))
    assert topology.keepers(0) == (*NEW, OLD[1])
    assert topology.written_rows(0) == (NEW, OLD)
    assert not any(topology.is_filling(0, id) for id in topology.keepers(0))
    assert set(topology.stand_ins(0)).isdisjoint({*NEW, *OLD})


def test_a_moving_partition_may_have_more_copies_than_are_wanted():
    fewer = (DataCentre("east", 1), DataCentre("west", 1))
    moves = tuple(
        Transition(p, Phase.FILLING, (row[0], row[2])) for p, row in enumerate(TOPOLOGY.owners)
    )
    replace(TOPOLOGY, data_centres=fewer, transitions=moves)
    with pytest.raises(TopologyError, match="more owners than"):
        replace(TOPOLOGY, data_centres=fewer, transitions=moves[1:])


def test_the_removed_do_not_vote():
    gone, *others = TOPOLOGY.members
    members = (replace(gone, state=MemberState.REMOVED), *others)
    assert replace(TOPOLOGY, members=members).voters == {member.id for member in others}


def test_what_has_moved_since_an_earlier_document():
    later = replace(TOPOLOGY, epoch=3, parent=bytes([1]) * 32, placed=(3, 1, 2, *[1] * 13))
    assert later.moved_since(TOPOLOGY) == [0, 2]
    assert later.moved_since(later) == []
