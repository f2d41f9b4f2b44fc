"""One benchmark alone, without pytest: for profilers, and to look at one figure.

python -m benchmarks.kernels                          the names
python -m benchmarks.kernels "murmur3 of 16 bytes"    ns per operation, round by round
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.kernels.case import FULL, Case
from benchmarks.kernels.cases import all_cases
from benchmarks.kernels.native import build


def run(case: Case, operations: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        work = case.create(build(Path(directory)))
        try:
            for _ in range(rounds):
                run = work.run(operations)
                assert run.checksum == case.expected(operations), "wrong checksum"
                print(f"{run.elapsed_ns / operations:.1f}")
        finally:
            work.close()


def main() -> None:
    cases = {case.name: case for case in all_cases(FULL)}
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kernels")
    parser.add_argument("name", nargs="?", choices=cases)
    parser.add_argument("--operations", type=int, help="of one round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    if arguments.name is None:
        print("\n".join(cases))
        return
    case = cases[arguments.name]
    run(case, arguments.operations or case.operations, arguments.rounds)


if __name__ == "__main__":
    main()
