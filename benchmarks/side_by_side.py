"""lsmkv beside plyvel and rocksdict: the same work, the same cache and buffer sizes, alternating
processes.

    python benchmarks/side_by_side.py [--entries N] [--rounds R] [--json FILE] [--markdown]

Each (engine, round) is a process of its own; engines alternate A B C A B C, and what is reported
are the medians and the ratio of each peer to lsmkv round by round. Keys are 16 bytes ("%016d"),
values 100 bytes of which half compress. Workloads, in this order, on one database per process:

    fillseq      put in key order                   fillrandom   put in random order, fresh database
    overwrite    put again in random order          readrandom   get present keys, warm
    readmissing  get absent keys inside the range   readseq      iterate everything
    readreverse  iterate everything backwards       fillbatch    batches of 1000, fresh database

Results are checked: counts and a checksum must agree between engines.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CACHE_SIZE = 256 << 20
BUFFER_SIZE = 64 << 20
BLOOM_BITS = 10
VALUE_SIZE = 100
BATCH_COUNT = 1000
WORKLOADS = [
    "fillseq",
    "fillrandom",
    "overwrite",
    "readrandom",
    "readmissing",
    "readseq",
    "readreverse",
    "fillbatch",
]


class Lsmkv:
    """Through its public API."""

    def __init__(self, path: str) -> None:
        import lsmkv

        self.db = lsmkv.open(
            path,
            block_cache_size=CACHE_SIZE,
            write_buffer_size=BUFFER_SIZE,
            bloom_bits_per_key=BLOOM_BITS,
        )
        self.put, self.get = self.db.put, self.db.get

    def scan(self, reverse: bool = False) -> Iterator[tuple[bytes, bytes]]:
        return self.db.scan(reverse=reverse)

    def put_batch(self, pairs: list[tuple[bytes, bytes]]) -> None:
        self.db.put_many(pairs)

    def settle(self) -> None:
        self.db.compact()

    def close(self) -> None:
        self.db.close()


class Plyvel:
    """LevelDB."""

    def __init__(self, path: str) -> None:
        import plyvel

        self.db = plyvel.DB(
            path,
            create_if_missing=True,
            lru_cache_size=CACHE_SIZE,
            write_buffer_size=BUFFER_SIZE,
            bloom_filter_bits=BLOOM_BITS,
        )
        self.put, self.get = self.db.put, self.db.get

    def scan(self, reverse: bool = False) -> Any:
        return self.db.iterator(reverse=reverse)

    def put_batch(self, pairs: list[tuple[bytes, bytes]]) -> None:
        batch = self.db.write_batch()
        for key, value in pairs:
            batch.put(key, value)
        batch.write()

    def settle(self) -> None:
        self.db.compact_range()

    def close(self) -> None:
        self.db.close()


class Rocksdict:
    """RocksDB in raw mode."""

    def __init__(self, path: str) -> None:
        import rocksdict

        options = rocksdict.Options(raw_mode=True)
        options.set_write_buffer_size(BUFFER_SIZE)
        options.set_compression_type(rocksdict.DBCompressionType.zstd())
        table = rocksdict.BlockBasedOptions()
        table.set_block_cache(rocksdict.Cache(CACHE_SIZE))
        table.set_bloom_filter(BLOOM_BITS, False)
        options.set_block_based_table_factory(table)
        self.module = rocksdict
        self.db = rocksdict.Rdict(path, options)
        self.put, self.get = self.db.put, self.db.get

    def scan(self, reverse: bool = False) -> Any:
        return self.db.items(backwards=reverse)

    def put_batch(self, pairs: list[tuple[bytes, bytes]]) -> None:
        batch = self.module.WriteBatch(raw_mode=True)
        for key, value in pairs:
            batch.put(key, value)
        self.db.write(batch)

    def settle(self) -> None:
        self.db.flush()
        self.db.compact_range(None, None)

    def close(self) -> None:
        self.db.close()


ENGINES: dict[str, type] = {"lsmkv": Lsmkv, "plyvel": Plyvel, "rocksdict": Rocksdict}


def make_values(count: int) -> list[bytes]:
    """Half random, half a repeated pattern: about 2:1 under zstd. A thousand of them are cycled."""
    source = random.Random(7)
    return [
        source.randbytes(VALUE_SIZE // 2) + b"compressible" * 5 for _ in range(min(count, 1000))
    ]


@contextmanager
def timed(results: dict[str, float], name: str, count: int) -> Iterator[None]:
    started = time.perf_counter()
    yield
    results[name] = (time.perf_counter() - started) / count * 1e6


def run_engine(name: str, entries: int) -> dict[str, Any]:
    """All workloads on one engine: {"us": {workload: microseconds per operation}, "checks":
    {...}}."""
    results: dict[str, float] = {}
    checks: dict[str, int] = {}
    values = [value[:VALUE_SIZE] for value in make_values(entries)]
    shuffled = list(range(0, 2 * entries, 2))
    random.Random(1).shuffle(shuffled)
    ordered_keys = [b"%016d" % i for i in range(0, 2 * entries, 2)]
    random_keys = [b"%016d" % i for i in shuffled]
    missing_keys = [b"%016d" % (i + 1) for i in shuffled]
    with tempfile.TemporaryDirectory() as folder:

        def put_all(engine: Any, keys: list[bytes]) -> None:
            put, n = engine.put, len(values)
            for i, key in enumerate(keys):
                put(key, values[i % n])

        engine = ENGINES[name](f"{folder}/seq")
        with timed(results, "fillseq", entries):
            put_all(engine, ordered_keys)
        engine.close()
        engine = ENGINES[name](f"{folder}/random")
        with timed(results, "fillrandom", entries):
            put_all(engine, random_keys)
        with timed(results, "overwrite", entries):
            put_all(engine, random_keys)
        engine.settle()
        _read(engine, results, checks, random_keys, missing_keys)
        engine.close()
        engine = ENGINES[name](f"{folder}/batch")
        pairs = [(key, values[i % len(values)]) for i, key in enumerate(random_keys)]
        with timed(results, "fillbatch", entries):
            for start in range(0, entries, BATCH_COUNT):
                engine.put_batch(pairs[start : start + BATCH_COUNT])
        engine.close()
    return {"us": results, "checks": checks}


def _read(
    engine: Any,
    results: dict[str, float],
    checks: dict[str, int],
    keys: list[bytes],
    missing_keys: list[bytes],
) -> None:
    get: Callable[[bytes], bytes | None] = engine.get
    checks["readall"] = sum(len(get(key) or b"") for key in keys)  # also warms the cache
    with timed(results, "readrandom", len(keys)):
        for key in keys:
            get(key)
    with timed(results, "readmissing", len(keys)):
        for key in missing_keys:
            get(key)
    checks["missing"] = sum(get(key) is not None for key in missing_keys[:1000])
    for workload, reverse in (("readseq", False), ("readreverse", True)):
        count = 0
        with timed(results, workload, len(keys)):
            for _ in engine.scan(reverse):
                count += 1
        checks[workload] = count
    crc = 0
    for key, value in engine.scan():
        crc = zlib.crc32(value, zlib.crc32(key, crc))
    checks["crc"] = crc


def spawn(name: str, entries: int) -> dict[str, Any]:
    command = [sys.executable, __file__, "--run", name, "--entries", str(entries)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    result: dict[str, Any] = json.loads(output)
    return result


def report(rounds: dict[str, list[dict[str, Any]]], engines: list[str]) -> str:
    peers = [name for name in engines if name != "lsmkv"]
    lines = ["us per operation (median); ratio = peer / lsmkv, median [min..max] over rounds", ""]
    lines.append(
        f"{'workload':<12}"
        + "".join(f"{name:>11}" for name in engines)
        + "".join(f"{'vs ' + name:>24}" for name in peers)
    )
    for workload in WORKLOADS:
        times = {name: [r["us"][workload] for r in rounds[name]] for name in engines}
        line = f"{workload:<12}" + "".join(f"{statistics.median(times[n]):>11.3f}" for n in engines)
        for peer in peers:
            ratios = [p / o for p, o in zip(times[peer], times["lsmkv"], strict=True)]
            spread = f"[{min(ratios):.2f}..{max(ratios):.2f}]"
            line += f"{statistics.median(ratios):>9.2f}x {spread:>13}"
        lines.append(line)
    return "\n".join(lines)


def markdown(rounds: dict[str, list[dict[str, Any]]], engines: list[str]) -> str:
    """The same as a table for the README: median times, and in brackets the ratio to lsmkv."""
    lines = [
        "| us per operation | " + " | ".join(engines) + " |",
        "|---|" + "---|" * len(engines),
    ]
    for workload in WORKLOADS:
        times = {name: [r["us"][workload] for r in rounds[name]] for name in engines}
        cells = []
        for name in engines:
            median = statistics.median(times[name])
            pairs = zip(times[name], times["lsmkv"], strict=True)
            ratio = statistics.median(theirs / ours for theirs, ours in pairs)
            cells.append(f"{median:.2f}" + ("" if name == "lsmkv" else f" ({ratio:.1f}x)"))
        lines.append(f"| {workload} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description="lsmkv beside plyvel and rocksdict")
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--engines", default="lsmkv,plyvel,rocksdict")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", action="store_true", help="also print the table as Markdown")
    parser.add_argument("--run", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(run_engine(arguments.run, arguments.entries)))
        return 0
    engines = arguments.engines.split(",")
    rounds: dict[str, list[dict[str, Any]]] = {name: [] for name in engines}
    for number in range(arguments.rounds):
        for name in engines:
            print(f"round {number + 1}/{arguments.rounds}: {name}", file=sys.stderr, flush=True)
            rounds[name].append(spawn(name, arguments.entries))
    checks = {json.dumps(r["checks"], sort_keys=True) for runs in rounds.values() for r in runs}
    if len(checks) != 1:
        print("results differ between engines:", *checks, sep="\n  ", file=sys.stderr)
        return 1
    print(report(rounds, engines))
    if arguments.markdown:
        print(markdown(rounds, engines))
    if arguments.json:
        arguments.json.write_text(json.dumps(rounds, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
