"""What must hold of a disk on which a workload of crash_lab was stopped, or met errors."""

from __future__ import annotations

import lsmkv
from lsmkv._native.trace import TraceEntry
from lsmkv._native.vfs import MemoryFileSystem
from tests.support.crash_lab import (
    COPY,
    History,
    Laboratory,
    State,
    check_files,
    open_small,
    read_state,
    run_workload,
)

__all__ = ["check", "check_and_lose_power", "check_copy", "finish", "list_operations"]


def check(
    image: MemoryFileSystem, history: History, at_least: int, *, may_lose: bool = True
) -> int:
    """Open it: the position of what is there. `may_lose`: tables may come to lie in lost/."""
    with open_small(image) as db:
        position = history.position(read_state(db), at_least)
        assert db.verify()
        check_files(db, may_lose=may_lose)
    return position


def check_and_lose_power(image: MemoryFileSystem, history: History, at_least: int) -> None:
    """The same, and what was recovered must be durable by then, and life go on."""
    with open_small(image) as db:
        position = history.position(read_state(db), at_least)
        assert db.verify()
        again = image.crash()
    with open_small(again) as db:
        assert history.position(read_state(db), position) == position
        db.put(b"life goes on", b"1", sync=True)
        again = again.crash()
    with open_small(again) as db:
        assert db.pop(b"life goes on") == b"1"
        assert history.position(read_state(db), position) == position


def check_copy(image: MemoryFileSystem, history: History, expected: State | None) -> None:
    """A finished checkpoint is whole; an unfinished one does not open, or is whole too."""
    if expected is not None:
        with open_small(image, COPY, create=False) as copy:
            assert read_state(copy) == expected
        return
    try:
        with open_small(image, COPY, create=False) as copy:
            history.position(read_state(copy), 0)
    except lsmkv.Error:
        pass


def list_operations(operations: tuple[str, ...]) -> list[TraceEntry]:
    """The operations of these kinds that a run without faults makes, in order."""
    with Laboratory(tolerant=True) as lab:
        lab.files.count_reads(True)
        lab.files.record_trace(True)
        run_workload(lab)
        trace = lab.files.trace()
    return [entry for entry in trace if entry.operation in operations]


def finish(lab: Laboratory) -> None:
    """Run the workload through; both kinds of death must then leave what was promised."""
    with lab:
        run_workload(lab)
        killed, crashed = lab.disk.clone(), lab.disk.crash()
    history = lab.history
    at_least = history.synced if lab.loses_unsynced else history.acknowledged
    check(killed, history, at_least, may_lose=lab.loses_unsynced)
    check_and_lose_power(crashed, history, history.synced)
    check_copy(crashed, history, lab.copy_state)
