"""How much writers must be slowed down: a pure rule over the shape of the tree.

Three things grow when writers outrun the background: frozen memtables (memory), tables in level 0
(every read searches them) and bytes above the levels' targets (space). Each has a size at which
writers begin to be delayed and one at which they wait. The owner turns a fraction into a rate;
this module knows no time.

    signal              delay begins            writers wait
    frozen memtables    2                       4
    level 0 tables      3 x level0_trigger      9 x level0_trigger
    bytes over target   16 full level 0s        64 full level 0s
"""

from __future__ import annotations

from dataclasses import dataclass

from lsmkv.options import Options
from lsmkv.picker import base_size, level_targets
from lsmkv.version import BOTTOM_LEVEL, Version

__all__ = ["WritePressure", "write_pressure"]

FROZEN_DELAY, FROZEN_STOP = 2, 4
LEVEL0_DELAY, LEVEL0_STOP = 3, 9  # times level0_trigger
DEBT_DELAY, DEBT_STOP = 16, 64  # times the bytes of a full level 0


@dataclass(frozen=True)
class WritePressure:
    """`delay_fraction` from 0 (full speed) to 1 (slowest); `stop`: wait until it falls."""

    delay_fraction: float
    stop: bool
    reason: str  # empty at full speed


def write_pressure(version: Version, options: Options, frozen_count: int) -> WritePressure:
    """The strongest of the three signals."""
    trigger, full = options.level0_trigger, base_size(options)
    signals = (
        ("frozen memtables", frozen_count, FROZEN_DELAY, FROZEN_STOP),
        ("level 0 tables", len(version.levels[0]), LEVEL0_DELAY * trigger, LEVEL0_STOP * trigger),
        ("compaction debt", compaction_debt(version, options), DEBT_DELAY * full, DEBT_STOP * full),
    )
    fraction, reason = max(
        ((value - delay) / (stop - delay), name) for name, value, delay, stop in signals
    )
    if fraction < 0:
        return WritePressure(0.0, False, "")
    return WritePressure(min(fraction, 1.0), fraction >= 1, reason)


def compaction_debt(version: Version, options: Options) -> int:
    """Bytes that have to move down a level before every level is within its target."""
    targets = level_targets(version, options)
    over = (
        max(0.0, version.level_sizes[level] - targets.sizes[level])
        for level in range(1, BOTTOM_LEVEL)
    )
    return int(sum(over))
