"""Bulk work: every key written, and many read, through whatever a library offers for bulk.

    fillcolumns   all keys in random order             readcolumns   present keys, any order

lsmkv has arrays of keys and values (its column API), the others batches of pairs and reads of many
keys. The forms that the calls take are made before the clock runs, for every engine alike; what a
read returns stays in the form in which it comes.
"""

from __future__ import annotations

from lsmkv_bench import reading
from lsmkv_bench.engines.interface import Bulk, Engine
from lsmkv_bench.laboratory import Laboratory, checksum
from lsmkv_bench.meters import Stopwatch

KEYS_PER_CALL = 1000


def bulk_of(engine: Engine) -> Bulk:
    """An engine's own, or its batches and its reads of many."""
    own = getattr(engine, "bulk", None)
    bulk: Bulk = own() if own is not None else _Batches(engine)
    return bulk


class _Batches:
    """Pairs in lists of SESSION_OPERATIONS, keys in lists of KEYS_PER_CALL."""

    keys_per_call = KEYS_PER_CALL

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def prepare(self, lab: Laboratory, keys: list[bytes]) -> list[object]:
        return list(lab.batches(keys))

    def write(self, batch: object) -> None:
        self._engine.put_batch(batch)  # type: ignore[arg-type]

    def prepare_keys(self, keys: list[bytes]) -> object:
        return keys

    def read(self, keys: object) -> object:
        with self._engine.reading() as calls:
            return calls.get_many(keys)  # type: ignore[arg-type]

    def values(self, result: object) -> list[bytes | None]:
        return list(result)  # type: ignore[call-overload,no-any-return]


def fillcolumns(lab: Laboratory) -> None:
    keys = lab.shuffled_keys
    with lab.database("fillcolumns"):
        bulk = bulk_of(lab.engine)
        portions = bulk.prepare(lab, keys)

        def fill(watch: Stopwatch) -> None:
            write = bulk.write
            with watch.running():
                for portion in portions:
                    write(portion)

        lab.write_each("fillcolumns", keys, fill)


def readcolumns(lab: Laboratory) -> None:
    """REQUIRES: every key is there, and the database settled."""
    keys = reading.random_keys(lab)
    bulk = bulk_of(lab.engine)
    calls = [
        bulk.prepare_keys(keys[start : start + bulk.keys_per_call])
        for start in range(0, len(keys), bulk.keys_per_call)
    ]
    check = checksum(value for call in calls for value in bulk.values(bulk.read(call)))
    watch = Stopwatch()
    read = bulk.read
    with watch.running():
        for call in calls:
            read(call)
    lab.record("readcolumns", len(keys), watch, check=check)
