"""Whatever the moment the machine stops or an operation fails, what was promised is there and
nothing else.

One workload (support/crash_lab.py) is cut off before every operation that changes the disk, and in
the middle of every append and log commit. ("After operation k" leaves the same disk as "before
operation k + 1", with fewer promises.) Each cut gives several images: what a killed process leaves,
what a power loss leaves that keeps only synced bytes and names, and seeded mixtures in which
unsynced pieces of 512 bytes or less, sizes and names survive each on its own. Every image must
open, hold a state from the commit order, not older than promised (see lsmkv.DB), verify clean, and
hold the same after a second power loss.

Recovery is cut off in the same way, twice in a row. Then operations fail instead: syncs (once each,
with and without losing the pages), every operation for lack of space (once, and until space
returns), and every operation with an I/O error.

LSMKV_POWER_LOSS_SEEDS=n runs n times as many mixtures and visits that many more points of recovery.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import time
from collections.abc import Callable, Iterator

import pytest

import lsmkv
from lsmkv import background
from lsmkv._native import memory
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import OPERATIONS, FaultFileSystem
from tests.support.crash_checks import (
    check,
    check_and_lose_power,
    check_copy,
    finish,
    list_operations,
)
from tests.support.crash_lab import (
    CHANGING,
    READING,
    SPACE,
    SYNCS,
    History,
    Laboratory,
    State,
    Stopped,
    open_small,
    read_state,
    run_workload,
)

SEEDS = int(os.environ.get("LSMKV_POWER_LOSS_SEEDS", "1"))
RECOVERY_STRIDE = max(1, 80 // SEEDS)  # every how many cuts recovery is cut off as well
PIECES = (512, 64, 4096)
READ_STRIDE = max(1, 4 // SEEDS)  # every how many reads one fails
SURVIVALS = (0.5, 0.9, 0.1)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300 * SEEDS)]


@pytest.fixture(autouse=True)
def _no_leak(quiet_log: None) -> Iterator[None]:
    """Whatever failed, all native memory is given back: files, logs, tables, memtables."""
    gc.collect()
    before = memory.usage()
    yield
    gc.collect()
    assert memory.usage() == before


def cut_off(at: int, moment: str) -> tuple[Laboratory, bool]:
    """The workload until the `at`-th changing operation; whether it was reached."""
    lab = Laboratory()
    if moment == "inside":
        lab.files.halt(at, "inside", operations=("append", "log_commit"))
    else:
        lab.files.halt(at, operations=CHANGING)
    with lab, contextlib.suppress(Stopped):
        run_workload(lab)
    return lab, lab.files.halted


def mixtures(disk: MemoryFileSystem, seed: int) -> Iterator[MemoryFileSystem]:
    for extra in range(2 * SEEDS):
        pick = seed + extra
        yield disk.crash(
            seed=pick * 1000 + extra,
            survival=SURVIVALS[pick % len(SURVIVALS)],
            piece_size=PIECES[pick // 3 % len(PIECES)],
        )


def images(lab: Laboratory, seed: int) -> Iterator[tuple[MemoryFileSystem, int]]:
    """Disks that the cut may leave, each with the commit that must be in it."""
    yield lab.disk.clone(), lab.history.acknowledged
    yield lab.disk.crash(), lab.history.synced
    for image in mixtures(lab.disk, seed):
        yield image, lab.history.synced


def test_the_machine_stops_at_every_operation() -> None:
    count = 0
    for moment in ("before", "inside"):
        at, reached = 0, True
        while reached:
            at += 1
            lab, reached = cut_off(at, moment)
            for index, (image, at_least) in enumerate(images(lab, at)):
                count += 1
                check(image.clone(), lab.history, at_least, may_lose=index > 0)
                if (at + index) % 4 == 0:
                    check_and_lose_power(image, lab.history, at_least)
                check_copy(image, lab.history, lab.copy_state)
        assert at > 50, "the workload touched the disk less than it must"
    assert count > 1000


def test_the_machine_stops_again_during_recovery() -> None:
    count = 0
    at, reached = 0, True
    while reached:
        at += RECOVERY_STRIDE
        lab, reached = cut_off(at, "before")
        for image, at_least in images(lab, at):
            # Of the killed process more may survive than was promised, and less after the next
            # power loss.
            promised = min(at_least, lab.history.synced)
            count += cut_off_recovery(image, lab.history, promised, seed=at)
    assert count > 500


def cut_off_recovery(image: MemoryFileSystem, history: History, promised: int, seed: int) -> int:
    """Cut recovery off at every operation, and the recovery after that at one; how many images were
    opened.
    """
    count = 0
    at, reached = 0, True
    while reached:
        at += 1
        disk, reached = cut_off_open(image.clone(), at)
        for second in (disk.clone(), disk.crash(), next(mixtures(disk, seed + at))):
            disk, _ = cut_off_open(second, 1 + (seed + 7 * at) % 30)
            check(disk.crash(), history, promised)
            count += 1
    return count


def cut_off_open(disk: MemoryFileSystem, at: int) -> tuple[MemoryFileSystem, bool]:
    files = FaultFileSystem(disk)
    files.halt(at, "inside" if at % 2 else "before", operations=CHANGING)
    with contextlib.suppress(lsmkv.Error), open_small(files):
        pass
    return disk, files.halted


def test_recovery_of_a_synced_image_changes_nothing_however_often_it_is_cut_off() -> None:
    lab, _ = cut_off(10**6, "before")
    image = lab.disk.crash()
    with open_small(image.clone()) as db:
        expected = lab.history.position(read_state(db), lab.history.synced)
    for at in range(1, 60):
        disk, _ = cut_off_open(image, at)
        image = disk.crash()
        with open_small(image.clone()) as db:
            assert lab.history.position(read_state(db), expected) == expected


# --- operations that fail
# ------------------------------------------------------------------------------


@pytest.mark.parametrize("loses_unsynced", [False, True])
def test_every_sync_fails_once(loses_unsynced: bool) -> None:
    entries = list_operations(SYNCS)
    for at, entry in enumerate(entries, 1):
        lab = Laboratory(tolerant=True, loses_unsynced=loses_unsynced)
        lab.files.fail(at, errno.EIO, operations=SYNCS, lose_unsynced=loses_unsynced)
        finish(lab)
        assert lab.errors, f"{entry} failed and nobody was told"
        is_table = entry.path.endswith(".sst")
        if not is_table and lab.failed_steps <= {"write", "sync", "flush", "compact"}:
            assert lab.was_read_only, f"{entry} failed, and writes went on"


def test_a_failed_log_sync_makes_the_store_read_only() -> None:
    expected = {b"a": b"1", b"b": b"2", b"c": b"3", b"d": b"4"}
    for operation in ("log_sync", "sync_directory"):
        files = FaultFileSystem(MemoryFileSystem())
        with open_small(files) as db:
            db.put(b"a", b"1", sync=True)
            db.put(b"b", b"2")
            db.flush()
            db.put(b"c", b"3")
            files.fail(1, errno.EIO, operations=(operation,))
            with pytest.raises(lsmkv.StorageError) as caught:
                db.put(b"d", b"4", sync=True)
            assert caught.value.errno == errno.EIO
            for call in (db.sync, db.flush, db.compact, lambda: db.put(b"e", b"5")):
                with pytest.raises(lsmkv.ReadOnlyError):
                    call()
            assert db.stats()["read_only_reason"] is not None
            assert read_state(db) == expected
        with open_small(files) as db:
            assert read_state(db) == expected
            db.put(b"e", b"5", sync=True)


@pytest.mark.parametrize("for_ever", [False, True])
def test_space_runs_out_at_every_operation(for_ever: bool) -> None:
    for at in range(1, len(list_operations(SPACE)) + 1):
        lab = Laboratory(tolerant=True)
        lab.files.fail(at, errno.ENOSPC, for_ever=for_ever, operations=SPACE)
        lab.errors_max = 5  # then space returns
        finish(lab)
        for error in lab.errors:
            assert isinstance(error, lsmkv.StorageError)
            assert error.errno == errno.ENOSPC
        assert not lab.was_read_only, "lack of space is no reason to refuse what fits later"


def test_every_operation_fails_once_with_an_input_output_error() -> None:
    reads = 0
    for at, entry in enumerate(list_operations(OPERATIONS), 1):
        if entry.operation not in CHANGING:
            reads += 1
            if reads % READ_STRIDE:
                continue
        lab = Laboratory(tolerant=True, reads_may_fail=entry.operation in READING)
        lab.files.count_reads(True)
        lab.files.fail(at, errno.EIO, operations=OPERATIONS)
        finish(lab)


# --- the same beside background threads ----------------------------------------------------------


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_writers_hear_of_a_full_disk_and_go_on_when_it_has_room(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(background, "RETRY_INTERVAL_S", 0.01)
    files = FaultFileSystem(MemoryFileSystem())
    model: State = {}
    with open_small(files, background="threads", write_buffer_size=16 << 10) as db:

        def put() -> bool:
            key = b"%d" % len(model)
            value = key * 50
            try:
                db.put(key, value)
            except lsmkv.StorageError as error:
                assert error.errno == errno.ENOSPC
                return False
            model[key] = value
            return True

        files.fail(1, errno.ENOSPC, for_ever=True, operations=("append",))
        until(lambda: not put())
        assert read_state(db) == model
        files.reset()
        until(put)
        db.flush()  # an attempt that began before is over by then, and is not told any more
        for _ in range(1000):
            assert put()
        db.flush()
        assert db.stats()["read_only_reason"] is None
        assert db.stats()["background_error"] is None
        assert read_state(db) == model
    with open_small(files.base) as db:
        assert read_state(db) == model


def test_a_failed_background_sync_is_told_to_the_next_writer() -> None:
    files = FaultFileSystem(MemoryFileSystem())
    with open_small(files, background="threads", sync_interval_ms=10) as db:
        files.fail(1, errno.EIO, operations=("log_sync",))
        db.put(b"a", b"1")
        until(lambda: db.stats()["read_only_reason"] is not None)
        with pytest.raises(lsmkv.ReadOnlyError, match="Input/output error"):
            db.put(b"b", b"2")
        assert db[b"a"] == b"1"
    with open_small(files.base) as db:
        assert read_state(db) == {b"a": b"1"}
