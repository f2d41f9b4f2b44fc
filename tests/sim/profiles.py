"""Which kinds of runs there are, by name, and how the options of each are drawn.

swarm      everything, in mixtures (options.py)
deletes    most of what is written is deleted, by many clients at once, while machines end, are
           away for long, and nodes come and go
moves      few partitions, strict writes to all of them, and one change of the topology after the
           other, while owners are cut off or lose what they have
laggards   the same at a higher pace, while links and disks are slow: much of what arrives belongs
           to a topology that is no longer the newest
losses     machines lose what they have, one after the other; each copy counts, because strict
           readers ask one owner alone
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random

from lsmkv_cluster.placement.keyspaces import Keyspace, Mode
from tests.sim.kinds import CHANGE_KINDS, FAULT_KINDS, FaultKind
from tests.sim.options import ALL, ONE, QUORUM, Centre, Options, changing, draw

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


# They keep some owners from having what others have.
MOVES_KINDS = (
    FaultKind.NODE_CUT,
    FaultKind.HALVES,
    FaultKind.ONE_WAY,
    FaultKind.BRIDGE,
    FaultKind.SLOW_LINK,
    FaultKind.PAUSE,
    FaultKind.KILL,
    FaultKind.POWER_LOSS,
    FaultKind.WIPE,
    FaultKind.SLOW_DISK,
    FaultKind.IN_TURN,
)


def _draw_moves(seed: int) -> Options:
    random = Random(f"moves of {seed}")
    options = replace(
        draw(seed),
        profile="moves",
        centres=(Centre("east", random.choice((4, 5)), 1, 3),),
        partitions=4,
        keyspaces=(
            Keyspace(b"", *random.choice(((QUORUM, QUORUM), (ONE, ONE)))),
            Keyspace(b"s:", QUORUM, QUORUM, Mode.STRICT),
        ),
        keys=tuple(b"s:%d" % n for n in range(12)) + tuple(b"p:%d" % n for n in range(4)),
        write_share=0.6,
        override_share=0.0,
        kinds=tuple(sorted(random.sample(MOVES_KINDS, 4), key=FAULT_KINDS.index)),
        fault_gap_ms=random.choice((700, 1500)),
        is_one_down=False,
    )
    return replace(
        changing(options), changes=CHANGE_KINDS, spares=("east",) * 3, change_gap_ms=1500
    )


# Strict readers ask one owner alone, so that each copy counts.
STRICT_AT_ONE = (Keyspace(b"", ONE, QUORUM), Keyspace(b"s:", ONE, ALL, Mode.STRICT))

# They keep some machines from hearing, or from carrying out, what others have done long ago.
LAGGARDS_KINDS = (
    FaultKind.SLOW_DISK,
    FaultKind.SLOW_PROCESSOR,
    FaultKind.PAUSE,
    FaultKind.ONE_WAY,
    FaultKind.BRIDGE,
)


def _draw_laggards(seed: int) -> Options:
    random = Random(f"laggards of {seed}")
    kinds = {FaultKind.SLOW_LINK, random.choice(LAGGARDS_KINDS)}
    return replace(
        _draw_moves(seed),
        profile="laggards",
        keyspaces=STRICT_AT_ONE,
        sessions=16,
        calls=1200,
        think_ms=100,
        kinds=tuple(sorted(kinds, key=FAULT_KINDS.index)),
        fault_gap_ms=random.choice((500, 1000)),
        change_gap_ms=800,
    )


# Each of them takes something from a disk, or ends a process before it has it back.
LOSSES_KINDS = (
    FaultKind.WIPE,
    FaultKind.OLD_COPY,
    FaultKind.DAMAGED_FILE,
    FaultKind.POWER_LOSS,
    FaultKind.KILL,
    FaultKind.RESTART,
    FaultKind.NODE_CUT,
    FaultKind.SLOW_LINK,
)


def _draw_losses(seed: int) -> Options:
    random = Random(f"losses of {seed}")
    return replace(
        _draw_moves(seed),
        profile="losses",
        centres=(Centre("east", random.choice((3, 4, 5)), 1, 3),),
        keyspaces=STRICT_AT_ONE,
        sessions=10,
        calls=800,
        think_ms=150,
        write_share=0.4,
        kinds=tuple(sorted(random.sample(LOSSES_KINDS, 3), key=FAULT_KINDS.index)),
        fault_gap_ms=700,
        changes=(),
        spares=(),
    )


PROFILES: dict[str, Callable[[int], Options]] = {
    "swarm": draw,
    "deletes": _draw_deletes,
    "moves": _draw_moves,
    "laggards": _draw_laggards,
    "losses": _draw_losses,
}
