"""Faults in stages: what is harmless alone and is not when it comes right after something else."""

from __future__ import annotations

from collections.abc import Callable

from tests.sim.faults import Active, Nemesis
from tests.sim.kinds import FaultKind
from tests.sim.links import isolated
from tests.sim.loop import MS, SECOND

__all__ = ["STAGED_INJECTORS"]

MISSING_US = (1 * SECOND, 5 * SECOND)
DOWN_US = (100 * MS, SECOND)
AWAY_US = (1 * SECOND, 10 * SECOND)  # a start waits for up to five seconds for its peers


class _InTurn:
    """Three owners of a key. The first is cut off for a while, and misses what is written.
    Then it is back, the second one loses its disk, and the third one is cut off: whoever is to be
    filled finds only the one that missed something, at first."""

    def __init__(self, nemesis: Nemesis, missing: int, victim: int, away: int) -> None:
        random = nemesis.random
        self._nemesis = nemesis
        self._missing, self._victim, self._away = missing, victim, away
        self._missing_us = random.randrange(*MISSING_US)
        self._down_us = random.randrange(*DOWN_US)
        self._cut: int | None = None
        nemesis.reserved.add(victim)
        self._cut_off(missing)
        away_us = random.randrange(*AWAY_US)
        nemesis.world.loop.after(self._missing_us, self._turn)
        self.active = Active(
            FaultKind.IN_TURN,
            frozenset((missing, victim, away)),
            self._end,
            f"n{missing} n{victim} n{away}",
            duration_us=self._missing_us + away_us,
        )

    def _turn(self) -> None:
        nemesis, machine = self._nemesis, self._nemesis.world.machines[self._victim]
        nemesis.reserved.discard(self._victim)
        if nemesis.is_healing or machine.process is None:
            return
        self._cut_off(self._away)
        machine.kill()
        machine.wipe()
        nemesis.damaged.add(self._victim)
        nemesis.hit(FaultKind.IN_TURN)
        nemesis.world.loop.after(self._down_us, machine.recover)

    def _cut_off(self, machine: int | None) -> None:
        """This one, and no longer the one before."""
        world = self._nemesis.world
        if self._cut is not None:
            world.links.unblock(isolated(self._cut, world.options.machines))
        if machine is not None:
            world.links.block(isolated(machine, world.options.machines))
        self._cut = machine

    def _end(self) -> None:
        self._cut_off(None)


def _in_turn(nemesis: Nemesis) -> Active | None:
    world, running = nemesis.world, set(nemesis.running())
    owners = world.owners(nemesis.random.choice(world.options.keys))
    if len(owners) < 3 or not running.issuperset(owners):
        return None
    missing, victim, away = nemesis.random.sample(owners, 3)
    return _InTurn(nemesis, missing, victim, away).active


STAGED_INJECTORS: dict[FaultKind, Callable[[Nemesis], Active | None]] = {
    FaultKind.IN_TURN: _in_turn,
}
