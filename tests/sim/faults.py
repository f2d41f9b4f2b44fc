"""Which faults happen when, and how many at once.

The kinds of a run follow each other in shuffled rounds; each fault lasts for a drawn while, and
they overlap. A kind that cannot begin now (nobody to strike, or the budget is spent) waits for the
next turn.

Budget: a strict write that was acknowledged is on W synced disks, so at most W - 1 machines may
have lost synced data at a time. A machine counts until it runs and has again all that its co-owners
have, which the simulator sees for itself. Default writes need no budget: their losses are judged by
what their holders suffered (checks/loss.py). Where the topology changes, a majority of its members
keeps its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from random import Random

from lsmkv_cluster.placement.keyspaces import Consistency, Level, Mode
from tests.sim.history import Call
from tests.sim.kinds import DESTRUCTIVE, FaultKind
from tests.sim.loop import MS, SECOND
from tests.sim.views import has_all
from tests.sim.world import World

__all__ = ["Active", "Nemesis"]

DURATION_US = (200 * MS, 8 * SECOND)
CHECK_US = 500 * MS  # between two looks at damaged machines


@dataclass
class Active:
    """A fault that has begun. `machines` are those that it concerns, all their requests with them;
    `end` undoes it, if that is not in its nature; `duration_us` is drawn, unless it is its own."""

    kind: FaultKind
    machines: frozenset[int]
    end: Callable[[], None]
    text: str = ""
    began_us: int = 0
    ended_us: int | None = None
    duration_us: int | None = None

    def overlaps(self, begin_us: int, end_us: int) -> bool:
        return self.began_us <= end_us and (self.ended_us is None or self.ended_us >= begin_us)


Injector = Callable[["Nemesis"], Active | None]


class Nemesis:
    def __init__(self, world: World, injectors: dict[FaultKind, Injector], random: Random) -> None:
        self.world = world
        self.random = random
        self.hits: dict[FaultKind, int] = {}
        self.past: list[Active] = []
        self.active: list[Active] = []
        self.damaged: set[int] = set()  # lost synced data, and have not got it back
        self.reserved: set[int] = set()  # machines that a fault in stages will strike
        self._voteless: set[int] = set()  # who has none on the topology, running or not
        self.is_healing = False
        self._injectors = injectors
        self._round: list[FaultKind] = []

    # --- the schedule

    def begin(self) -> None:
        self.world.loop.after(self.world.options.begin_ms * MS, self._next)
        self.world.loop.after(CHECK_US, self._look)

    def heal(self) -> None:
        """Everything ends, and nothing new begins."""
        self.is_healing = True
        for active in list(self.active):
            self._end(active)
        for machine in self.world.machines:
            machine.recover()

    def _next(self) -> None:
        if self.is_healing:
            return
        mean_us = self.world.options.fault_gap_ms * MS
        self.world.loop.after(self.random.randrange(2 * mean_us), self._next)
        if not self._round:
            self._round = list(self.world.options.kinds)
            self.random.shuffle(self._round)
        for kind in list(self._round):
            if self._inject(kind):
                self._round.remove(kind)
                return

    def _inject(self, kind: FaultKind) -> bool:
        if kind in DESTRUCTIVE and not self.may_destroy():
            return False
        active = self._injectors[kind](self)
        if active is None:
            return False
        active.began_us = self.world.loop.now_us
        self.active.append(active)
        self.world.trace.add("", "fault", kind.value, active.text or _names(active.machines))
        low, high = DURATION_US
        duration_us = active.duration_us
        if duration_us is None:
            duration_us = low + int(self.random.random() ** 2 * (high - low))
        self.world.loop.after(duration_us, self._end, active)
        return True

    def hit(self, kind: FaultKind) -> None:
        self.hits[kind] = self.hits.get(kind, 0) + 1

    def _end(self, active: Active) -> None:
        if active in self.active:
            self.active.remove(active)
            active.ended_us = self.world.loop.now_us
            self.past.append(active)
            self.world.trace.add("", "fault ends", active.kind.value)
            active.end()

    def count_touched(self, calls: Iterable[Call]) -> int:
        """Calls during which a fault concerned their machine or an owner of their key."""
        faults = self.past + self.active
        count = 0
        for call in calls:
            concerned = {call.machine, *self.world.owners(call.key)}
            end_us = call.ended_us if call.ended_us is not None else self.world.loop.now_us
            count += any(
                concerned & fault.machines and fault.overlaps(call.invoked_us, end_us)
                for fault in faults
            )
        return count

    # --- the budget

    def may_destroy(self) -> bool:
        struck = self.damaged | self.reserved
        if len(struck) >= copies_to_spare(self.world):
            return False
        return not self.world.options.changes or self._leaves_a_majority(struck)

    def _leaves_a_majority(self, struck: set[int]) -> bool:
        """Who loses its disk has no vote for a while, and without a majority nothing changes."""
        world = self.world
        voters = {world.numbers[id] for id in world.document.voters}
        self._look_for_votes()
        silent = {number for number in voters - struck if number in self._voteless}
        left = len(voters) - len(silent | (struck & voters)) - 1
        return 2 * left > len(voters)

    def _look_for_votes(self) -> None:
        """Who has none, also of those that do not run now."""
        world = self.world
        self._voteless |= self.damaged
        for machine in world.machines:
            if machine.process is None or machine.number in self.damaged:
                continue
            if world.program.has_vote(machine.process.node):
                self._voteless.discard(machine.number)
            else:
                self._voteless.add(machine.number)

    def _look(self) -> None:
        self._look_for_votes()
        for machine in sorted(self.damaged):
            if self._is_whole(machine):
                self.damaged.discard(machine)
                self.world.trace.add("", "whole again", machine)
        if not self.is_healing:
            self.world.loop.after(CHECK_US, self._look)

    def _is_whole(self, number: int) -> bool:
        """Of whoever has lost data: it has all of it again, also of partitions that no client uses,
        or nobody counts on it any more. Damage that no process has met may yet cost the next one
        its memory and its vote."""
        world, machine = self.world, self.world.machines[number]
        if not world.document.kept_by(machine.id):
            return True
        if machine.process is None or machine.disk.hides_damage():
            return False
        return world.program.is_ready(machine.process.node) and has_all(world, number)

    # --- whom to strike

    def running(self) -> list[int]:
        """Machines with a process that is not paused, and that no fault in stages waits for."""
        return [
            machine.number
            for machine in self.world.machines
            if machine.process is not None
            and not machine.process.is_paused
            and machine.number not in self.reserved
            and not machine.is_out
        ]

    def one_running(self) -> int | None:
        found = self.running()
        return found[self.random.randrange(len(found))] if found else None


def copies_to_spare(world: World) -> int:
    """How many copies of a strictly written record may be lost: all but one of those that the least
    strict write level asks for."""
    levels = [k.write for k in world.topology.keyspaces if k.mode is Mode.STRICT]
    replicas = world.options.replicas
    least = min((_copies(level, replicas) for level in levels), default=replicas // 2 + 1)
    return min(least, replicas // 2 + 1) - 1


def _copies(level: Consistency, replicas: int) -> int:
    if level.level is Level.ALL:
        return replicas
    if level.level is Level.COUNT:
        return level.count
    return 1 if level.level is Level.ONE else replicas // 2 + 1


def _names(machines: frozenset[int]) -> str:
    return " ".join(f"n{number}" for number in sorted(machines))
