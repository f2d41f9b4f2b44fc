"""One run from its seed to its verdict.

found     all machines start, with empty disks
load      clients call, faults come and go, until all calls have ended
heal      all faults end
settle    changes of the topology end; hints drain and copies become equal, within two periods
          since then, or since the last value expired
quiet     for another period nothing is repaired any more
judge     the checkers look at everything
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from tests.sim.changes import Changes
from tests.sim.checks.causality import (
    nothing_is_hidden_without_right,
    outcomes_are_true,
    siblings_are_concurrent,
)
from tests.sim.checks.copies import (
    actors_end_with_a_loss,
    copies_show_what_they_have_promised,
    hints_stay_until_all_have_them,
)
from tests.sim.checks.evidence import Evidence, Finding
from tests.sim.checks.expiry import what_expires_is_seen_until_then
from tests.sim.checks.loss import acknowledged_writes_are_kept, acknowledgements_are_true
from tests.sim.checks.moves import coming_copies_are_whole, new_owners_show_what_was_promised
from tests.sim.checks.sessions import contexts_grow, strict_reads_see_what_ended_before
from tests.sim.faults import Nemesis
from tests.sim.loop import MS, SECOND
from tests.sim.machine_faults import MACHINE_INJECTORS
from tests.sim.network_faults import NETWORK_INJECTORS
from tests.sim.one_down import OneDown
from tests.sim.options import Options
from tests.sim.program import Program
from tests.sim.staged_faults import STAGED_INJECTORS
from tests.sim.views import (
    copies,
    differing_trees,
    disagreements,
    hint_count,
    strays,
    wrong_rows,
)
from tests.sim.workload import Workload
from tests.sim.world import World

__all__ = ["CHECKERS", "Simulation", "Verdict"]

Checker = Callable[[Evidence], Iterable[Finding]]

CHECKERS: tuple[Checker, ...] = (
    acknowledged_writes_are_kept,
    acknowledgements_are_true,
    nothing_is_hidden_without_right,
    siblings_are_concurrent,
    outcomes_are_true,
    contexts_grow,
    strict_reads_see_what_ended_before,
    copies_show_what_they_have_promised,
    hints_stay_until_all_have_them,
    actors_end_with_a_loss,
    coming_copies_are_whole,
    new_owners_show_what_was_promised,
    what_expires_is_seen_until_then,
)
FOUND_US = SECOND
LOAD_US = 30 * SECOND  # then no call begins any more
LOAD_LIMIT_US = LOAD_US + 10 * SECOND
EVENTS_MAX = 200_000  # many times what a run needs: somebody works for nothing
STEP_US = 250 * MS
CHANGE_LIMIT_US = 60 * SECOND  # until all that was begun has been done


@dataclass
class Verdict:
    """What is kept of a run."""

    seed: int
    violations: list[str] = field(default_factory=list)
    endings: dict[str, int] = field(default_factory=dict)
    hits: dict[str, int] = field(default_factory=dict)
    touched: int = 0  # calls
    excused: int = 0  # losses
    deletes: int = 0  # acknowledged
    resurrected: int = 0  # of them
    forgotten: int = 0  # of them, excused: everybody who had it has lost it
    moved: int = 0  # times that a partition got other owners
    had_to_succeed: int = 0  # calls, with one machine down
    succeeded: int = 0
    virtual_s: float = 0.0
    settled_s: float = 0.0  # from the end of all faults until copies were equal
    cpu_s: float = 0.0  # measured by who runs it

    @property
    def calls(self) -> int:
        return sum(self.endings.values())


class Simulation:
    def __init__(
        self, options: Options, program: Program, echo: Callable[[str], None] | None = None
    ) -> None:
        self.options = options
        self.world = World(options, program, echo)
        self.verdict = Verdict(options.seed)
        self.nemesis: Nemesis | None = None
        self.changes: Changes | None = None
        self.one_down: OneDown | None = None
        self.findings: list[Finding] = []

    def run(self) -> Verdict:
        world = self.world
        try:
            for phase in (self._found, self._load, self._heal, self._settle, self._quiet):
                world.trace.add("", "phase", phase.__name__[1:])
                phase()
                if world.violations:
                    break
            else:
                self._judge()
        finally:
            world.close()
        return self._summary()

    # --- phases

    def _found(self) -> None:
        self.world.found()
        self.world.loop.run_until(FOUND_US)

    def _load(self) -> None:
        world, options = self.world, self.options
        workload = Workload(options, world.random("workload"))
        if options.is_one_down:
            one_down = self.one_down = OneDown(world, world.random("faults"))
            workload.avoid(one_down.victim)
            world.loop.after(options.begin_ms * MS, one_down.begin)
        else:
            injectors = NETWORK_INJECTORS | MACHINE_INJECTORS | STAGED_INJECTORS
            nemesis = self.nemesis = Nemesis(world, injectors, world.random("faults"))
            nemesis.begin()
            if options.changes:
                self.changes = Changes(world, nemesis, world.random("changes"))
                self.changes.begin()
        world.clients.begin(workload, options.calls)
        world.loop.run_while(self._is_loaded, LOAD_US, STEP_US)
        world.clients.calls_left = 0
        if not world.loop.run_while(self._is_loaded, LOAD_LIMIT_US, STEP_US):
            world.fail("C9 calls do not end", "", "long after their deadlines")

    def _is_loaded(self) -> bool:
        return not self.world.clients.is_idle and not self._has_failed()

    def _has_failed(self) -> bool:
        world = self.world
        if world.loop.event_count > EVENTS_MAX and not world.violations:
            world.fail("C9 work does not end", "", f"{world.loop.event_count} events")
        return bool(world.violations)

    def _heal(self) -> None:
        for fault in (self.changes, self.nemesis, self.one_down):
            if fault is not None:
                fault.heal()

    def _settle(self) -> None:
        world = self.world
        began_us = written_us = world.loop.now_us
        if self.changes is not None:
            changed_us = began_us + CHANGE_LIMIT_US
            if not world.loop.run_while(lambda: self._is_changing, changed_us, STEP_US):
                world.fail("C12 changes do not end", "", str(self._open_changes()))
            written_us = world.loop.now_us
        while not world.loop.run_while(self._is_unsettled, self._limit_us(written_us), STEP_US):
            last_us = world.ledger.mints[-1].time_us if world.ledger.mints else 0
            if last_us <= written_us:
                self._report_unsettled()
                break
            written_us = last_us  # a tombstone took the place of what had expired
        settled_s = (world.loop.now_us - began_us) / SECOND
        self.verdict.settled_s = max(self.verdict.settled_s, settled_s)

    def _limit_us(self, written_us: int) -> int:
        """For copies to be equal, since they were written to."""
        return written_us + 2 * self.world.program.settle_period_ms * MS

    def _is_unsettled(self) -> bool:
        world = self.world
        if self._has_failed():
            return False
        for machine in world.in_cluster():
            if machine.process is None or not world.program.is_ready(machine.process.node):
                return True
        if self._left_behind() or wrong_rows(world) or hint_count(world) > 0:
            return True
        return bool(disagreements(world, self.options.keys) or differing_trees(world))

    def _left_behind(self) -> list[str]:
        return strays(self.world, self.options.keys) if self.changes is not None else []

    @property
    def _is_changing(self) -> bool:
        assert self.changes is not None
        return not (self.changes.is_done or self._has_failed())

    def _open_changes(self) -> list[str]:
        document = self.world.document
        states = [f"{m.name} {m.state.name}" for m in document.members]
        moves = [f"{move.partition} {move.phase.name}" for move in document.transitions]
        return [f"epoch {document.epoch}", *states, *moves]

    def _report_unsettled(self) -> None:
        world = self.world
        for text in self._left_behind():
            world.fail("C12 left behind", "", text)
        for machine in world.in_cluster():
            if machine.process is None:
                world.fail("C9 not running", machine.name, "long after all faults have ended")
            elif not world.program.is_ready(machine.process.node):
                world.fail("C9 not ready", machine.name, "long after all faults have ended")
        for text in wrong_rows(world):
            world.fail("C12 wrong number of copies", "", text)
        for text in differing_trees(world):
            world.fail("C3 trees differ", "", text)
        if hints := hint_count(world):
            world.fail("C9 hints do not drain", "", f"{hints} are left")
        for text in disagreements(world, self.options.keys):
            world.fail("C3 copies differ", "", text, tuple(self._keys_in(text)))

    def _keys_in(self, text: str) -> Iterator[bytes]:
        return (key for key in self.options.keys if text.startswith(f"{key!r}:"))

    def _quiet(self) -> None:
        """The first half lets what was under way arrive. A copy that is given up as unreadable
        only now, found by a scrub, is filled again: that is no idle repair. Nor is what a tombstone
        makes that takes the place of what has expired: nobody else writes now."""
        world = self.world
        half_us = world.program.settle_period_ms * MS // 2
        began = world.ledger.number
        world.loop.run_until(world.loop.now_us + half_us)
        before = len(world.ledger.changes)
        world.loop.run_until(world.loop.now_us + 2 * half_us)
        given_up = [any(loss.number > began for loss in losses) for losses in world.ledger.losses]
        minted = {mint.key for mint in world.ledger.mints if mint.number > began}
        for time_us, machine, key in world.ledger.changes[before:]:
            if not given_up[machine] and key not in minted:
                text = f"{key!r} was changed at {time_us / 1e6:.3f} s, though all copies were equal"
                world.fail("C3 repairs do not end", world.names[machine], text, (key,))
        if (minted or any(given_up)) and not self._has_failed():
            self._settle()

    def _judge(self) -> None:
        world = self.world
        by_key = {key: copies(world, key) for key in self.options.keys}
        evidence = Evidence(world.clients.history.calls, world.ledger, by_key)
        for checker in CHECKERS:
            self.findings.extend(checker(evidence))
        if self.one_down is not None:
            self.findings.extend(self.one_down.findings)
        for finding in self.findings:
            if finding.excuse is None:
                world.fail(finding.promise, "", finding.text, (finding.key,))
        for text in world.streams.failures:
            world.fail("a damaged frame was accepted", "", text)
        for time_us, machine, text in world.alarms:
            if text.startswith("a Merkle tree was wrong"):
                world.fail(
                    "a tree is not what is stored", machine, f"{text} ({time_us / 1e6:.3f} s)"
                )

    # --- the verdict

    def _summary(self) -> Verdict:
        world, verdict = self.world, self.verdict
        calls = world.clients.history.calls
        verdict.violations = [str(violation) for violation in world.violations]
        verdict.endings = dict(
            sorted(Counter(call.ending.value for call in calls if call.ending).items())
        )
        verdict.excused = sum(finding.excuse is not None for finding in self.findings)
        verdict.deletes = sum(call.is_delete for call in calls)
        back = [found for found in self.findings if found.promise == "C4 resurrected"]
        verdict.resurrected = sum(found.excuse is None for found in back)
        verdict.forgotten = len(back) - verdict.resurrected
        verdict.moved = world.ledger.moved
        verdict.virtual_s = world.loop.now_us / SECOND
        if self.nemesis is not None:
            hits = {kind.value: n for kind, n in self.nemesis.hits.items()}
            if self.changes is not None:
                hits |= {kind.value: n for kind, n in self.changes.hits.items()}
            verdict.hits = dict(sorted(hits.items()))
            verdict.touched = self.nemesis.count_touched(calls)
        if self.one_down is not None and not world.violations:
            verdict.had_to_succeed, verdict.succeeded = self.one_down.judged()
        return verdict
