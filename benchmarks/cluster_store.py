"""Orders of a store a second: merges with their Merkle trees, minted writes, reads.

    python -m benchmarks.cluster_store [--keys N] [--value-size N] [--rounds N] [--directory PATH]

Each merge reads the stored record of its key, merges a newer one into it under the guard, writes
the result, and updates the tree of its partition (1024 partitions, all owned by this store). Keys
come in scattered order, in orders of 64 and of 1024. `merge_batch` is the same work of the engine
without engine keys and trees: what the adaptor costs is the difference. Thousands a second of one
core, the best of the rounds; the tree alone in nanoseconds a change.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.support.members import make_topology

import lsmkv
from benchmarks.record_merge import pair
from lsmkv.kernel import RecordMerger, merge_batch
from lsmkv_cluster.placement.slots import Partitioning
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.storage.engine_key import KeyScheme, Space
from lsmkv_cluster.storage.partition_trees import PartitionTrees
from lsmkv_cluster.storage.storage_orders import Merge, Merged, Mint, Order, Persist, Read, Values
from lsmkv_cluster.storage.store import Store
from lsmkv_cluster.storage.store_opening import open_store
from lsmkv_cluster.versions.actor import Identity

BATCHES = (64, 1024)
STEP = 7919  # scatters the keys
SPACE = Space.DATA


def topology() -> Topology:
    """1024 partitions of the first member."""
    made = make_topology()
    return replace(made, owners=(made.owners[0][:1],) * 1024)


def seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


class Bench:
    """A new database for each measurement, filled with `old`; `newer` supersedes it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.rounds = options.rounds
        self.directory = options.directory
        self.topology = topology()
        self.keys = [b"user:%011d" % (i * STEP % options.keys) for i in range(options.keys)]
        value = (bytes(range(256)) * (options.value_size // 256 + 1))[: options.value_size]
        self.old, self.newer = pair("newer", value)

    def rate(self, work: Callable[[lsmkv.DB, Store], Iterator[None]]) -> float:
        """Keys a second. What `work` does before its first yield is not measured."""
        return len(self.keys) / min(self._once(work) for _ in range(self.rounds))

    def _once(self, work: Callable[[lsmkv.DB, Store], Iterator[None]]) -> float:
        with (
            tempfile.TemporaryDirectory(dir=self.directory) as directory,
            lsmkv.open(directory) as db,
        ):
            store = open_store(db, self.topology, self.topology.owners[0][0]).store
            store.carry_out(Persist(Identity(99, 1)))
            store.carry_out(Merge(SPACE, tuple((key, self.old) for key in self.keys)))
            steps = work(db, store)
            next(steps)
            return seconds(lambda: next(steps, None))

    def parts(self, size: int) -> list[list[bytes]]:
        return [self.keys[i : i + size] for i in range(0, len(self.keys), size)]

    # --- what is measured

    def engine(self, size: int) -> Callable[[lsmkv.DB, Store], Iterator[None]]:
        scheme = KeyScheme(self.topology.key_seed)
        batches = [
            [(scheme.engine_key(SPACE, key), self.newer) for key in part]
            for part in self.parts(size)
        ]

        def work(db: lsmkv.DB, _: Store) -> Iterator[None]:
            hook = RecordMerger().hook
            yield
            for batch in batches:
                merge_batch(db, batch, hook)

        return work

    def orders(self, orders: list[Order], check: Callable[[object], bool]) -> Callable[..., object]:
        def work(_: lsmkv.DB, store: Store) -> Iterator[None]:
            yield
            for order in orders:
                assert check(store.carry_out(order))

        return work

    def merges(self, size: int) -> Callable[..., object]:
        return self.orders(
            [Merge(SPACE, tuple((key, self.newer) for key in part)) for part in self.parts(size)],
            lambda result: isinstance(result, Merged) and all(o is True for o in result.outcomes),
        )

    def mints(self, size: int) -> Callable[..., object]:
        """The decision is made already: what the store adds to it."""
        return self.orders(
            [Mint(SPACE, tuple(part), lambda *_: self.newer) for part in self.parts(size)],
            lambda result: isinstance(result, Merged) and all(o is True for o in result.outcomes),
        )

    def reads(self, size: int) -> Callable[..., object]:
        return self.orders(
            [Read(SPACE, tuple(part)) for part in self.parts(size)],
            lambda result: isinstance(result, Values) and None not in result.values,
        )


def tree_ns(keys: list[bytes]) -> float:
    """Nanoseconds to tell the tree of one change."""
    scheme = KeyScheme(1)
    trees = PartitionTrees(scheme, Partitioning(), range(1024))
    changes = [
        (int.from_bytes(scheme.engine_key(SPACE, key)[:8], "big"), 0, number + 1)
        for number, key in enumerate(keys)
    ]
    return seconds(lambda: trees.apply(changes)) / len(keys) * 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--value-size", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--directory", help="where the databases are made")
    bench = Bench(parser.parse_args())
    print(f"{len(bench.keys):,} keys, records of {len(bench.old)} bytes; thousands a second")
    print(f"{'keys an order':16}" + "".join(f"{size:>10}" for size in BATCHES))
    rows = [
        ("merge_batch", bench.engine),
        ("Merge", bench.merges),
        ("Mint", bench.mints),
        ("Read", bench.reads),
    ]
    for name, make in rows:
        rates = [bench.rate(make(size)) for size in BATCHES]
        print(f"{name:16}" + "".join(f"{rate / 1000:10,.0f}" for rate in rates))
    print(f"tree: {min(tree_ns(bench.keys) for _ in range(bench.rounds)):.0f} ns a change")


if __name__ == "__main__":
    main()
