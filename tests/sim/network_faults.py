"""How the faults of the network begin and end: bad paths, cuts of all shapes, resets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from lsmkv_cluster.transport.wire import Lane
from tests.sim import links
from tests.sim.faults import Active, Nemesis
from tests.sim.kinds import FaultKind
from tests.sim.links import Pairs
from tests.sim.loop import MS, SECOND
from tests.sim.paths import Quality

__all__ = ["NETWORK_INJECTORS"]

FLAP_US = (200 * MS, 2 * SECOND)
RESETS = 4


def _nothing() -> None:
    """What ends by itself, or not at all."""


def _everybody(nemesis: Nemesis) -> frozenset[int]:
    return frozenset(range(nemesis.world.options.machines))


def _worse(kind: FaultKind, quality: Callable[[Random], Quality]) -> Callable[[Nemesis], Active]:
    """All paths of some machines get worse."""

    def begin(nemesis: Nemesis) -> Active:
        random, world = nemesis.random, nemesis.world
        machines = random.sample(
            range(world.options.machines), random.randint(1, world.options.machines)
        )
        chosen = quality(random)
        for machine in machines:
            world.paths.worsen(machine, chosen)

        def end() -> None:
            for machine in machines:
                world.paths.restore(machine, chosen)

        nemesis.hit(kind)
        return Active(kind, frozenset(machines), end)

    return begin


def _cut(kind: FaultKind, shape: Callable[[Nemesis], Pairs]) -> Callable[[Nemesis], Active]:
    def begin(nemesis: Nemesis) -> Active:
        pairs = shape(nemesis)
        nemesis.world.links.block(pairs)
        nemesis.hit(kind)
        machines = frozenset(number for pair in pairs for number in pair)
        text = " ".join(f"{a}>{b}" for a, b in pairs)
        return Active(kind, machines, partial(nemesis.world.links.unblock, pairs), text)

    return begin


def _shuffled(nemesis: Nemesis) -> list[int]:
    order = list(range(nemesis.world.options.machines))
    nemesis.random.shuffle(order)
    return order


def _halves(nemesis: Nemesis) -> Pairs:
    order = _shuffled(nemesis)
    half = len(order) // 2
    return links.cut_between(order[:half], order[half:])


def _isolated(nemesis: Nemesis) -> Pairs:
    nodes = nemesis.world.options.machines
    return links.isolated(nemesis.random.randrange(nodes), nodes)


def _one_way(nemesis: Nemesis) -> Pairs:
    order = _shuffled(nemesis)
    count = nemesis.random.randint(1, len(order) - 1)
    return links.one_way(order[:count], order[count:])


def _centre(nemesis: Nemesis) -> Pairs:
    here = nemesis.world.options.centres[0].name
    members = list(enumerate(nemesis.world.members))
    return links.cut_between(
        [number for number, member in members if member.dc == here],
        [number for number, member in members if member.dc != here],
    )


def _flapping(nemesis: Nemesis) -> Active:
    world, random = nemesis.world, nemesis.random
    pairs = _isolated(nemesis) if random.random() < 0.5 else _one_way(nemesis)
    state = {"blocked": False, "over": False}

    def toggle() -> None:
        if state["over"]:
            return
        (world.links.unblock if state["blocked"] else world.links.block)(pairs)
        state["blocked"] = not state["blocked"]
        world.loop.after(random.randrange(*FLAP_US), toggle)

    def end() -> None:
        state["over"] = True
        if state["blocked"]:
            world.links.unblock(pairs)

    toggle()
    nemesis.hit(FaultKind.FLAPPING)
    return Active(FaultKind.FLAPPING, frozenset(n for pair in pairs for n in pair), end)


def _client_cut(nemesis: Nemesis) -> Active:
    clients, order = nemesis.world.clients, _shuffled(nemesis)
    machines = order[: nemesis.random.randint(1, max(1, len(order) // 2))]
    for machine in machines:
        clients.block(machine)

    def end() -> None:
        for machine in machines:
            clients.unblock(machine)

    nemesis.hit(FaultKind.CLIENT_CUT)
    return Active(FaultKind.CLIENT_CUT, frozenset(machines), end)


def _reset(nemesis: Nemesis) -> Active:
    world, random = nemesis.world, nemesis.random

    def strike() -> None:
        one, other = random.sample(range(world.options.machines), 2)
        if random.random() < 0.3:
            world.streams.lose_lane(one, other, Lane(random.randint(1, 3)))
        else:
            world.streams.reset(one, other)

    for _ in range(RESETS):
        world.loop.after(random.randrange(SECOND), strike)
    nemesis.hit(FaultKind.RESET)
    return Active(FaultKind.RESET, _everybody(nemesis), _nothing)


NETWORK_INJECTORS: dict[FaultKind, Callable[[Nemesis], Active | None]] = {
    FaultKind.LOSS: _worse(FaultKind.LOSS, lambda r: Quality(loss=0.02 + r.random() * 0.5)),
    FaultKind.DUPLICATION: _worse(
        FaultKind.DUPLICATION, lambda r: Quality(duplication=0.05 + r.random() * 0.5)
    ),
    FaultKind.REORDERING: _worse(
        FaultKind.REORDERING, lambda r: Quality(reordering=0.05 + r.random() * 0.5)
    ),
    FaultKind.CORRUPTION: _worse(
        FaultKind.CORRUPTION, lambda r: Quality(corruption=0.02 + r.random() * 0.2)
    ),
    FaultKind.STREAM_CORRUPTION: _worse(
        FaultKind.STREAM_CORRUPTION, lambda r: Quality(stream_corruption=0.02)
    ),
    FaultKind.SLOW_LINK: _worse(
        FaultKind.SLOW_LINK,
        lambda r: Quality((10 * MS, r.choice((50, 300, 900)) * MS), bytes_per_us=0.1),
    ),
    FaultKind.RESET: _reset,
    FaultKind.NODE_CUT: _cut(FaultKind.NODE_CUT, _isolated),
    FaultKind.HALVES: _cut(FaultKind.HALVES, _halves),
    FaultKind.ONE_WAY: _cut(FaultKind.ONE_WAY, _one_way),
    FaultKind.BRIDGE: _cut(FaultKind.BRIDGE, lambda n: links.bridge(_shuffled(n))),
    FaultKind.RING: _cut(FaultKind.RING, lambda n: links.majorities_ring(_shuffled(n))),
    FaultKind.CENTRE_CUT: _cut(FaultKind.CENTRE_CUT, _centre),
    FaultKind.FLAPPING: _flapping,
    FaultKind.CLIENT_CUT: _client_cut,
}
