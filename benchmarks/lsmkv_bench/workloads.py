"""All workloads, and in which order and on which databases one process runs those it was asked for.

Fills have databases of their own. Everything else works on one that was written in random order:
overwrite first, then, once all is merged, the reads, then what changes it. YCSB has its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import TypeAlias

from lsmkv_bench import bulk, filling, reading, ycsb
from lsmkv_bench.laboratory import Laboratory

Workload: TypeAlias = Callable[[Laboratory], None]

FILLS: Mapping[str, Workload] = {
    "fillseq": filling.fillseq,
    "fillseqbatch": filling.fillseqbatch,
    "fillbatch": filling.fillbatch,
    "fillcolumns": bulk.fillcolumns,
    "fillsync1": partial(filling.fillsync, thread_count=1),
    "fillsync8": partial(filling.fillsync, thread_count=8),
}
READS: Mapping[str, Workload] = {
    "readrandomcold": reading.readrandomcold,
    "readrandom": reading.readrandom,
    "readhot": reading.readhot,
    "readmissing": reading.readmissing,
    "multireadrandom": reading.multireadrandom,
    "readcolumns": bulk.readcolumns,
    "seekrandom": reading.seekrandom,
    "readseq": reading.readseq,
    "readreverse": reading.readreverse,
}
CHANGES: Mapping[str, Workload] = {
    "readwhilewriting1": partial(reading.readwhilewriting, reader_count=1),
    "readwhilewriting4": partial(reading.readwhilewriting, reader_count=4),
    "deleterandom": filling.deleterandom,
}
ON_RANDOM = ["fillrandom", "overwrite", *READS, *CHANGES]
WORKLOADS = [*FILLS, *ON_RANDOM, *ycsb.NAMES]


def run_workloads(lab: Laboratory, wanted: Collection[str]) -> None:
    """Those of WORKLOADS that are wanted, in the order of that list."""
    for name, fill in FILLS.items():
        if name in wanted:
            fill(lab)
    if any(name in wanted for name in ON_RANDOM):
        _run_on_random(lab, wanted)
    if any(name in wanted for name in ycsb.NAMES):
        _run_ycsb(lab, wanted)


def _run_on_random(lab: Laboratory, wanted: Collection[str]) -> None:
    latency = lab.fill_latency(lab.shuffled_keys) if "fillrandom" in wanted else None
    with lab.database("random"):
        if "fillrandom" in wanted:
            filling.fillrandom(lab)
            lab.add_latency(latency)
        else:
            lab.load()
        if "overwrite" in wanted:
            filling.overwrite(lab)
            lab.add_latency(lab.put_latencies(lab.shuffled_keys[: lab.effort.latencies]))
        if any(name in wanted for name in (*READS, *CHANGES)):
            lab.engine.settle()
        for name, workload in {**READS, **CHANGES}.items():
            if name in wanted:
                workload(lab)


def _run_ycsb(lab: Laboratory, wanted: Collection[str]) -> None:
    with lab.database("ycsb"):
        lab.load()
        lab.engine.settle()
        absent = lab.data.absent
        inserts = iter(random.Random(2).sample(absent, len(absent)))
        known = lab.shuffled_keys.copy()
        for name in ycsb.NAMES:
            if name in wanted:
                ycsb.run(lab, name, inserts, known)
