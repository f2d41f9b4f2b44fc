"""A process for strace: runs the workload of crash_lab on real files, and says what passed the vfs.

    python -m tests.support.traced_process DIRECTORY LOG_MODE

Between the two marks (names that do not exist) every file access under DIRECTORY belongs to the
workload. Standard output: how often each operation passed the one door, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter

from lsmkv._native.vfs import PosixFileSystem
from tests.support.crash_lab import Laboratory, run_workload

__all__ = ["BEGIN", "END"]

BEGIN, END = "/the-workload-begins", "/the-workload-ends"


def mark(name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)


def main(directory: str, log_mode: str) -> None:
    options = {"log_mode": log_mode}
    with Laboratory(base=PosixFileSystem(), root=directory, options=options) as lab:
        lab.files.count_reads(True)
        lab.files.record_trace(True)
        mark(BEGIN)
        run_workload(lab)
        lab.db.close()
        mark(END)
        counts = Counter(entry.operation for entry in lab.files.trace())
    print(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
