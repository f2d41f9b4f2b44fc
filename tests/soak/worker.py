"""The process that runs cases of one part until its time is over: a crash costs one case.

    python -m tests.soak.worker PART FIRST_CASE SECONDS COUNT DIRECTORY

Writes one line of JSON to standard output for each case: {"case": number, "counts": {...}}, or
{"case": number, "failure": "..."} and ends. COUNT is how much of the part's unit is wanted. In
DIRECTORY a part that is lasting finds what it left there.
"""

from __future__ import annotations

import gc
import itertools
import json
import logging
import os
import sys
import tempfile
import time
import traceback
from pathlib import Path

from tests.soak.part import Counts, Part, load

__all__ = ["main"]


def _run(part: Part, case: int, directory: Path, seconds: float) -> Counts:
    if part.run_lasting is not None:
        directory.mkdir(parents=True, exist_ok=True)
        return part.run_lasting(case, directory, seconds)
    with tempfile.TemporaryDirectory(prefix="soak-") as own:
        return part.run_case(case, Path(own))


def main(arguments: list[str]) -> int:
    name, directory = arguments[0], Path(arguments[4])
    first, seconds, wanted = int(arguments[1]), float(arguments[2]), int(arguments[3])
    logging.disable(logging.CRITICAL)  # the engine rightly warns of every injected fault
    # What others print on the standard output must not come between the lines.
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    part = load(name)
    deadline = time.monotonic() + seconds
    done = 0
    for case in itertools.count(first):
        line: dict[str, object] = {"case": case}
        try:
            counts = _run(part, case, directory, deadline - time.monotonic())
            line["counts"] = counts
            done += counts[part.unit]
        except BaseException:
            line["failure"] = traceback.format_exc()
        lines.write(json.dumps(line) + "\n")
        lines.flush()
        if "failure" in line:
            return 1
        if time.monotonic() >= deadline or done >= wanted:
            return 0
        gc.collect()
    raise AssertionError("there is always another case")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
