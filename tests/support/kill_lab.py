"""A real process on real files that is killed at a chosen file operation, and an oracle outside it.

    Subject.write    fork a process that runs a workload and gets SIGKILL at operation `at`
    Subject.recover  fork one that opens what is there and gets SIGKILL at operation `at` of that
    Subject.check    open what is left in this process: everything acknowledged must be there

The states of the workload are known beforehand, from a run in memory; the process only has to say,
over a pipe, which of them it has been promised. Nothing here may be called while threads run.
"""

from __future__ import annotations

import os
import signal
import struct
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from lsmkv._native.vfs import PosixFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from tests.support.crash_lab import (
    DIRECTORY,
    History,
    Laboratory,
    State,
    check_files,
    open_small,
    read_state,
)

__all__ = ["MOMENTS", "Death", "Subject", "Workload", "rehearse"]

Moment = Literal["before", "inside", "after"]
MOMENTS: tuple[Moment, ...] = ("before", "inside", "after")

PROMISE = struct.Struct("<QQ")  # acknowledged, states attempted
BROKEN = 99  # the status of a process that met something else than its death


@dataclass(frozen=True)
class Workload:
    """`operation_count` file operations that lead through `states`."""

    run: Callable[[Laboratory], None]
    options: dict[str, Any]
    states: list[State]
    operation_count: int


@dataclass(frozen=True)
class Death:
    """Whether the process was killed; otherwise it came to its end before operation `at`."""

    killed: bool


def rehearse(run: Callable[[Laboratory], None], options: dict[str, Any]) -> Workload:
    """The workload in memory, where nobody dies."""
    with Laboratory(options=options) as lab:
        run(lab)
        return Workload(run, options, lab.history.states, lab.files.operation_count)


class _Reporter(History):
    """Tells every promise to the outside, as soon as the caller would know of it."""

    def __init__(self, pipe: int) -> None:
        super().__init__()
        self._pipe = pipe

    def _tell(self) -> None:
        os.write(self._pipe, PROMISE.pack(self.acknowledged, len(self.states)))

    def attempt(self, changes: Any) -> None:
        super().attempt(changes)
        self._tell()

    def acknowledge(self, *, durable: bool) -> None:
        super().acknowledge(durable=durable)
        self._tell()


class Subject:
    """One directory, written and recovered by processes that die."""

    def __init__(self, root: str, workload: Workload) -> None:
        self._root = root
        self._workload = workload
        self._acknowledged = 0
        self._attempted = 1

    def write(self, at: int, moment: Moment) -> Death:
        """Once, at first."""
        read_end, write_end = os.pipe()

        def child() -> None:
            os.close(read_end)
            lab = Laboratory(
                base=PosixFileSystem(),
                root=self._root,
                options=self._workload.options,
                history=_Reporter(write_end),
            )
            lab.files.kill(at, moment)
            self._workload.run(lab)

        death = _fork(child, lambda: os.close(write_end))
        self._listen(read_end)
        return death

    def recover(self, at: int, moment: Moment) -> Death:
        def child() -> None:
            files = FaultFileSystem(PosixFileSystem())
            files.count_reads(False)
            files.kill(at, moment)
            open_small(files, self._root + DIRECTORY, **self._workload.options).close()

        return _fork(child, lambda: None)

    def check(self) -> int:
        """Which state was found."""
        history = History()
        history.states = self._workload.states[: self._attempted]
        path = self._root + DIRECTORY
        with open_small(PosixFileSystem(), path, **self._workload.options) as db:
            position = history.position(read_state(db), self._acknowledged)
            assert db.verify()
            check_files(db, may_lose=False)
        return position

    def _listen(self, pipe: int) -> None:
        with open(pipe, "rb") as file:
            data = file.read()
        if data:
            self._acknowledged, self._attempted = PROMISE.unpack(data[-PROMISE.size :])


def _fork(child: Callable[[], None], in_parent: Callable[[], None]) -> Death:
    process = os.fork()
    if process == 0:
        _live(child)
    in_parent()
    _, status = os.waitpid(process, 0)
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, f"signal {os.WTERMSIG(status)}"
        return Death(killed=True)
    assert os.WEXITSTATUS(status) == 0, "the process met an error: see the standard error output"
    return Death(killed=False)


def _live(child: Callable[[], None]) -> NoReturn:
    status = BROKEN
    try:
        child()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)
