"""One node beside redis-server, with redis-benchmark: python -m benchmarks.beside_redis

Both run all the time, with what they wrote so far; each round asks one, then the other, the same.
Printed are medians of the rounds, and the ratio of each round's rates.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from benchmarks.servers import Figures, alone, need, redis_benchmark, redis_server

CLIENTS = 50
KEY_COUNT = 1_000_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--path", help="where the data goes, on the disk to be measured")
    arguments = parser.parse_args()
    need("redis-server", "redis-benchmark")
    with tempfile.TemporaryDirectory(dir=arguments.path) as name:
        path = Path(name)
        with alone(path) as ours, redis_server(path) as theirs:
            for flags in ((), ("-P", "32")):
                for test in ("set", "get"):
                    found: list[tuple[Figures, Figures]] = []
                    for _ in range(arguments.rounds):
                        asked = (test, arguments.requests, CLIENTS, "-r", str(KEY_COUNT), *flags)
                        pair = [redis_benchmark(each.ports, *asked) for each in (ours, theirs)]
                        found.append((pair[0], pair[1]))
                    print(line(f"{test} {' '.join(flags)}", found), flush=True)


def line(name: str, found: list[tuple[Figures, Figures]]) -> str:
    ratios = [ours.per_second / theirs.per_second for ours, theirs in found]
    sides = [
        f"{statistics.median(side.per_second for side in each):10,.0f}/s "
        f"p50 {statistics.median(side.p50_ms for side in each):6.2f} "
        f"p99 {statistics.median(side.p99_ms for side in each):6.2f} ms"
        for each in zip(*found, strict=True)
    ]
    low, high = min(ratios), max(ratios)
    ratio = f"{statistics.median(ratios):.2f} ({low:.2f} to {high:.2f})"
    return f"{name:<12} lsmkv {sides[0]}   other {sides[1]}   ratio {ratio}"


if __name__ == "__main__":
    main()
