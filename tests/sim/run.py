"""Run many seeds on all cores, one seed aloud, or look for a planted bug.

    python -m tests.sim.run --seeds 1000 [--first N] [--jobs 2] [--resume FILE] [--profile NAME]
    python -m tests.sim.run --seed 17 --verbose
    python -m tests.sim.run --canary NAME --seeds 1000

The status is 0 when no promise was broken; with --canary, when the bug was found.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from contextlib import nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from time import perf_counter, process_time

from tests.sim.planted import CANARIES
from tests.sim.product import Product
from tests.sim.profiles import PROFILES
from tests.sim.report import Tally, failure_text
from tests.sim.results import FOLDERS, OtherSourcesError, Results
from tests.sim.simulation import Simulation, Verdict
from tests.support.sources import sources_digest

__all__ = ["main", "run_seed"]

PROGRESS_S = 1.0
AHEAD = 4  # seeds that wait for each process


def run_seed(
    seed: int,
    canary: str | None = None,
    echo: Callable[[str], None] | None = None,
    profile: str = "swarm",
) -> tuple[Verdict, str]:
    """The verdict and, if a promise was broken, the story."""
    began = process_time()
    with CANARIES[canary].patch() if canary else nullcontext():
        simulation = Simulation(PROFILES[profile](seed), Product(), echo)
        verdict = simulation.run()
    verdict.cpu_s = process_time() - began
    return verdict, failure_text(simulation) if verdict.violations else ""


def _quiet() -> None:
    """The engine rightly warns of every injected fault."""
    logging.disable(logging.CRITICAL)


def run_seeds(
    seeds: Sequence[int], jobs: int, canary: str | None = None, profile: str = "swarm"
) -> Iterator[tuple[Verdict, str]]:
    """As they are finished."""
    run = partial(run_seed, canary=canary, profile=profile)
    if jobs == 1:
        yield from map(run, seeds)
        return
    left = iter(seeds)
    with ProcessPoolExecutor(jobs, initializer=_quiet) as pool:
        running = {pool.submit(run, seed) for seed in islice(left, jobs * AHEAD)}
        try:
            while running:
                finished, running = wait(running, return_when=FIRST_COMPLETED)
                for future in finished:
                    yield future.result()
                for seed in islice(left, len(finished)):
                    running.add(pool.submit(run, seed))
        finally:
            pool.shutdown(cancel_futures=True)


class Progress:
    """One line that is written over, or one a second where that cannot be."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._began = self._shown = perf_counter()

    def show(self, done: int, failed: int, *, at_once: bool = False) -> None:
        now = perf_counter()
        if now - self._shown < PROGRESS_S and not at_once:
            return
        self._shown = now
        rate = done / max(now - self._began, 0.001)
        left_s = (self._total - done) / rate if rate else 0
        text = f"{done}/{self._total} seeds, {rate:.1f} per s, {left_s:.0f} s left, {failed} failed"
        is_terminal = sys.stderr.isatty()
        print(
            f"\r{text}\033[K" if is_terminal else text,
            end="" if is_terminal else "\n",
            file=sys.stderr,
            flush=True,
        )


def run_many(arguments: argparse.Namespace) -> int:
    try:
        results = Results(arguments.resume, sources_digest(FOLDERS), arguments.profile)
    except OtherSourcesError as error:
        print(f"{error}: remove it to begin anew", file=sys.stderr)
        return 2
    wanted = range(arguments.first, arguments.first + arguments.seeds)
    seeds = [seed for seed in wanted if seed not in results.known]
    progress, failed = Progress(len(seeds)), 0
    for done, (verdict, story) in enumerate(
        run_seeds(seeds, arguments.jobs, profile=arguments.profile), 1
    ):
        results.add(verdict)
        failed += bool(story)
        if story:
            print(f"\n{story}\n", flush=True)
        progress.show(done, failed, at_once=done == len(seeds))
        if failed >= arguments.failures_max:
            break
    tally = Tally.of(results.known[seed] for seed in wanted if seed in results.known)
    print(f"\n{tally}")
    if tally.failed:
        print(f"failed seeds      {' '.join(map(str, sorted(tally.failed)))}")
    return int(bool(tally.failed) or not tally.is_available)


def run_one(arguments: argparse.Namespace) -> int:
    options = PROFILES[arguments.profile](arguments.seed)
    print(f"seed {options.seed}\n{options}\n")
    echo = print if arguments.verbose else None
    verdict, story = run_seed(arguments.seed, arguments.canary, echo, arguments.profile)
    print(story or f"no promise was broken: {verdict}")
    return int(bool(story))


def find_canary(arguments: argparse.Namespace) -> int:
    """Whether the planted bug is found, and by which seed."""
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    progress = Progress(len(seeds))
    tally = Tally()
    canary = CANARIES[arguments.canary]
    for done, (verdict, story) in enumerate(
        run_seeds(seeds, arguments.jobs, canary.name, arguments.profile), 1
    ):
        tally.add(verdict)
        if canary.broken_in(verdict.violations):
            print(f"\n{story}\n\n{arguments.canary}: found by seed {verdict.seed}, run {done}")
            return 0
        progress.show(done, 0)
    if not tally.is_available:
        print(f"\n{arguments.canary}: found, with one machine down: {tally.availability:.3%}")
        return 0
    print(f"\n{arguments.canary}: not found in {len(seeds)} seeds")
    return 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.sim.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seeds", type=int, default=300, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--resume", type=Path, help="where verdicts are kept, and taken up again")
    parser.add_argument("--failures-max", type=int, default=5, help="then stop")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--verbose", action="store_true", help="every event of --seed")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="swarm")
    parser.add_argument("--canary", choices=sorted(CANARIES), help="with this bug planted")
    parsed = parser.parse_args(arguments)
    _quiet()
    if parsed.seed is not None:
        return run_one(parsed)
    return find_canary(parsed) if parsed.canary else run_many(parsed)


if __name__ == "__main__":
    sys.exit(main())
