"""Each kind of change begins and ends, leaves nothing behind, and destroys no more than it may."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from lsmkv_cluster.placement.members import MemberState
from tests.sim.changes import Changes
from tests.sim.faults import Nemesis
from tests.sim.kinds import ChangeKind
from tests.sim.loop import SECOND
from tests.sim.options import Centre, draw
from tests.sim.product import Product
from tests.sim.views import strays
from tests.sim.world import World

LIMIT_US = 120 * SECOND


class Play:
    """Five members, two spare machines, and one kind of change, once."""

    def __init__(self, *kinds: ChangeKind, nodes: int = 5) -> None:
        options = replace(
            draw(1),
            centres=(Centre("east", nodes, 1, 3),),
            partitions=4,
            kinds=(),
            changes=kinds,
            spares=("east", "east"),
            change_gap_ms=100,
        )
        self.world = World(options, Product())
        self.nemesis = Nemesis(self.world, {}, Random("faults"))
        self.changes = Changes(self.world, self.nemesis, Random("changes"))
        self.world.found()
        self.world.loop.run_until(2 * SECOND)

    def __enter__(self) -> Play:
        return self

    def __exit__(self, *exception: object) -> None:
        self.world.close()

    def until_one_has_begun(self) -> None:
        self.changes.begin()
        loop = self.world.loop
        assert loop.run_while(lambda: not self.changes.hits, loop.now_us + LIMIT_US, SECOND // 100)
        self.changes.heal()

    def until_done(self) -> None:
        loop = self.world.loop
        limit_us = loop.now_us + LIMIT_US
        assert loop.run_while(lambda: not self.changes.is_done, limit_us, SECOND // 4)
        loop.run_until(loop.now_us + 5 * SECOND)
        assert self.world.violations == []

    @property
    def states(self) -> set[MemberState]:
        return {member.state for member in self.world.document.members}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ChangeKind, ids=lambda kind: kind.name.lower())
def test_each_kind_begins_and_ends(kind: ChangeKind):
    with Play(kind) as play:
        play.until_one_has_begun()
        assert play.changes.hits == {kind: 1}
        play.until_done()
        assert play.states == {MemberState.SERVING}
        assert not play.world.document.transitions
        assert strays(play.world, play.world.options.keys) == []


def test_who_joins_runs_and_who_leaves_is_out():
    with Play(ChangeKind.JOIN_TWO) as play:
        play.until_one_has_begun()
        play.until_done()
        assert len(play.world.in_cluster()) == 7
        assert all(machine.process is not None for machine in play.world.machines)
    with Play(ChangeKind.LEAVE) as play:
        play.until_one_has_begun()
        play.until_done()
        out = [machine for machine in play.world.machines if machine.is_out]
        assert len(out) == 1
        assert out[0] not in play.world.in_cluster()


def test_a_dead_node_counts_as_damaged_until_nothing_names_it():
    with Play(ChangeKind.REPLACE) as play:
        play.nemesis.begin()
        play.until_one_has_begun()
        [victim] = play.nemesis.damaged
        assert play.world.machines[victim].is_dead
        play.until_done()
        assert play.nemesis.damaged == set()
        assert play.world.ids[victim] not in play.world.document.members_by_id


def test_nobody_is_removed_while_no_copy_may_be_lost():
    with Play(ChangeKind.REPLACE) as play:
        play.nemesis.damaged = {0, 1}
        play.changes.begin()
        play.world.loop.run_until(20 * SECOND)
        assert play.changes.hits == {}


def test_nobody_leaves_when_there_are_no_hosts_left():
    with Play(ChangeKind.LEAVE, nodes=3) as play:
        play.changes.begin()
        play.world.loop.run_until(20 * SECOND)
        assert play.changes.hits == {}
