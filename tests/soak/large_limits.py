"""What the process of the large soak and its database may use, and whether they grow.

    complaints   about samples under load: each stays within its limit, and the later half of them
                 uses no more than the earlier half, beside a small slack. Empty is good

The halves are compared by their medians: a leak moves them, a checkpoint that is open at a moment
does not. Before space has come back for the first time caches are filling; that is in no half.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from tests.support.large_worker import Sample

__all__ = ["DISK", "PROCESS", "Limit", "complaints"]

MIB = 1 << 20


@dataclass(frozen=True)
class Limit:
    """Of one field of a Sample."""

    field: str
    most: int
    growth: int  # of the median, from the earlier half to the later one


# Of one process. By lsmkv's account: write buffers, caches and indexes of the database, of a copy
# of it that is open, and what jobs and scans hold (25 MB measured).
PROCESS = (
    Limit("resident_bytes", 96 * MIB, 8 * MIB),
    Limit("native_bytes", 40 * MIB, 4 * MIB),
    Limit("descriptors", 2 * 32 + 16, 8),  # tables of both, beside logs, manifests, streams
)
# Of one directory, over all processes: what is live and twice the ballast, the outputs of a
# compaction beside its inputs, and logs (51 MB measured). The median says whether it grows.
DISK = (Limit("disk_bytes", 80 * MIB, 8 * MIB),)


def complaints(samples: Sequence[Sample], limits: Sequence[Limit]) -> list[str]:
    found = []
    for limit in limits:
        most = max((getattr(sample, limit.field) for sample in samples), default=0)
        if most > limit.most:
            found.append(f"{limit.field}: {most}, the limit is {limit.most}")
        values = [getattr(sample, limit.field) for sample in samples if sample.reclaims > 0]
        middle = len(values) // 2
        if middle:
            before, after = median(values[:middle]), median(values[middle:])
            if after - before > limit.growth:
                found.append(f"{limit.field} grow: {before:.0f}, then {after:.0f}")
    return found
