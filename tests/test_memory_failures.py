"""Every native allocation fails once: MemoryError or success, nothing lost, nothing leaked.

A small workload is run again and again, each time with another allocation failing (and once more
with all from there on failing until the operation has given up), on files in memory and on real
ones with either kind of log. An operation that failed did nothing and can be repeated; what was
acknowledged before is there, also for one who looks at the files. Only a failed sync ends the
writing: files in memory need memory for that.
"""

from __future__ import annotations

import gc
import logging
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

import lsmkv
from lsmkv import Column, kernel
from lsmkv._native import memory
from lsmkv._native.vfs import FileSystem, MemoryFileSystem, PosixFileSystem
from tests.support.damage import damage_value

OPTIONS: dict[str, Any] = {"background": "inline", "write_buffer_size": 4096, "table_size": 4096,
                           "block_size": 256, "level0_trigger": 2, "block_cache_size": 4096,
                           "log_mode": "written", "row_cache_size": 4096}  # fmt: skip
STRIDE = int(os.environ.get("LSMKV_MEMORY_STRIDE", "5"))  # 1 tries every allocation
REAL_STRIDE = 25 * STRIDE  # on real files, whose syncs take their time

Model = dict[bytes, bytes]


class Disk(Protocol):
    """Where a database is, at `root`/db."""

    files: FileSystem
    root: str
    log_mode: str

    def killed(self) -> Disk:
        """The files as somebody else would find them now."""


class MemoryDisk:
    """A file system in memory."""

    root = ""
    log_mode = "written"

    def __init__(self, files: MemoryFileSystem | None = None) -> None:
        self.files = files if files is not None else MemoryFileSystem()

    def killed(self) -> MemoryDisk:
        return MemoryDisk(self.files.clone())


class RealDisk:
    """A directory that is gone with the object."""

    def __init__(self, parent: Path, log_mode: str) -> None:
        self.files = PosixFileSystem()
        self.log_mode = log_mode
        self._parent = parent
        self.root = tempfile.mkdtemp(dir=parent)
        weakref.finalize(self, shutil.rmtree, self.root)

    def killed(self) -> RealDisk:
        copy = RealDisk(self._parent, self.log_mode)
        shutil.copytree(self.root, copy.root, dirs_exist_ok=True)
        return copy


def open_on(disk: Disk, name: str = "db") -> lsmkv.DB:
    options = OPTIONS | {"log_mode": disk.log_mode}
    return lsmkv.open(f"{disk.root}/{name}", filesystem=disk.files, **options)


class Subject:
    """A database, what it acknowledged, and what an operation that failed may have done or not."""

    def __init__(self, disk: Disk | None = None) -> None:
        self.disk = disk if disk is not None else MemoryDisk()
        self.db = open_on(self.disk)
        self.copies = 0
        self.model: Model = {}
        self.pending: dict[bytes, bytes | None] = {}

    def write(self, changes: dict[bytes, bytes | None], work: Callable[[], object]) -> None:
        self.pending = changes
        work()
        self.settle()

    def settle(self) -> None:
        """What was pending counts."""
        for key, value in self.pending.items():
            if value is None:
                self.model.pop(key, None)
            else:
                self.model[key] = value
        self.pending = {}

    def put(self, key: bytes, value: bytes) -> None:
        self.write({key: value}, lambda: self.db.put(key, value))

    def check(self) -> None:
        found = dict(self.db.scan())
        if self.db._read_only_reason is not None and found != self.model:
            self.settle()  # written, but not synced
        assert found == self.model
        disk = self.disk.killed()
        with open_on(disk) as killed:
            assert dict(killed.scan()) == self.model
            assert killed.verify()


def operations(subject: Subject) -> Iterator[Callable[[], object]]:
    """The workload, operation by operation."""
    db = subject.db
    for number in range(12):
        key, value = b"%02d" % (number * 7 % 12), b"%d" % number * 300
        yield lambda key=key, value=value: subject.put(key, value)
    many = {b"many %d" % number: b"x" * 40 for number in range(10)}
    yield lambda: subject.write(many, lambda: db.put_many(many))
    rows = {b"row %d" % number: b"%d" % number * 50 for number in range(30)}
    yield lambda: subject.write(rows, lambda: put_columns(db, rows))
    yield lambda: subject.write({b"00": None}, lambda: db.delete(b"00"))
    yield lambda: subject.write({b"01": b"merged"}, lambda: kernel.merge_batch(
        db, [(b"01", b"merged")], lambda _key, _old, new: new))  # fmt: skip
    changes = {b"batch": b"y" * 5000, b"02": None}
    yield lambda: subject.write(changes, lambda: batch(db, changes))
    yield lambda: read(subject)
    yield lambda: read_columns(subject)
    yield db.flush
    yield lambda: read(subject)
    yield lambda: read_columns(subject)
    yield lambda: subject.put(b"after", b"the flush")
    yield db.sync
    yield db.compact
    yield lambda: subject.write({b"05": None, b"06": None}, lambda: kernel.drop_range(
        db, b"05", b"07"))  # fmt: skip
    yield lambda: read(subject)
    yield db.verify
    yield lambda: subject.put(b"after", b"the copy")
    yield lambda: copy(subject)
    yield lambda: db.view(key="utf8").get("x")


def batch(db: lsmkv.DB, changes: dict[bytes, bytes | None]) -> None:
    with db.write_batch(sync=True) as batch:
        for key, value in changes.items():
            if value is None:
                batch.delete(key)
            else:
                batch.put(key, value)


def copy(subject: Subject) -> None:
    """One that failed is left for inspection: the next needs another place."""
    subject.copies += 1
    name = f"copy {subject.copies}"
    subject.db.checkpoint(f"{subject.disk.root}/{name}")
    with open_on(subject.disk, name) as copied:
        assert dict(copied.scan()) == subject.model


def put_columns(db: lsmkv.DB, rows: dict[bytes, bytes]) -> None:
    db.put_columns(Column.from_bytes(rows.keys()), Column.from_bytes(rows.values()))


def read_columns(subject: Subject) -> None:
    keys = [key for key, _ in sorted(subject.model.items())]
    with subject.db.snapshot() as snapshot:
        values, found = snapshot.get_columns(Column.from_bytes(keys))
        assert found.all()
        assert values.to_list() == [subject.model[key] for key in keys]
    scanned = [key for keys, _ in subject.db.scan_columns(batch_count=7) for key in keys.to_list()]
    assert scanned == keys


def read(subject: Subject) -> None:
    db, model = subject.db, subject.model
    pairs = sorted(model.items())
    keys = [key for key, _ in pairs]
    with db.snapshot() as snapshot:
        assert list(db.scan()) == list(snapshot.scan()) == pairs
        assert list(db.scan(reverse=True)) == pairs[::-1]
        assert db.get_many(keys) == snapshot.get_many(keys) == [value for _, value in pairs]
    with db.scan(b"03") as scan:
        scan.seek(b"04")
        assert next(scan, None) == next((pair for pair in pairs if pair[0] >= b"04"), None)
    assert db.get(b"missing") is None
    assert kernel.digest_range(db).entry_count == len(model)


def run(failing: int, *, for_ever: bool, disk: Disk | None = None) -> int:
    """The workload with one allocation failing; how many there were."""
    subject = Subject(disk)
    started = memory.call_count()
    memory.fail_allocation(failing, for_ever)
    failed = False
    for operation in operations(subject):
        while True:
            try:
                operation()
            except (MemoryError, lsmkv.Error) as error:
                memory.fail_allocation(0)
                assert not failed, f"twice: {error!r}"
                failed = True
                assert_means_no_memory(error)
                subject.check()
                if subject.db._read_only_reason is None:
                    continue  # with what was to be done
                subject.db.close()
                return reopened(subject)
            break
    count = memory.call_count() - started
    memory.fail_allocation(0)
    subject.check()
    subject.db.close()
    reopened(subject)
    return count


def reopened(subject: Subject) -> int:
    with open_on(subject.disk) as again:
        assert dict(again.scan()) == subject.model
    return 0


def assert_means_no_memory(error: BaseException) -> None:
    """MemoryError, or what the memory file system makes of it when a file cannot grow."""
    if isinstance(error, lsmkv.StorageError):
        assert error.errno == 12, error
    else:
        assert isinstance(error, MemoryError), error


@pytest.fixture(autouse=True)
def _clean() -> Iterator[None]:
    gc.collect()
    before = memory.usage()
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)
    memory.fail_allocation(0)
    gc.collect()
    assert memory.usage() == before


def run_all(make_disk: Callable[[], Disk], stride: int, *, for_ever: bool) -> None:
    count = run(0, for_ever=False, disk=make_disk())
    assert count > 500
    before = memory.usage()
    for failing in range(1 + for_ever, count, stride):
        try:
            run(failing, for_ever=for_ever, disk=make_disk())
            gc.collect() if memory.usage() != before else None
            assert memory.usage() == before, "leaked"
        except BaseException as error:
            error.add_note(f"allocation {failing} of {count}")
            raise


@pytest.mark.slow
@pytest.mark.parametrize("for_ever", [False, True])
def test_every_allocation_of_a_workload(for_ever: bool) -> None:
    run_all(MemoryDisk, STRIDE, for_ever=for_ever)


@pytest.mark.slow
@pytest.mark.parametrize("for_ever", [False, True])
@pytest.mark.parametrize("log_mode", ["written", "mapped"])
def test_allocations_of_a_workload_on_real_files(
    log_mode: str, for_ever: bool, tmp_path: Path
) -> None:
    if log_mode == "mapped" and not PosixFileSystem().can_map_log(str(tmp_path)):
        pytest.skip("no mapped log on this file system")
    run_all(lambda: RealDisk(tmp_path, log_mode), REAL_STRIDE, for_ever=for_ever)


def fail_each(
    image: Disk,
    work: Callable[[Disk], object],
    model: Model,
    *,
    for_ever: bool,
    stride: int = 1,
) -> None:
    """`work` on a copy of `image`, with one allocation after the other failing; then once more."""
    before = memory.usage()
    failing, succeeded = 1 - stride, False
    while not succeeded:
        failing += stride
        disk = image.killed()
        started = memory.call_count()
        memory.fail_allocation(failing, for_ever)
        try:
            work(disk)
            succeeded = memory.call_count() - started < failing
        except (MemoryError, lsmkv.StorageError) as error:
            memory.fail_allocation(0)
            assert_means_no_memory(error)
        memory.fail_allocation(0)
        work(disk)
        with open_on(disk) as again:
            assert dict(again.scan()) == model
        del disk, again
        gc.collect() if memory.usage() != before else None
        assert memory.usage() == before, f"allocation {failing} leaked"
    assert failing > 100


@pytest.mark.parametrize("for_ever", [False, True])
def test_every_allocation_of_an_open(for_ever: bool) -> None:
    subject = Subject()
    for operation in operations(subject):
        operation()
    image, model = subject.disk.killed(), subject.model
    subject.db.close()
    del subject
    fail_each(image, lambda disk: open_on(disk).close(), model, for_ever=for_ever)


@pytest.mark.slow
@pytest.mark.parametrize("for_ever", [False, True])
def test_every_allocation_of_a_repair(for_ever: bool) -> None:
    files = MemoryFileSystem()
    with lsmkv.open("/db", filesystem=files, compression=None, **OPTIONS) as db:
        for number in range(30):
            db[b"%02d" % number] = b"%d" % number * 100
        db.flush()
        db[b"log"] = b"1"
    damage_value(files, "/db", b"7" * 100)
    repair = lambda disk: lsmkv.repair("/db", filesystem=disk.files)  # noqa: E731
    repaired = MemoryDisk(files.clone())
    assert repair(repaired).salvaged_entries
    with open_on(repaired) as db:
        model = dict(db.scan())
    assert len(model) > 20
    del db, repaired
    gc.collect()
    fail_each(MemoryDisk(files), repair, model, for_ever=for_ever, stride=STRIDE)


def test_closing_needs_no_memory_to_be_safe() -> None:
    subject = Subject()
    for number in range(5):
        subject.put(b"%d" % number, b"x" * 100)
    memory.fail_allocation(1, for_ever=True)
    try:
        subject.db.close()
    except (MemoryError, lsmkv.Error):
        pass
    finally:
        memory.fail_allocation(0)
    assert subject.db.closed
    subject.db.close()
    with open_on(subject.disk) as again:
        assert dict(again.scan()) == subject.model
