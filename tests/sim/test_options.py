"""A seed decides everything about a run, and many seeds together try everything."""

from __future__ import annotations

from collections import Counter

from lsmkv_cluster.placement.keyspaces import Level, Mode
from tests.sim.kinds import CHANGE_KINDS, FAULT_KINDS, FaultKind
from tests.sim.options import draw, make_topology
from tests.sim.profiles import PROFILES

SEEDS = 300


def test_equal_seeds_give_equal_options():
    assert draw(7) == draw(7)
    assert str(draw(7)) == str(draw(7))
    assert draw(7) != draw(8)


def test_every_swarm_draws_three_kinds_or_more_and_every_kind_is_drawn_often():
    counts: Counter[str] = Counter()
    for seed in range(SEEDS):
        options = draw(seed)
        if not options.is_one_down:
            assert len(set(options.kinds)) == len(options.kinds) >= 3
            counts.update(kind.value for kind in options.kinds)
    assert set(counts) == {kind.value for kind in FAULT_KINDS}
    assert min(counts.values()) >= 30


def test_some_runs_are_about_one_ill_machine_of_three_owners():
    found = [draw(seed) for seed in range(SEEDS) if draw(seed).is_one_down]
    assert len(found) > SEEDS // 10
    for options in found:
        assert options.replicas == 3
        assert not options.kinds
        levels = {k.read.level for k in options.keyspaces} | {
            k.write.level for k in options.keyspaces
        }
        assert levels == {Level.QUORUM}


def test_strict_keyspaces_may_be_strict():
    for seed in range(SEEDS):
        options = draw(seed)
        copies = {
            Level.ONE: 1,
            Level.QUORUM: options.replicas // 2 + 1,
            Level.ALL: options.replicas,
        }
        for keyspace in options.keyspaces:
            if keyspace.mode is Mode.STRICT:
                read, write = copies[keyspace.read.level], copies[keyspace.write.level]
                assert read + write > options.replicas < 2 * write


def test_topologies_are_as_asked_for():
    sizes: Counter[int] = Counter()
    for seed in range(60):
        options = draw(seed)
        topology = make_topology(options)
        sizes[options.nodes] += 1
        assert len(topology.members) == options.nodes
        assert {len(row) for row in topology.owners} == {options.replicas}
        assert len(topology.owners) == options.partitions
    assert sizes.most_common(1)[0][0] == 5
    assert len(sizes) > 2


def test_options_are_printed_in_full():
    text = str(draw(3))
    for word in ("seed", "centres", "keyspaces", "STRICT", "kinds", "engine", "quality"):
        assert word in text


def test_runs_of_deletes_have_absences_ends_and_changes():
    for seed in range(40):
        options = PROFILES["deletes"](seed)
        assert FaultKind.ABSENCE in options.kinds
        assert len(options.kinds) == 4
        assert options.changes
        assert options.spares
        assert not options.is_one_down
        assert options == PROFILES["deletes"](seed)


def test_runs_of_moves_change_all_the_time_and_write_strictly():
    for seed in range(40):
        options = PROFILES["moves"](seed)
        assert options.changes == CHANGE_KINDS
        assert (options.replicas, options.partitions) == (3, 4)
        assert sum(key.startswith(b"s:") for key in options.keys) == 12
        assert len(options.kinds) == 4
        assert not options.is_one_down
