"""All heavy parts of the tests in turn, for as long as wanted, with progress.

    python -m tests.soak --minutes 30              every part, turn by turn
    python -m tests.soak power_loss --count 20000  one part, until it has done so much
    python -m tests.soak power_loss --case 17      one case again, in this process
    python -m tests.soak --totals                  what has been done so far

What was done is added to .soak/log.jsonl; a later run goes on behind it. When a case fails, its
story is printed, and the part is not run any further. The status is 1 as long as there is a failure
on these sources (FOLDERS): a later run names it and goes on behind it, but is not good.

A part that is lasting works in .soak/run-*/PART; that is kept when something failed. Fuzzing has
rounds and counters of its own: `make fuzz MINUTES=n`.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.soak.ledger import Entry, Ledger
from tests.soak.part import NAMES, load
from tests.support.sources import sources_digest

__all__ = ["main"]

ROOT = Path(__file__).resolve().parents[2]
LEDGER = ROOT / ".soak" / "log.jsonl"
# What decides what a case does, and so what its number stands for.
FOLDERS = (
    "src",
    "tests/soak",
    "tests/support",
    "tests/test_crash.py",
    "tests/test_memory_failures.py",
)
TURN_S = 60.0
TURN_MIN_S = 3.0
HANG_S = 900.0  # a case that takes longer is broken
NOTE_S = 15.0  # between two lines of the ledger

Say = Callable[[str], None]


def _lines(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Lines as they come; an empty one when none came in time."""
    assert process.stdout is not None
    descriptor, buffer = process.stdout.fileno(), b""
    while True:
        if not select.select([descriptor], [], [], HANG_S)[0]:
            yield ""
            return
        data = os.read(descriptor, 1 << 16)
        if not data:
            return
        *whole, buffer = (buffer + data).split(b"\n")
        yield from (line.decode() for line in whole)


@dataclass(frozen=True)
class Soak:
    """One run: what it adds to, of which state of the sources, and where lasting parts work."""

    ledger: Ledger
    sources: str
    directory: Path
    say: Say


class Turn:
    """Some cases of one part in a process of their own."""

    def __init__(self, soak: Soak, name: str) -> None:
        self._soak = soak
        self._name = name
        self._part = load(name)
        self._first = self._case = soak.ledger.next_case(name, soak.sources)
        self._counts: Counter[str] = Counter()
        self._began = self._noted = time.monotonic()

    def run(self, seconds: float, count: int) -> bool:
        """Whether all went well. At least one case is run."""
        command = [sys.executable, "-m", "tests.soak.worker", self._name, str(self._first)]
        process = subprocess.Popen(
            [*command, str(seconds), str(count), str(self._soak.directory / self._name)],
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            start_new_session=True,
        )
        failure: str | None = None
        is_over = False
        try:
            for line in _lines(process):
                if not line:
                    failure = f"nothing happened for {HANG_S:.0f} s"
                    break
                failure = self._take(json.loads(line))
            is_over = failure is None
        finally:
            if process.poll() is None and not is_over:
                os.killpg(process.pid, signal.SIGKILL)
            status = process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if status != 0 and failure is None:
            failure = f"the process ended with status {status}"
        self._note(failure)
        if failure is not None:
            self._soak.say(f"\n{self._name}, case {self._case}: {failure}\n")
        return failure is None

    def _take(self, result: dict[str, object]) -> str | None:
        failure = result.get("failure")
        if failure is not None:
            return str(failure)
        counts = result["counts"]
        assert isinstance(counts, dict)
        self._counts.update(counts)
        self._case += 1
        if time.monotonic() - self._noted > NOTE_S:
            self._note(None)
        total = self._soak.ledger.totals(self._name, self._soak.sources)[self._part.unit]
        self._soak.say(
            f"{self._name}: case {self._case - 1}, "
            f"{total + self._counts[self._part.unit]:,} {self._part.unit}, "
            f"{time.monotonic() - self._began:.0f} s"
        )
        return None

    def _note(self, failure: str | None) -> None:
        last = self._case if failure is not None else self._case - 1
        if last < self._first:
            return
        now = time.monotonic()
        self._soak.ledger.add(
            Entry(
                self._name,
                self._soak.sources,
                self._first,
                last,
                round(now - self._noted, 2),
                dict(self._counts),
                failure,
            )
        )
        self._first, self._noted = last + 1, now
        self._counts.clear()


def _teller() -> Say:
    """Over the same line on a terminal, one line in five seconds elsewhere."""
    shown = 0.0

    def say(text: str) -> None:
        nonlocal shown
        if text.startswith("\n"):
            print(text, file=sys.stderr, flush=True)
        elif sys.stderr.isatty():
            print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
        elif time.monotonic() - shown > 5:
            shown = time.monotonic()
            print(text, file=sys.stderr, flush=True)

    return say


def rotate(soak: Soak, names: Sequence[str], minutes: float) -> bool:
    """Every part in turn until the time is over; whether all went well."""
    deadline = time.monotonic() + minutes * 60
    turn_s = max(TURN_MIN_S, min(TURN_S, minutes * 60 / len(names)))
    if len(names) == 1:
        turn_s = math.inf
    broken: set[str] = set()
    while len(broken) < len(names):
        for name in names:
            left = deadline - time.monotonic()
            if left <= 0:
                return not broken
            if name not in broken and not Turn(soak, name).run(min(turn_s, left), sys.maxsize):
                broken.add(name)
    return False


def run_part(soak: Soak, name: str, count: int) -> bool:
    """Until the part has done `count` of its unit on these sources; whether all went well."""
    unit = load(name).unit
    while (left := count - soak.ledger.totals(name, soak.sources)[unit]) > 0:
        if not Turn(soak, name).run(TURN_S, left):
            return False
    return True


def totals(ledger: Ledger, sources: str) -> str:
    lines = []
    for name in ledger.parts():
        for which, chosen in (("these sources", sources), ("all", None)):
            counts = ledger.totals(name, chosen)
            shown = ", ".join(f"{count:,} {what}" for what, count in counts.items() if count)
            lines.append(f"{name} ({which}): {shown or 'nothing'}")
    return "\n".join(lines)


def run_case(name: str, case: int) -> None:
    """In this process, with a traceback or a debugger as wanted."""
    logging.disable(logging.CRITICAL)
    with tempfile.TemporaryDirectory(prefix=f"soak-{name}-") as directory:
        print(load(name).run_case(case, Path(directory)))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*NAMES, []], help="all, if none is named")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--count", type=int, help="until each part has done so many of its unit")
    parser.add_argument("--case", type=int, help="run one case of one part again")
    parser.add_argument("--totals", action="store_true", help="say what has been done")
    chosen = parser.parse_args(arguments)
    names = chosen.parts or list(NAMES)
    if chosen.case is not None:
        run_case(names[0], chosen.case)
        return 0
    ledger, sources = Ledger(LEDGER), sources_digest(FOLDERS)
    if not chosen.totals:
        _run(ledger, sources, names, chosen.minutes, chosen.count)
    print(totals(ledger, sources))
    failures = ledger.failures(names, sources)
    for entry in failures:
        print(f"{entry.part}, case {entry.last} failed on these sources: see {LEDGER}")
    return 1 if failures else 0


def _run(
    ledger: Ledger, sources: str, names: Sequence[str], minutes: float, count: int | None
) -> None:
    LEDGER.parent.mkdir(exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix="run-", dir=LEDGER.parent))
    soak = Soak(ledger, sources, directory, _teller())
    is_evidence = False
    try:
        if count is None:
            is_evidence = not rotate(soak, names, minutes)
        else:
            for name in names:
                is_evidence |= not run_part(soak, name, count)
    finally:
        if not is_evidence:
            shutil.rmtree(directory)
    print(file=sys.stderr)
