"""When a copy that goes has brought enough to those who are read in its place."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lsmkv_cluster.healing.handover import Handover, leaving
from lsmkv_cluster.placement.members import MemberId, MemberState
from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.placement.topology import Topology
from tests.support.heal_lab import heal_topology, moved

TOPOLOGY = heal_topology(member_count=6)
OLD = TOPOLOGY.owners[0]
NEW = (OLD[0], *TOPOLOGY.stand_ins(0)[:2])
SWITCHED = moved(moved(TOPOLOGY, 0, Phase.FILLING, NEW), 0, Phase.SWITCHED, NEW)
ME = OLD[1]


def handover(topology: Topology = SWITCHED, away: tuple[MemberId, ...] = ()) -> Handover:
    return Handover(topology, ME, lambda member: member not in away)


def without(topology: Topology, *gone: MemberId) -> Topology:
    """These members are removed."""
    members = tuple(
        replace(member, state=MemberState.REMOVED) if member.id in gone else member
        for member in topology.members
    )
    return replace(topology, epoch=topology.epoch + 1, members=members)


def test_only_a_copy_that_goes_is_handed_over() -> None:
    assert leaving(SWITCHED, ME) == [0]
    assert leaving(SWITCHED, OLD[0]) == leaving(SWITCHED, NEW[1]) == []
    assert leaving(TOPOLOGY, ME) == []


def test_everybody_who_can_be_reached_has_to_have_all() -> None:
    given = handover()
    for new in NEW:
        assert given.handed_over() == ()
        given.given(0, new)
    assert given.handed_over() == (0,)


@pytest.mark.parametrize(("away", "is_enough"), [(NEW[2:], True), (NEW[1:], False)])
def test_who_cannot_be_reached_need_not_while_most_have_it(
    away: tuple[MemberId, ...], is_enough: bool
) -> None:
    given = handover(away=away)
    for new in set(NEW) - set(away):
        given.given(0, new)
    assert given.handed_over() == ((0,) if is_enough else ())


def test_most_of_those_who_are_not_removed_are_enough() -> None:
    """The others come back never; nobody could finish what waits for them."""
    given = handover(away=NEW[1:])
    given.given(0, NEW[0])
    assert given.handed_over() == ()
    given.follow(without(SWITCHED, *NEW[1:]))
    assert given.handed_over() == (0,)


def test_where_all_are_removed_nothing_is_handed_over() -> None:
    given = handover(away=NEW)
    given.follow(without(SWITCHED, *NEW))
    assert given.handed_over() == ()


def test_what_was_given_counts_for_one_place() -> None:
    given = handover()
    for new in NEW:
        given.given(0, new)
    given.follow(replace(SWITCHED, epoch=SWITCHED.epoch + 1))
    assert given.handed_over() == (0,)
    placed = (SWITCHED.epoch + 2, *SWITCHED.placed[1:])
    given.follow(replace(SWITCHED, epoch=SWITCHED.epoch + 2, placed=placed))
    assert given.handed_over() == ()
