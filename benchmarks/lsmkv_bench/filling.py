"""Workloads that only write. Each has a fresh database but overwrite and deleterandom, which work
on the one that is there.

    fillseq        put in key order                    fillrandom    put in random order
    fillseqbatch   batches of 1000 in key order        fillbatch     batches of 1000, random order
    overwrite      put every key again                 deleterandom  delete half of the keys
    fillsync1, fillsync8   durable puts by one thread and by eight
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from lsmkv_bench.engines.interface import SESSION_OPERATIONS
from lsmkv_bench.histogram import Histogram
from lsmkv_bench.laboratory import Laboratory, pairs_size
from lsmkv_bench.meters import Stopwatch


def fillseq(lab: Laboratory) -> None:
    keys = lab.data.keys
    latency = lab.fill_latency(keys, is_ordered=True)
    with lab.database("fillseq"):
        lab.write_each(
            "fillseq",
            keys,
            lambda watch: lab.put_all(keys, watch, is_ordered=True),
            latency=latency,
        )


def fillseqbatch(lab: Laboratory) -> None:
    _fill_batches(lab, "fillseqbatch", lab.data.keys, is_ordered=True)


def fillbatch(lab: Laboratory) -> None:
    _fill_batches(lab, "fillbatch", lab.shuffled_keys, is_ordered=False)


def fillrandom(lab: Laboratory) -> None:
    """REQUIRES: an open, empty database."""
    keys = lab.shuffled_keys
    lab.write_each("fillrandom", keys, lambda watch: lab.put_all(keys, watch))


def overwrite(lab: Laboratory) -> None:
    """REQUIRES: every key is there."""
    keys = lab.shuffled_keys[::-1]
    lab.write_each("overwrite", keys, lambda watch: lab.put_all(keys, watch))


def deleterandom(lab: Laboratory) -> None:
    """REQUIRES: every key is there."""
    keys = lab.shuffled_keys[: len(lab.shuffled_keys) // 2]

    def delete(watch: Stopwatch) -> None:
        with watch.running():
            for start in range(0, len(keys), SESSION_OPERATIONS):
                with lab.engine.writing() as writing:
                    delete_one = writing.delete
                    for key in keys[start : start + SESSION_OPERATIONS]:
                        delete_one(key)

    live_bytes = pairs_size(lab.shuffled_keys[len(keys) :], lab.data.values)
    lab.write(
        "deleterandom",
        len(keys),
        delete,
        user_bytes=sum(map(len, keys)),
        live_bytes=live_bytes,
        checked=lab.shuffled_keys,
    )


def fillsync(lab: Laboratory, thread_count: int) -> None:
    """Latencies come from the same pass: beside a sync a clock costs nothing."""
    effort = lab.effort
    operations = effort.synced if thread_count == 1 else effort.synced_together
    keys = lab.shuffled_keys[:operations]
    shares = [keys[number::thread_count] for number in range(thread_count)]
    histogram = Histogram()

    def fill(watch: Stopwatch) -> None:
        with ThreadPoolExecutor(thread_count) as pool, watch.running():
            for times in pool.map(lambda share: _put_synced(lab, share), shares):
                histogram.add(times)

    name = f"fillsync{thread_count}"
    with lab.database(name, is_durable=True):
        lab.write_each(name, keys, fill)
    lab.add_latency(histogram.summary())


def _put_synced(lab: Laboratory, keys: Sequence[bytes]) -> list[int]:
    put, values, clock = lab.engine.put_sync, lab.data.values, time.perf_counter_ns
    n = len(values)
    times: list[int] = []
    for i, key in enumerate(keys):
        before = clock()
        put(key, values[i % n])
        times.append(clock() - before)
    return times


def _fill_batches(lab: Laboratory, name: str, keys: Sequence[bytes], *, is_ordered: bool) -> None:
    batches = lab.batches(keys)

    def fill(watch: Stopwatch) -> None:
        put_batch = lab.engine.put_batch
        with watch.running():
            for batch in batches:
                put_batch(batch, is_ordered=is_ordered)

    with lab.database(name):
        lab.write_each(name, keys, fill)
