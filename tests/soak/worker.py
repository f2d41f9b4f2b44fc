"""The process that runs cases of one part until its time is over: a crash costs one case.

    python -m tests.soak.worker PART FIRST_CASE SECONDS COUNT

Writes one line of JSON to standard output for each case: {"case": number, "counts": {...}}, or
{"case": number, "failure": "..."} and ends. COUNT is how much of the part's unit is wanted.
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

from tests.soak.part import load

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    name, first, seconds, wanted = (
        arguments[0],
        int(arguments[1]),
        float(arguments[2]),
        int(arguments[3]),
    )
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
            with tempfile.TemporaryDirectory(prefix=f"soak-{name}-") as directory:
                counts = part.run_case(case, Path(directory))
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
