"""Every keeper is compared with every other one, and who leaves gives to those who are read."""

from __future__ import annotations

from lsmkv_cluster.healing.repair_pairs import PairPlan, is_leaving, pairs_of
from lsmkv_cluster.placement.owners import Phase
from tests.support.heal_lab import heal_topology, moved

TOPOLOGY = heal_topology(member_count=6)
OLD = TOPOLOGY.owners[0]
COMING = TOPOLOGY.stand_ins(0)[:2]
NEW = (OLD[0], *COMING)


def peers(topology, me: bytes) -> dict[bytes, bool]:
    return {plan.peer: plan.gives for plan in pairs_of(topology, me, [0])}


def test_of_a_settled_partition_its_owners_are_compared():
    assert pairs_of(TOPOLOGY, OLD[0], [0]) == [PairPlan(0, OLD[1]), PairPlan(0, OLD[2])]
    assert pairs_of(TOPOLOGY, COMING[0], [0]) == []
    kept = TOPOLOGY.kept_by(OLD[0])
    assert [plan.partition for plan in pairs_of(TOPOLOGY, OLD[0], kept)] == sorted(kept * 2)


def test_who_fills_asks_all_who_do_not():
    filling = moved(TOPOLOGY, 0, Phase.FILLING, NEW)
    assert peers(filling, COMING[0]) == dict.fromkeys(OLD, False)
    for owner in OLD:
        assert peers(filling, owner) == dict.fromkeys({*OLD, *COMING} - {owner}, False)


def test_who_leaves_gives_to_all_who_are_read_and_to_nobody_else():
    switched = moved(TOPOLOGY, 0, Phase.SWITCHED, NEW)
    for leaving in OLD[1:]:
        other = ({*OLD[1:]} - {leaving}).pop()
        assert peers(switched, leaving) == {**dict.fromkeys(NEW, True), other: False}
        assert is_leaving(switched, 0, leaving)
    for reader in NEW:
        assert peers(switched, reader) == dict.fromkeys({*OLD, *COMING} - {reader}, False)
        assert not is_leaving(switched, 0, reader)
    assert not is_leaving(TOPOLOGY, 0, OLD[1])
    assert not is_leaving(moved(TOPOLOGY, 0, Phase.FILLING, NEW), 0, OLD[1])
