"""A view says who owns a key and who keeps a record of it now; ownership never follows from who can
be reached, and stand-ins are in the owner's data centre, on hosts of their own."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import pytest

from lsmkv_cluster.coordination.view import Place, Target, View
from lsmkv_cluster.placement.members import Member
from lsmkv_cluster.placement.topology import DataCentre, Topology
from tests.support.members import make_member, make_topology, member_id

EAST = [f"e{n}" for n in range(5)]
WEST = [f"w{n}" for n in range(4)]


def topology_of(members: list[Member], owners: list[str]) -> Topology:
    dcs = sorted({member.dc for member in members})
    return replace(
        make_topology(),
        data_centres=tuple(DataCentre(dc, 3) for dc in dcs),
        members=tuple(sorted(members, key=lambda member: member.id)),
        owners=(tuple(map(member_id, owners)),) * 16,
    )


TOPOLOGY = topology_of(
    [make_member(name) for name in EAST] + [make_member(name, dc="west") for name in WEST],
    ["e0", "e1", "e2", "w0", "w1"],
)
NAMES = {member_id(name): name for name in EAST + WEST}


def view_of(me: str, down: str = "", topology: Topology = TOPOLOGY) -> View:
    gone = {member_id(name) for name in down.split()}
    return View(topology, member_id(me), lambda id: id not in gone, lambda _: True)


def shown(targets: list[Target]) -> str:
    """`e0`, or `e3>e0` for e3 in the place of e0."""
    return " ".join(
        f"{NAMES[t.member]}>{NAMES[t.owner]}" if t.is_hint else NAMES[t.owner] for t in targets
    )


def ring_of(place: Place, dc: str) -> list[str]:
    """The stand-ins of a data centre, next first."""
    return [NAMES[id] for id in place.stand_ins if NAMES[id][0] == dc]


# --- places --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("me", "order", "is_owner"),
    [
        ("e0", "e0 e1 e2 w0 w1", True),
        ("e4", "e0 e1 e2 w0 w1", False),
        ("w1", "w0 w1 e0 e1 e2", True),
        ("w3", "w0 w1 e0 e1 e2", False),
    ],
)
def test_owners_of_the_own_data_centre_come_first(me, order, is_owner):
    place = view_of(me).place_of(b"key")
    assert " ".join(NAMES[id] for id in place.owners) == order
    assert place.is_owner == is_owner
    assert {dc: len(ids) for dc, ids in place.owners_by_dc.items()} == {"east": 3, "west": 2}
    assert sorted(NAMES[id] for id in place.stand_ins) == ["e3", "e4", "w2", "w3"]


def test_places_are_made_once_and_are_those_of_the_topology():
    view = view_of("n1", topology=make_topology())
    for partition in range(16):
        place = view.place(partition)
        assert place is view.place(partition)
        assert sorted(place.owners) == sorted(view.topology.owners[partition])
        assert place.stand_ins == view.topology.stand_ins(partition)


# --- who keeps a record now ----------------------------------------------------------------------


def test_this_node_always_reaches_itself():
    view = view_of("e0", down="e0 e1")
    assert view.is_reachable(member_id("e0"))
    assert not view.is_reachable(member_id("e1"))
    assert [NAMES[id] for id in view.reachable_owners(view.place(0))] == ["e0", "e2", "w0", "w1"]


def test_strict_targets_are_owners_that_can_be_reached():
    assert shown(view_of("e0").targets(view_of("e0").place(0), sloppy=False)) == "e0 e1 e2 w0 w1"
    view = view_of("e0", down="e1 w0")
    assert shown(view.targets(view.place(0), sloppy=False)) == "e0 e2 w1"


def test_stand_ins_take_the_places_of_others_in_the_order_of_the_ring():
    view = view_of("e0", down="e1 e2 w0")
    place = view.place(0)
    (first, second), west = ring_of(place, "e"), ring_of(place, "w")
    expected = f"e0 w1 {first}>e1 {second}>e2 {west[0]}>w0"
    assert shown(view.targets(place, sloppy=True)) == expected


def test_owners_without_a_stand_in_are_left_out():
    view = view_of("e3", down="e0 e1 e2")
    targets = view.targets(view.place(0), sloppy=True)
    assert len([target for target in targets if target.is_hint]) == 2
    everybody_else = " ".join(NAMES[id] for id in NAMES.keys() - {member_id("e3")})
    alone = view_of("e3", down=everybody_else)
    assert shown(alone.targets(alone.place(0), sloppy=True)) == "e3>e0"


@pytest.mark.parametrize("sloppy", [False, True])
def test_nobody_keeps_two_copies_whoever_is_down(sloppy):
    everyone = EAST + WEST
    for count in range(6):
        for down in combinations(everyone[1:], count):
            view = view_of("e0", down=" ".join(down))
            place = view.place(0)
            targets = view.targets(place, sloppy)
            assert len({target.member for target in targets}) == len(targets)
            assert len({target.owner for target in targets}) == len(targets)
            for member, owner in targets:
                assert owner in place.owners
                assert view.is_reachable(member)
                assert NAMES[member][0] == NAMES[owner][0]
                assert member == owner or (sloppy and NAMES[owner] in down)
            reachable = {target.member for target in targets if not target.is_hint}
            assert reachable == set(view.reachable_owners(place))


def test_stand_ins_share_no_host_with_those_who_take_part():
    members = [
        make_member("a", host="h1"),
        make_member("b", host="h2"),
        make_member("c", host="h1"),
        make_member("d", host="h2"),
        make_member("e", host="h3"),
    ]
    topology = topology_of(members, ["a", "b"])
    view = View(topology, member_id("a"), lambda id: id != member_id("b"), lambda _: True)
    place = view.place(0)
    # Of the hosts only that of `a` is taken: whoever is next on another one will do.
    expected = next(id for id in place.stand_ins if id != member_id("c"))
    assert view.targets(place, sloppy=True)[1] == Target(expected, member_id("b"))
    taken = [member_id("a"), member_id("d")]
    assert view.stand_in(place, member_id("b"), taken) == member_id("e")
    assert view.stand_in(place, member_id("b"), [*taken, member_id("e")]) is None


def test_a_node_that_was_removed_has_a_view_all_the_same():
    """It starts once more, with a document that does not name it (seed 3482 of the simulator)."""
    topology = make_topology()
    view = View(topology, member_id("z"), lambda _: True, lambda _: True)
    assert view.dc == ""
