"""The log over a failing disk: no batch is lost that was appended, none appears that was refused.

Every operation of a fixed script fails, tears or is the last one of the process, in both ways of
writing, and the images that a loss of power could leave are read back. Outcomes are compared with
the reference writer.
"""

from __future__ import annotations

import dataclasses
import errno

import pytest

from lsmkv._native import memory
from lsmkv._native.log import LogWriter, SegmentReader
from lsmkv._native.segment import BATCH
from lsmkv._native.vfs import MemoryFileSystem, PosixFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.errors import Error, ReadOnlyError, StorageError
from tests.support import c_program
from tests.support import reference_log as reference
from tests.support.log_cases import SEGMENT, delete, put

PATH = "/log"
SIZE_MAX = 2**26
MODES = ("written", "mapped")
BATCHES = (
    [put(b"a", b"1")],
    [put(b"b", b"2" * 300), delete(b"a")],
    [put(b"c", b"3" * 5000)],
    [delete(b"b")],
    [put(b"d", b""), put(b"e", b"5"), delete(b"c")],
)
SYNC_AFTER = (1, 3)


def create(filesystem, mode, path=PATH) -> LogWriter:
    values = dataclasses.asdict(SEGMENT)
    writer = LogWriter(filesystem, path, **values, mapped=mode == "mapped")
    if writer.mode != mode:
        writer.close()
        pytest.skip("no mapped log on this file system")
    return writer


@pytest.fixture(params=["memory", "posix"])
def base(request):
    return MemoryFileSystem() if request.param == "memory" else PosixFileSystem()


@pytest.fixture
def path(base, tmp_path):
    """Where a test that runs over both back ends puts its log; in a mapped file room is file."""
    return PATH if isinstance(base, MemoryFileSystem) else str(tmp_path / "log")


def read_batches(filesystem, path=PATH) -> tuple[list[list], str | None]:
    """The batches of the file and how it ends; an error is the test's failure."""
    reader = SegmentReader(filesystem.read_file(path, SIZE_MAX), path)
    batches = [list(record.operations) for record in reader if record.type == BATCH]
    return batches, reader.end


def write_all(writer, done) -> None:
    """The script: `done` gets the number of each batch appended, and "sync" after a sync."""
    for number, batch in enumerate(BATCHES):
        writer.append(batch)
        done.append(number)
        if number in SYNC_AFTER:
            writer.sync()
            done.append("sync")
    writer.finish()


def operation_count(mode) -> int:
    filesystem = FaultFileSystem(MemoryFileSystem())
    writer = create(filesystem, mode)
    write_all(writer, [])
    writer.close()
    return filesystem.operation_count


def is_prefix(found) -> bool:
    return found == list(BATCHES)[: len(found)]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EINTR, errno.EAGAIN]
)
@pytest.mark.parametrize("operation", ["log_reserve", "log_commit"])
def test_a_refused_append_can_be_repeated(base, path, mode, number, operation):
    """Each append is refused twice, once with another batch, and leaves no trace in the bytes."""
    filesystem = FaultFileSystem(base)
    writer = create(filesystem, mode, path)
    expected = reference.Writer(SEGMENT)
    refused = [put(b"refused", b"r" * 1000)]
    for batch in BATCHES:
        for attempt in (refused, batch):
            filesystem.fail(1, number, operations=[operation])
            with pytest.raises(StorageError) as raised:
                writer.append(attempt)
            assert raised.value.errno == number
            assert writer.length == len(expected.data)
            assert read_batches(base, path)[0] == list(BATCHES)[: BATCHES.index(batch)]
        assert writer.append(batch) == expected.append(batch)
        data = base.read_file(path, SIZE_MAX)
        assert data[: writer.length] == expected.data
        assert not any(data[writer.length :])
    writer.finish()
    expected.finish()
    assert base.read_file(path, SIZE_MAX) == expected.data
    writer.close()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("operation", ["log_reserve", "log_commit"])
def test_any_other_failed_append_is_final(base, path, mode, operation):
    filesystem = FaultFileSystem(base)
    writer = create(filesystem, mode, path)
    writer.append(BATCHES[0])
    filesystem.fail(1, errno.EIO, operations=[operation])
    with pytest.raises(StorageError):
        writer.append(BATCHES[1])
    for call in (writer.sync, writer.finish, lambda: writer.append(BATCHES[1])):
        with pytest.raises(ReadOnlyError, match="reopen"):
            call()
    writer.close()
    assert read_batches(base, path)[0] == [BATCHES[0]]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EINTR])
def test_a_failed_sync_is_final(mode, number):
    """Whatever the reason: the kernel may have marked the lost pages clean. Nothing is claimed."""
    filesystem = FaultFileSystem(MemoryFileSystem())
    writer = create(filesystem, mode)
    writer.append(BATCHES[0])
    filesystem.fail(1, number, operations=["log_sync"])
    with pytest.raises(StorageError) as raised:
        writer.sync()
    assert raised.value.errno == number
    assert writer.synced_to == 0
    for call in (writer.sync, writer.finish, lambda: writer.append(BATCHES[1])):
        with pytest.raises(ReadOnlyError, match="reopen"):
            call()
    writer.close()
    reader = SegmentReader(filesystem.read_file(PATH, SIZE_MAX), PATH)
    assert [record.type for record in reader] == [BATCH]
    assert reader.synced_to == 0


@pytest.mark.parametrize("mode", MODES)
def test_a_sync_with_nothing_to_do_asks_no_disk(mode):
    """Also right after a mark, or a ticker would write and sync marks for ever."""
    filesystem = FaultFileSystem(MemoryFileSystem())
    writer = create(filesystem, mode)
    writer.append(BATCHES[0])
    writer.sync()
    filesystem.reset()
    for _ in range(3):
        writer.sync()
    assert filesystem.operation_count == 0
    writer.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_failed_mark_is_not_a_failed_sync(mode):
    """What was synced is durable, the next record claims it; a broken disk ends the writer."""
    filesystem = FaultFileSystem(MemoryFileSystem())
    writer = create(filesystem, mode)
    writer.append(BATCHES[0])
    length = writer.length
    filesystem.fail(1, errno.ENOSPC, operations=["log_commit"])
    writer.sync()
    assert (writer.length, writer.synced_to) == (length, length)
    writer.append(BATCHES[1])
    records = list(SegmentReader(filesystem.read_file(PATH, SIZE_MAX), PATH))
    assert [(record.type, record.synced_to) for record in records] == [(BATCH, 0), (BATCH, length)]
    filesystem.fail(1, errno.EIO, operations=["log_commit"])
    writer.sync()
    with pytest.raises(ReadOnlyError):
        writer.append(BATCHES[2])
    writer.close()


@pytest.mark.parametrize("mode", MODES)
def test_a_torn_commit_is_withdrawn(base, path, mode):
    """However many bytes get through: not logged, and no trace after the next append."""
    batch = BATCHES[1]
    size = len(
        reference.encode_record(0, 0, BATCH, 1, 0, b"".join(map(reference.encode_operation, batch)))
    )
    expected = reference.Writer(SEGMENT)
    expected.append(BATCHES[0])
    expected.append(BATCHES[3])
    expected.finish()
    for keep_bytes in range(0, size, 1 if path == PATH else 23):
        filesystem = FaultFileSystem(base)
        writer = create(filesystem, mode, path)
        writer.append(BATCHES[0])
        filesystem.tear(1, keep_bytes, operations=["log_commit"])
        with pytest.raises(StorageError):
            writer.append(batch)
        assert read_batches(base, path)[0] == [BATCHES[0]]
        writer.append(BATCHES[3])
        writer.finish()
        writer.close()
        assert base.read_file(path, SIZE_MAX) == expected.data
        base.remove(path)


@pytest.mark.parametrize("for_ever", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_every_operation_of_create_failing(mode, for_ever):
    """No memory and no open file is left, and no name either unless removing it fails as well."""
    for at in range(1, 100):
        before = memory.usage()
        filesystem = FaultFileSystem(MemoryFileSystem())
        filesystem.fail(at, errno.EIO, for_ever=for_ever)
        failed = False
        try:
            create(filesystem, mode).close()
        except StorageError:
            failed = True
        filesystem.reset()
        if failed and not for_ever:
            assert not filesystem.exists(PATH)
        del filesystem
        assert memory.usage() == before
        if not failed:
            break
    assert at > 4


@pytest.mark.parametrize("when", ["before", "inside", "after"])
@pytest.mark.parametrize("mode", MODES)
def test_a_kill_at_every_operation(mode, when):
    """What was appended is there, in order; at most the batch in flight comes on top."""
    for at in range(1, operation_count(mode) + 1):
        base = MemoryFileSystem()
        filesystem = FaultFileSystem(base)
        done: list[int | str] = []
        filesystem.halt(at, when)
        try:
            writer = create(filesystem, mode)
            write_all(writer, done)
            writer.close()
        except Error:
            pass
        if not base.exists(PATH):
            assert not done
            continue
        found, end = read_batches(base.clone())
        appended = [number for number in done if number != "sync"]
        assert is_prefix(found)
        assert len(appended) <= len(found) <= len(appended) + 1
        assert end is not None


@pytest.mark.parametrize("survival", [0.0, 0.3, 0.7])
@pytest.mark.parametrize("mode", MODES)
def test_a_loss_of_power_at_every_operation(mode, survival):
    """Any part of what was not synced is gone: synced batches are there, the rest is a prefix."""
    for at in range(3, operation_count(mode) + 1):
        base = MemoryFileSystem()
        filesystem = FaultFileSystem(base)
        done: list[int | str] = []
        filesystem.halt(at, "inside")
        try:
            writer = create(filesystem, mode)
            base.sync_directory("/")
            write_all(writer, done)
            writer.close()
        except Error:
            pass
        promised = 0
        if "sync" in done:
            last_sync = max(index for index, step in enumerate(done) if step == "sync")
            promised = len([step for step in done[:last_sync] if step != "sync"])
        for seed in range(8):
            image = base.crash(seed, survival, piece_size=64)
            if not image.exists(PATH):
                assert promised == 0
                continue
            found, _ = read_batches(image)
            assert is_prefix(found)
            assert len(found) >= promised


@pytest.mark.parametrize("mode", MODES)
def test_every_allocation_failing_in_the_whole_script(mode):
    """MemoryError is never final: repeating the step that failed leads to the same bytes."""
    expected = reference.Writer(SEGMENT)
    write_all(expected, [])
    for after in range(1, 60):
        base = MemoryFileSystem()
        writer = create(base, mode)
        steps = [lambda batch=batch, writer=writer: writer.append(batch) for batch in BATCHES]
        for number in sorted(SYNC_AFTER, reverse=True):
            steps.insert(number + 1, writer.sync)
        steps.append(writer.finish)
        memory.fail_allocation(after)
        for step in steps:
            try:
                step()
            except MemoryError:
                step()
        memory.fail_allocation(0)
        writer.close()
        assert base.read_file(PATH, SIZE_MAX) == expected.data


@pytest.mark.slow
def test_rooms_and_damaged_segments_under_sanitizers(tmp_path):
    """Unused room leaves no trace, and no damaged segment makes the reader leave its bytes."""
    below = ["allocator", "status", "crc32c", "fork", "bus_guard", "arena"]
    stems = [path.stem for path in c_program.KERNELS.glob("*.c")]
    kernels = below + [stem for stem in stems if stem.startswith(("log_", "vfs_posix", "memtable"))]
    program = c_program.build(tmp_path, "log_check", kernels, [*c_program.SANITIZED, "-lpthread"])
    for mode in (1, 2):
        output = c_program.run(program, tmp_path / f"log{mode}", mode, mode, 1500)
        whole, refused = map(int, output.split())
        assert whole > 50
        assert refused > 500
