"""Errors of the system at every operation of the workload of crash_lab: every kind of operation,
every error, once and for ever; short reads, writes that stop half-way, syncs that lose pages.

Case by case through all of them, CHUNK runs at a time, and from the beginning again. After each run
both a killed and a power-lost image must hold what was promised (support/crash_checks.py).
"""

from __future__ import annotations

import errno
import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import lsmkv
from lsmkv._native import memory
from lsmkv._native.vfs_fault import OPERATIONS
from tests.soak.part import Counts, Part, noted
from tests.support.crash_checks import finish, list_operations
from tests.support.crash_lab import READING, SYNCS, Laboratory

__all__ = ["PART", "Fault", "faults", "run_with"]

CHUNK = 60
ERRNOS = (errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.EACCES)
ERRORS_MAX = 4  # of a fault for ever; then it is over
# The system refused before anything changed: what was not a sync can be tried again.
REFUSALS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE)
WRITES = ("append", "log_commit")
READS = ("read", "read_cached")
# Their failure says nothing else when it comes after they were done.
SAME_BOTH_WAYS = {"close", "start_writeback", "list", "stat", "read", "read_cached", "size"}
# A failure of these can leave the names on the disk in doubt, whatever it was.
IN_DOUBT = {"rename", "open", "lock", "log_reserve", "log_commit"}


@dataclass(frozen=True)
class Fault:
    """What happens at operation `at` of those named; `what` says it."""

    what: str
    operation: str
    at: int
    strike: Callable[[Laboratory], None]
    loses_unsynced: bool = False
    errno: int = 0
    for_ever: bool = False
    is_done: bool = False  # what failed was done all the same


def _fail(operation: str, at: int, number: int, for_ever: bool) -> Fault:
    def strike(lab: Laboratory) -> None:
        lab.files.fail(at, number, for_ever=for_ever, operations=(operation,))

    name = f"{errno.errorcode[number]} {'for ever' if for_ever else 'once'}"
    return Fault(name, operation, at, strike, errno=number, for_ever=for_ever)


def _lose(operation: str, at: int, for_ever: bool) -> Fault:
    def strike(lab: Laboratory) -> None:
        lab.files.fail(at, errno.EIO, for_ever, (operation,), lose_unsynced=True)

    name = f"pages lost {'for ever' if for_ever else 'once'}"
    return Fault(name, operation, at, strike, True, errno.EIO, for_ever)


def _do_and_fail(operation: str, at: int, for_ever: bool) -> Fault:
    def strike(lab: Laboratory) -> None:
        lab.files.fail(at, errno.EIO, for_ever, (operation,), when="after")

    name = f"done, then EIO {'for ever' if for_ever else 'once'}"
    return Fault(name, operation, at, strike, is_done=True, errno=errno.EIO, for_ever=for_ever)


def _tear(operation: str, at: int, keep: int, number: int) -> Fault:
    def strike(lab: Laboratory) -> None:
        lab.files.tear(at, keep, number, operations=(operation,))

    return Fault(
        f"{keep} bytes, then {errno.errorcode[number]}", operation, at, strike, errno=number
    )


def _short(operation: str, at: int, keep: int) -> Fault:
    def strike(lab: Laboratory) -> None:
        lab.files.short(at, keep, operations=(operation,))

    return Fault(f"only {keep} bytes", operation, at, strike)


@cache
def faults() -> Sequence[Fault]:
    """Every one, in an order in which any stretch has some of each kind."""
    found: list[Fault] = []
    entries = list_operations(OPERATIONS)
    for operation in OPERATIONS:
        sizes = [entry.size for entry in entries if entry.operation == operation]
        for at, size in enumerate(sizes, 1):
            for for_ever in (False, True):
                found += [_fail(operation, at, number, for_ever) for number in ERRNOS]
                if operation not in SAME_BOTH_WAYS:
                    found.append(_do_and_fail(operation, at, for_ever))
                if operation in SYNCS:
                    found.append(_lose(operation, at, for_ever))
            cuts = sorted({0, 1, (size or 0) // 2, max(0, (size or 0) - 1)})
            if operation in WRITES:
                found += [_tear(operation, at, keep, errno.ENOSPC) for keep in cuts]
                found += [_tear(operation, at, keep, errno.EIO) for keep in cuts]
            if operation in READS:
                found += [_short(operation, at, keep) for keep in cuts]
    steps = 97  # the list is walked in strides
    return [fault for first in range(steps) for fault in found[first::steps]]


def run_with(fault: Fault) -> None:
    """AssertionError when a promise was broken."""
    lab = Laboratory(
        tolerant=True,
        loses_unsynced=fault.loses_unsynced,
        may_return=fault.is_done,
        reads_may_fail=fault.operation in READING,
    )
    lab.files.count_reads(True)
    if fault.for_ever:
        lab.errors_max = ERRORS_MAX
    fault.strike(lab)
    finish(lab)
    for error in lab.errors:
        is_damage = isinstance(error, lsmkv.CorruptionError | lsmkv.LockedError)
        is_damage = is_damage and fault.what.startswith("only")
        is_told = isinstance(error, lsmkv.StorageError | lsmkv.ReadOnlyError)
        assert is_told or is_damage, f"{error!r} for {fault.what}"
    if fault.operation == "log_sync" and lab.failed_steps <= {"write", "sync"}:
        assert lab.was_read_only, "a sync of the log failed, and writes went on"
    is_refusal = fault.errno in REFUSALS and fault.operation not in {*SYNCS, *IN_DOUBT}
    assert not (is_refusal and lab.was_read_only), "what was refused can be tried again"


def run_case(case: int, directory: Path) -> Counts:
    everything = faults()
    chunks = -(-len(everything) // CHUNK)
    first = case % chunks * CHUNK
    gc.collect()
    before = memory.usage()
    chosen = everything[first : first + CHUNK]
    for fault in chosen:
        with noted(f"{fault.operation} {fault.at}: {fault.what}"):
            run_with(fault)
    gc.collect()
    assert memory.usage() == before, "leaked"
    return {"errors": len(chosen)}


PART = Part("errors", run_case)
