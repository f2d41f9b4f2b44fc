"""Figures about joins and leaves under load, when nothing else is wrong.

    python -m tests.sim.moves [--seeds 100] [--partitions 64]

Each run has five members and a load that lasts longer than the change. What calls are answered is
counted from the moment when an operator asks until the last document is adopted. Copies that were
begun are compared with the least that any plan could begin: the share of who joins, or what who
leaves had.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from lsmkv_cluster.placement.owners import Phase
from lsmkv_cluster.placement.topology_format import decode_topology
from lsmkv_cluster.reconfiguration.topology_changes import AddMember, Leave
from lsmkv_cluster.reconfiguration.transition_rules import is_open
from tests.sim.history import Ending
from tests.sim.loop import SECOND
from tests.sim.options import Centre, Options, draw
from tests.sim.product import Product
from tests.sim.workload import Workload
from tests.sim.world import World

__all__ = ["Figures", "main", "run"]

NODES = 5
REPLICAS = 3
BEGIN_US = 3 * SECOND
LIMIT_US = 300 * SECOND
STEP_US = SECOND // 20


@dataclass
class Figures:
    endings: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    copies: int = 0
    ideal: int = 0
    virtual_s: float = 0.0

    def add(self, other: Figures) -> None:
        self.endings.update(other.endings)
        self.reasons.update(other.reasons)
        self.copies += other.copies
        self.ideal += other.ideal
        self.virtual_s += other.virtual_s

    def __str__(self) -> str:
        calls = sum(self.endings.values())
        done = self.endings[Ending.DONE.value]
        why = ", ".join(f"{count} {reason}" for reason, count in self.reasons.most_common())
        return (
            f"{done} of {calls} calls done ({done / max(calls, 1):.4%}); {self.copies} copies "
            f"begun, {self.ideal} at the least ({self.copies / max(self.ideal, 1):.3f})"
            + (f"; {why}" if why else "")
        )


def _options(seed: int, partitions: int) -> Options:
    """Whatever else is drawn, all machines are well."""
    return replace(
        draw(seed),
        centres=(Centre("east", NODES, 1, REPLICAS),),
        partitions=partitions,
        override_share=0.0,
        kinds=(),
        changes=(),
        spares=("east",),
        sessions=8,
        think_ms=100,
        is_one_down=False,
    )


def run(seed: int, *, leaves: bool, partitions: int = 64) -> Figures:
    """One member joins, or one leaves."""
    options = _options(seed, partitions)
    world = World(options, Product())
    loop, spare, victim = world.loop, world.machines[NODES], world.machines[seed % NODES]
    try:
        world.found()
        loop.run_until(SECOND)
        workload = Workload(options, world.random("workload"))
        world.clients.begin(workload, 1 << 30)
        loop.run_until(BEGIN_US)
        first, began_us = len(world.clients.history.calls), loop.now_us
        process = world.machines[(victim.number + 1) % NODES].process
        assert process is not None
        process.admin(1, Leave(victim.id) if leaves else AddMember(spare.member))
        loop.run_while(lambda: world.document.epoch == 1, LIMIT_US, STEP_US)
        if not leaves:
            spare.join(world.document)
        victims = [victim] if leaves else []

        def is_moving() -> bool:
            if victims and victim.id not in world.document.voters:
                world.clients.leaves(victims.pop().number)
            return is_open(world.document)

        assert loop.run_while(is_moving, LIMIT_US, STEP_US), "it does not end"
        world.clients.calls_left = 0
        loop.run_while(lambda: not world.clients.is_idle, LIMIT_US, STEP_US)
        assert not world.violations, world.violations
        found = Figures(virtual_s=(loop.now_us - began_us) / SECOND)
        for call in world.clients.history.calls[first:]:
            ending = call.ending or Ending.UNKNOWN
            found.endings[ending.value] += 1
            if ending is not Ending.DONE:
                found.reasons[call.answer.reason.name if call.answer else ending.value] += 1
        had = len(world.topology.kept_by(victim.id))
        found.ideal = had if leaves else partitions * REPLICAS // (NODES + 1)
        found.copies = _copies_begun(world)
        return found
    finally:
        world.close()


def _copies_begun(world: World) -> int:
    """By all documents that were ever adopted; those of a move that goes on count once."""
    begun = set()
    for document in map(decode_topology, world.ledger.documents.values()):
        for move in document.transitions:
            if move.phase is Phase.FILLING:
                gains = set(move.row) - set(document.owners[move.partition])
                begun |= {(move.partition, document.placed[move.partition], id) for id in gains}
    return len(begun)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.sim.moves", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--partitions", type=int, default=64)
    parsed = parser.parse_args(arguments)
    logging.disable(logging.CRITICAL)
    for name, leaves in (("join", False), ("leave", True)):
        total = Figures()
        for seed in range(parsed.seeds):
            total.add(run(seed, leaves=leaves, partitions=parsed.partitions))
        print(f"{name:5} {total}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
