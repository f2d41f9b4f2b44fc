"""Faults come as drawn, stay within their budget, end, and are counted."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from lsmkv_cluster.coordination.requests import ClientRequest, Verb
from lsmkv_cluster.placement.keyspaces import Consistency, Keyspace, Level, Mode
from tests.sim.faults import Active, Nemesis, copies_to_spare
from tests.sim.history import Call, Ending
from tests.sim.kinds import DESTRUCTIVE, FAULT_KINDS, FaultKind
from tests.sim.loop import MS, SECOND
from tests.sim.machine_faults import MACHINE_INJECTORS
from tests.sim.network_faults import NETWORK_INJECTORS
from tests.sim.options import Centre, draw
from tests.sim.staged_faults import STAGED_INJECTORS
from tests.sim.toy import ToyProgram
from tests.sim.workload import Session
from tests.sim.world import World

INJECTORS = NETWORK_INJECTORS | MACHINE_INJECTORS | STAGED_INJECTORS
SEED = 1
CENTRES = (Centre("east", 3, 1, 2), Centre("west", 2, 1, 1))


class Bench:
    def __init__(self, *kinds: FaultKind, write: Level = Level.QUORUM) -> None:
        strict = Keyspace(b"", write=Consistency(write), mode=Mode.STRICT)
        options = replace(
            draw(SEED),
            centres=CENTRES,
            kinds=kinds,
            keyspaces=(strict,),
            fault_gap_ms=200,
            changes=(),
            spares=(),
        )
        self.world = World(options, ToyProgram())
        self.world.found()
        self.nemesis = Nemesis(self.world, INJECTORS, self.world.random("faults"))

    def run(self, duration_us: int) -> None:
        self.world.loop.run_until(self.world.loop.now_us + duration_us)


@pytest.fixture
def made() -> Iterator[list[Bench]]:
    benches: list[Bench] = []
    yield benches
    for bench in benches:
        bench.world.close()


def make(made: list[Bench], *kinds: FaultKind, write: Level = Level.QUORUM) -> Bench:
    made.append(Bench(*kinds, write=write))
    return made[-1]


def test_every_kind_can_be_injected():
    assert set(INJECTORS) == set(FAULT_KINDS)


@pytest.mark.parametrize("kind", [kind for kind in FAULT_KINDS if kind not in DESTRUCTIVE])
def test_a_fault_begins_ends_and_leaves_nothing(made: list[Bench], kind: FaultKind):
    bench = make(made, kind)
    links = bench.world.links
    bench.nemesis.begin()
    bench.run(20 * SECOND)
    # A trap is hit when it springs, and nobody writes here. Long ones come one after the other.
    least = {FaultKind.COORDINATOR_DEATH: 0, FaultKind.ABSENCE: 1}.get(kind, 4)
    assert bench.nemesis.hits.get(kind, 0) >= least
    bench.nemesis.heal()
    bench.run(5 * SECOND)
    assert bench.nemesis.active == []
    nodes = bench.world.options.nodes
    assert all(links.is_open(a, b) for a in range(nodes) for b in range(nodes))
    for machine in bench.world.machines:
        assert machine.process is not None
        assert not machine.process.is_paused
        assert machine.process.trap is None
        assert (machine.cpu_factor, machine.disk_factor, machine.wall_offset_ms) == (1, 1, 0)
        assert not machine.disk.is_full
        path = bench.world.paths.quality(machine.number, machine.number)
        assert path == bench.world.options.quality
    assert bench.world.violations == []


@pytest.mark.parametrize(("write", "spare"), [(Level.QUORUM, 1), (Level.ALL, 1)])
def test_the_budget_leaves_a_synced_copy(made: list[Bench], write: Level, spare: int):
    bench = make(made, *DESTRUCTIVE, write=write)
    assert copies_to_spare(bench.world) == spare
    bench.nemesis.begin()
    for _ in range(400):
        bench.run(100 * MS)
        assert len(bench.nemesis.damaged | bench.nemesis.reserved) <= spare
    assert sum(bench.nemesis.hits.values()) > 3


def test_a_machine_counts_as_damaged_until_it_has_everything_again(made: list[Bench]):
    bench = make(made, FaultKind.WIPE)
    key = bench.world.options.keys[0]
    request = ClientRequest(Verb.SET, key, (b"v",))
    owner = bench.world.owners(key)[0]
    bench.world.clients.call(Session(0, owner, gives_context=False), request, owner)
    bench.run(SECOND)
    machine = bench.world.machines[owner]
    machine.kill()
    machine.wipe()
    bench.nemesis.damaged.add(owner)
    bench.nemesis.begin()
    bench.run(3 * SECOND)
    assert bench.nemesis.damaged == {owner}
    assert bench.nemesis.hits == {}  # another wipe would be one too many
    machine.recover()
    bench.run(8 * SECOND)
    assert bench.nemesis.hits


def test_owners_are_ill_in_turn(made: list[Bench]):
    """While one is cut off nothing is lost; then it is back, another one is wiped and a third cut
    off; and in the end all are well."""
    bench = make(made)
    world, links = bench.world, bench.world.links
    active = INJECTORS[FaultKind.IN_TURN](bench.nemesis)
    assert active is not None
    missing, victim, away = (int(name[1:]) for name in active.text.split())
    assert {missing, victim, away} == active.machines
    machine = world.machines[victim]
    assert not links.is_open(missing, victim)
    assert links.is_open(away, victim)
    assert victim not in bench.nemesis.running()  # no other fault takes it
    while machine.process is not None:
        bench.run(MS)
    assert bench.nemesis.damaged == {victim}
    assert links.is_open(missing, victim)
    assert not links.is_open(away, victim)
    bench.run(2 * SECOND)
    assert machine.process is not None
    active.end()
    assert links.is_open(away, victim)


@pytest.mark.parametrize("kind", [FaultKind.WIPE, FaultKind.OLD_COPY])
def test_a_machine_that_lost_its_disk_may_end_again_soon_and_comes_back(
    made: list[Bench], kind: FaultKind
):
    starts = set()
    for _ in range(20):
        bench = make(made, kind)
        bench.nemesis.random.seed(len(made))
        assert INJECTORS[kind](bench.nemesis)
        bench.run(20 * SECOND)
        assert all(machine.process is not None for machine in bench.world.machines)
        starts.add(max(machine.start_number for machine in bench.world.machines))
    assert {2, 3} <= starts


def make_call(machine: int, key: bytes, invoked_us: int, ended_us: int) -> Call:
    request = ClientRequest(Verb.GET, key)
    call = Call(0, 0, machine, Mode.SLOPPY, request, invoked_us, 0)
    call.ended_us, call.ending = ended_us, Ending.DONE
    return call


def test_a_call_is_touched_by_what_concerns_its_machine_or_owners_in_its_time(made: list[Bench]):
    bench = make(made, FaultKind.KILL)
    key = bench.world.options.keys[0]
    owners = bench.world.owners(key)
    stranger = next(n for n in range(bench.world.options.nodes) if n not in owners)
    fault = Active(FaultKind.KILL, frozenset([owners[0]]), lambda: None)
    fault.began_us, fault.ended_us = 100, 200
    bench.nemesis.past.append(fault)
    during, before = make_call(stranger, key, 150, 300), make_call(stranger, key, 10, 90)
    assert bench.nemesis.count_touched([during, before]) == 1
    fault.machines = frozenset([stranger])
    assert bench.nemesis.count_touched([during]) == 1
    other = next(n for n in range(bench.world.options.nodes) if n not in {*owners, stranger})
    fault.machines = frozenset([other])
    assert bench.nemesis.count_touched([during]) == 0
