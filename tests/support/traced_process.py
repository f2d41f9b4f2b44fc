"""A process for strace: does a little of everything on real files, and says what passed the vfs.

    python -m tests.support.traced_process DIRECTORY LOG_MODE

First the workload of crash_lab, whose database stays; then columns, background threads and a
read-only opening; at last its copy is repaired and destroyed. Between the two marks (names that do
not exist) every file access under DIRECTORY belongs to that. Standard output: how often each
operation passed the one door, as JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import Counter

import lsmkv
from lsmkv import Column, filenames
from lsmkv._native.vfs import FileSystem, PosixFileSystem
from tests.support.crash_lab import Laboratory, open_small, run_workload

__all__ = ["BEGIN", "END"]

BEGIN, END = "/the-workload-begins", "/the-workload-ends"


def mark(name: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name)


def use_columns(files: FileSystem, directory: str, log_mode: str) -> None:
    keys = Column.from_bytes([b"column %03d" % number for number in range(100)])
    with open_small(files, directory, log_mode=log_mode) as db:
        db.put_columns(keys, keys)
        db.flush()
        values, found = db.get_columns(keys)
        assert found.all()
        assert values.to_list() == keys.to_list()
        assert sum(len(batch) for batch, _ in db.scan_columns(b"column", b"columo")) == 100


def use_threads(files: FileSystem, directory: str, log_mode: str) -> None:
    options = {"background": "threads", "sync_interval_ms": 10, "log_mode": log_mode}
    with open_small(files, directory, **options) as db:
        for number in range(100):
            db.put(b"thread %d" % (number % 30), b"x" * 500, sync=number % 40 == 0)
        db.compact()
        db.put(b"thread", b"last")


def only_read(files: FileSystem, directory: str) -> None:
    with lsmkv.open(directory, filesystem=files, read_only=True) as db:
        assert db[b"thread"] == b"last"
        assert db.verify()


def repair_and_destroy(files: FileSystem, directory: str, log_mode: str) -> None:
    """What lost its CURRENT and holds a file that no table is."""
    files.remove(filenames.current_path(directory))
    with files.open(filenames.table_path(directory, 900), "x") as file:
        file.append(b"not a table")
    report = lsmkv.repair(directory, filesystem=files)
    assert "000900.sst" in report.moved_aside
    with open_small(files, directory, create=False, log_mode=log_mode) as db:
        assert db.verify()
    lsmkv.destroy(directory, filesystem=files)
    assert not files.exists(directory)


def main(directory: str, log_mode: str) -> None:
    options = {"log_mode": log_mode}
    with Laboratory(base=PosixFileSystem(), root=directory, options=options) as lab:
        lab.files.count_reads(True)
        lab.files.record_trace(True)
        mark(BEGIN)
        run_workload(lab)
        lab.db.close()
        use_columns(lab.files, lab.directory, log_mode)
        use_threads(lab.files, lab.directory, log_mode)
        only_read(lab.files, lab.directory)
        repair_and_destroy(lab.files, lab.copy, log_mode)
        mark(END)
        counts = Counter(entry.operation for entry in lab.files.trace())
    print(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
