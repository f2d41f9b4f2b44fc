"""What an open makes of the files it finds, case by case: each scenario is made by hand and has one
right answer.

The exhaustive search for crash states is test_power_loss.py, the real kill test_crash.py.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from crc32c import crc32c

import lsmkv
from lsmkv import filenames
from lsmkv._native.log import SegmentReader
from lsmkv._native.vfs import MemoryFileSystem
from lsmkv._native.vfs_fault import FaultFileSystem
from lsmkv.manifest import read_manifest
from lsmkv.recovery import take_inventory
from tests.support import reference_table

DIRECTORY = "/db"
SIZE_MAX = 1 << 24


def open_inline(filesystem: Any, **options: Any) -> lsmkv.DB:
    """The database under test: one thread, small, every step explicit."""
    settings = {"background": "inline", "write_buffer_size": 1 << 20, "block_cache_size": 0}
    return lsmkv.open(DIRECTORY, filesystem=filesystem, **(settings | options))


def killed(build: Callable[[lsmkv.DB], None]) -> MemoryFileSystem:
    """What `build` left on the disk when the process was killed right after it."""
    files = MemoryFileSystem()
    with open_inline(files) as db:
        build(db)
        return files.clone()


def rotate(db: lsmkv.DB) -> None:
    """Begin a log segment and leave the old memtable unflushed, as beside a slow disk."""
    db._freeze(only_if_full=False)


def log_paths(files: MemoryFileSystem) -> list[str]:
    return [filenames.log_path(DIRECTORY, n) for n in take_inventory(files, DIRECTORY).logs]


def table_paths(files: MemoryFileSystem) -> list[str]:
    return [filenames.table_path(DIRECTORY, n) for n in take_inventory(files, DIRECTORY).tables]


def manifest_path(files: MemoryFileSystem) -> str:
    return filenames.manifest_path(DIRECTORY, read_manifest(files, DIRECTORY).manifest_number)


def read(files: MemoryFileSystem, path: str) -> bytes:
    return files.read_file(path, SIZE_MAX)


def rewrite(files: MemoryFileSystem, path: str, data: bytes) -> None:
    with files.open(path, "w") as file:
        file.append(data)
        file.sync()


def lose_last_record(files: MemoryFileSystem, path: str) -> int:
    """Cut a segment before its last batch; the offset of the cut."""
    data = read(files, path)
    offsets = [record.offset for record in SegmentReader(data, path) if record.count]
    rewrite(files, path, data[: offsets[-1]])
    return offsets[-1]


def everything(files: MemoryFileSystem) -> dict[str, bytes]:
    """Every file under the directory, with its bytes."""
    found = {}
    for name in files.list_directory(DIRECTORY):
        path = f"{DIRECTORY}/{name}"
        found[name] = b"" if files.is_directory(path) else read(files, path)
    return found


def refused(files: MemoryFileSystem, path: str, message: str = ".", **options: Any) -> int | None:
    """The open must fail for damage in that file, twice, and change nothing; returns the offset."""
    before = everything(files)
    for _ in range(2):
        with pytest.raises(lsmkv.CorruptionError, match=message) as caught:
            open_inline(files, **options)
        assert caught.value.path == path
        assert path in str(caught.value)
    after = everything(files)
    assert {**after, "LOCK": b""} == {**before, "LOCK": b""}
    return caught.value.offset


def recovered(files: MemoryFileSystem) -> dict[bytes, bytes]:
    with open_inline(files) as db:
        found = dict(db.scan())
        assert db.verify()
        db.put(b"~", b"1", sync=True)
    with open_inline(files) as db:
        assert dict(db.scan()) == {**found, b"~": b"1"}
    return found


# --- syncs and the end of the log ----------------------------------------------------------------


@pytest.mark.timeout(10)
def test_a_sync_with_nothing_written_since_the_open_returns() -> None:
    files = MemoryFileSystem()
    with open_inline(files) as db:
        db.put(b"a", b"1")
    with open_inline(files) as db:
        last_sequence = db.stats()["last_sequence"]
        assert last_sequence > 0
        assert db.stats()["durable_sequence"] == last_sequence
        db.sync()


def test_after_a_clean_close_missing_log_bytes_are_damage() -> None:
    """engine-review 2: the claims inside a log cannot cover its last group; the manifest does."""
    files = MemoryFileSystem()
    with open_inline(files) as db:
        for number in range(5):
            db.put(b"key %d" % number, b"value")
    [log] = [name for name in files.list_directory(DIRECTORY) if name.endswith(".log")]
    path = f"{DIRECTORY}/{log}"
    intact = files.read_file(path, 1 << 20)
    for size, data in [
        (len(intact) - 1, intact[:-1]),
        (64, intact[:64]),
        (0, b""),
        (len(intact), intact[:150] + bytes([intact[150] ^ 1]) + intact[151:]),
    ]:
        with files.open(path, "w") as file:
            file.append(data)
        assert files.file_size(path) == size
        with pytest.raises(lsmkv.CorruptionError) as caught:
            open_inline(files)
        assert caught.value.path == path
    with files.open(path, "w") as file:
        file.append(intact)
    with open_inline(files) as db:
        assert len(db) == 5


def test_a_torn_end_is_dropped_at_every_length() -> None:
    def build(db: lsmkv.DB) -> None:
        for number in range(4):
            db.put(b"%d" % number, b"value %d" % number)

    files = killed(build)
    [path] = log_paths(files)
    data = read(files, path)
    ends = [*[record.offset for record in SegmentReader(data, path)][1:], len(data)]
    for size in range(len(data) + 1):
        for tail in (b"", b"\0" * 200, b"\xa5" * 200):  # cut, pre-allocated, rubbish
            image = files.clone()
            content = data[:size] + tail
            rewrite(image, path, content)
            header = content[:64]
            if len(header) == 64 and header.strip(b"\0") and header != data[:64]:
                refused(image, path)  # no crash leaves a wrong header in a file of full length
                continue
            count = sum(content[:end] == data[:end] for end in ends)
            with open_inline(image) as db:
                assert list(db) == [b"%d" % number for number in range(count)]


def test_damage_inside_synced_data_is_never_taken_for_a_torn_end() -> None:
    def build(db: lsmkv.DB) -> None:
        for number in range(4):
            db.put(b"%d" % number, b"value", sync=number == 2)
        db.put(b"later", b"value")  # carries the claim that what stands before it is durable

    files = killed(build)
    [path] = log_paths(files)
    data = read(files, path)
    records = list(SegmentReader(data, path))
    synced_to = max(record.synced_to for record in records)
    offsets = [record.offset for record in records]
    assert offsets[2] < synced_to <= offsets[4]
    for position in range(len(data)):
        image = files.clone()
        rewrite(image, path, data[:position] + bytes([data[position] ^ 4]) + data[position + 1 :])
        if position < synced_to:
            found = refused(image, path)
            record = max((offset for offset in offsets if offset <= position), default=0)
            assert found == record, "the message must name the damaged record"
        else:
            with open_inline(image) as db:
                assert list(db)[:3] == [b"0", b"1", b"2"]


# --- several segments ----------------------------------------------------------------------------


def three_segments(synced: bool) -> Callable[[lsmkv.DB], None]:
    def build(db: lsmkv.DB) -> None:
        db.put(b"a0", b"1")
        db.put(b"a1", b"1")
        rotate(db)
        db.put(b"b0", b"1")
        db.put(b"b1", b"1")
        rotate(db)
        db.put(b"c0", b"1", sync=synced)

    return build


@pytest.mark.parametrize("short", [0, 1])
def test_a_gap_before_synced_data_is_damage(short: int) -> None:
    """engine-review 1: also when only a segment further on knows of the sync."""
    files = killed(three_segments(synced=True))
    paths = log_paths(files)
    lose_last_record(files, paths[short])
    refused(files, paths[2], "shorter than it was, and this one holds synced data")


@pytest.mark.parametrize("short", [0, 1])
def test_nothing_after_an_unsynced_gap_is_used(short: int) -> None:
    files = killed(three_segments(synced=False))
    lose_last_record(files, log_paths(files)[short])
    expected = [b"a0", b"a1", b"b0"] if short else [b"a0"]
    assert list(recovered(files)) == expected


@pytest.mark.parametrize("synced", [False, True])
def test_a_missing_segment_in_the_middle_is_a_gap(synced: bool) -> None:
    files = killed(three_segments(synced))
    paths = log_paths(files)
    files.remove(paths[1])
    if synced:
        refused(files, paths[2], "holds synced data")
    else:
        assert list(recovered(files)) == [b"a0", b"a1"]


@pytest.mark.parametrize("header", [b"", b"\0" * 64, b"LSMKVLOG\1\0"])
def test_a_segment_without_a_header_is_a_gap(header: bytes) -> None:
    for synced in (False, True):
        files = killed(three_segments(synced))
        paths = log_paths(files)
        rewrite(files, paths[1], header)
        if synced:
            refused(files, paths[2], "holds synced data")
        else:
            assert list(recovered(files)) == [b"a0", b"a1"]


def test_a_rotation_that_failed_leaves_no_gap() -> None:
    """A segment without a record lies between two that follow each other."""
    files = MemoryFileSystem()
    with open_inline(files) as db:
        db.put(b"a", b"1")
        rotate(db)
        number = db._counter.next()
        rotated = read(files, log_paths(files)[1])
        db.put(b"b", b"1", sync=True)
        image = files.clone()
    # The same header under the next number, as the second attempt would have written it.
    header = bytearray(rotated[:64])
    header[16:24] = number.to_bytes(8, "little")
    header[12:16] = crc32c(bytes(header[16:]), crc32c(bytes(header[:12]))).to_bytes(4, "little")
    rewrite(image, filenames.log_path(DIRECTORY, number), bytes(header))
    assert list(recovered(image)) == [b"a", b"b"]


def test_swapped_segments_are_refused() -> None:
    files = killed(three_segments(synced=True))
    first, second, _ = log_paths(files)
    one, two = read(files, first), read(files, second)
    rewrite(files, first, two)
    rewrite(files, second, one)
    refused(files, first, "it holds log segment")


def test_a_live_log_must_exist() -> None:
    def build(db: lsmkv.DB) -> None:
        db.put(b"a", b"1")
        db.flush()  # its edit names the new segment
        db.put(b"b", b"1")

    files = killed(build)
    [path] = log_paths(files)
    files.remove(path)
    refused(files, path, "does not exist")


# --- manifest, CURRENT and tables ----------------------------------------------------------------


def build_with_lost_edit(db: lsmkv.DB) -> None:
    db.put(b"a", b"1", sync=True)
    db.flush()
    db.put(b"b", b"1")
    rotate(db)  # this segment knows of the edit that the flush made
    db.put(b"c", b"1")


def cut_line(files: MemoryFileSystem) -> None:
    path = manifest_path(files)
    lines = read(files, path).splitlines(keepends=True)
    assert len(lines) > 1
    rewrite(files, path, b"".join(lines[:-1]))


def test_a_manifest_cut_at_a_line_is_betrayed_by_the_log() -> None:
    """engine-review 4: the file is valid, and yet an edit is lost."""
    files = killed(build_with_lost_edit)
    newest = log_paths(files)[-1]
    cut_line(files)
    refused(files, newest, "the manifest has lost edits")


def test_a_table_with_writes_that_nothing_else_holds_is_kept(
    caplog: pytest.LogCaptureFixture,
) -> None:
    files = killed(build_with_lost_edit)
    [table] = table_paths(files)
    content = read(files, table)
    cut_line(files)
    for path in log_paths(files):
        files.remove(path)
    with caplog.at_level(logging.WARNING, "lsmkv"):
        assert recovered(files) == {}
    assert "newer than anything recovered" in caplog.text
    kept = filenames.lost_directory(DIRECTORY) + table.removeprefix(DIRECTORY)
    assert read(files, kept) == content


def orphaned() -> tuple[MemoryFileSystem, str, bytes]:
    """A database, a table that nothing names with writes that nothing else holds, its content."""
    files = killed(build_with_lost_edit)
    [table] = table_paths(files)
    cut_line(files)
    for path in log_paths(files):
        files.remove(path)
    return (
        files,
        filenames.lost_directory(DIRECTORY) + table.removeprefix(DIRECTORY),
        read(files, table),
    )


def test_an_orphan_is_left_alone_while_it_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    """Too many open files at the wrong moment deleted what may be the only copy."""
    image, kept, content = orphaned()
    warned = 0
    for operation in ("open", "read"):
        for at in itertools.count(1):
            files = image.clone()
            faulty = FaultFileSystem(files)
            faulty.count_reads(True)
            faulty.record_trace(True)
            faulty.fail(at, errno.EMFILE, operations=(operation,))
            caplog.clear()
            with contextlib.suppress(lsmkv.StorageError), open_inline(faulty):
                pass
            if sum(entry.operation == operation for entry in faulty.trace()) < at:
                break
            warned += "could not remove the orphan" in caplog.text
            assert recovered(files) == {}
            assert read(files, kept) == content
    assert warned > 3


@pytest.mark.parametrize("place", ["header", "first block", "footer"])
def test_a_damaged_orphan_is_kept_for_what_is_intact_in_it(place: str) -> None:
    """Whole it would have gone to lost/, and damaged it was taken for unfinished."""
    image, kept, content = orphaned()
    damaged = bytearray(content)
    damaged[{"header": 20, "first block": 40, "footer": -20}[place]] ^= 1
    [table] = table_paths(image)
    rewrite(image, table, bytes(damaged))
    assert recovered(image) == {}
    assert read(image, kept) == bytes(damaged)


def test_an_orphan_that_holds_nothing_new_is_deleted() -> None:
    def build(db: lsmkv.DB) -> None:
        db.put(b"a", b"1")
        db.flush()

    files = killed(build)
    [table] = table_paths(files)
    orphan = filenames.table_path(DIRECTORY, 900)
    for content in (read(files, table), read(files, table)[:100], b""):
        rewrite(files, orphan, content)
        assert recovered(files.clone()) == {b"a": b"1"}
        image = files.clone()
        recovered(image)
        assert not image.exists(orphan)
        assert not image.exists(filenames.lost_directory(DIRECTORY))


def test_a_missing_table_is_damage() -> None:
    def build(db: lsmkv.DB) -> None:
        db.put(b"a", b"1")
        db.flush()

    files = killed(build)
    [table] = table_paths(files)
    files.remove(table)
    refused(files, table)


def test_current_must_lead_to_a_manifest() -> None:
    def build(db: lsmkv.DB) -> None:
        db.put(b"a", b"1")
        db.flush()
        db.put(b"b", b"1")

    files = killed(build)
    current, manifest = filenames.current_path(DIRECTORY), manifest_path(files)
    for content in (b"", b"MANIFEST-000001", b"000001.log\n", b"x" * 100, b"../MANIFEST-1\n"):
        image = files.clone()
        rewrite(image, current, content)
        refused(image, current)
    image = files.clone()
    image.remove(current)
    refused(image, current, "repair")
    image = files.clone()
    image.remove(manifest)
    refused(image, manifest)


def test_without_current_a_log_alone_is_not_taken_for_nothing() -> None:
    files = killed(lambda db: db.put(b"a", b"1"))
    files.remove(filenames.current_path(DIRECTORY))
    refused(files, filenames.current_path(DIRECTORY), "repair")


# --- files of the future -------------------------------------------------------------------------


def newer_manifest(data: bytes) -> bytes:
    first, _, rest = data.partition(b"\n")
    fields = json.loads(first[9:])
    fields["format_version"] += 1
    text = json.dumps(fields, separators=(",", ":")).encode()
    return b"%08x %s\n" % (crc32c(text), text) + rest


def newer_log(data: bytes) -> bytes:
    header = bytearray(data[:64])
    header[8] += 1
    header[12:16] = crc32c(bytes(header[16:]), crc32c(bytes(header[:12]))).to_bytes(4, "little")
    return bytes(header) + data[64:]


def newer_table(data: bytes) -> bytes:
    changed, offset = bytearray(data), len(data) - 64
    changed[offset + 4] += 1
    reference_table.reseal(changed, data[offset + 8 : offset + 24], offset, 64)
    return bytes(changed)


@pytest.mark.parametrize("kind", ["manifest", "log", "table"])
@pytest.mark.parametrize("read_only", [False, True])
def test_files_of_a_newer_version_are_refused_as_such(kind: str, read_only: bool) -> None:
    def build(db: lsmkv.DB) -> None:
        db.put(b"a", b"1")
        db.flush()
        db.put(b"b", b"1")

    files = killed(build)
    path, change = {
        "manifest": (manifest_path(files), newer_manifest),
        "log": (log_paths(files)[0], newer_log),
        "table": (table_paths(files)[0], newer_table),
    }[kind]
    rewrite(files, path, change(read(files, path)))
    before = everything(files)
    with pytest.raises(lsmkv.Error, match=r"version|format") as caught:
        open_inline(files, read_only=read_only)
    assert not isinstance(caught.value, lsmkv.CorruptionError), "it is not damaged"
    assert path in str(caught.value)
    assert {**everything(files), "LOCK": b""} == {**before, "LOCK": b""}


# --- reading only --------------------------------------------------------------------------------


def test_reading_only_replays_the_log_and_writes_nothing() -> None:
    def build(db: lsmkv.DB) -> None:
        db.put(b"a", b"1")
        db.put(b"gone", b"1")
        db.flush()
        db.delete(b"gone")
        rotate(db)
        db.put(b"a", b"2")
        db.put(b"b", b"1", sync=True)

    files = killed(build)
    orphan = filenames.table_path(DIRECTORY, 900)
    rewrite(files, orphan, b"left over")
    before = everything(files)
    for _ in range(2):
        with open_inline(files, read_only=True) as db:
            assert dict(db.scan()) == {b"a": b"2", b"b": b"1"}
            assert db.get(b"gone") is None
            assert db.verify()
            for call in (lambda: db.put(b"c", b"1"), db.sync, db.flush, db.compact, db.clear):
                with pytest.raises(lsmkv.ReadOnlyError):
                    call()
            assert everything(files) == before
    assert everything(files) == before
    assert recovered(files) == {b"a": b"2", b"b": b"1"}


def test_reading_only_refuses_damage_too() -> None:
    files = killed(three_segments(synced=True))
    paths = log_paths(files)
    lose_last_record(files, paths[0])
    refused(files, paths[2], "holds synced data", read_only=True)
