"""Workloads that only read a settled database, and the one that reads while another thread writes.

    readrandom       present keys, any order           readhot      out of 1 % of the keys
    readrandomcold   the same after opening anew       readmissing  absent keys inside the range
    multireadrandom  100 keys a call                   seekrandom   seek, then read 10 entries
    readseq          everything in order               readreverse  everything backwards
    readwhilewriting1, readwhilewriting4   random reads by so many threads beside one writer

Before the reads everything is merged, so engines are compared on trees of the same depth; cold
means that the block cache is empty, not the system's. Every read is done once before it is timed,
for the check of its results; cold, afterwards.
"""

from __future__ import annotations

import itertools
import threading
import zlib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from lsmkv_bench import sequences
from lsmkv_bench.engines.interface import SESSION_OPERATIONS, Pair
from lsmkv_bench.laboratory import Laboratory, call_latencies, checksum
from lsmkv_bench.meters import Stopwatch

KEYS_PER_CALL = 100
SEEK_ENTRIES = 10
SEEKS_PER_READ = 4  # a seek with its entries counts as so many reads

READRANDOM_SEED, READHOT_SEED, READMISSING_SEED, SEEK_SEED = 11, 12, 13, 14


def _read_count(lab: Laboratory) -> int:
    return min(lab.effort.reads, len(lab.data.keys))


def random_keys(lab: Laboratory) -> list[bytes]:
    keys = lab.data.keys
    positions = sequences.uniform(len(keys), _read_count(lab), READRANDOM_SEED)
    return sequences.picked(keys, positions)


def readrandomcold(lab: Laboratory) -> None:
    keys = random_keys(lab)
    lab.reopen()
    get_each(lab, "readrandomcold", keys, is_warm=False)


def readrandom(lab: Laboratory) -> None:
    get_each(lab, "readrandom", random_keys(lab))


def readhot(lab: Laboratory) -> None:
    keys = lab.data.keys
    positions = sequences.hot(len(keys), _read_count(lab), READHOT_SEED)
    get_each(lab, "readhot", sequences.picked(keys, positions))


def readmissing(lab: Laboratory) -> None:
    absent = lab.data.absent
    positions = sequences.uniform(len(absent), _read_count(lab), READMISSING_SEED)
    get_each(lab, "readmissing", sequences.picked(absent, positions))


def get_each(
    lab: Laboratory, workload: str, keys: Sequence[bytes], *, is_warm: bool = True
) -> None:
    watch = Stopwatch()
    check = ""
    with lab.engine.reading() as reading:
        get = reading.get
        if is_warm:
            check = checksum(map(get, keys))
        with watch.running():
            for key in keys:
                get(key)
        latency = None
        if is_warm:
            latency = call_latencies(get, keys[: lab.effort.latencies])
        else:
            check = checksum(map(get, keys))
    lab.record(workload, len(keys), watch, check=check, latency=latency)


def multireadrandom(lab: Laboratory) -> None:
    keys = random_keys(lab)
    calls = [keys[start : start + KEYS_PER_CALL] for start in range(0, len(keys), KEYS_PER_CALL)]
    watch = Stopwatch()
    with lab.engine.reading() as reading:
        get_many = reading.get_many
        check = checksum(value for call in calls for value in get_many(call))
        with watch.running():
            for call in calls:
                get_many(call)
        latency = call_latencies(get_many, calls[: lab.effort.latencies])
    lab.record("multireadrandom", len(keys), watch, check=check, latency=latency)


def seekrandom(lab: Laboratory) -> None:
    """To keys that are there and keys that are not."""
    source = lab.data.keys + lab.data.absent
    count = max(1, _read_count(lab) // SEEKS_PER_READ)
    keys = sequences.picked(source, sequences.uniform(len(source), count, SEEK_SEED))
    watch = Stopwatch()
    with lab.engine.reading() as reading:
        seek = reading.seeker()
        check = checksum(value for key in keys for _, value in seek(key, SEEK_ENTRIES))
        with watch.running():
            for key in keys:
                seek(key, SEEK_ENTRIES)
        latency = call_latencies(lambda key: seek(key, SEEK_ENTRIES), keys[: lab.effort.latencies])
    lab.record("seekrandom", count, watch, check=check, latency=latency)


def readseq(lab: Laboratory) -> None:
    scan_all(lab, "readseq", reverse=False)


def readreverse(lab: Laboratory) -> None:
    scan_all(lab, "readreverse", reverse=True)


def scan_all(lab: Laboratory, workload: str, *, reverse: bool) -> None:
    watch = Stopwatch()
    with lab.engine.reading() as reading:
        check = _pairs_checksum(reading.scan(reverse))
        count = 0
        pairs = reading.scan(reverse)
        with watch.running():
            for _key, _value in pairs:
                count += 1
    lab.record(workload, count, watch, check=check)


def _pairs_checksum(pairs: Iterable[Pair]) -> str:
    count = crc = 0
    for key, value in pairs:
        count += 1
        crc = zlib.crc32(value, zlib.crc32(key, crc))
    return f"{count}:{crc:08x}"


# --- beside a writer -----------------------------------------------------------------------------


def readwhilewriting(lab: Laboratory, reader_count: int) -> None:
    """What is timed are the reads, all threads together; the writer puts as fast as it can."""
    keys = random_keys(lab)
    shares = [keys[number::reader_count] for number in range(reader_count)]
    done = threading.Event()
    watch = Stopwatch()
    with ThreadPoolExecutor(reader_count + 1) as pool:
        writer = pool.submit(_write_until, lab, done)
        try:
            with watch.running():
                found = sum(pool.map(lambda share: _read_share(lab, share), shares))
        finally:
            done.set()
        written = writer.result()
    lab.engine.drain()
    lab.record(
        f"readwhilewriting{reader_count}",
        len(keys),
        watch,
        check=str(found),
        note=f"{written} puts meanwhile",
    )


def _write_until(lab: Laboratory, done: threading.Event) -> int:
    """Puts of every key in turn, each with the value it has."""
    values = lab.data.values
    pairs = zip(itertools.cycle(lab.shuffled_keys), itertools.cycle(values), strict=False)
    written = 0
    while not done.is_set():
        with lab.engine.writing() as writing:
            put = writing.put
            for key, value in itertools.islice(pairs, SESSION_OPERATIONS):
                put(key, value)
        written += SESSION_OPERATIONS
    return written


def _read_share(lab: Laboratory, keys: Sequence[bytes]) -> int:
    """How many are there: all."""
    missing = 0
    for start in range(0, len(keys), SESSION_OPERATIONS):
        with lab.engine.reading() as reading:
            get = reading.get
            for key in keys[start : start + SESSION_OPERATIONS]:
                if get(key) is None:
                    missing += 1
    return len(keys) - missing
