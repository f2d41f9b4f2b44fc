"""The disk of a machine: files that outlive processes, what a loss of power leaves of them, and
what else happens to disks.

Beside the database lies what a driver keeps there (`Marks`): whether the end was a clean one, and
the boot in which it ran. Old copies hold the old marks.

The database is opened with random bytes of a seeded source, because equal runs must write equal
bytes: ids and nonces take part in checksums.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any

import lsmkv
from lsmkv import DB, CorruptionError
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.filenames import FileKind, parse
from lsmkv.opening import lock_directory, open_parts
from lsmkv.options import Options
from lsmkv.repair import repair_directory
from tests.support.crash_lab import SPACE

__all__ = ["DIRECTORY", "Copy", "Disk", "Marks", "Opened"]

DIRECTORY = "/node"
NO_BOOT = -1
FILE_SIZE_MAX = 1 << 26


@dataclass(frozen=True)
class Marks:
    was_closed: bool = False
    boot: int = NO_BOOT  # none: never started


@dataclass(frozen=True)
class Copy:
    files: MemoryFileSystem
    marks: Marks


@dataclass(frozen=True)
class Opened:
    database: DB
    marks: Marks  # from before
    was_repaired: bool
    is_empty: bool


class Disk:
    def __init__(self, random: Random, options: Mapping[str, Any]) -> None:
        self._random = random
        self._options = Options.from_keywords(background="inline", **options)
        self._database: DB | None = None
        self.marks = Marks()
        self.is_full = False
        self._place(MemoryFileSystem())

    # --- a process opens and leaves it

    def open(self, boot: int) -> Opened:
        """StorageError when the disk is full. A damaged database is repaired first."""
        marks, was_repaired = self.marks, False
        is_empty = not self.files.exists(DIRECTORY)
        try:
            database = self._open()
        except CorruptionError:
            was_repaired = True
            self._repair()
            database = self._open()
        self._database = database
        self.marks = Marks(False, boot)
        return Opened(database, marks, was_repaired, is_empty)

    def close(self) -> bool:
        """A clean end; False when it failed, and was none."""
        assert self._database is not None
        database, self._database = self._database, None
        try:
            database.close()
        except lsmkv.Error:
            return False
        self.marks = Marks(True, self.marks.boot)
        return True

    def sync(self) -> None:
        """What the engine's ticker does."""
        if self._database is not None:
            self._database.sync()

    def killed(self) -> None:
        """The process is gone, its files are as it left them."""
        self._replace(self.files.clone())

    def lost_power(self, seed: int, survival: float) -> None:
        """Each unsynced piece survives with the chance `survival`."""
        self._replace(self.files.crash(seed=seed, survival=survival))

    def _replace(self, files: MemoryFileSystem) -> None:
        """The process must not write into what has become of its files."""
        if self._database is not None:
            self._faulty.halt(1)
            with contextlib.suppress(lsmkv.Error):
                self._database.close()
            self._database = None
        self._place(files)

    def release(self) -> None:
        """The run is over."""
        self._replace(self.files)

    # --- what happens to disks. REQUIRES: nothing has it open, but for full and damaged ones

    def wipe(self) -> None:
        self.marks = Marks()
        self._place(MemoryFileSystem())

    def copy(self) -> Copy:
        return Copy(self.files.clone(), self.marks)

    def restore(self, copy: Copy) -> None:
        self.marks = copy.marks
        self._place(copy.files.clone())

    def forget_boot(self) -> None:
        """What a driver does before it ends for an I/O error."""
        self.marks = Marks(False, NO_BOOT)

    def set_full(self, is_full: bool) -> None:
        self.is_full = is_full
        if is_full:
            self._faulty.fail(1, errno.ENOSPC, for_ever=True, operations=SPACE)
        else:
            self._faulty.reset()

    def fail_next_sync(self) -> None:
        """It fails, and what it should have kept is gone from memory too."""
        self._faulty.fail(1, errno.EIO, operations=("sync", "log_sync"), lose_unsynced=True)

    def damage(self, kinds: tuple[FileKind, ...], random: Random) -> str | None:
        """Flip a bit in one file, durably; the name of the file, None if there is none."""
        if not self.files.exists(DIRECTORY):
            return None
        names = []
        for text in sorted(self.files.list_directory(DIRECTORY)):
            name = parse(text)
            if name is not None and name.kind in kinds:
                names.append(text)
        if not names:
            return None
        name = names[random.randrange(len(names))]
        path = f"{DIRECTORY}/{name}"
        data = self.files.read_file(path, FILE_SIZE_MAX)
        if not data:
            return None
        place = random.randrange(len(data))
        changed = bytes([data[place] ^ 1 << random.randrange(8)])
        with self.files.open(path, "a") as file:
            file.truncate(place)
            file.append(changed + data[place + 1 :])
            file.sync()
        return name

    # --- files and database

    def _place(self, files: MemoryFileSystem) -> None:
        self.files = files
        self._faulty = FaultFileSystem(files)
        self._faulty.count_reads(False)
        if self.is_full:
            self.set_full(True)

    def _open(self) -> DB:
        parts, lock = open_parts(
            self._faulty,
            DIRECTORY,
            self._options,
            create=True,
            error_if_exists=False,
            read_only=False,
            random_bytes=self._random.randbytes,
        )
        return DB(parts, lock)

    def _repair(self) -> None:
        lock = lock_directory(self._faulty, DIRECTORY, self._random.randbytes)
        try:
            repair_directory(self._faulty, DIRECTORY, self._random.randbytes)
        finally:
            lock.close()
