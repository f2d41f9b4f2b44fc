"""What a run of many seeds amounts to, and what one failed seed looked like, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.sim.kinds import CHANGE_KINDS, FAULT_KINDS, ChangeKind, FaultKind
from tests.sim.simulation import Simulation, Verdict

__all__ = ["AVAILABILITY_MIN", "Tally", "failure_text"]

AVAILABILITY_MIN = 0.999
EVENTS_MAX = 80


@dataclass
class Tally:
    """Sums over verdicts."""

    seeds: int = 0
    failed: list[int] = field(default_factory=list)
    endings: Counter[str] = field(default_factory=Counter)
    hits: Counter[str] = field(default_factory=Counter)
    changed: int = 0  # seeds in which the topology was
    touched: int = 0
    excused: int = 0
    deletes: int = 0
    resurrected: int = 0
    forgotten: int = 0
    moved: int = 0
    had_to_succeed: int = 0
    succeeded: int = 0
    virtual_s: float = 0.0
    cpu_s: float = 0.0
    settled_s_max: float = 0.0

    @classmethod
    def of(cls, verdicts: Iterable[Verdict]) -> Tally:
        tally = cls()
        for verdict in verdicts:
            tally.add(verdict)
        return tally

    def add(self, verdict: Verdict) -> None:
        self.seeds += 1
        if verdict.violations:
            self.failed.append(verdict.seed)
        self.endings.update(verdict.endings)
        self.hits.update(verdict.hits)
        self.changed += any(verdict.hits.get(kind.value) for kind in CHANGE_KINDS)
        self.touched += verdict.touched
        self.excused += verdict.excused
        self.deletes += verdict.deletes
        self.resurrected += verdict.resurrected
        self.forgotten += verdict.forgotten
        self.moved += verdict.moved
        self.had_to_succeed += verdict.had_to_succeed
        self.succeeded += verdict.succeeded
        self.virtual_s += verdict.virtual_s
        self.cpu_s += verdict.cpu_s
        self.settled_s_max = max(self.settled_s_max, verdict.settled_s)

    @property
    def availability(self) -> float:
        """Of calls that had to succeed with one machine down."""
        return self.succeeded / self.had_to_succeed if self.had_to_succeed else 1.0

    @property
    def is_available(self) -> bool:
        return self.availability >= AVAILABILITY_MIN

    def __str__(self) -> str:
        calls = sum(self.endings.values()) or 1
        seeds = self.seeds or 1
        endings = ", ".join(f"{count} {name}" for name, count in sorted(self.endings.items()))
        lines = [
            f"seeds             {self.seeds}, {len(self.failed)} failed",
            f"calls             {endings}; {self.touched / calls:.1%} touched by faults",
            f"deletes           {self.deletes} acknowledged, {self.resurrected} resurrected, "
            f"{self.forgotten} lost with all who had them",
            f"losses excused    {self.excused}",
            f"one machine down  {self.succeeded} of {self.had_to_succeed} calls succeeded "
            f"({self.availability:.3%})",
            f"slowest to settle {self.settled_s_max:.2f} s after the last fault",
            f"time              {self.cpu_s / seeds:.3f} s of one core per seed, "
            f"{self.virtual_s / (self.cpu_s or 1):.0f} simulated seconds in one",
            "faults            " + _hits_text(self.hits, FAULT_KINDS),
            f"topology changed  in {self.changed} seeds ({self.changed / seeds:.1%})",
            f"owners changed    of {self.moved} partitions",
            "changes           " + _hits_text(self.hits, CHANGE_KINDS),
        ]
        return "\n".join(lines)


def _hits_text(hits: Counter[str], kinds: Iterable[ChangeKind | FaultKind]) -> str:
    rows = [f"{hits[kind.value]:6} {kind.value}" for kind in kinds]
    return ("\n" + " " * 18).join(rows)


def failure_text(simulation: Simulation) -> str:
    """The seed, its options, what broke, what happened around it, and how to see it again."""
    world, options, seed = simulation.world, simulation.options, simulation.options.seed
    lines = [f"seed {seed} failed", str(options), ""]
    lines += [str(violation) for violation in world.violations]
    keys = {key for violation in world.violations for key in violation.keys if key}
    calls = [call for call in world.clients.history.calls if call.key in keys]
    if calls:
        lines += ["", "calls of the keys concerned:", *(f"  {call}" for call in calls)]
    lines += ["", "the last events that concern them, and faults:"]
    lines += world.trace.around(sorted(keys), EVENTS_MAX)
    profile = "" if options.profile == "swarm" else f" --profile {options.profile}"
    lines += ["", f"again: python -m tests.sim.run --seed {seed}{profile} --verbose"]
    return "\n".join(lines)
