"""Which kinds of runs there are, by name, and how the options of each are drawn.

swarm      everything, in mixtures (options.py)
deletes    most of what is written is deleted, by many clients at once, while machines end, are
           away for long, and nodes come and go
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from tests.sim.kinds import FAULT_KINDS, FaultKind
from tests.sim.options import Options, changing, draw

__all__ = ["PROFILES"]

# All of them end machines, or keep them from hearing of what is deleted.
DELETES_KINDS = (
    FaultKind.LOSS,
    FaultKind.NODE_CUT,
    FaultKind.HALVES,
    FaultKind.ONE_WAY,
    FaultKind.KILL,
    FaultKind.KILL_ALL,
    FaultKind.RESTART,
    FaultKind.PAUSE,
    FaultKind.COORDINATOR_DEATH,
    FaultKind.POWER_LOSS,
    FaultKind.POWER_LOSS_ALL,
    FaultKind.WIPE,
    FaultKind.OLD_COPY,
)


def _draw_deletes(seed: int) -> Options:
    random = Random(f"deletes of {seed}")
    kinds = [FaultKind.ABSENCE, *random.sample(DELETES_KINDS, 3)]
    options = replace(
        draw(seed),
        profile="deletes",
        keys=tuple(b"%b:%d" % (kind, n) for kind in (b"p", b"s", b"l") for n in range(8)),
        sessions=16,
        calls=1600,
        think_ms=280,
        write_share=0.95,
        deletes_all=True,
        value_size=8,
        kinds=tuple(sorted(kinds, key=FAULT_KINDS.index)),
        fault_gap_ms=random.choice((1500, 3000)),
        changes=(),
        spares=(),
        is_one_down=False,
    )
    return changing(options)


PROFILES: dict[str, Callable[[int], Options]] = {"swarm": draw, "deletes": _draw_deletes}
