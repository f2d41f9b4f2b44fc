"""C7 and C11: one machine of three owners is dead, stopped, slow or cut off, and nothing else.

After the time that detection takes, requests to the others succeed: at least 999 of 1000, over many
runs. And no healthy member is ever taken for dead, least of all by the ill one when it is back.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from random import Random

from tests.sim.checks.evidence import Finding
from tests.sim.history import Call
from tests.sim.kinds import FaultKind
from tests.sim.links import isolated
from tests.sim.loop import MS, SECOND
from tests.sim.paths import Quality
from tests.sim.world import World

__all__ = ["ILLNESSES", "OneDown"]

SAMPLE_US = 100 * MS
SLOW_LINK = Quality((100 * MS, 300 * MS), loss=0.3, bytes_per_us=0.1)
SLOWER = (50, 150)  # times

ILLNESSES = (
    FaultKind.KILL,
    FaultKind.PAUSE,
    FaultKind.NODE_CUT,
    FaultKind.SLOW_LINK,
    FaultKind.SLOW_PROCESSOR,
    FaultKind.SLOW_DISK,
)


class OneDown:
    def __init__(self, world: World, random: Random) -> None:
        self.victim = random.randrange(world.options.nodes)
        self.kind = random.choice(ILLNESSES)
        self.findings: list[Finding] = []
        self._world = world
        self._random = random
        self._began_us = 0
        self._ended_us: int | None = None
        self._cure: Callable[[], None] = lambda: None
        self._accused: set[tuple[int, int]] = set()

    def begin(self) -> None:
        world, machine = self._world, self._world.machines[self.victim]
        self._began_us = world.loop.now_us
        world.trace.add("", "fault", self.kind.value, self.victim)
        if self.kind is FaultKind.KILL:
            machine.kill()
            self._cure = machine.recover
        elif self.kind is FaultKind.PAUSE:
            machine.pause(3600 * SECOND)
            self._cure = machine.recover
        elif self.kind is FaultKind.NODE_CUT:
            pairs = isolated(self.victim, world.options.nodes)
            world.links.block(pairs)
            self._cure = partial(world.links.unblock, pairs)
        elif self.kind is FaultKind.SLOW_LINK:
            world.paths.worsen(self.victim, SLOW_LINK)
            self._cure = partial(world.paths.restore, self.victim, SLOW_LINK)
        else:
            is_cpu = self.kind is FaultKind.SLOW_PROCESSOR
            attribute = "cpu_factor" if is_cpu else "disk_factor"
            setattr(machine, attribute, self._random.randint(*SLOWER))
            self._cure = partial(setattr, machine, attribute, 1)
        self._sample()

    def heal(self) -> None:
        self._ended_us = self._world.loop.now_us
        self._cure()

    def judged(self) -> tuple[int, int]:
        """(calls that had to succeed, those of them that did)."""
        eligible = [call for call in self._world.clients.history.calls if self._has_to(call)]
        return len(eligible), sum(call.is_done for call in eligible)

    def failures(self) -> list[Call]:
        calls = self._world.clients.history.calls
        return [call for call in calls if self._has_to(call) and not call.is_done]

    def _has_to(self, call: Call) -> bool:
        detected_us = self._began_us + self._world.program.detection_ms * MS
        return (
            call.machine != self.victim
            and call.invoked_us >= detected_us
            and (self._ended_us is None or call.invoked_us < self._ended_us)
        )

    def _sample(self) -> None:
        """Whom does everybody take for dead? One that is cut off finds nobody, and nobody else to
        confirm it."""
        world = self._world
        for viewer in world.machines:
            if viewer.process is None or viewer.process.is_paused:
                continue
            for id, state in world.program.states_seen(viewer.process.node, viewer.now()).items():
                pair = (viewer.number, world.numbers[id])
                if state == "dead" and pair[1] != self.victim and pair not in self._accused:
                    self._accused.add(pair)
                    text = f"n{pair[0]} takes n{pair[1]} for dead, but n{self.victim} is ill"
                    self.findings.append(Finding("C11 healthy eviction", b"", text))
        world.loop.after(SAMPLE_US, self._sample)
