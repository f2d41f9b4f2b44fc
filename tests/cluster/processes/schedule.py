"""Which fault begins when: kinds in shuffled rounds, all from one seed, and never a long rest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TextIO

from tests.cluster.processes.faults import KINDS, Fault, Stage

__all__ = ["FaultLog", "Schedule"]

GAP_S = (1.0, 5.0)  # from one beginning to the next
DURATION_S = (0.5, 8.0)
ACTIVE_MAX = 3


@dataclass
class Interval:
    kind: str
    on: str
    began_s: float
    ended_s: float | None = None


@dataclass
class FaultLog:
    """All that was done, and when."""

    file: TextIO | None = None
    intervals: list[Interval] = field(default_factory=list)

    def note(self, what: str, interval: Interval, at_s: float) -> None:
        if self.file is not None:
            line = {"at_s": round(at_s, 3), what: interval.kind, "on": interval.on}
            self.file.write(json.dumps(line) + "\n")
            self.file.flush()

    def counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for each in self.intervals:
            found[each.kind] = found.get(each.kind, 0) + 1
        return dict(sorted(found.items()))

    def longest_rest_s(self, began_s: float, ended_s: float) -> float:
        """In which there was no fault at all."""
        rest_s, free_s = 0.0, began_s
        for each in sorted(self.intervals, key=lambda each: each.began_s):
            rest_s = max(rest_s, each.began_s - free_s)
            free_s = max(free_s, ended_s if each.ended_s is None else each.ended_s)
        return max(rest_s, ended_s - free_s)


class Schedule:
    """`run` until it is cancelled or the time is over, then `heal`. What goes wrong while a fault
    ends comes out of either."""

    def __init__(
        self,
        stage: Stage,
        log: FaultLog,
        kinds: Sequence[str] = tuple(KINDS),
        tell: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._stage = stage
        self._log = log
        self._kinds = kinds
        self._tell = tell
        self._round: list[str] = []
        self._ends: set[asyncio.Task[None]] = set()
        self._hurry = asyncio.Event()
        self._failures: list[BaseException] = []

    async def run(self, until_s: float) -> None:
        random, stage = self._stage.random, self._stage
        while stage.now_s() < until_s:
            self._raise_failure()
            if len(self._ends) < ACTIVE_MAX:
                await self._begin_one()
            gap_s = random.uniform(*GAP_S)
            await asyncio.sleep(max(0.0, min(gap_s, until_s - stage.now_s())))

    async def heal(self) -> None:
        """All faults end, and have ended."""
        self._hurry.set()
        if self._ends:
            await asyncio.wait(self._ends)
        self._raise_failure()
        self._stage.mesh.heal()

    def _raise_failure(self) -> None:
        if self._failures:
            raise self._failures[0]

    async def _begin_one(self) -> None:
        """The first kind of the round that can strike somebody now, or any other."""
        random = self._stage.random
        if not self._round:
            self._round = random.sample(self._kinds, len(self._kinds))
        for kind in [*self._round, *random.sample(self._kinds, len(self._kinds))]:
            fault = await KINDS[kind](self._stage)
            if fault is not None:
                if kind in self._round:
                    self._round.remove(kind)
                self._begun(kind, fault)
                return

    def _begun(self, kind: str, fault: Fault) -> None:
        interval = Interval(kind, fault.on, self._stage.now_s())
        self._log.intervals.append(interval)
        self._log.note("begins", interval, interval.began_s)
        self._tell(f"{kind} ({fault.on})")
        task = asyncio.get_running_loop().create_task(self._end_later(fault, interval))
        self._ends.add(task)
        task.add_done_callback(self._ends.discard)

    async def _end_later(self, fault: Fault, interval: Interval) -> None:
        duration_s = self._stage.random.uniform(*DURATION_S)
        try:
            async with asyncio.timeout(duration_s):
                await self._hurry.wait()
        except TimeoutError:
            pass
        try:
            await fault.end()
        except Exception as error:
            self._failures.append(error)
        interval.ended_s = self._stage.now_s()
        self._log.note("ends", interval, interval.ended_s)
