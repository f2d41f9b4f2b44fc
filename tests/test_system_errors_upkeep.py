"""Errors of the operating system while a database is looked after: repaired, destroyed, copied,
opened beside orphans and a lost/, or only read.

Every operation of such a call fails once with each error before anything happens, and once after it
was done. Then the call does what it should, or raises just that error; doing it again, also after
the process was killed or the power failed, comes to the same; what may be the only copy is there.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Literal

import pytest

import lsmkv
from lsmkv import filenames
from lsmkv._native.vfs import FileSystem, MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.repair import RepairReport
from tests.soak.errors import ERRNOS, SAME_BOTH_WAYS
from tests.support.crash_lab import CHANGING, COPY, DIRECTORY, State, open_small, read_state
from tests.support.damage import damage_value

LOST = filenames.lost_directory(DIRECTORY)
NEWER_ORPHAN = filenames.table_path(DIRECTORY, 900)  # holds writes that nothing else does
OLDER_ORPHAN = filenames.table_path(DIRECTORY, 901)
KEPT_EARLIER = f"{LOST}/000900.sst"
SIZE_MAX = 1 << 20  # bytes of a file

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quiet_log")]

Begin = Callable[[], None]
Call = Callable[[FaultFileSystem, Begin], None]


def write_file(files: FileSystem, path: str, data: bytes) -> None:
    with files.open(path, "w") as file:
        file.append(data)
        file.sync()


def live_tables(db: lsmkv.DB) -> list[str]:
    return [filenames.table_path(db.path, number) for number in db._tree.version.file_numbers]


@cache
def newer_table() -> bytes:
    """Its sequences are above all of `littered`."""
    files = MemoryFileSystem()
    with open_small(files) as db:
        for _ in range(100):
            db[b"orphan"] = b"of another run"
        db.flush()
        [path] = live_tables(db)
        return files.read_file(path, SIZE_MAX)


@cache
def littered() -> tuple[MemoryFileSystem, State]:
    """A database of two tables and a log, all durable, and what it holds. Beside it: an orphan that
    may be the only copy, one that is not, and a file in lost/ that has the name of the first."""
    files = MemoryFileSystem()
    with open_small(files, level0_trigger=8, block_size=256) as db:
        for prefix in (b"a", b"b"):
            for number in range(12):
                db[prefix + b"%02d" % number] = prefix * 60
            db.flush()
        db[b"log 1"] = b"1" * 50
        db.put(b"log 2", b"2" * 50, sync=True)
        older = files.read_file(live_tables(db)[0], SIZE_MAX)
        state = read_state(db)
        image = files.crash()
    image.make_directory(LOST)
    write_file(image, NEWER_ORPHAN, newer_table())
    write_file(image, OLDER_ORPHAN, older)
    write_file(image, KEPT_EARLIER, b"put here earlier")
    for directory in (LOST, DIRECTORY):
        image.sync_directory(directory)
    return image.crash(), state


def contents_of(files: FileSystem, directory: str) -> list[bytes]:
    names = files.list_directory(directory)
    return [files.read_file(f"{directory}/{name}", SIZE_MAX) for name in names]


def assert_nothing_is_gone(files: FileSystem, *, is_orphan_used: bool = False) -> None:
    """Of what may be the only copy."""
    assert files.read_file(KEPT_EARLIER, SIZE_MAX) == b"put here earlier"
    elsewhere = [files.read_file(NEWER_ORPHAN, SIZE_MAX)] if files.exists(NEWER_ORPHAN) else []
    assert is_orphan_used or newer_table() in contents_of(files, LOST) + elsewhere


@dataclass(frozen=True)
class Trial:
    """A call with one fault: the disk it was made on, and the error that it raised."""

    disk: MemoryFileSystem
    error: lsmkv.Error | None

    def disks(self) -> Iterator[MemoryFileSystem]:
        """As found by the next one: after two losses of power, and as it was left."""
        yield self.disk.crash()
        yield self.disk.crash(seed=1, survival=0.5)
        yield self.disk


def trials(image: MemoryFileSystem, call: Call) -> Iterator[Trial]:
    traced = FaultFileSystem(image.clone())
    traced.record_trace(True)
    call(traced, traced.reset)
    entries = traced.trace()
    assert len(entries) > 20
    for at, entry in enumerate(entries, 1):
        for number in ERRNOS:
            yield _trial(image, call, at, number, "before")
        if entry.operation not in SAME_BOTH_WAYS:
            yield _trial(image, call, at, errno.EIO, "after")


def _trial(
    image: MemoryFileSystem, call: Call, at: int, number: int, when: Literal["before", "after"]
) -> Trial:
    disk = image.clone()
    files = FaultFileSystem(disk)
    try:
        call(files, lambda: files.fail(at, number, when=when))
    except lsmkv.Error as error:
        cause = error.errno if isinstance(error, lsmkv.StorageError) else None
        assert cause == number or isinstance(error, lsmkv.ReadOnlyError), repr(error)
        return Trial(disk, error)
    return Trial(disk, None)


# --- opening -------------------------------------------------------------------------------------


def test_opening_beside_orphans_and_lost() -> None:
    image, state = littered()

    def call(files: FaultFileSystem, begin: Begin) -> None:
        begin()
        with open_small(files) as db:
            db.put(b"a00", state[b"a00"], sync=True)
            db.flush()

    for trial in trials(image, call):
        for disk in trial.disks():
            with open_small(disk, create=False) as db:
                assert read_state(db) == state
                assert db.verify()
            assert_nothing_is_gone(disk)
            assert not disk.exists(NEWER_ORPHAN)
            assert not disk.exists(OLDER_ORPHAN)


def test_opening_what_is_not_there() -> None:
    """The name of the directory must be durable before anything in it is promised, whoever made the
    directory: an attempt that failed in between was followed by one that took it as it was."""

    def call(files: FaultFileSystem, begin: Begin) -> None:
        begin()
        with open_small(files) as db:
            db.put(b"a", b"1", sync=True)

    for trial in trials(MemoryFileSystem(), call):
        with open_small(trial.disk) as db:
            db.put(b"b", b"2", sync=True)
            crashed = trial.disk.crash()
        assert state_of(crashed, DIRECTORY)[b"b"] == b"2"


def test_opening_to_read_only() -> None:
    image, state = littered()

    def call(files: FaultFileSystem, begin: Begin) -> None:
        begin()
        files.record_trace(True)
        try:
            with lsmkv.open(DIRECTORY, filesystem=files, read_only=True) as db:
                assert read_state(db) == state
                report = db.verify()
                assert all("injected fault" in problem.message for problem in report.problems)
        finally:
            done = {entry.operation for entry in files.trace()}
            assert done & {*CHANGING} <= {"open"}

    for trial in trials(image, call):
        with lsmkv.open(DIRECTORY, filesystem=trial.disk, read_only=True) as db:
            assert read_state(db) == state
            assert db.verify()
        assert_nothing_is_gone(trial.disk)


# --- copying -------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_links", [True, False])
def test_copying(has_links: bool) -> None:
    image, state = littered()

    def call(files: FaultFileSystem, begin: Begin) -> None:
        outer = FaultFileSystem(files)
        if not has_links:
            outer.fail(1, errno.EPERM, for_ever=True, operations=("link",))
        with open_small(outer) as db:
            begin()
            try:
                db.checkpoint(COPY)
            except lsmkv.StorageError:
                assert read_state(db) == state
                if db.stats()["read_only_reason"] is None:
                    db.checkpoint("/another")
                    assert state_of(files, "/another") == state
                raise
            assert state_of(files, COPY) == state

    for trial in trials(image, call):
        for disk in trial.disks():
            assert state_of(disk, DIRECTORY) == state
            if trial.error is None:
                assert state_of(disk, COPY) == state
            else:
                with contextlib.suppress(lsmkv.Error):
                    assert state_of(disk, COPY) == state


def state_of(files: FileSystem, path: str) -> State:
    with open_small(files, path, create=False) as db:
        return read_state(db)


# --- repairing and destroying --------------------------------------------------------------------


@cache
def damaged() -> tuple[MemoryFileSystem, State]:
    """`littered` with a damaged table, and what repair makes of it: orphans are used as well."""
    image = littered()[0].clone()
    damage_value(image, DIRECTORY, b"b" * 60)
    image = image.crash()
    repaired = image.clone()
    lsmkv.repair(DIRECTORY, filesystem=repaired)
    state = state_of(repaired, DIRECTORY)
    assert state[b"orphan"] == b"of another run"
    gone = littered()[1].keys() - state.keys()
    assert {b"b00"} <= gone < {b"b%02d" % number for number in range(12)}
    return image, state


def test_repairing() -> None:
    image, state = damaged()
    report: RepairReport | None = None

    def call(files: FaultFileSystem, begin: Begin) -> None:
        nonlocal report
        report = None
        begin()
        report = lsmkv.repair(DIRECTORY, filesystem=files)

    for trial in trials(image, call):
        is_told = report is not None and "injected fault" in str(report)
        for disk in trial.disks():
            if trial.error is not None:
                lsmkv.repair(DIRECTORY, filesystem=disk)
            found = state_of(disk, DIRECTORY)
            assert found == state or is_told
            assert found.items() <= state.items()
            assert_nothing_is_gone(disk, is_orphan_used=b"orphan" in found)
            if found != state:  # a file that could not be read once was taken for damaged
                assert report is not None
                for name in report.moved_aside:
                    before = image.read_file(f"{DIRECTORY}/{name}", SIZE_MAX)
                    assert before in contents_of(disk, LOST)


def test_destroying() -> None:
    image, state = littered()

    def call(files: FaultFileSystem, begin: Begin) -> None:
        begin()
        lsmkv.destroy(DIRECTORY, filesystem=files)
        assert not files.exists(DIRECTORY)

    for trial in trials(image, call):
        for disk in trial.disks():
            with contextlib.suppress(lsmkv.Error):
                assert state_of(disk.clone(), DIRECTORY) == state
            lsmkv.destroy(DIRECTORY, filesystem=disk)
            assert not disk.exists(DIRECTORY) or disk.list_directory(DIRECTORY) == []
