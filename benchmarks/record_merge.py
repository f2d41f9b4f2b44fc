"""Merges of records a second: the kernel alone, through Python, and inside merge_batch.

    python -m benchmarks.record_merge [--keys N] [--value-size N] [--batch N] [--rounds N]

Three shapes of what meets: `newer` (the operand supersedes the old record, the usual case of a
replicated write), `known` (the old record knows the operand already, as in a repair), `siblings`
(both have something that the other lacks). Clocks have three actors. merge_batch runs on a database
in a temporary directory and reads, merges and writes every key. Prints merges a second of one core,
the median of the rounds. The kernel alone is compiled with the C compiler of this machine.
"""

from __future__ import annotations

import argparse
import statistics
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support import c_program

import lsmkv
from lsmkv.kernel import RecordMerger, merge_batch
from lsmkv_cluster.versions import record_format
from lsmkv_cluster.versions.context import NOTHING, seen_in
from lsmkv_cluster.versions.minting import mint, write
from lsmkv_cluster.versions.record import Record, merge
from lsmkv_cluster.versions.vclock import Actor

KERNELS = ["record_merge", "record_check", "crc32c", "status", "allocator"]
ACTORS = [Actor(node, 77, 1 << 32) for node in (1, 2, 3)]
STAMP = 1_700_000_000_000 << 16

Pair = tuple[bytes, bytes]


def after(record: Record | None, actor: Actor, value: bytes, *, blind: bool = False) -> Record:
    seen = NOTHING if blind else seen_in(record)
    return mint(record, write(record, value, seen), actor, STAMP, seen=seen).record


def pair(shape: str, value: bytes) -> Pair:
    """(old, operand)."""
    base = None
    for actor in ACTORS:
        base = after(base, actor, value)
    newer = after(base, ACTORS[0], value)
    other = after(base, ACTORS[1], value[::-1])
    first, second = {
        "newer": (base, newer),
        "known": (newer, base),
        "siblings": (newer, other),
    }[shape]
    return record_format.encode(first), record_format.encode(second)


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def kernel_alone(pairs: list[Pair], rounds: int) -> float:
    with tempfile.TemporaryDirectory() as directory:
        program = c_program.build(Path(directory), "record_bench", KERNELS, c_program.OPTIMISED)
        packed = b"".join(struct.pack("<I", len(data)) + data for both in pairs for data in both)
        return statistics.median(
            1e9 / float(c_program.run(program, 100, stdin=packed)) for _ in range(rounds)
        )


def through_python(pairs: list[Pair]) -> None:
    merger = RecordMerger()
    for old, operand in pairs:
        merger.merge(old, operand)


def in_python(pairs: list[Pair]) -> None:
    for old, operand in pairs:
        first, second = record_format.decode(old), record_format.decode(operand)
        record_format.encode(merge(first, second).record)


@contextmanager
def engine_round(keys: list[bytes], pairs: list[Pair], batch: int) -> Iterator[Callable[[], None]]:
    """A filled database; the returned work merges every key once, in scattered order."""
    directory = tempfile.TemporaryDirectory()
    db = lsmkv.open(directory.name)
    db.update({key: old for key, (old, _) in zip(keys, pairs, strict=True)})
    records = [(key, operand) for key, (_, operand) in zip(keys, pairs, strict=True)]
    step = 7919
    scattered = [records[i * step % len(records)] for i in range(len(records))]
    batches = [scattered[i : i + batch] for i in range(0, len(scattered), batch)]
    hook = RecordMerger().hook

    def work() -> None:
        for part in batches:
            merge_batch(db, part, hook)

    yield work
    db.close()
    directory.cleanup()


def rates(pairs: list[Pair], batch: int, rounds: int) -> list[float]:
    keys = [b"%016d" % i for i in range(len(pairs))]
    count = len(pairs)
    through_engine = []
    for _ in range(rounds):
        with engine_round(keys, pairs, batch) as work:
            through_engine.append(seconds(work))
    return [
        kernel_alone(pairs, rounds),
        count / statistics.median(seconds(lambda: through_python(pairs)) for _ in range(rounds)),
        count / statistics.median(through_engine),
        1000 / seconds(lambda: in_python(pairs[:1000])),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=20_000)
    parser.add_argument("--value-size", type=int, default=100)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    value = (bytes(range(256)) * (options.value_size // 256 + 1))[: options.value_size]
    columns = ("kernel", "RecordMerger", "merge_batch", "Python")
    print(f"{'':10}{'bytes':>12}" + "".join(f"{name:>14}" for name in columns))
    for shape in ("newer", "known", "siblings"):
        old, operand = pair(shape, value)
        found = rates([(old, operand)] * options.keys, options.batch, options.rounds)
        sizes = f"{len(old)}+{len(operand)}"
        print(f"{shape:10}{sizes:>12}" + "".join(f"{rate:14,.0f}" for rate in found))


if __name__ == "__main__":
    main()
