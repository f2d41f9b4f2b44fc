"""Writing a segment: the same bytes whichever way, and what happens when writing fails.

Bytes are held against the plain-Python writer in tests/support/reference_log.py. How a reader
judges the end of a segment is test_log_reader.py.
"""

from __future__ import annotations

import dataclasses
import errno
import gc
import os
import resource
import signal
import tempfile
import threading
from contextlib import contextmanager

import pytest

from lsmkv._native import memory
from lsmkv._native.log import LogWriter, SegmentReader
from lsmkv._native.segment import BATCH, SYNC_MARK
from lsmkv._native.vfs import MemoryFileSystem, PosixFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.errors import ClosedError, ForkError, ReadOnlyError, StorageError
from tests.support import reference_log as reference
from tests.support.log_cases import CASES, SEGMENT, Case, delete, put, reference_bytes, run

SIZE_MAX = 2**28
MODES = ("written", "mapped")


@pytest.fixture(params=["memory", "posix"])
def filesystem(request):
    return MemoryFileSystem() if request.param == "memory" else PosixFileSystem()


@pytest.fixture
def path(filesystem, tmp_path):
    return "/log" if isinstance(filesystem, MemoryFileSystem) else str(tmp_path / "log")


def create(filesystem, path, mode="written", segment=SEGMENT) -> LogWriter:
    writer = LogWriter(filesystem, path, **dataclasses.asdict(segment), mapped=mode == "mapped")
    if writer.mode != mode:
        writer.close()
        filesystem.remove(path)
        pytest.skip("no mapped log on this file system")
    return writer


def content(filesystem, path) -> bytes:
    return filesystem.read_file(path, SIZE_MAX)


def cut(data: bytes, writer: LogWriter) -> bytes:
    """The committed part of a file being written; behind it there must be only zeros."""
    assert not any(data[writer.length :])
    return data[: writer.length]


# --- the bytes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_bytes_are_the_reference_s(filesystem, path, mode, case):
    writer = run(create(filesystem, path, mode), case)
    expected = run(reference.Writer(SEGMENT), case)
    assert cut(content(filesystem, path), writer) == expected.data
    assert writer.length == len(expected.data)
    assert writer.synced_to == expected.synced_to
    assert writer.last_sequence == expected.last_sequence
    if "finish" in case.steps:
        assert filesystem.file_size(path) == writer.length
    writer.close()
    assert content(filesystem, path)[: len(expected.data)] == expected.data


@pytest.mark.parametrize("mode", MODES)
def test_large_records_and_many_pages(filesystem, path, mode):
    """Records that cross every step of pre-allocation (1, 4, 16 MB) and are larger than one."""
    writer = create(filesystem, path, mode)
    expected = reference.Writer(SEGMENT)
    for size in (10, 900_000, 200_000, 3_000_000, 5, 20_000_000, 17):
        batch = [put(b"k%d" % size, bytes([size % 251]) * size), delete(b"d")]
        assert writer.append(batch) == expected.append(batch)
    writer.finish()
    writer.close()
    expected.finish()
    assert content(filesystem, path) == bytes(expected.data)


def test_append_returns_the_base_sequence(filesystem, path):
    writer = create(filesystem, path)
    assert writer.append([put(b"a", b"1"), delete(b"b")]) == 7
    assert writer.append([put(b"c", b"2")]) == 9
    assert writer.last_sequence == 9
    writer.close()


def test_a_later_batch_makes_the_mark_unnecessary(filesystem, path):
    """A mark is written only when no record since claims as much, and never synced for itself."""
    writer = create(filesystem, path)
    for key in (b"a", b"b"):
        writer.append([put(key, b"")])
        writer.sync()
        length = writer.length
        writer.sync()
        assert (writer.length, writer.synced_to) == (length, length - 32)
    records = list(SegmentReader(content(filesystem, path), path))
    assert [record.type for record in records] == [BATCH, SYNC_MARK, BATCH, SYNC_MARK]
    writer.close()


def test_the_file_must_not_exist(filesystem, path):
    """And a failed attempt leaves the old file alone."""
    create(filesystem, path).close()
    before = content(filesystem, path)
    with pytest.raises(StorageError) as raised:
        create(filesystem, path)
    assert raised.value.errno == errno.EEXIST
    assert content(filesystem, path) == before


@pytest.mark.parametrize("mode", MODES)
def test_a_path_without_a_directory(tmp_path, monkeypatch, mode):
    monkeypatch.chdir(tmp_path)
    create(PosixFileSystem(), "log", mode).close()
    assert (tmp_path / "log").stat().st_size > 0


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="there is no tmpfs at /dev/shm")
def test_where_a_log_cannot_be_mapped_it_is_written():
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        files = PosixFileSystem()
        assert not files.can_map_log(directory), "not for a tmpfs"
        fields = dataclasses.asdict(SEGMENT)
        writer = LogWriter(files, f"{directory}/log", **fields, mapped=True)
        assert writer.mode == "written"
        writer.close()


def test_a_file_that_refuses_to_be_mapped_is_written():
    files = FaultFileSystem(MemoryFileSystem())
    files.fail(1, errno.EOPNOTSUPP, operations=["log_start"])
    writer = LogWriter(files, "/log", **dataclasses.asdict(SEGMENT), mapped=True)
    assert writer.mode == "written"
    writer.close()


# --- arguments and lifetime ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("batch", "error"),
    [
        ([], ValueError),
        ([(1, b"k")], ValueError),
        ([(1, b"k", None)], TypeError),
        ([(1, "k", b"v")], TypeError),
        ([(1, b"k", bytearray(b"v"))], TypeError),
        ([(2, b"k", b"v")], ValueError),
        ([(0, b"k", b"v")], ValueError),
        ([(3, b"k", b"v")], ValueError),
        ([("1", b"k", b"v")], ValueError),
        ([put(bytes(64 * 1024 + 1), b"")], ValueError),
        ([put(b"good", b""), (9, b"bad", b"")], ValueError),
        (7, TypeError),
    ],
)
def test_wrong_operations_change_nothing(batch, error):
    filesystem = MemoryFileSystem()
    writer = create(filesystem, "/log")
    with pytest.raises(error):
        writer.append(batch)
    assert writer.length == 64
    assert writer.append([put(bytes(64 * 1024), b"")]) == 7
    writer.close()


def test_a_batch_above_the_limit_is_refused_before_it_is_copied():
    writer = create(MemoryFileSystem(), "/log")
    value = bytes(2**28)
    with pytest.raises(ValueError, match="too large"):
        writer.append([put(b"k", value)] * 5)
    assert writer.length == 64
    writer.close()


@pytest.mark.parametrize("mode", MODES)
def test_sequences_past_the_maximum_are_refused(filesystem, path, mode):
    """The record is already encoded by then: nothing of it may remain in the file."""
    segment = dataclasses.replace(SEGMENT, previous_sequence=2**56 - 2)
    writer = create(filesystem, path, mode, segment)
    with pytest.raises(ValueError, match="sequence"):
        writer.append([put(b"k" * 100, b"v" * 10_000), delete(b"d")])
    assert (writer.length, writer.last_sequence) == (64, 2**56 - 2)
    assert writer.append([put(b"a", b"1")]) == 2**56 - 1
    with pytest.raises(ValueError, match="sequence"):
        writer.append([put(b"a", b"1")])
    writer.sync()
    writer.finish()
    expected = reference.Writer(segment)
    expected.append([put(b"a", b"1")])
    expected.sync()
    expected.finish()
    assert content(filesystem, path) == expected.data
    writer.close()
    with pytest.raises(ValueError, match="sequence"):
        create(filesystem, path + "2", mode, dataclasses.replace(SEGMENT, previous_sequence=2**56))


def test_after_close_everything_but_close_is_refused(filesystem, path):
    writer = create(filesystem, path)
    writer.close()
    writer.close()
    for call in (writer.sync, writer.finish, lambda: writer.append([put(b"a", b"")])):
        with pytest.raises(ClosedError):
            call()
    with pytest.raises(ClosedError):
        writer.length  # noqa: B018


def test_after_finish_only_sync_and_finish_are_allowed(filesystem, path):
    writer = create(filesystem, path)
    writer.append([put(b"a", b"")])
    writer.finish()
    length = writer.length
    with pytest.raises(ReadOnlyError, match="finished"):
        writer.append([put(b"b", b"")])
    writer.finish()
    writer.sync()
    assert (writer.length, writer.synced_to) == (length, length)
    writer.close()


def test_nothing_leaks():
    gc.collect()
    before = memory.usage()
    filesystem = MemoryFileSystem()
    for number, case in enumerate(CASES):
        run(create(filesystem, f"/{number}", MODES[number % 2]), case)
    del filesystem
    gc.collect()
    assert memory.usage() == before


# --- failures ------------------------------------------------------------------------------------


def fail_each_allocation(action, after_failure=lambda: None) -> int:
    """Runs `action` with allocation 1, 2, ... failing until it succeeds; how often it failed."""
    for attempt in range(1, 1000):
        memory.fail_allocation(attempt)
        try:
            action()
            return attempt - 1
        except MemoryError:
            memory.fail_allocation(0)
            after_failure()
        finally:
            memory.fail_allocation(0)
    raise AssertionError("never succeeded")


@pytest.mark.parametrize("mode", MODES)
def test_allocation_failures_in_create(filesystem, path, mode):
    """Nothing is left behind: neither memory nor a file that would block the next attempt."""
    directory = os.path.dirname(path)
    create(filesystem, path, mode).close()
    filesystem.remove(path)
    filesystem.sync_directory(
        directory
    )  # the memory back end remembers what a crash would bring back
    before = memory.usage()
    made: list[LogWriter] = []

    def after_failure():
        assert not filesystem.exists(path)
        filesystem.sync_directory(directory)
        assert memory.usage() == before

    def attempt():
        made.append(create(filesystem, path, mode))

    assert fail_each_allocation(attempt, after_failure) >= 2
    made[0].close()


@pytest.mark.parametrize("mode", MODES)
def test_allocation_failures_in_append(filesystem, path, mode):
    """A batch whose append failed was not logged; the next one takes its place."""
    writer = create(filesystem, path, mode)
    expected = reference.Writer(SEGMENT)
    for size in (10, 5_000, 300_000):
        batch = [put(b"key", b"v" * size)]
        fail_each_allocation(lambda batch=batch: writer.append(batch))
        expected.append(batch)
        assert cut(content(filesystem, path), writer) == expected.data
    writer.close()


@contextmanager
def file_size_limit(size: int):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("mode", MODES)
def test_a_refusal_of_the_system_is_not_final(tmp_path, mode):
    """A full disk (here: the limit on file sizes) is reported; the log goes on when it can."""
    filesystem, path = PosixFileSystem(), str(tmp_path / "log")
    writer = create(filesystem, path, mode)
    expected = reference.Writer(SEGMENT)
    first, second = [put(b"a", b"1")], [put(b"b", bytes(range(256)) * 20_000)]
    writer.append(first)
    expected.append(first)
    for _ in range(3):
        with file_size_limit(2 * 1024 * 1024), pytest.raises(StorageError) as raised:
            writer.append(second)
        assert raised.value.errno == errno.EFBIG
        assert (writer.length, writer.last_sequence) == (len(expected.data), 7)
        assert cut(content(filesystem, path), writer) == expected.data
    writer.append(second)
    expected.append(second)
    writer.finish()
    expected.finish()
    assert content(filesystem, path) == expected.data
    writer.close()


def test_a_mapped_log_cut_from_outside_poisons_the_writer(tmp_path):
    """The stores fault; the append fails, not the process, and so does all that follows."""
    filesystem, path = PosixFileSystem(), str(tmp_path / "log")
    writer = create(filesystem, path, "mapped")
    writer.append([put(b"a", b"1")])
    os.truncate(path, 0)
    with pytest.raises(StorageError) as raised:
        writer.append([put(b"b", b"2")])
    assert raised.value.errno == errno.EIO
    for call in (writer.sync, writer.finish, lambda: writer.append([put(b"c", b"3")])):
        with pytest.raises(ReadOnlyError, match="reopen"):
            call()
    writer.close()


# --- processes and threads -----------------------------------------------------------------------


def child_status(action) -> int:
    """Runs `action` in a forked child; its exit status, negative for a signal."""
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("mode", MODES)
def test_a_kill_loses_nothing_that_was_appended(tmp_path, mode):
    filesystem, path = PosixFileSystem(), str(tmp_path / "log")

    def write_and_die():
        writer = LogWriter(filesystem, path, **dataclasses.asdict(SEGMENT), mapped=mode == "mapped")
        for number in range(100):
            writer.append([put(b"%d" % number, b"v" * number)])
        os.kill(os.getpid(), signal.SIGKILL)

    assert child_status(write_and_die) == -signal.SIGKILL
    reader = SegmentReader(content(filesystem, path), path)
    assert [record.operations[0][1] for record in reader] == [b"%d" % n for n in range(100)]
    assert reader.end == "clean"


@pytest.mark.parametrize("mode", MODES)
def test_a_forked_child_can_only_close(tmp_path, mode):
    filesystem, path = PosixFileSystem(), str(tmp_path / "log")
    writer = create(filesystem, path, mode)
    writer.append([put(b"a", b"1")])

    def use_in_child():
        for call in (writer.sync, writer.finish, lambda: writer.append([put(b"b", b"2")])):
            with pytest.raises(ForkError):
                call()
        writer.close()

    assert child_status(use_in_child) == 0
    writer.append([put(b"c", b"3")])
    writer.finish()
    writer.close()
    expected = run(
        reference.Writer(SEGMENT), Case("", ([put(b"a", b"1")], [put(b"c", b"3")], "finish"))
    )
    assert content(filesystem, path) == expected.data


@pytest.mark.parametrize("mode", MODES)
def test_sync_runs_beside_appends(tmp_path, mode):
    """Claims never exceed what was committed, and the segment reads back whole."""
    filesystem, path = PosixFileSystem(), str(tmp_path / "log")
    writer = create(filesystem, path, mode)
    syncer = threading.Thread(target=lambda: [writer.sync() for _ in range(40)])
    syncer.start()
    count = 0
    while syncer.is_alive() and count < 20_000:
        count += 1
        writer.append([put(b"%d" % count, b"value")])
    syncer.join()
    writer.sync()
    assert writer.synced_to == writer.length - reference.RECORD_HEADER_SIZE
    records = list(SegmentReader(content(filesystem, path), path))
    assert sum(record.count for record in records) == count
    assert sorted(record.synced_to for record in records) == [
        record.synced_to for record in records
    ]
    writer.close()


def test_close_while_another_thread_syncs(tmp_path):
    """The running sync ends normally and is the last call that does."""
    filesystem = PosixFileSystem()
    for number in range(20):
        writer = create(filesystem, str(tmp_path / f"log{number}"))
        writer.append([put(b"a", b"1")])
        outcomes: list[type | None] = []

        def sync(writer=writer, outcomes=outcomes):
            try:
                while True:
                    writer.append([put(b"a", b"1")])
                    writer.sync()
            except ClosedError:
                outcomes.append(ClosedError)

        threads = [threading.Thread(target=sync) for _ in range(2)]
        for thread in threads:
            thread.start()
        writer.close()
        for thread in threads:
            thread.join()
        assert outcomes == [ClosedError] * 2


def test_golden_bytes_of_the_writer():
    """The worked example of log.h, written by the kernel."""
    filesystem = MemoryFileSystem()
    writer = create(filesystem, "/log")
    writer.append([put(b"k", b"vv"), delete(b"d")])
    assert content(filesystem, "/log")[64:].hex() == (
        "ff37d96b09000000010000000200000007000000000000000000000000000000"
        "0101026b767602016400000000000000"
    )
    assert content(filesystem, "/log")[:64] == reference_bytes(Case("", ()))
    writer.close()
