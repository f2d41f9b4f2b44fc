"""A sweep over a partition: how long it keeps the store of its first owner busy.

    python -m benchmarks.tombstones [--records N]

One record in a hundred is a tombstone. The store is the product's, on a disk in memory; the waits
of a sweep, and what travels, are left out.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tests.support.heal_lab import heal_topology

import lsmkv
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv_cluster.healing.tombstone_limits import TombstoneSettings
from lsmkv_cluster.placement.members import MemberId
from lsmkv_cluster.placement.topology import Topology
from lsmkv_cluster.storage.storage_orders import (
    Collect,
    Confirm,
    DeletedEntries,
    DeletedEntry,
    ListDeleted,
    Merge,
    Merged,
    Result,
    Space,
)
from lsmkv_cluster.storage.store import Store
from lsmkv_cluster.storage.store_opening import open_store
from lsmkv_cluster.versions import record_format
from lsmkv_cluster.versions.minting import delete, mint, overwrite
from lsmkv_cluster.versions.vclock import Actor

STAMP = 1_700_000_000_000 << 16
ONE_IN = 100
T = TypeVar("T")
SETTINGS = TombstoneSettings()


def records(topology: Topology, count: int) -> Iterator[tuple[bytes, bytes]]:
    """In partition 0."""
    actor = Actor(1, 1, 1 << 32)
    value = mint(None, overwrite(None, b"v" * 100), actor, STAMP).record
    gone = mint(value, delete(value), actor, STAMP).record
    data = [record_format.encode(value)] * (ONE_IN - 1) + [record_format.encode(gone)]
    names = (b"key:%d" % number for number in itertools.count())
    mine = (name for name in names if topology.partition_of(name) == 0)
    return zip(itertools.islice(mine, count), itertools.cycle(data), strict=False)


def filled(db: lsmkv.DB, topology: Topology, me: MemberId, count: int) -> Store:
    store = open_store(db, topology, me).store
    pairs = records(topology, count)
    while chunk := tuple(itertools.islice(pairs, 1000)):
        store.carry_out(Merge(Space.DATA, chunk))
    db.flush()
    return store


def listed(store: Store) -> list[DeletedEntry]:
    """Page by page."""
    tokens = store.trees.tokens(0)
    found: list[DeletedEntry] = []
    after: bytes | None = b""
    limits = (SETTINGS.page_count_max, SETTINGS.page_max_bytes)
    while after is not None:
        page = store.carry_out(ListDeleted(tokens.first, tokens.end, after, *limits, 0))
        assert isinstance(page, DeletedEntries)
        found += page.entries
        after = page.after
    return found


def carried_out(
    store: Store, order: type[Confirm] | type[Collect], entries: Sequence[DeletedEntry]
) -> list[Result]:
    size = SETTINGS.question_count_max
    pairs = [(entry.key, entry.digest) for entry in entries]
    return [
        store.carry_out(order(tuple(pairs[start : start + size])))
        for start in range(0, len(pairs), size)
    ]


def timed(name: str, work: Callable[[], T]) -> T:
    begin = time.process_time_ns()
    result = work()
    print(f"  {name:<24}{(time.process_time_ns() - begin) / 1e6:10.1f} ms")
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    count = parser.parse_args().records
    topology = heal_topology()
    me = topology.owners[0][0]
    with lsmkv.open("/store", filesystem=MemoryFileSystem()) as db:
        store = filled(db, topology, me, count)
        print(f"{count:,} records, values of 100 bytes, one in {ONE_IN} deleted; CPU time")
        timed("look, nothing to do", lambda: listed(store))
        entries = listed(store)
        timed("confirm", lambda: carried_out(store, Confirm, entries))
        results = timed("collect", lambda: carried_out(store, Collect, entries))
        collected = sum(each.outcomes.count(True) for each in results if isinstance(each, Merged))
        pages = -(-count // SETTINGS.page_count_max)
        print(f"  {collected:,} collected; {pages} pages, {SETTINGS.page_interval_ms} ms apart")


if __name__ == "__main__":
    main()
