"""The disk of a machine: files that outlive processes, what a loss of power leaves of them, and
what else happens to disks.

The database is opened with random bytes of a seeded source, because equal runs must write equal
bytes: ids and nonces take part in checksums.
"""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Mapping
from random import Random
from typing import Any

import lsmkv
from lsmkv import DB
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.filenames import FileKind, parse
from lsmkv.opening import lock_directory, open_parts
from lsmkv.options import Options
from lsmkv.repair import repair_directory
from tests.support.crash_lab import SPACE

__all__ = ["DIRECTORY", "Disk"]

DIRECTORY = "/node"
FILE_SIZE_MAX = 1 << 26


class Disk:
    def __init__(self, random: Random, options: Mapping[str, Any]) -> None:
        self._random = random
        self._options = Options.from_keywords(background="inline", **options)
        self._database: DB | None = None
        self.is_full = False
        self.is_repaired = False  # since the last clean end
        self._damage: tuple[str, bytes] | None = None  # the last: path, and what is there now
        self._place(MemoryFileSystem())

    # --- a process opens and leaves it

    def open(self) -> DB:
        """CorruptionError when it has to be repaired, StorageError when the disk is full."""
        self._release()
        parts, lock = open_parts(
            self._faulty,
            DIRECTORY,
            self._options,
            create=True,
            error_if_exists=False,
            read_only=False,
            random_bytes=self._random.randbytes,
        )
        self._database = DB(parts, lock)
        return self._database

    def repair(self) -> None:
        """REQUIRES: no process has it open."""
        self._release()
        lock = lock_directory(self._faulty, DIRECTORY, self._random.randbytes)
        try:
            repair_directory(self._faulty, DIRECTORY, self._random.randbytes)
        finally:
            lock.close()
        self.is_repaired = True

    def close(self) -> None:
        """A clean end. One that fails is as good as a kill."""
        if self._database is not None:
            try:
                self._database.close()
                self._database = None
                self.is_repaired = False
            except lsmkv.Error:
                self.killed()

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
        self._release()
        self._place(files)

    def _release(self) -> None:
        """Let go of the database, without a byte more on disk."""
        if self._database is not None:
            self._faulty.halt(1)
            with contextlib.suppress(lsmkv.Error):
                self._database.close()
            self._database = None
            self._arm()

    def release(self) -> None:
        """The run is over."""
        self._release()

    # --- what happens to disks. REQUIRES: nothing has it open, but for full and damaged ones

    def wipe(self) -> None:
        self.is_repaired = False
        self._place(MemoryFileSystem())

    def copy(self) -> MemoryFileSystem:
        return self.files.clone()

    def restore(self, copy: MemoryFileSystem) -> None:
        self._place(copy.clone())

    def set_full(self, is_full: bool) -> None:
        self.is_full = is_full
        self._arm()

    def fail_next_sync(self) -> None:
        """It fails, and what it should have kept is gone from memory too."""
        self._faulty.fail(1, errno.EIO, operations=("sync", "log_sync"), lose_unsynced=True)

    @property
    def database(self) -> DB:
        assert self._database is not None
        return self._database

    def fail_reads(self, on: bool) -> None:
        """Of what is in tables; what is in memory goes there first. Ends a full disk, too."""
        if on:
            self.database.flush()
            self._faulty.count_reads(True)
            self._faulty.fail(1, errno.EIO, for_ever=True, operations=("read", "read_cached"))
        else:
            self._faulty.count_reads(False)
            self._arm()

    def damage(self, kinds: tuple[FileKind, ...], random: Random) -> str | None:
        """Flip a bit in one file, durably; the name of the file, None if there is none."""
        if not self.files.exists(DIRECTORY):
            return None
        names = []
        for text in sorted(self.files.list_directory(DIRECTORY)):
            parsed = parse(text)
            if parsed is not None and parsed.kind in kinds:
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
        self._damage = (path, data[:place] + changed + data[place + 1 :])
        return name

    def hides_damage(self) -> bool:
        """Whether the last damage is still there, seen by somebody or not."""
        if self._damage is None:
            return False
        path, data = self._damage
        if self.files.exists(path) and self.files.read_file(path, FILE_SIZE_MAX) == data:
            return True
        self._damage = None
        return False

    # --- files and database

    def _place(self, files: MemoryFileSystem) -> None:
        self.files = files
        self._faulty = FaultFileSystem(files)
        self._faulty.count_reads(False)
        self._arm()

    def _arm(self) -> None:
        self._faulty.reset()
        if self.is_full:
            self._faulty.fail(1, errno.ENOSPC, for_ever=True, operations=SPACE)
