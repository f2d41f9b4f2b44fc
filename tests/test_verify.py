"""lsmkv.verify looks at every file by itself: whatever is damaged at once is all named, with file
and offset, also where an open is refused; what a crash leaves is no damage; nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import lsmkv
from lsmkv import filenames
from lsmkv._native.hashing import crc32c
from lsmkv._native.log import SegmentReader
from lsmkv._native.vfs import FileSystem, MemoryFileSystem
from lsmkv.manifest import ManifestState, read_manifest
from lsmkv.verify import VerifyReport
from tests.test_recovery import (
    DIRECTORY,
    everything,
    killed,
    log_paths,
    lose_last_record,
    manifest_path,
    open_inline,
    read,
    rewrite,
    rotate,
    table_paths,
)

verify_module = import_module("lsmkv.verify")  # `lsmkv.verify` is the function
CURRENT = filenames.current_path(DIRECTORY)
FOOTER_SIZE = 64


def build(db: lsmkv.DB) -> None:
    """Three tables, and three logs that are needed, with claims in each."""
    for name in (b"a", b"b", b"c"):
        db.put_many({name + b"%03d" % number: b"v" * 50 for number in range(100)})
        db.flush()
    for name in (b"d", b"e", b"f"):
        for number in range(5):
            db.put(name + b"%d" % number, b"logged", sync=True)
        rotate(db)


@pytest.fixture
def files() -> MemoryFileSystem:
    """As a killed process leaves it. The last, empty log is gone: only a rotation had come."""
    disk = killed(build)
    disk.remove(log_paths(disk)[-1])
    return disk


def flip(files: MemoryFileSystem, path: str, offset: int) -> None:
    data = bytearray(read(files, path))
    data[offset] ^= 1
    rewrite(files, path, bytes(data))


def verified(files: MemoryFileSystem) -> VerifyReport:
    """It must say the same twice and write nothing."""
    before = everything(files)
    report = lsmkv.verify(DIRECTORY, filesystem=files)
    assert lsmkv.verify(DIRECTORY, filesystem=files) == report
    assert everything(files) == before
    assert all(problem.path in str(report) for problem in report.problems)
    return report


def places(report: VerifyReport) -> dict[str, int | None]:
    found = {problem.path: problem.offset for problem in report.problems}
    assert len(found) == len(report.problems), f"named twice: {report}"
    return found


def record_offset(files: MemoryFileSystem, path: str, index: int) -> int:
    return [record.offset for record in SegmentReader(read(files, path), path)][index]


def test_a_sound_database_with_logs(files: MemoryFileSystem) -> None:
    report = verified(files)
    assert report, str(report)
    assert report.notes == ()
    assert (report.table_count, report.entry_count) == (3, 300)
    paths = [*log_paths(files), *table_paths(files), manifest_path(files)]
    assert report.checked_bytes == sum(map(files.file_size, paths))


def test_three_damaged_footers_are_all_named(files: MemoryFileSystem) -> None:
    expected = {}
    for path in table_paths(files):
        offset = files.file_size(path) - FOOTER_SIZE
        flip(files, path, offset + 20)
        expected[path] = offset
    with pytest.raises(lsmkv.CorruptionError) as caught:
        open_inline(files)
    assert caught.value.path in expected, "an open goes no further than the first"
    assert places(verified(files)) == expected


def test_a_file_of_each_kind_at_once(files: MemoryFileSystem) -> None:
    manifest, table, log = manifest_path(files), table_paths(files)[1], log_paths(files)[0]
    bad_record = record_offset(files, log, 2)
    rewrite(files, CURRENT, b"garbage\n")
    flip(files, manifest, 20)
    flip(files, log, bad_record + 33)
    flip(files, table, 40)
    found = places(verified(files))
    table_offset = found.pop(table)
    assert table_offset is not None
    assert 0 <= table_offset <= 40
    assert found == {CURRENT: 0, manifest: 0, log: bad_record}


def test_the_manifest_is_read_though_current_is_gone(files: MemoryFileSystem) -> None:
    """And so it is known what else has gone."""
    table, log = table_paths(files)[0], log_paths(files)[1]
    for path in (CURRENT, table):
        files.remove(path)
    flip(files, log, 20)
    assert places(verified(files)) == {CURRENT: None, table: None, log: 0}


def test_a_manifest_that_is_gone(files: MemoryFileSystem) -> None:
    manifest, table = manifest_path(files), table_paths(files)[2]
    files.remove(manifest)
    flip(files, table, files.file_size(table) - 1)
    assert set(places(verified(files))) == {manifest, table}


def test_damage_in_one_log_hides_none_in_the_next(files: MemoryFileSystem) -> None:
    first, second, third = log_paths(files)
    offsets = [record_offset(files, path, 2) for path in (first, second)]
    for path, offset in zip((first, second), offsets, strict=True):
        flip(files, path, offset + 33)
    flip(files, third, 5)
    assert places(verified(files)) == {first: offsets[0], second: offsets[1], third: 0}


def test_a_log_that_is_gone_hides_no_damage_beside_it(files: MemoryFileSystem) -> None:
    with open_inline(files) as db:
        for name in (b"g", b"h", b"i"):
            db.put(name, b"1", sync=True)
            rotate(db)
    first, second, third, *_ = log_paths(files)
    files.remove(second)
    assert places(verified(files)) == {second: None}, "nor does it make the next one a damaged one"
    for path in (first, third):
        flip(files, path, 70)
    assert places(verified(files)) == {first: 64, second: None, third: 64}


def test_an_older_manifest_is_no_stand_in(files: MemoryFileSystem) -> None:
    """It names logs that have become tables since."""
    older = manifest_path(files)
    content = read(files, older)
    open_inline(files).close()
    newest = manifest_path(files)
    with files.open(older, "x") as file:
        file.append(content)
    assert verified(files)
    files.remove(CURRENT)
    assert places(verified(files)) == {CURRENT: None}
    flip(files, newest, 20)
    assert places(verified(files)) == {CURRENT: None, newest: 0}


def test_a_log_that_lost_its_end_before_another(files: MemoryFileSystem) -> None:
    lose_last_record(files, log_paths(files)[0])
    [path] = places(verified(files))
    assert path == log_paths(files)[1], "which holds synced data and says how long the first was"


def test_what_a_newer_version_wrote_is_named(files: MemoryFileSystem) -> None:
    _, log, third = log_paths(files)
    data = bytearray(read(files, log))
    data[8] = 2
    data[12:16] = crc32c(data[16:64], crc32c(data[:12])).to_bytes(4, "little")
    rewrite(files, log, bytes(data))
    flip(files, third, 5)
    report = verified(files)
    assert set(places(report)) == {log, third}
    assert "version 2" in str(report)


# --- what is no damage ---------------------------------------------------------------------------


def test_a_torn_end_is_a_note(files: MemoryFileSystem) -> None:
    path = log_paths(files)[-1]
    # The CLOSE record claims what stands before the mark of the last sync, not itself.
    rewrite(files, path, read(files, path)[:-1])
    report = verified(files)
    assert report, str(report)
    [note] = report.notes
    assert path in note
    assert "torn" in note
    with open_inline(files) as db:
        assert db[b"f4"] == b"logged"
        assert db.verify()
    assert verified(files).notes == ()


def test_a_torn_edit_is_a_note(files: MemoryFileSystem) -> None:
    path = manifest_path(files)
    size = files.file_size(path)
    rewrite(files, path, read(files, path) + b'12345678 {"edit":')
    report = verified(files)
    assert report, str(report)
    assert [note for note in report.notes if f"{path} at byte {size}" in note]


def test_other_files_are_listed(files: MemoryFileSystem) -> None:
    names = ["000900.sst", "000001.log", "MANIFEST-000950", "CURRENT.tmp", "letter.txt"]
    for name in names:
        with files.open(f"{DIRECTORY}/{name}", "x") as file:
            file.append(b"anything")
    report = verified(files)
    assert report, str(report)
    assert len(report.notes) == len(names)
    assert all(any(name in note for note in report.notes) for name in names)


def test_what_was_put_aside_is_a_note(files: MemoryFileSystem) -> None:
    rewrite(files, table_paths(files)[0], b"")
    lsmkv.repair(DIRECTORY, filesystem=files)
    report = lsmkv.verify(DIRECTORY, filesystem=files)
    assert report, str(report)
    assert report.notes == ("lost holds what was put aside: 1",)


def test_where_there_is_no_database(tmp_path: Path) -> None:
    with pytest.raises(lsmkv.Error, match="does not exist"):
        lsmkv.verify(tmp_path / "none")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(lsmkv.Error, match="is a file"):
        lsmkv.verify(tmp_path / "file")
    with pytest.raises(lsmkv.Error, match="holds no database"):
        lsmkv.verify(tmp_path)


def test_the_making_of_a_database_that_a_crash_cut_short() -> None:
    files = killed(lambda db: None)
    for path in (CURRENT, *log_paths(files)):
        files.remove(path)
    with pytest.raises(lsmkv.Error, match="holds no database"):
        lsmkv.verify(DIRECTORY, filesystem=files)


def test_what_a_writer_took_away_meanwhile_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    files = MemoryFileSystem()
    reads = 0

    def interrupted(filesystem: FileSystem, directory: str) -> ManifestState:
        nonlocal reads
        reads += 1
        state = read_manifest(filesystem, directory)
        if reads == 1:
            db.compact()
        return state

    with open_inline(files) as db:
        build(db)
        monkeypatch.setattr(verify_module, "read_manifest", interrupted)
        report = lsmkv.verify(DIRECTORY, filesystem=files)
        assert not report
        assert any("written meanwhile" in note for note in report.notes)
        assert lsmkv.verify(DIRECTORY, filesystem=files)


# --- a database opened read-only -----------------------------------------------------------------


@pytest.mark.parametrize(
    "choose",
    [lambda files: log_paths(files)[1], manifest_path, lambda files: table_paths(files)[0]],
)
def test_a_reader_finds_what_was_damaged_since_it_opened(
    files: MemoryFileSystem, choose: Callable[[Any], str]
) -> None:
    with open_inline(files, read_only=True) as db:
        assert db.verify()
        path = choose(files)
        flip(files, path, 30)
        assert set(places(db.verify())) == {path}
    with pytest.raises(lsmkv.ClosedError):
        db.verify()
