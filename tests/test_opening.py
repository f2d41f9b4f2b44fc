"""Who may open a directory, and what open and destroy touch there.

Races are played step by step: a file system that lets something happen just before LOCK is taken.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import lsmkv
from lsmkv._native.vfs import File, MemoryFileSystem, PosixFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.errors import LockedError, StorageError
from lsmkv.opening import lock_directory

DIRECTORY = "/db"


class Racing(MemoryFileSystem):
    """Calls `before_lock` once, before the next lock, and `after_lock` after it."""

    before_lock: Callable[[], None] | None = None
    after_lock: Callable[[], None] | None = None

    def lock(self, path: Any) -> File:
        before, self.before_lock = self.before_lock, None
        if before is not None:
            before()
        lock = super().lock(path)
        after, self.after_lock = self.after_lock, None
        if after is not None:
            after()
        return lock


def open_small(filesystem: Any, **options: Any) -> lsmkv.DB:
    return lsmkv.open(DIRECTORY, filesystem=filesystem, background="inline", **options)


def names(filesystem: Any) -> list[str]:
    return sorted(filesystem.list_directory(DIRECTORY))


# --- opening -------------------------------------------------------------------------------------


def test_an_opener_that_races_the_creator_finds_what_it_made() -> None:
    files = Racing()

    def create() -> None:
        with open_small(files) as db:
            db[b"a"] = b"1"
            db.flush()

    files.before_lock = create
    with open_small(files) as db:
        assert db[b"a"] == b"1"


def test_error_if_exists_is_decided_under_the_lock() -> None:
    files = Racing()
    files.before_lock = lambda: open_small(files).close()
    with pytest.raises(lsmkv.Error, match="already holds a database"):
        open_small(files, error_if_exists=True)
    open_small(files).close()  # and the lock was released


def test_two_creators_of_the_directory() -> None:
    class Late(MemoryFileSystem):
        def make_directory(self, path: Any) -> None:
            super().make_directory(path)
            super().make_directory(path)  # as if the other one had been faster

    with open_small(Late()) as db:
        db[b"a"] = b"1"


def test_without_current_tables_are_not_taken_for_nothing() -> None:
    files = MemoryFileSystem()
    with open_small(files) as db:
        db[b"a"] = b"1"
        db.flush()
    files.remove(f"{DIRECTORY}/CURRENT")
    before = names(files)
    with pytest.raises(lsmkv.CorruptionError, match=r"no CURRENT: lsmkv\.repair"):
        open_small(files)
    assert names(files) == before
    with pytest.raises(lsmkv.Error, match="holds no database"):
        open_small(files, create=False)


def test_asking_for_a_database_that_is_not_there_leaves_no_trace() -> None:
    files = MemoryFileSystem()
    with pytest.raises(lsmkv.Error, match="does not exist"):
        open_small(files, create=False)
    files.make_directory(DIRECTORY)
    for options in ({"create": False}, {"read_only": True}):
        with pytest.raises(lsmkv.Error, match="holds no database"):
            open_small(files, **options)
    assert names(files) == []


# --- the lock ------------------------------------------------------------------------------------


@pytest.mark.parametrize("filesystem", [PosixFileSystem, MemoryFileSystem])
def test_the_message_names_the_holder(filesystem: type, tmp_path: Path) -> None:
    files, directory = filesystem(), str(tmp_path / "db")
    if filesystem is MemoryFileSystem:
        directory = DIRECTORY
    with lsmkv.open(directory, filesystem=files):
        with pytest.raises(LockedError, match=f"already open in process {os.getpid()}$"):
            lsmkv.open(directory, filesystem=files)
        process, token = files.read_file(f"{directory}/LOCK", 64).decode().split()
        assert int(process) == os.getpid()
        assert len(bytes.fromhex(token)) == 8


@pytest.mark.parametrize("number", [errno.EWOULDBLOCK, errno.EACCES])
def test_only_a_held_lock_means_locked(number: int) -> None:
    base = MemoryFileSystem()
    base.make_directory(DIRECTORY)
    files = FaultFileSystem(base)
    files.fail(1, number, operations=["lock"])
    expected = LockedError if number == errno.EWOULDBLOCK else StorageError
    with pytest.raises(expected):
        open_small(files)


@pytest.mark.parametrize("made_again", [False, True])
def test_a_lock_on_a_file_that_destroy_removed_is_none(made_again: bool) -> None:
    files = Racing()
    files.make_directory(DIRECTORY)
    others: list[File] = []

    def destroy() -> None:
        """What the destroyer and the next opener do after we have opened LOCK, before we lock."""
        files.remove(f"{DIRECTORY}/LOCK")
        if made_again:
            others.append(lock_directory(files, DIRECTORY, os.urandom))

    files.after_lock = destroy
    with pytest.raises(LockedError, match="destroyed while it was being opened"):
        lock_directory(files, DIRECTORY, os.urandom)
    if made_again:
        with pytest.raises(LockedError, match="already open"):
            lock_directory(files, DIRECTORY, os.urandom)
        others[0].close()
    lock_directory(files, DIRECTORY, os.urandom).close()


def test_a_full_disk_does_not_prevent_the_lock() -> None:
    base = MemoryFileSystem()
    base.make_directory(DIRECTORY)
    files = FaultFileSystem(base)
    files.fail(1, errno.ENOSPC, operations=["append"])
    lock = lock_directory(files, DIRECTORY, os.urandom)
    with pytest.raises(LockedError, match=r"already open$"):
        lock_directory(files, DIRECTORY, os.urandom)
    lock.close()


# --- destroy -------------------------------------------------------------------------------------


def directory_with(*entries: str) -> MemoryFileSystem:
    files = MemoryFileSystem()
    files.make_directory(DIRECTORY)
    for name in entries:
        with files.open(f"{DIRECTORY}/{name}", "x") as file:
            file.append(b"precious")
    return files


@pytest.mark.parametrize(
    "entries", [(), ("000001.log", "000002.sst", "notes.txt"), ("CURRENT.tmp", "000002.sst")]
)
def test_destroy_touches_nothing_in_a_directory_of_others(entries: tuple[str, ...]) -> None:
    files = directory_with(*entries)
    lsmkv.destroy(DIRECTORY, filesystem=files)
    assert names(files) == sorted(entries)


def test_destroy_removes_a_lock_that_lies_among_files_of_others() -> None:
    files = directory_with("000001.log", "LOCK", "CURRENT.tmp")
    lsmkv.destroy(DIRECTORY, filesystem=files)
    assert names(files) == ["000001.log"]
    files = directory_with("LOCK", "CURRENT.tmp")
    lsmkv.destroy(DIRECTORY, filesystem=files)
    assert not files.exists(DIRECTORY)


def test_a_destroy_that_failed_anywhere_can_be_repeated() -> None:
    base = MemoryFileSystem()
    with open_small(base) as db:
        for key in (b"a", b"b"):
            db[key] = b"1"
            db.flush()
    base.make_directory(f"{DIRECTORY}/lost")
    base.open(f"{DIRECTORY}/lost/000001.sst", "x").close()
    failures = 0
    while True:
        image = base.clone()
        files = FaultFileSystem(image)
        files.fail(failures + 1, errno.EIO, operations=["remove", "sync_directory"])
        try:
            lsmkv.destroy(DIRECTORY, filesystem=files)
            break
        except StorageError:
            failures += 1
        if failures > 1:  # the first removal is that of CURRENT
            with pytest.raises(lsmkv.Error):
                open_small(image, create=False)
        lsmkv.destroy(DIRECTORY, filesystem=image)
        assert not image.exists(DIRECTORY), failures
    assert failures >= 7
    assert not image.exists(DIRECTORY)


def test_destroy_of_what_lost_its_manifest() -> None:
    files = directory_with("CURRENT", "000001.log")
    lsmkv.destroy(DIRECTORY, filesystem=files)
    assert not files.exists(DIRECTORY)
