"""Errors of the operating system at any operation: told, never an untruth; reads go on, and writes
go on when what was missing is back, and never after a failed sync.

A slice of `python -m tests.soak errors`, which takes every operation with every error. What only
looks like an error, calls that are interrupted or do less than asked, is played to a real process.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from itertools import count
from pathlib import Path

import pytest

import lsmkv
from lsmkv import kernel
from lsmkv._native.vfs import MemoryFileSystem, PosixFileSystem
from lsmkv._native.vfs_fault import OPERATIONS, FaultFileSystem
from tests.soak.errors import Fault, faults, run_with
from tests.support import c_program
from tests.support.crash_lab import CHANGING, open_small

STRIDE = 113
DONE_STRIDE = 9

pytestmark = pytest.mark.usefixtures("quiet_log")


@pytest.mark.slow
def test_any_operation_may_fail_in_any_way() -> None:
    assert {fault.operation for fault in faults()} >= set(OPERATIONS) - {"remove_directory"}
    run_all(faults()[::STRIDE])


@pytest.mark.slow
def test_any_operation_may_be_done_and_be_said_to_have_failed() -> None:
    for operation in {*CHANGING, "log_reserve"} - {"remove_directory"}:
        chosen = [fault for fault in faults() if fault.is_done and fault.operation == operation]
        assert chosen
        run_all(chosen[::DONE_STRIDE])


def run_all(chosen: Sequence[Fault]) -> None:
    for fault in chosen:
        try:
            run_with(fault)
        except BaseException as error:
            error.add_note(f"{fault.operation} {fault.at}: {fault.what}")
            raise


def fail_a_sync_of_drop_range(at: int) -> str | None:
    """Space is short for sync number `at` of a flush and of an edit that drops keys. Returns which
    file that was, None when there are not so many."""
    files = FaultFileSystem(MemoryFileSystem())
    with open_small(files) as db:
        for number in range(60):
            db.put(b"%02d" % number, b"x" * 100)
        db.compact()
        in_use = files.read_file("/db/CURRENT", 64).decode().strip()
        files.reset()
        files.record_trace(True)
        files.fail(at, errno.ENOSPC, operations=("sync",))
        db.put(b"flushed first", b"1")
        told = None
        try:
            kernel.drop_range(db, b"10", b"20")
        except lsmkv.StorageError as error:
            told = os.path.basename(error.filename)
        syncs = [entry for entry in files.trace() if entry.operation == "sync"]
        if len(syncs) < at:
            return None
        struck = os.path.basename(syncs[at - 1].path)
        if struck == in_use:
            assert told == struck
            with pytest.raises(lsmkv.ReadOnlyError, match="No space left"):
                db.put(b"15", b"after it")
            assert db[b"15"] == b"x" * 100
        else:
            assert told in (struck, None)
            db.put(b"15", b"after it")
    with open_small(files) as db:
        allowed = (None, b"x" * 100) if struck == in_use else (b"after it",)
        assert db.get(b"15") in allowed
        db.put(b"15", b"writes go on")
    return "the manifest in use" if struck == in_use else "another"


def test_an_edit_whose_sync_fails_for_lack_of_space_ends_the_writing() -> None:
    """Space may return, but the edit may be found by the next open: writes went on, and were then
    seen without the edit, and later with it. Every other sync leaves nothing in doubt."""
    struck = list(iter(partial(next, map(fail_a_sync_of_drop_range, count(1))), None))
    assert struck.count("the manifest in use") == 2, "that of the flush, and that of the range"
    assert "another" in struck


@pytest.mark.parametrize("log_mode", ["written", "mapped"])
def test_calls_that_are_interrupted_or_do_less_than_asked(log_mode: str, tmp_path: Path) -> None:
    if log_mode == "mapped" and not PosixFileSystem().can_map_log(str(tmp_path)):
        pytest.skip("no mapped log on this file system")
    shim = tmp_path / "short_io.so"
    flags = ["-shared", "-fPIC", "-O1", "-Wno-error"]
    c_program.compile_sources(shim, [c_program.PROGRAMS / "short_io.c"], flags)
    directory, report = tmp_path / "files", tmp_path / "report"
    directory.mkdir()
    process = subprocess.run(
        [sys.executable, "-m", "tests.support.traced_process", str(directory), log_mode],
        env=os.environ
        | {
            "LD_PRELOAD": " ".join(filter(None, [os.environ.get("LD_PRELOAD"), str(shim)])),
            "SHORT_IO": str(directory),
            "SHORT_IO_REPORT": str(report),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        cwd=c_program.ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert process.returncode == 0, process.stderr
    assert int(report.read_text()) > 200, "the shim was not in between"
    with open_small(PosixFileSystem(), str(directory / "db")) as db:
        assert db[b"n"] == b"last"
        assert db.verify()
