"""Disks that get full, in one of two ways.

SmallDisks      each data directory is a file system of its own (tmpfs), and a ballast takes the
                room that is left: ENOSPC, as on a real disk. Takes root. They are mounted in a
                namespace of this process alone, so they are gone when it is.
LimitedFiles    no file of the process may grow (RLIMIT_FSIZE of 0, from outside): EFBIG. For who
                is not root, and where this process is not to get a namespace of its own.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import subprocess
from pathlib import Path
from typing import Protocol

from tests.cluster.processes.node_process import NodeProcess

__all__ = ["Disks", "LimitedFiles", "SmallDisks", "best_disks"]

CLONE_NEWNS = 0x00020000
DISK_SIZE = "400m"
BALLAST = "ballast"
BALLAST_STEP = 1 << 20  # bytes


class Disks(Protocol):
    def prepare(self, node: NodeProcess) -> None:
        """Before its first start."""

    def fill(self, node: NodeProcess) -> None: ...
    def free(self, node: NodeProcess) -> None: ...

    def end(self, *, keep: bool) -> None:
        """After the last run of all nodes; what was on the disks stays in their directories."""


class SmallDisks:
    def __init__(self) -> None:
        """OSError where this process may not."""
        self._mounted: list[Path] = []
        if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNS) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)

    def prepare(self, node: NodeProcess) -> None:
        node.data.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_SIZE}", "none", str(node.data)]
        subprocess.run(command, check=True)
        self._mounted.append(node.data)

    def end(self, *, keep: bool) -> None:
        for data in self._mounted:
            copy = data.with_suffix(".copy")
            if keep:
                shutil.copytree(data, copy)
            subprocess.run(["umount", str(data)], check=True)
            if keep:
                data.rmdir()
                copy.rename(data)
        self._mounted.clear()

    def fill(self, node: NodeProcess) -> None:
        file = os.open(node.data / BALLAST, os.O_CREAT | os.O_WRONLY)
        size, step = 0, BALLAST_STEP
        try:
            while step >= os.sysconf("SC_PAGE_SIZE"):
                try:
                    os.posix_fallocate(file, size, step)
                    size += step
                except OSError:  # what is left is smaller
                    step //= 2
        finally:
            os.close(file)

    def free(self, node: NodeProcess) -> None:
        Path(node.data / BALLAST).unlink(missing_ok=True)


class LimitedFiles:
    def prepare(self, node: NodeProcess) -> None:
        """Nothing to do."""

    def fill(self, node: NodeProcess) -> None:
        self._limit(node, 0)

    def free(self, node: NodeProcess) -> None:
        self._limit(node, resource.RLIM_INFINITY)

    def end(self, *, keep: bool) -> None:
        """Nothing to do."""

    def _limit(self, node: NodeProcess, size: int) -> None:
        if node.is_running:
            _, hard = resource.prlimit(node.pid, resource.RLIMIT_FSIZE)
            soft = hard if size == resource.RLIM_INFINITY else size
            resource.prlimit(node.pid, resource.RLIMIT_FSIZE, (soft, hard))


def best_disks() -> Disks:
    if os.geteuid() == 0:
        try:
            return SmallDisks()
        except (OSError, subprocess.CalledProcessError):
            pass  # a container without that right
    return LimitedFiles()
