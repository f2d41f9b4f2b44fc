"""Errors of the operating system while the background threads flush, merge and sync beside a
writer: every kind of operation, every error, once before it does anything or after it was done.

Who writes is told, sooner or later, of what stands in the way; reads go on; writes go on unless the
database says that it is read-only; whoever opens it next finds every acknowledged write.
"""

from __future__ import annotations

import errno
from typing import Literal

import pytest

import lsmkv
from lsmkv import background
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from tests.soak.errors import ERRNOS, SAME_BOTH_WAYS
from tests.support.crash_lab import READING, State, open_small, read_state

OPERATIONS = (
    *READING,
    *("append", "sync", "sync_directory", "remove", "close", "start_writeback"),
    *("log_start", "log_reserve", "log_commit", "log_sync", "log_finish"),
)
PLACES = (1, 2, 5)

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quiet_log")]


class Subject:
    """A database with threads, what it acknowledged, and what it said it could not do."""

    def __init__(self, operation: str, number: int) -> None:
        self.disk = MemoryFileSystem()
        self.files = FaultFileSystem(self.disk)
        self.model: State = {}
        self.refused: State = {}  # a write that failed may be whole on the disk
        self.db = open_small(self.files, background="threads", sync_interval_ms=10)
        self._reads_may_fail = operation in READING
        self._number = number

    @property
    def is_read_only(self) -> bool:
        return self.db.stats()["read_only_reason"] is not None

    def put(self, key: bytes, value: bytes) -> None:
        try:
            self.db.put(key, value)
        except lsmkv.Error as error:
            self._assert_told(error)
            self.refused[key] = value
        else:
            self.model[key] = value

    def compact(self) -> bool:
        try:
            self.db.compact()
        except lsmkv.Error as error:
            self._assert_told(error)
            return False
        return True

    def close(self) -> bool:
        try:
            self.db.close()
        except lsmkv.Error as error:
            self._assert_told(error)
            return False
        return True

    def check_reads(self) -> None:
        try:
            found = read_state(self.db)
        except lsmkv.StorageError:
            assert self._reads_may_fail
            found = read_state(self.db)
        self.check(found)

    def check(self, found: State) -> None:
        assert found.keys() >= self.model.keys()
        for key, value in found.items():
            assert value in (self.model.get(key), self.refused.get(key)), key

    def _assert_told(self, error: lsmkv.Error) -> None:
        cause = error.errno if isinstance(error, lsmkv.StorageError) else None
        assert cause == self._number or isinstance(error, lsmkv.ReadOnlyError), repr(error)


def strike(operation: str, at: int, number: int, when: Literal["before", "after"]) -> bool:
    """Whether there were so many of the operation."""
    subject = Subject(operation, number)
    files = subject.files
    for index in range(30):
        subject.put(b"%02d" % index, b"early" * 50)
    assert subject.compact()
    files.reset()
    files.record_trace(True)
    files.fail(at, number, operations=(operation,), when=when)
    for index in range(10, 50):
        subject.put(b"%02d" % index, b"%d" % index * 100)
    subject.check_reads()
    if not subject.is_read_only and not subject.compact() and not subject.is_read_only:
        assert subject.compact(), "what failed once can be tried again"
    subject.check_reads()
    if not subject.is_read_only:
        subject.put(b"later", b"1")
        subject.check_reads()
    was_writable = not subject.is_read_only
    if subject.close() and was_writable:
        with open_small(subject.disk.crash()) as db:
            subject.check(read_state(db))
    with open_small(subject.disk) as db:
        subject.check(read_state(db))
        assert db.verify()
    return [entry.operation for entry in files.trace()].count(operation) >= at


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_fails_beside_a_writer(
    operation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background, "RETRY_INTERVAL_S", 0.01)
    struck = 0
    for at in PLACES:
        for number in ERRNOS:
            struck += strike(operation, at, number, "before")
        if operation not in SAME_BOTH_WAYS:
            struck += strike(operation, at, errno.EIO, "after")
    assert struck > len(ERRNOS)
