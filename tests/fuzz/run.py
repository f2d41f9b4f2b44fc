"""Coverage-guided fuzzing of one target or all, on a corpus that grows in .fuzz.

    python -m tests.fuzz.run --minutes 10                 all targets in turn
    python -m tests.fuzz.run log --executions 1000000     one, until it has done so many
    python -m tests.fuzz.run --totals                     what has been done so far

log, batch, node, table: C, with libFuzzer (clang). manifest, database: Python, with atheris, which
is libFuzzer too; for the database the extension modules are built once more, instrumented, into
.fuzz. A failing input lies in .fuzz/failures: keep it in tests/fuzz/corpus, where every `make test`
plays it.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tools.instrumented import COPIED, build

from tests.fuzz import c_targets
from tests.soak.ledger import Entry, Ledger
from tests.support.sources import sources_digest

__all__ = ["NAMES", "main"]

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / ".fuzz"
PYTHON_TARGETS = ("manifest", "database")
NAMES = (*c_targets.TARGETS, *PYTHON_TARGETS)
INPUT_SIZE_MAX = {"database": 160, "manifest": 2000}  # bytes; of the database 60 operations
INPUT_SIZE = 4096
ROUND_S = 60
# With a number of executions wanted: every round plays the whole corpus first.
LONG_ROUND_S = 600
# An execution of the database reaches thousands of edges and allocates as often. To weigh every
# edge and to keep a deep stack for every allocation took three quarters of the time.
FAST = ["-entropic=0"]
EDGES = re.compile(r"\bcov: (\d+)")
EXECUTED = re.compile(r"stat::number_of_executed_units: (\d+)")


def _instrumented(work: Path) -> dict[str, str]:
    """The environment in which the database target runs, its modules built of these sources."""
    tree = work / "source"
    compiler = c_targets.clang()
    assert compiler is not None, "the database target needs clang"
    build(tree, {"CC": compiler, "LSMKV_SANITIZE": "address,fuzzer-no-link"})
    import atheris

    runtime = Path(atheris.__file__).resolve().parents[1] / "asan_with_fuzzer.so"
    return {
        "PYTHONPATH": os.pathsep.join([str(tree / "src"), str(ROOT)]),
        "LD_PRELOAD": str(runtime),
        "ASAN_OPTIONS": "detect_leaks=0:handle_segv=0:allocator_may_return_null=1:"
        "malloc_context_size=2",
    }


def _command(target: str, work: Path) -> tuple[list[str], dict[str, str]]:
    if target in c_targets.TARGETS:
        program, mark, digest = work / f"fuzz_{target}", work / "programs", sources_digest(COPIED)
        if not program.exists() or not mark.exists() or mark.read_text() != digest:
            c_targets.build_fuzzers(work)
            mark.write_text(digest)
        return [str(program)], {}
    command = [sys.executable, "-m", "tests.fuzz.python_fuzzer", target]
    if target == "database":
        return [*command, *FAST], _instrumented(work)
    return command, {}


def fuzz(target: str, seconds: float, executions: int, work: Path = WORK) -> Entry:
    """One run of libFuzzer; whatever it found lies in `work`."""
    corpus, failures = work / "corpus" / target, work / "failures"
    kept = c_targets.CORPUS / target
    for folder in (corpus, failures):
        folder.mkdir(parents=True, exist_ok=True)
    command, environment = _command(target, work)
    options = [f"-max_total_time={max(1, round(seconds))}", f"-runs={executions}"]
    options += [f"-max_len={INPUT_SIZE_MAX.get(target, INPUT_SIZE)}", "-timeout=30"]
    options += ["-print_final_stats=1", f"-artifact_prefix={failures}/{target}-"]
    began = time.monotonic()
    result = subprocess.run(
        [*command, *options, str(corpus), str(kept)],
        capture_output=True,
        text=True,
        errors="replace",
        cwd=ROOT,
        env=os.environ | environment,
    )
    text = result.stderr
    executed = sum(int(number) for number in EXECUTED.findall(text))
    edges = max((int(number) for number in EDGES.findall(text)), default=0)
    failure = None if result.returncode == 0 else text[-4000:]
    counts = {"executions": executed, "edges": edges}
    return Entry(f"fuzz {target}", "", 0, 0, time.monotonic() - began, counts, failure)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run", description=__doc__)
    parser.add_argument("targets", nargs="*", help="all, if none is named")
    parser.add_argument("--minutes", type=float, default=1.0, help="for all together")
    parser.add_argument("--executions", type=int, help="of each, all runs together")
    parser.add_argument("--totals", action="store_true")
    chosen = parser.parse_args(arguments)
    targets = chosen.targets or list(NAMES)
    ledger = Ledger(WORK / "log.jsonl")
    good = True
    deadline = time.monotonic() + chosen.minutes * 60
    while not chosen.totals and good:
        done = {target: _executions(ledger, target) for target in targets}
        left = [t for t in targets if chosen.executions is None or done[t] < chosen.executions]
        if not left or (chosen.executions is None and time.monotonic() > deadline):
            break
        for target in left:
            seconds = min(ROUND_S, chosen.minutes * 60 / len(targets))
            wanted = -1
            if chosen.executions is not None:
                seconds, wanted = LONG_ROUND_S, chosen.executions - done[target]
            entry = fuzz(target, seconds, wanted)
            ledger.add(entry)
            print(_line(ledger, target), flush=True)
            if entry.failure is not None:
                print(entry.failure, file=sys.stderr)
                good = False
    if chosen.totals:
        print("\n".join(_line(ledger, target) for target in targets))
    return 0 if good else 1


def _executions(ledger: Ledger, target: str) -> int:
    return ledger.totals(f"fuzz {target}")["executions"]


def _line(ledger: Ledger, target: str) -> str:
    entries = [entry for entry in ledger.entries if entry.part == f"fuzz {target}"]
    edges = max((entry.counts["edges"] for entry in entries), default=0)
    totals = ledger.totals(f"fuzz {target}")
    return (
        f"{target}: {totals['executions']:,} executions, {edges:,} edges, "
        f"{totals['failures']} failures, {totals['seconds']} s"
    )


if __name__ == "__main__":
    sys.exit(main())
