"""Look for every planted bug, and write down which seed finds it first.

    python -m tests.sim.search [--seeds 1000] [--jobs 2] [--profile NAME] [NAME ...]

A seed counts when a promise that the bug breaks (canaries.py) is broken with it, and none without
it. What is found stands in planted/found.txt, a line each: the seed, the bug, the promise, and the
profile that drew the run. `make test` runs those seeds again; where a change of the product or of
the simulator lets one go past its bug, search again.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.sim.planted import CANARIES
from tests.sim.profiles import PROFILES
from tests.sim.run import run_seed

__all__ = ["CRASHES", "FOUND_PATH", "Found", "main", "promise_of", "read_found"]

FOUND_PATH = Path(__file__).with_name("planted") / "found.txt"
# A bug that makes the node raise was not found by a checker.
CRASHES = frozenset({"the node raised", "the store raised", "the node spins"})
AHEAD = 4  # seeds for each process at a time


@dataclass(frozen=True)
class Found:
    seed: int
    name: str
    promise: str
    profile: str

    def __str__(self) -> str:
        return f"{self.seed:4} | {self.name} | {self.promise} | {self.profile}"


def read_found(path: Path = FOUND_PATH) -> list[Found]:
    found = []
    for line in path.read_text(encoding="utf-8").splitlines():
        seed, *words = (word.strip() for word in line.split("|"))
        found.append(Found(int(seed), *words))
    return found


def promise_of(seed: int, name: str, profile: str) -> str | None:
    """The promise by which a seed finds the bug, as a checker says it."""
    verdict, _ = run_seed(seed, name, profile=profile)
    if CRASHES & {text.partition(" (")[0] for text in verdict.violations}:
        return None
    return CANARIES[name].broken_in(verdict.violations)


def is_clean(seed: int, profile: str) -> bool:
    return not run_seed(seed, profile=profile)[0].violations


def search(
    pool: ProcessPoolExecutor, name: str, seeds: range, ahead: int, profile: str
) -> Found | None:
    """The first seed that finds it and is clean without it."""
    look = partial(promise_of, name=name, profile=profile)
    for start in range(0, len(seeds), ahead):
        some = seeds[start : start + ahead]
        for seed, promise in zip(some, pool.map(look, some), strict=True):
            if promise is not None and pool.submit(is_clean, seed, profile).result():
                return Found(seed, name, promise, profile)
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.sim.search", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("names", nargs="*", metavar="NAME", help="these alone")
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="swarm")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parsed = parser.parse_args(arguments)
    names = parsed.names or list(CANARIES)
    known = {found.name: found for found in read_found()} if FOUND_PATH.exists() else {}
    with ProcessPoolExecutor(parsed.jobs, initializer=_quiet) as pool:
        for name in names:
            seeds, ahead = range(parsed.seeds), parsed.jobs * AHEAD
            found = search(pool, name, seeds, ahead, parsed.profile)
            known.pop(name, None)
            if found is not None:
                known[name] = found
            print(found or f"     | {name} | not found", flush=True)
            _write(known[name] for name in CANARIES if name in known)
    return int(any(name not in known for name in names))


def _quiet() -> None:
    logging.disable(logging.CRITICAL)


def _write(found: Iterable[Found]) -> None:
    text = "".join(f"{each}\n" for each in found)
    FOUND_PATH.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
