"""Strike real clusters for some minutes, round after round, and keep what came of it.

    python -m tests.cluster.processes.run --minutes 10 [--seed 1] [--round-minutes 10] [--folder F]

A round is a new cluster with a seed of its own; its verdict is one line of JSON in FOLDER, beside
those of earlier rounds of the same sources, and a run that was interrupted goes on behind them.
History, faults, logs and disks of a round that broke a promise stay in FOLDER/seed-N.

The status is 0 if no promise was broken, now or in earlier rounds that are counted.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.cluster.processes.disks import Disks, LimitedFiles, best_disks
from tests.cluster.processes.nemesis import Options, Round, run_round
from tests.support.sources import sources_digest

__all__ = ["main"]

FOLDERS = ("cluster", "src", "tests/cluster/processes")
FINDINGS_SHOWN = 20


class Progress:
    """One line for each event; over each other where they can be."""

    def __init__(self, seed: int, end_s: float) -> None:
        self._seed = seed
        self._end_s = end_s
        self._is_terminal = sys.stderr.isatty()

    def tell(self, text: str) -> None:
        left_s = max(0.0, self._end_s - time.monotonic())
        line = f"seed {self._seed}, {left_s / 60:4.1f} min left: {text}"
        print(f"\r{line}\033[K" if self._is_terminal else line, end="" if self._is_terminal else
              "\n", file=sys.stderr, flush=True)  # fmt: skip


def earlier_rounds(path: Path) -> Iterator[Round]:
    """A last line that was cut off does not count."""
    if path.exists():
        text = path.read_text(encoding="utf-8")
        for line in text[: text.rfind("\n") + 1].splitlines():
            yield Round(**json.loads(line))


def show(round: Round) -> None:
    faults = ", ".join(f"{kind} {count}" for kind, count in round.faults.items())
    print(
        f"\nseed {round.seed}: {round.load_s / 60:.1f} min, {sum(round.faults.values())} faults "
        f"({faults}), at most {round.rest_s:.1f} s without one\n"
        f"  {sum(round.endings.values())} operations {round.endings}, {round.keys} keys\n"
        f"  acknowledged writes {round.acknowledged}, lost {round.lost}, resurrected "
        f"{round.resurrected}, unequal copies {round.unequal}, other findings {round.others}; "
        f"healed in {round.healed_s:.0f} s"
    )
    for text in round.texts[:FINDINGS_SHOWN]:
        print(f"  {text}")


def show_totals(rounds: Sequence[Round]) -> None:
    faults, endings = Counter[str](), Counter[str]()
    for each in rounds:
        faults.update(each.faults)
        endings.update(each.endings)
    print(
        f"\nrounds              {len(rounds)}, {sum(each.load_s for each in rounds) / 60:.1f} min\n"
        f"faults              {faults.total()} of {len(faults)} kinds\n"
        f"operations          {dict(endings)}\n"
        f"acknowledged writes {sum(each.acknowledged for each in rounds)}\n"
        f"lost                {sum(each.lost for each in rounds)}\n"
        f"resurrected         {sum(each.resurrected for each in rounds)}\n"
        f"unequal copies      {sum(each.unequal for each in rounds)}\n"
        f"other findings      {sum(each.others for each in rounds)}"
    )


def _run(main: Coroutine[Any, Any, Round]) -> Round:
    """On uvloop where it is installed, as the nodes."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


def play(options: Options, end_s: float, results: Path) -> Round:
    shutil.rmtree(options.folder, ignore_errors=True)
    round: Round | None = None
    try:
        round = _run(run_round(options, Progress(options.seed, end_s).tell))
    finally:
        options.disks.end(keep=round is None or not round.is_good)
    with results.open("a", encoding="utf-8") as file:
        file.write(json.dumps(dataclasses.asdict(round)) + "\n")
    show(round)
    if round.is_good:
        shutil.rmtree(options.folder, ignore_errors=True)
    else:
        print(f"  what is left of it: {options.folder}")
    return round


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tests.cluster.processes.run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--minutes", type=float, default=10.0, help="of load and faults")
    parser.add_argument("--round-minutes", type=float, default=10.0, help="of one cluster")
    parser.add_argument("--seed", type=int, default=1, help="of the first round")
    parser.add_argument("--sessions", type=int, default=Options.sessions)
    parser.add_argument("--calls-per-s", type=float, default=Options.calls_per_s)
    parser.add_argument("--folder", type=Path, default=Path(".nemesis"))
    parser.add_argument("--disks", choices=["best", "limited"], default="best")
    parsed = parser.parse_args(arguments)
    parsed.folder.mkdir(parents=True, exist_ok=True)
    results = parsed.folder / f"{sources_digest(FOLDERS)}.jsonl"
    disks: Disks = best_disks() if parsed.disks == "best" else LimitedFiles()
    print(f"full disks are {type(disks).__name__}; processes die with process {os.getpid()}")
    rounds = list(earlier_rounds(results))
    left_s = parsed.minutes * 60 - sum(each.load_s for each in rounds)
    seed = max([parsed.seed - 1, *(each.seed for each in rounds)]) + 1
    while left_s > 1:
        load_s = min(left_s, parsed.round_minutes * 60)
        folder = (parsed.folder / f"seed-{seed}").absolute()
        options = Options(
            seed, load_s, folder, sessions=parsed.sessions, calls_per_s=parsed.calls_per_s,
            disks=disks,
        )  # fmt: skip
        rounds.append(play(options, time.monotonic() + left_s, results))
        left_s -= load_s
        seed += 1
    show_totals(rounds)
    return 0 if all(each.is_good for each in rounds) else 1


if __name__ == "__main__":
    sys.exit(main())
