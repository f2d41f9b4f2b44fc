"""A topology document holds what it promises, or cannot be made; and answers who owns what."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from lsmkv_cluster.errors import TopologyError
from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode
from lsmkv_cluster.placement.members import Address, MemberState, default_host
from lsmkv_cluster.placement.planner import plan
from lsmkv_cluster.placement.slots import slot_of
from lsmkv_cluster.placement.topology import DataCentre
from tests.support.members import make_member, make_topology

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
