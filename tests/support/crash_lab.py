"""A small workload with a memory of what the store promised, to be cut off, starved and lied to at
any point.

    History     the state after each commit, in commit order, and how far the promises reach
    Laboratory  one store over a FaultFileSystem over a MemoryFileSystem, driven step by step
    run_workload  the steps: a few of everything that touches a file

A recovered state is right when it equals one of the history's states (so it is a prefix of the
commit order, batches whole, nothing invented) and that one is not older than what was promised.
"""

from __future__ import annotations

import contextlib
import random
import threading
from collections.abc import Callable, Mapping
from typing import Any

import lsmkv
from lsmkv import filenames, kernel
from lsmkv._native.job import Job
from lsmkv._native.vfs import FileSystem, MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.engine import FROZEN_MEMTABLES_MAX
from lsmkv.recovery import take_inventory

__all__ = [
    "CHANGING",
    "SPACE",
    "SYNCS",
    "READING",
    "DIRECTORY",
    "COPY",
    "History",
    "Laboratory",
    "Stopped",
    "check_files",
    "open_small",
    "read_state",
    "run_workload",
]

DIRECTORY = "/db"
COPY = "/copy"

# The operations that change what a disk holds. The state after one of them is the state before the
# next.
CHANGING = (
    "open",
    "remove",
    "rename",
    "link",
    "make_directory",
    "remove_directory",
    "sync_directory",
    "lock",
    "append",
    "sync",
    "truncate",
    "log_start",
    "log_commit",
    "log_sync",
    "log_finish",
)
# Those that need space. Opening does too, but only where it creates a file, which log_start and
# append cover.
SPACE = (
    "rename",
    "link",
    "make_directory",
    "append",
    "truncate",
    "log_start",
    "log_reserve",
    "log_commit",
    "log_finish",
)
SYNCS = ("sync", "log_sync", "sync_directory")
# What a get or a scan does: a table is opened when it is first read.
READING = ("open", "read", "read_cached")

FILLER = random.Random(3).randbytes(8192)

State = dict[bytes, bytes]
Changes = Mapping[bytes, bytes | None]


class Stopped(Exception):
    """The file system is halted: the process is as good as dead."""


class History:
    """States by commit, oldest first. `acknowledged` and `synced` are indices into `states`."""

    def __init__(self) -> None:
        self.states: list[State] = [{}]
        self.acknowledged = 0
        self.synced = 0
        self._doubtful: State | None = None

    @property
    def last(self) -> State:
        return self.states[-1]

    def attempt(self, changes: Changes) -> None:
        state = dict(self.last)
        for key, value in changes.items():
            if value is None:
                del state[key]
            else:
                state[key] = value
        assert state != self.last, "every commit must show"
        self.states.append(state)
        self._doubtful = None

    def acknowledge(self, *, durable: bool) -> None:
        self.acknowledged = len(self.states) - 1
        if durable:
            self.synced = self.acknowledged

    def settle(self, found: State, *, may_return: bool) -> None:
        """After a failed commit: it was applied, whole, or not at all.

        `may_return`: one that does not show may yet be found applied by the next open.
        """
        if found != self.last:
            undone = self.states.pop()
            self._doubtful = undone if may_return else None
            assert found == self.last, "a failed commit left something in between"

    def position(self, found: State, at_least: int) -> int:
        """Which commit `found` is the state after."""
        if found == self._doubtful:
            self.states.append(found)
            self._doubtful = None
        for position in range(len(self.states) - 1, at_least - 1, -1):
            if self.states[position] == found:
                return position
        older = [n for n in range(at_least) if self.states[n] == found]
        raise AssertionError(
            f"recovered the state after commit {older[-1]}, but {at_least} were promised"
            if older
            else f"recovered a state that never was: {describe(found, self.states[at_least])}"
        )

    def rewind(self, position: int) -> None:
        """The store was opened again and holds the state after `position`, durably."""
        self._doubtful = None
        del self.states[position + 1 :]
        self.acknowledged = self.synced = position


def describe(found: State, expected: State) -> str:
    differing = sorted(
        key for key in found.keys() | expected.keys() if found.get(key) != expected.get(key)
    )
    return f"{len(found)} keys, {len(expected)} expected, differing in {differing[:5]}"


def open_small(filesystem: FileSystem, path: str = DIRECTORY, **options: Any) -> lsmkv.DB:
    """One thread, and so small that a handful of writes fills a memtable and two tables call for a
    merge.
    """
    settings: dict[str, Any] = {
        "background": "inline",
        "write_buffer_size": 4096,
        "table_size": 4096,
        "level0_trigger": 2,
        "block_size": 2048,
        "block_cache_size": 0,
        "compression": None,
    }
    return lsmkv.open(path, filesystem=filesystem, **(settings | options))


def read_state(db: lsmkv.DB) -> State:
    """Everything the store shows; the ways to read it must agree."""
    state = dict(db.scan())
    keys = list(state)
    assert list(db.keys(reverse=True)) == keys[::-1]
    assert db.get_many(keys) == list(state.values())
    return state


def check_files(db: lsmkv.DB, *, may_lose: bool) -> None:
    """Nothing half-done is left over, and nothing went to lost/ that need not."""
    inventory = take_inventory(db._filesystem, db.path)
    assert set(inventory.tables) == db._tree.version.file_numbers
    assert len(inventory.logs) == 1
    assert len(inventory.manifests) == 1
    assert may_lose or not db._filesystem.exists(filenames.lost_directory(db.path))


class Laboratory:
    """A store, its file system, its history. With `tolerant` errors are examined and survived."""

    def __init__(
        self,
        *,
        tolerant: bool = False,
        loses_unsynced: bool = False,
        may_return: bool = False,
        reads_may_fail: bool = False,
        options: Mapping[str, Any] | None = None,
        history: History | None = None,
        base: FileSystem | None = None,
        root: str = "",
    ) -> None:
        self.disk = MemoryFileSystem()  # unless there is another `base`, with a `root` on it
        self.files = FaultFileSystem(base if base is not None else self.disk)
        self.directory, self.copy = root + DIRECTORY, root + COPY
        self.files.count_reads(False)
        self.options = dict(options or {})
        self.history = history if history is not None else History()
        self.copy_state: State | None = None  # what the finished checkpoint must hold
        self.errors: list[Exception] = []
        self.failed_steps: set[str] = set()
        self.errors_max: int | None = None  # after so many the fault is lifted
        self.was_read_only = False
        self._tolerant = tolerant
        self.loses_unsynced = loses_unsynced
        self._reads_may_fail = reads_may_fail  # the fault is on them
        self._may_return = may_return  # a write that failed may be whole on the disk
        self._db: lsmkv.DB | None = None

    @property
    def db(self) -> lsmkv.DB:
        assert self._db is not None
        return self._db

    # --- steps

    def open(self) -> None:
        self._step("open", self._open)

    def put(self, key: bytes, value: bytes, *, sync: bool = False) -> None:
        self._commit({key: value}, lambda: self.db.put(key, value, sync=sync), durable=sync)

    def delete(self, key: bytes, *, sync: bool = False) -> None:
        if key in self.history.last:
            self._commit({key: None}, lambda: self.db.delete(key, sync=sync), durable=sync)

    def batch(self, changes: Changes, *, sync: bool = False) -> None:
        def write() -> None:
            with self.db.write_batch(sync=sync) as batch:
                for key, value in changes.items():
                    if value is None:
                        batch.delete(key)
                    else:
                        batch.put(key, value)

        present = {
            key: value
            for key, value in changes.items()
            if value is not None or key in self.history.last
        }
        self._commit(present, write, durable=sync)

    def drop_range(self, start: bytes, stop: bytes) -> None:
        gone = [key for key in self.history.last if start <= key < stop]
        if gone:
            call = lambda: kernel.drop_range(self.db, start, stop)  # noqa: E731
            self._commit(dict.fromkeys(gone), call, durable=True, is_edit=True)

    def sync(self) -> None:
        self._promise("sync", lambda: self.db.sync())

    def flush(self) -> None:
        self._promise("flush", lambda: self.db.flush())

    def compact(self) -> None:
        self._promise("compact", lambda: self.db.compact())

    def checkpoint(self) -> None:
        def copy() -> None:
            self.db.checkpoint(self.copy)
            self.copy_state = self.history.last

        self._promise("checkpoint", copy)

    def close(self) -> None:
        self._promise("close", lambda: self.db.close())

    def __enter__(self) -> Laboratory:
        return self

    def __exit__(self, *exception: object) -> None:
        self.end()

    # --- as if the background were slow

    def hold_flushes(self) -> None:
        """Let full memtables wait, as they do beside a busy disk: several log segments live."""
        self.db._after_freeze = lambda: None  # type: ignore[method-assign]

    def release_flushes(self) -> None:
        vars(self.db).pop("_after_freeze", None)

    def flush_during(self, write: Callable[[], None]) -> None:
        """Flush what waits, and let `write` run between the decision and the edit."""
        if self._tolerant:  # an error would close the store in the middle of its own flush
            write()
            return
        assert len(self.db._frozen) < FROZEN_MEMTABLES_MAX, "`write` would wait for this flush"
        jobs = self.db._jobs
        make_job = jobs.flush
        jobs.flush = lambda *inputs: _Interrupted(make_job(*inputs), write)  # type: ignore
        try:
            self._promise("flush", lambda: self.db._flush_step(), durable=False)
        finally:
            jobs.flush = make_job  # type: ignore[method-assign]

    def end(self) -> None:
        """Let go of the store without any of the above, as a dying process does."""
        if self._db is not None:
            with contextlib.suppress(lsmkv.Error):
                self._db.close()
            self._db = None

    # --- how a step runs

    def _read(self) -> State:
        try:
            return read_state(self.db)
        except lsmkv.Error as error:
            if not self._tolerant:
                raise
            assert self._reads_may_fail, f"reads must go on: {error!r}"
        with contextlib.suppress(lsmkv.Error):
            return read_state(self.db)  # a single fault may have struck here
        self.files.reset()  # one that lasts; what a failed write has left must be seen
        return read_state(self.db)

    def _open(self) -> None:
        if self._db is not None:
            self._db.close()
            self._db = None
        self._db = open_small(self.files, self.directory, **self.options)
        promised = self.history.synced if self.loses_unsynced else self.history.acknowledged
        self.history.rewind(self.history.position(self._read(), promised))

    def _commit(
        self, changes: Changes, call: Callable[[], None], *, durable: bool, is_edit: bool = False
    ) -> None:
        def commit() -> None:
            self.history.attempt(changes)
            try:
                call()
            except lsmkv.Error:
                if self._tolerant:
                    self.history.settle(self._read(), may_return=is_edit or self._may_return)
                raise
            self.history.acknowledge(durable=durable)

        self._step("write", commit)

    def _promise(self, name: str, call: Callable[[], object], *, durable: bool = True) -> None:
        def promise() -> None:
            call()
            self.history.acknowledge(durable=durable)

        self._step(name, promise)

    def _step(self, name: str, step: Callable[[], None]) -> None:
        try:
            step()
        except lsmkv.Error as error:
            if self.files.halted:
                raise Stopped from None
            if not self._tolerant:
                raise
            self.failed_steps.add(name)
            self._count(error)
            self._recover()
        if self.files.halted:
            raise Stopped

    def _count(self, error: Exception) -> None:
        self.errors.append(error)
        if self.errors_max is not None and len(self.errors) >= self.errors_max:
            self.files.reset()

    def _recover(self) -> None:
        """What a careful caller does: a closed or read-only store is opened again."""
        if self._db is None or self._db.closed:
            self._db = None
            self._try_to_open()
        elif self._db.stats()["read_only_reason"] is not None:
            self.was_read_only = True
            assert self._read() == self.history.last, "reads must go on, and see every write"
            with contextlib.suppress(lsmkv.Error):
                self._db.close()
            self._db = None
            self._try_to_open()

    def _try_to_open(self) -> None:
        while self._db is None:
            try:
                self._open()
            except lsmkv.Error as error:
                self._count(error)
                assert len(self.errors) < 100, "opening fails for ever"


class _Interrupted:
    """A job during which something else happens, in a thread of its own."""

    def __init__(self, job: Job, other: Callable[[], None]) -> None:
        self._job = job
        self._other = other
        self._failure: BaseException | None = None

    def run(self) -> Any:
        thread = threading.Thread(target=self._run_other)
        thread.start()
        thread.join()
        if self._failure is not None:
            raise self._failure
        return self._job.run()

    def _run_other(self) -> None:
        try:
            self._other()
        except BaseException as failure:
            self._failure = failure

    @property
    def outputs(self) -> Any:
        return self._job.outputs

    def cancel(self) -> None:
        self._job.cancel()


def _value(number: int, size: int) -> bytes:
    return b"%d:" % number + FILLER[number * 31 : number * 31 + size]


def run_workload(lab: Laboratory) -> None:
    """Puts with and without sync, batches, deletes, rotation, flush, compaction, drop, copy, close,
    reopen.
    """
    lab.open()
    lab.put(b"a", b"1")
    lab.put(b"b", b"2", sync=True)
    lab.batch({b"a": b"3", b"c": b"4", b"b": None})
    lab.delete(b"a")
    lab.put(b"empty", b"", sync=True)
    for number in range(9):  # rotates, flushes, merges
        lab.put(b"k%02d" % (number % 7), _value(number, 1000), sync=number % 5 == 4)
    lab.batch({b"k00": None, b"m0": _value(20, 300), b"m1": _value(21, 300)}, sync=True)
    lab.batch({b"m0": _value(22, 400), b"k01": None, b"z": b""})
    lab.sync()
    lab.put(b"n", _value(23, 600))
    lab.flush()
    lab.put(b"n", _value(24, 600))
    lab.delete(b"k02", sync=True)
    lab.checkpoint()
    lab.put(b"n", _value(25, 600))
    lab.drop_range(b"k03", b"k06")
    lab.put(b"k04", _value(26, 100))
    lab.compact()
    lab.put(b"o", _value(27, 100), sync=True)
    lab.put(b"p", _value(28, 100))
    lab.close()
    lab.open()
    lab.put(b"q", _value(29, 900))
    lab.put(b"r", _value(30, 2500))
    _write_into_several_segments(lab)
    lab.batch({b"r": None, b"q": None, b"n": b"last"})


def _write_into_several_segments(lab: Laboratory) -> None:
    """A sync across live segments, and a flush beside writes that fill the next memtable."""
    lab.flush()
    lab.hold_flushes()
    lab.put(b"h0", _value(40, 4200))
    lab.put(b"h1", _value(41, 4200))
    lab.put(b"h0", _value(42, 300), sync=True)
    lab.put(b"h2", _value(43, 200))
    lab.put(b"h1", _value(44, 300))

    def write() -> None:
        lab.put(b"h3", _value(45, 4200))
        lab.batch({b"h2": None, b"h0": _value(46, 100)})

    lab.flush_during(write)
    lab.put(b"h3", _value(47, 200))
    lab.delete(b"h0", sync=True)
    lab.release_flushes()
    lab.flush()
